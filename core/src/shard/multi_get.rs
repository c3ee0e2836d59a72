//! Many keys in one operation: what memory knows is answered at once, and all that is missing is asked for together.
//!
//! Each key goes as far as memory goes and says what it needs of which runs (`search.rs`): heads, then filters and indexes of all runs,
//! then blocks. The needs of all keys go to the cache in one turn and so into one read plan; there is one await for the whole batch. A key
//! goes on when something that it needs has come, whatever others still wait for.

use super::ShardCore;
use super::lookup::{LOOK_AHEAD_KEYS, Now, View};
use super::search::{Need, Search, came, next_of, own};
use crate::answer::{Answer, Source};
use crate::error::{Error, Result};
use aquifer_cache::Gather;
use aquifer_io::Instant;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// Keys that go on before other tasks run again.
const KEYS_A_TURN: usize = 256;

/// The state of a batch: what is known of each key.
pub(crate) struct MultiGet {
    answers: Vec<Option<Result<Answer>>>,
    waits: Vec<Wait>,
}

impl ShardCore {
    /// Fixes what the batch sees, and answers what memory knows.
    pub(crate) fn multi_get_now(&self, keys: Vec<Box<[u8]>>, view: Option<&View>) -> MultiGet {
        let mut batch = MultiGet { answers: Vec::with_capacity(keys.len()), waits: Vec::new() };
        let mut keys = keys.into_iter();
        for at in 0..keys.len() {
            if view.is_none() && at % LOOK_AHEAD_KEYS == 0 {
                let next = keys.as_slice();
                self.look_ahead(next.get(..LOOK_AHEAD_KEYS).unwrap_or(next));
            }
            let Some(key) = keys.next() else { break };
            batch.answers.push(match self.get_now(&key, view) {
                Ok(Now::Known(answer)) => Some(Ok(answer)),
                Err(error) => Some(Err(error)),
                Ok(Now::Waits(pending)) => {
                    batch.waits.push((at, key, pending));
                    None
                }
            });
        }
        batch
    }

    /// Waits for all that is missing, at most until `deadline`.
    pub(crate) async fn multi_get(&self, batch: MultiGet, deadline: Option<Instant>) -> Vec<Result<Answer>> {
        let MultiGet { mut answers, waits } = batch;
        self.count_waited(waits.len() as u64);
        {
            let all = pin!(self.answer_all(&mut answers, waits));
            match deadline {
                None => all.await,
                Some(deadline) => {
                    let time = pin!(aquifer_io::sleep(deadline.duration_since(aquifer_io::now())));
                    match select(all, time).await {
                        // Loads go on for whoever else wants their blocks, and for the cache.
                        Either::Left(_) | Either::Right(_) => {}
                    }
                }
            }
        }
        let late = || Ok(Answer { value: None, source: Source::TimedOut });
        answers.into_iter().map(|answer| answer.unwrap_or_else(late)).collect()
    }

    async fn answer_all(&self, answers: &mut [Option<Result<Answer>>], waits: Vec<Wait>) {
        let mut keys: Vec<Key> = waits
            .into_iter()
            .map(|(at, key, pending)| Key { at, key, search: Some(Search::new(pending)) })
            .collect();
        let mut loads = Loads::default();
        let mut unanswered = keys.len();
        let mut needs = Vec::new();
        let mut steps = 0;
        // First all keys say what they need, then the first of them wait.
        let mut fresh = 0..keys.len();
        while unanswered > 0 {
            let (index, delivered) = match fresh.next() {
                Some(index) => (index, Ok(())),
                None => {
                    let Some((done, (index, need))) = next_of(&mut loads.gather, &mut loads.owners).await
                    else {
                        // Not reached while a key waits: each waits for a load. Said rather than assumed.
                        keys.iter().filter(|key| key.search.is_some()).for_each(|key| {
                            if let Some(slot) = answers.get_mut(key.at) {
                                *slot = Some(Err(Error::closed()));
                            }
                        });
                        return;
                    };
                    let Some(Key { key, search: Some(search), .. }) = keys.get_mut(index) else { continue };
                    let delivered = self.deliver(key, search, &need, came(done));
                    (index, delivered)
                }
            };
            let Some(waiting) = keys.get_mut(index) else { continue };
            let stepped = delivered.and_then(|()| self.go_on(index, waiting, &mut loads, &mut needs));
            if let Some(answer) = stepped.transpose() {
                waiting.search = None;
                unanswered -= 1;
                if let Some(slot) = answers.get_mut(waiting.at) {
                    *slot = Some(answer);
                }
            }
            steps += 1;
            if steps % KEYS_A_TURN == 0 {
                aquifer_io::yield_now().await;
            }
        }
    }

    /// Lets a key go on, and asks for what it needs then.
    fn go_on(
        &self,
        index: usize,
        waiting: &mut Key,
        loads: &mut Loads,
        needs: &mut Vec<Need>,
    ) -> Result<Option<Answer>> {
        needs.clear();
        let Key { key, search: Some(search), .. } = waiting else { return Ok(None) };
        let answer = self.step(key, search, needs)?;
        for need in needs.drain(..) {
            let load = self.ask(key, search, &need, loads.asked)?;
            loads.asked = loads.asked.saturating_add(1);
            own(&mut loads.owners, loads.gather.add(load), (index, need));
        }
        Ok(answer)
    }
}

/// A key that waits: its place in the batch, and how far its lookup is.
type Wait = (usize, Box<[u8]>, Box<super::lookup::Pending>);

struct Key {
    at: usize,
    key: Box<[u8]>,
    /// `None`: it is answered.
    search: Option<Search>,
}

/// What a batch waits for, and which key needs it.
#[derive(Default)]
struct Loads {
    gather: Gather<super::blocks::CachedBlock>,
    owners: Vec<Option<(usize, Need)>>,
    asked: u32,
}

impl MultiGet {
    /// Whether every key is answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.waits.is_empty()
    }

    /// Keys that wait for SSD or DFS.
    pub(crate) fn waits(&self) -> usize {
        self.waits.len()
    }
}

/// Ends one that is complete already, without a task.
pub(crate) fn finish(core: &Rc<ShardCore>, batch: MultiGet) -> Vec<Result<Answer>> {
    debug_assert!(batch.is_complete(), "{} keys wait on shard {}", batch.waits(), core.id);
    batch.answers.into_iter().flatten().collect()
}
