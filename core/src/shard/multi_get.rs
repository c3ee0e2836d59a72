//! Many keys in one operation: what memory knows is answered at once, and all that is missing is asked for together.

use super::ShardCore;
use super::lookup::{LOOK_AHEAD_KEYS, Now, View};
use crate::answer::{Answer, Source};
use crate::error::Result;
use aquifer_io::Instant;
use futures_util::future::{Either, join_all, select};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

/// The state of a batch: what is known of each key.
pub(crate) struct MultiGet {
    answers: Vec<Option<Result<Answer>>>,
    waits: Vec<(usize, Box<[u8]>, Box<super::lookup::Pending>)>,
}

impl ShardCore {
    /// Fixes what the batch sees, and answers what memory knows.
    pub(crate) fn multi_get_now(&self, keys: Vec<Box<[u8]>>, view: Option<&View>) -> MultiGet {
        let mut batch = MultiGet { answers: Vec::with_capacity(keys.len()), waits: Vec::new() };
        let mut keys = keys.into_iter();
        for at in 0..keys.len() {
            if at % LOOK_AHEAD_KEYS == 0 {
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
        let answers = RefCell::new(batch.answers);
        let reads = batch.waits.into_iter().map(async |(at, key, pending)| {
            let answer = self.get_waiting(&key, pending).await;
            if let Some(slot) = answers.borrow_mut().get_mut(at) {
                *slot = Some(answer);
            }
        });
        let all = pin!(join_all(reads));
        match deadline {
            None => drop(all.await),
            Some(deadline) => {
                let time = pin!(aquifer_io::sleep(deadline.duration_since(aquifer_io::now())));
                match select(all, time).await {
                    // Loads go on for whoever else wants their blocks, and for the cache.
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
        }
        let late = || Ok(Answer { value: None, source: Source::TimedOut });
        answers.take().into_iter().map(|answer| answer.unwrap_or_else(late)).collect()
    }
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
