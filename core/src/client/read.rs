//! Reads of single keys and of many.

use super::handle::{Client, REQUEST_OVERHEAD_BYTES};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::key_ref::Key;
use crate::multi_get_options::{MultiGetOptions, check_keys};
use crate::reply::{Answered, reply};
use crate::request::{Keyed, MultiGetAsk, Reply, Request};
use crate::snapshot::Snapshot;
use bytes::Bytes;

/// A part of a multi-get: the places of its keys in the whole, and its shard's answer.
type Part = (Vec<usize>, Answered<Vec<Result<Answer>>>);

/// The keys of one shard.
#[derive(Default)]
struct Share {
    places: Vec<usize>,
    keys: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Client {
    /// The value of `key`, `None` if it has none.
    ///
    /// # Errors
    /// `Invalid` for a too long key; `Busy`; `Unavailable`: the DFS did not answer, try again; `Corrupt`; `Closed`.
    pub fn get<'a>(&self, key: impl Into<Key<'a>>) -> Reply<Option<Bytes>> {
        self.keyed(key.into(), 0, |reply| Keyed::Get { snapshot: None, reply })
    }

    /// The value that `key` had at the moment of a snapshot.
    ///
    /// # Errors
    /// As [`Self::get`]; `Invalid` also for a snapshot of another engine.
    pub fn get_at<'a>(&self, snapshot: &Snapshot, key: impl Into<Key<'a>>) -> Reply<Option<Bytes>> {
        match self.check_snapshot(snapshot) {
            Ok(id) => self.keyed(key.into(), 0, |reply| Keyed::Get { snapshot: Some(id), reply }),
            Err(error) => Reply::refused(error),
        }
    }

    /// The values of many keys in one operation, with where each is known from: one message a shard, what memory knows answered at once,
    /// all blocks that are missing asked for together. Answers stand in the order of the keys; the error of one key stands in its place.
    ///
    /// Values that take more than [`MultiGetOptions::bytes_max`] come in several calls: ask again for the keys whose error is of kind
    /// [`crate::ErrorKind::Remaining`].
    ///
    /// # Errors
    /// `Invalid` for a too long key or more than 65,536 keys; `Busy`; `Closed`.
    pub fn multi_get<'a>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Key<'a>>>,
        options: &MultiGetOptions<'_>,
    ) -> Reply<Vec<Result<Answer>>> {
        let (count, mut parts) = match self.send_multi_get(keys, options) {
            Ok(sent) => sent,
            Err(error) => return Reply::refused(error),
        };
        if parts.len() == 1
            && let Some((_, all)) = parts.pop()
        {
            return Reply::waiting(all);
        }
        Reply::together(async move {
            let mut answers: Vec<Result<Answer>> = Vec::with_capacity(count);
            answers.resize_with(count, || Err(Error::closed()));
            for (places, part) in parts {
                for (place, answer) in places.into_iter().zip(part.await?) {
                    if let Some(slot) = answers.get_mut(place) {
                        *slot = answer;
                    }
                }
            }
            Ok(answers)
        })
    }

    fn send_multi_get<'a>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Key<'a>>>,
        options: &MultiGetOptions<'_>,
    ) -> Result<(usize, Vec<Part>)> {
        options.check()?;
        let snapshot = options.snapshot.map(|snapshot| self.check_snapshot(snapshot)).transpose()?;
        let deadline = options.timeout.map(|timeout| aquifer_io::now() + timeout);
        let shards = self.shared.route.shards();
        let mut by_shard: Vec<Share> = Vec::new();
        by_shard.resize_with(shards, Share::default);
        let mut count = 0;
        for key in keys {
            let (group, key) = key.into().engine_key(self.shared.route)?;
            if let Some(share) = by_shard.get_mut(self.shared.route.shard(group)) {
                share.bytes += key.len() + REQUEST_OVERHEAD_BYTES;
                share.places.push(count);
                share.keys.push(key);
            }
            count += 1;
            check_keys(count)?;
        }
        let mut parts = Vec::with_capacity(shards);
        for (shard, Share { places, keys, bytes }) in by_shard.into_iter().enumerate() {
            if keys.is_empty() {
                continue;
            }
            let (reply, part) = reply();
            // Each shard's part of it by its part of the keys.
            let share = options.bytes_max as u128 * keys.len() as u128 / count.max(1) as u128;
            let bytes_max = usize::try_from(share).unwrap_or(usize::MAX).max(1);
            let ask = MultiGetAsk { snapshot, deadline, bytes_max };
            self.mailbox(shard)?.push(Request::MultiGet { keys, ask, reply }, bytes)?;
            parts.push((places, part));
        }
        Ok((count, parts))
    }

    pub(super) fn check_snapshot(&self, snapshot: &Snapshot) -> Result<u64> {
        if snapshot.is_of(&self.shared) {
            Ok(snapshot.id())
        } else {
            Err(Error::invalid("this snapshot is of another engine: take one from a client of this engine"))
        }
    }
}
