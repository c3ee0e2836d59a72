//! Operations that must wait before they can take effect: a write without room, a comparison whose block is not in memory.
//!
//! ```text
//! mailbox ─> loop ─┬─ nothing waits on its key, and it need not wait ──> takes effect at once
//!                  ├─ else: lines up behind what waits on its key ──> a task of the key, one after the other
//!                  └─ concerns more than one key: the loop rests until no key has anything that waits
//! ```
//! So operations of one caller on one key take effect in the order issued, whatever they wait for, and all others pass by: reads of
//! what is cached go on while writes wait for the DFS. Keys and operations that wait are bounded; at the bound the loop rests.

use crate::request::Keyed;
use crate::shard::reads::lookup::Now;
use crate::shard::shard_core::ShardCore;
use std::rc::Rc;

impl ShardCore {
    /// Lets an operation on one key take effect, now or in its turn.
    pub(crate) async fn in_turn(self: &Rc<Self>, key: Box<[u8]>, keyed: Keyed) {
        let keyed = if self.waiting.has(&key) {
            keyed
        } else {
            match self.effect_now(&key, keyed).await {
                None => return,
                Some(keyed) => keyed,
            }
        };
        self.progress.wait(|| self.waiting.has_space().then_some(())).await;
        if self.waiting.push(&key, keyed) {
            let core = Rc::clone(self);
            self.spawn(async move {
                while let Some(keyed) = core.waiting.pop(&key) {
                    core.effect_waiting(&key, keyed).await;
                }
                core.progress.notify();
            });
        }
    }

    /// Rests until nothing waits: for operations on more than one key.
    pub(crate) async fn after_all(&self) {
        if !self.waiting.is_empty() {
            self.progress.wait(|| self.waiting.is_empty().then_some(())).await;
        }
    }

    /// Lets an operation take effect if it need not wait; gives it back if it must.
    pub(crate) async fn effect_now(self: &Rc<Self>, key: &[u8], keyed: Keyed) -> Option<Keyed> {
        match keyed {
            Keyed::Get { snapshot, reply } => self.effect_get(key, snapshot, reply).await,
            Keyed::Write { write, reply } if self.goes_on() && !self.must_look(key, &write) => {
                reply.send(self.apply(key, &write));
            }
            Keyed::Compare { expected, write, reply } if self.goes_on() => match self.get_now(key, None) {
                Ok(Now::Known(found)) => {
                    self.answer_compared(reply, self.apply_if(key, expected.as_deref(), found.value, &write));
                }
                Err(error) => reply.send(Err(error)),
                Ok(Now::Waits(_)) => return Some(Keyed::Compare { expected, write, reply }),
            },
            keyed => return Some(keyed),
        }
        None
    }

    /// Lets an operation take effect after whatever it must wait for.
    pub(crate) async fn effect_waiting(self: &Rc<Self>, key: &[u8], keyed: Keyed) {
        match keyed {
            Keyed::Get { snapshot, reply } => self.effect_get(key, snapshot, reply).await,
            Keyed::Write { write, reply } => reply.send(self.write(key, &write).await),
            Keyed::Compare { expected, write, reply } => {
                self.answer_compared(reply, self.compare(key, expected.as_deref(), &write).await);
            }
        }
    }
}
