//! Many keys in one operation: what memory knows is answered at once, and all that is missing is asked for together.
//!
//! Each key goes as far as memory goes and says what it needs of which runs (`waiting_lookup.rs`): heads, then filters and indexes of all runs,
//! then blocks. The needs of all keys go to the cache in one turn and so into one read plan; there is one await for the whole batch. A key
//! goes on when something that it needs has come, whatever others still wait for.

use crate::answer::{Answer, Source};
use crate::blocks::cached_block::CachedBlock;
use crate::blocks::load::{came, next_of, own};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LARGE_READ_BYTES;
use crate::shard::reads::answer_room::Room;
use crate::shard::reads::lookup::{LOOK_AHEAD_KEYS, Now, View};
use crate::shard::reads::waiting_lookup::{Need, WaitingLookup, large_bytes};
use crate::shard::shard_core::ShardCore;
use aquifer_cache::LoadSet;
use aquifer_io::Instant;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

/// Keys that go on before other tasks run again.
const KEYS_A_TURN: usize = 256;

/// The state of a batch: what is known of each key.
pub(crate) struct MultiGet {
    answers: Vec<Option<Result<Answer>>>,
    waits: Vec<Wait>,
    /// Of the values so far.
    bytes: usize,
    /// Once they take so much, the other keys are left.
    bytes_max: usize,
}

impl ShardCore {
    /// Fixes what the batch sees, and answers what memory knows.
    pub(crate) fn multi_get_now(
        &self,
        keys: Vec<Box<[u8]>>,
        view: Option<&View>,
        bytes_max: usize,
    ) -> MultiGet {
        let bytes_max = bytes_max.min(self.answers_bytes_max());
        let answers = Vec::with_capacity(keys.len());
        let mut batch = MultiGet { answers, waits: Vec::new(), bytes: 0, bytes_max };
        let mut keys = keys.into_iter();
        for at in 0..keys.len() {
            if batch.bytes >= bytes_max {
                let rest = remaining(bytes_max);
                batch.answers.extend(keys.map(|_| Some(Err(rest.clone()))));
                break;
            }
            if view.is_none() && at % LOOK_AHEAD_KEYS == 0 {
                let next = keys.as_slice();
                self.look_ahead(next.get(..LOOK_AHEAD_KEYS).unwrap_or(next));
            }
            let Some(key) = keys.next() else { break };
            batch.answers.push(match self.get_now(&key, view) {
                Ok(Now::Known(answer)) => {
                    batch.bytes += answer.value.as_ref().map_or(0, Bytes::len);
                    Some(Ok(answer))
                }
                Err(error) => Some(Err(error)),
                Ok(Now::Waits(pending)) => {
                    batch.waits.push((at, key, pending));
                    None
                }
            });
        }
        batch
    }

    /// Waits for all that is missing, at most until `deadline`, and while values take less than they may. The answers, and bytes of their values.
    pub(crate) async fn multi_get(
        &self,
        batch: MultiGet,
        deadline: Option<Instant>,
    ) -> (Vec<Result<Answer>>, usize) {
        let MultiGet { mut answers, waits, bytes, bytes_max } = batch;
        self.count_waited(waits.len() as u64);
        let mut page = Page::new(self, bytes, bytes_max);
        if !page.is_full {
            let all = pin!(self.answer_all(&mut answers, &mut page, waits));
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
        let rest = page.is_full.then(|| remaining(bytes_max));
        let missing = || match &rest {
            Some(rest) => Err(rest.clone()),
            None => Ok(Answer { value: None, source: Source::TimedOut }),
        };
        (answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect(), page.bytes)
    }

    async fn answer_all<'c>(
        &'c self,
        answers: &mut [Option<Result<Answer>>],
        page: &mut Page<'c>,
        waits: Vec<Wait>,
    ) {
        let mut keys: Vec<Key<'c>> = waits
            .into_iter()
            .map(|(at, key, pending)| Key { at, key, search: Some(WaitingLookup::new(pending)), room: None })
            .collect();
        let mut loads = Loads::default();
        let mut unanswered = keys.len();
        let mut steps = 0;
        // First all keys say what they need, then the first of them wait.
        let mut fresh = 0..keys.len();
        while unanswered > 0 {
            let (index, delivered) = match fresh.next() {
                Some(index) => (index, Ok(())),
                None => {
                    if let Err(index) = self.ask_held(&mut keys, &mut loads, page).await {
                        match index {
                            Some((index, error)) => (index, Err(error)),
                            // The others do not fit beside what is there.
                            None => {
                                page.is_full = true;
                                return;
                            }
                        }
                    } else {
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
                        let Some(Key { key, search: Some(search), .. }) = keys.get_mut(index) else {
                            continue;
                        };
                        let delivered = self.deliver(key, search, &need, came(done));
                        (index, delivered)
                    }
                }
            };
            let Some(waiting) = keys.get_mut(index) else { continue };
            let stepped = delivered.and_then(|()| self.go_on(index, waiting, &mut loads));
            if let Some(answer) = stepped.transpose() {
                unanswered -= 1;
                page.under_way -= waiting.room.take().map_or(0, |room| room.bytes());
                waiting.search = None;
                let value = answer.as_ref().ok().and_then(|answer| answer.value.as_ref());
                page.take(self, value.map_or(0, Bytes::len));
                if let Some(slot) = answers.get_mut(waiting.at) {
                    *slot = Some(answer);
                }
                if page.is_full && unanswered > 0 {
                    return;
                }
            }
            steps += 1;
            if steps % KEYS_A_TURN == 0 {
                aquifer_io::yield_now().await;
            }
        }
    }

    /// Lets a key go on, and asks for what it needs then; what is large waits for its turn.
    fn go_on(&self, index: usize, waiting: &mut Key<'_>, loads: &mut Loads) -> Result<Option<Answer>> {
        let Key { key, search: Some(search), .. } = waiting else { return Ok(None) };
        let mut needs = std::mem::take(&mut loads.needs);
        needs.clear();
        let answer = self.step(key, search, &mut needs);
        let bytes = large_bytes(&needs);
        if bytes > 0 && answer.is_ok() {
            loads.held.push_back(Held { index, bytes, needs });
            return answer;
        }
        let asked = needs.drain(..).try_for_each(|need| self.ask_one(index, key, search, need, loads));
        loads.needs = needs;
        answer.and_then(|answer| asked.map(|()| answer))
    }

    fn ask_one(
        &self,
        index: usize,
        key: &[u8],
        search: &WaitingLookup,
        need: Need,
        loads: &mut Loads,
    ) -> Result<()> {
        let load = self.ask(key, search, &need, loads.asked)?;
        loads.asked = loads.asked.saturating_add(1);
        own(&mut loads.owners, loads.gather.add(load), (index, need));
        Ok(())
    }

    /// Asks for what is large, as far as the page and the shard have room beside what is under way; at least for one.
    ///
    /// # Errors
    /// `None`: no more of the page fits. Else a key and its error.
    async fn ask_held<'c>(
        &'c self,
        keys: &mut [Key<'c>],
        loads: &mut Loads,
        page: &mut Page<'c>,
    ) -> Result<(), Option<(usize, Error)>> {
        while let Some(first) = loads.held.front() {
            let is_idle = loads.gather.is_empty();
            let fits =
                page.bytes.saturating_add(page.under_way).saturating_add(first.bytes) <= page.bytes_max;
            let room = match (fits, is_idle && page.bytes == 0) {
                (true, false) => self.take_room(first.bytes),
                // Nothing of this batch is under way or in hand: it waits for its turn, and then goes whatever its size.
                (_, true) => {
                    // Nor does it hold anything that others wait for.
                    keys.iter_mut().for_each(|key| key.room = None);
                    page.under_way = 0;
                    Some(self.room_for_large(first.bytes).await)
                }
                (false, false) => None,
            };
            let Some(room) = room else {
                return if is_idle { Err(None) } else { Ok(()) };
            };
            let Some(Held { index, needs, .. }) = loads.held.pop_front() else { return Ok(()) };
            let Some(key) = keys.get_mut(index) else { continue };
            page.under_way += room.bytes();
            page.under_way -= key.room.replace(room).map_or(0, |before| before.bytes());
            let Key { key, search: Some(search), .. } = key else { continue };
            for need in needs {
                self.ask_one(index, key, search, need, loads).map_err(|error| Some((index, error)))?;
            }
        }
        Ok(())
    }
}

/// What a batch gives.
struct Page<'c> {
    bytes: usize,
    bytes_max: usize,
    /// No more fits: the other keys are left.
    is_full: bool,
    /// What its keys have under way that is large.
    under_way: usize,
    /// Of its values, once they are large.
    room: Option<Room<'c>>,
}

impl<'c> Page<'c> {
    fn new(core: &'c ShardCore, bytes: usize, bytes_max: usize) -> Self {
        let mut page = Self { bytes: 0, bytes_max, is_full: false, under_way: 0, room: None };
        page.take(core, bytes);
        page
    }

    /// Takes a value in.
    fn take(&mut self, core: &'c ShardCore, bytes: usize) {
        self.bytes += bytes;
        self.is_full = self.bytes >= self.bytes_max;
        match &mut self.room {
            Some(room) => room.grow(bytes),
            None if self.bytes >= LARGE_READ_BYTES => self.room = Some(core.hold(self.bytes)),
            None => {}
        }
    }
}

fn remaining(bytes_max: usize) -> Error {
    Error::new(
        ErrorKind::Remaining,
        format!(
            "not read yet: the values of other keys take {bytes_max} bytes, as much as this call gives; ask for this key again"
        ),
    )
}

/// A key that waits: its place in the batch, and how far its lookup is.
type Wait = (usize, Box<[u8]>, Box<crate::shard::reads::lookup::Pending>);

struct Key<'c> {
    at: usize,
    key: Box<[u8]>,
    /// `None`: it is answered.
    search: Option<WaitingLookup>,
    /// For what it has under way, if that is large.
    room: Option<Room<'c>>,
}

/// What a key needs that is large, and waits for room.
struct Held {
    index: usize,
    bytes: usize,
    needs: Vec<Need>,
}

/// What a batch waits for, and which key needs it.
#[derive(Default)]
struct Loads {
    gather: LoadSet<CachedBlock>,
    owners: Vec<Option<(usize, Need)>>,
    asked: u32,
    held: VecDeque<Held>,
    /// Of the key that goes on, to save an allocation for each.
    needs: Vec<Need>,
}

impl MultiGet {
    /// Whether every key is answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.waits.is_empty()
    }

    /// Bytes of the values that are known.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
