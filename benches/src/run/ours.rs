//! Our engine as a target: through its client, or on a shard's own thread; and as an arm, that counts what it moves.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use aquifer::{Answer, Client, EngineStats, ErrorKind, Key, KeyRange, MultiGetOptions, ScanOptions, Shard};
use aquifer_remote::{Cost, Operation};
use bytes::Bytes;

use super::arm::{Arm, Counters, Outcome, on_threads, seed_of};
use super::bed::Opened;
use super::plan::PlanCounts;
use super::stream::Plan;
use super::target::{Entry, Merge, Target, TargetError};
use super::{lane, room};
use crate::cli::From;
use crate::failure::Failure;
use crate::result::{Dfs, Ssd};

/// From another thread, by message.
#[derive(Clone)]
pub(crate) struct ThroughClient(pub(crate) Client);

impl Target for ThroughClient {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        Ok(self.0.get(key).await?)
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        Ok(self.0.put(key, value).await?)
    }

    async fn delete(&self, key: &[u8]) -> Result<(), TargetError> {
        Ok(self.0.delete(key).await?)
    }

    async fn multi_get(
        &self,
        keys: &[Vec<u8>],
        found: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), TargetError> {
        in_pages(keys, found, async |keys| self.0.multi_get(keys, &MultiGetOptions::default()).await).await
    }

    async fn put_beside(&self, anchor: &[u8], key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        Ok(self.0.put(Key::beside(anchor, key), value).await?)
    }

    async fn merge(&self, key: &[u8], merge: Merge, operand: &[u8]) -> Result<(), TargetError> {
        Ok(self.0.merge(key, operator(merge), operand).await?)
    }

    async fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        entries_max: usize,
    ) -> Result<Vec<Entry<Bytes>>, TargetError> {
        let options = ScanOptions { page_entries: entries_max, ..ScanOptions::default() };
        let mut scan = self.0.scan(&range(prefix, from), &options);
        Ok(scan.next_page().await?.unwrap_or_default())
    }

    async fn delete_prefix(&self, prefix: &[u8]) -> Result<(), TargetError> {
        Ok(self.0.delete_range(&KeyRange::prefix(Key::beside(prefix, prefix))).await?)
    }
}

/// Beside the data.
#[derive(Clone)]
pub(crate) struct OnShard {
    pub(crate) shard: Shard,
    /// To find out whose a key is.
    pub(crate) client: Client,
}

impl Target for OnShard {
    const OWNS_ALL: bool = false;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        Ok(self.shard.get(key).await?)
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        Ok(self.shard.put(key, value).await?)
    }

    async fn delete(&self, key: &[u8]) -> Result<(), TargetError> {
        Ok(self.shard.delete(key).await?)
    }

    async fn multi_get(
        &self,
        keys: &[Vec<u8>],
        found: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), TargetError> {
        in_pages(keys, found, async |keys| self.shard.multi_get(keys, &MultiGetOptions::default()).await)
            .await
    }

    async fn put_beside(&self, anchor: &[u8], key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        Ok(self.shard.put(Key::beside(anchor, key), value).await?)
    }

    async fn merge(&self, key: &[u8], merge: Merge, operand: &[u8]) -> Result<(), TargetError> {
        Ok(self.shard.merge(key, operator(merge), operand).await?)
    }

    async fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        entries_max: usize,
    ) -> Result<Vec<Entry<Bytes>>, TargetError> {
        let options = ScanOptions { page_entries: entries_max, ..ScanOptions::default() };
        Ok(self.shard.scan_page(&range(prefix, from), &options).await?.entries)
    }

    async fn delete_prefix(&self, prefix: &[u8]) -> Result<(), TargetError> {
        Ok(self.shard.delete_range(&KeyRange::prefix(Key::beside(prefix, prefix))).await?)
    }

    fn owns(&self, key: &[u8]) -> bool {
        self.client.shard_of(key) == self.shard.id()
    }
}

/// Asks for all keys, once more for those that were left: large values come in several calls.
async fn in_pages<'k>(
    keys: &'k [Vec<u8>],
    mut found: impl FnMut(usize, Option<&[u8]>),
    ask: impl AsyncFn(Vec<&'k Vec<u8>>) -> aquifer::Result<Vec<aquifer::Result<Answer>>>,
) -> Result<(), TargetError> {
    let mut places: Vec<usize> = (0..keys.len()).collect();
    while !places.is_empty() {
        let page = ask(places.iter().filter_map(|&place| keys.get(place)).collect()).await?;
        let mut left = Vec::new();
        for (place, answer) in places.into_iter().zip(page) {
            match answer {
                Ok(answer) => found(place, answer.value.as_deref()),
                Err(error) if error.kind() == ErrorKind::Remaining => left.push(place),
                Err(error) => return Err(error.into()),
            }
        }
        places = left;
    }
    Ok(())
}

fn operator(merge: Merge) -> &'static str {
    match merge {
        Merge::Add => "add",
        Merge::Append => "append",
    }
}

/// Keys beside a prefix, all of them; with none, those of the group of `from` that follow it.
fn range(prefix: &[u8], from: &[u8]) -> KeyRange {
    if prefix.is_empty() {
        KeyRange::beside(from, from..)
    } else {
        KeyRange::prefix(Key::beside(prefix, prefix))
    }
}

/// An open engine that lanes ask.
pub(crate) struct OpenEngine<'b> {
    pub(crate) opened: &'b Opened,
    pub(crate) from: From,
    pub(crate) threads: u64,
    /// Where its files are.
    pub(crate) folder: &'b std::path::Path,
}

impl Arm for OpenEngine<'_> {
    fn threads(&self) -> u64 {
        match self.from {
            From::Client => self.threads,
            From::Shard => self.opened.shards as u64,
        }
    }

    fn start(&self, plan: &Arc<Plan>, seed: u64, outcomes: Sender<Outcome>) -> Result<(), Failure> {
        let client = &self.opened.client;
        if self.from == From::Client {
            let client = client.clone();
            return on_threads(move |_| ThroughClient(client.clone()), self.threads, plan, seed, &outcomes);
        }
        for index in 0..self.opened.shards {
            start_on_shard(client, index, plan, seed, &outcomes, |target| target);
        }
        Ok(())
    }

    fn counters(&self) -> Option<Counters> {
        let stored = |stats: &EngineStats| stats.sum(|shard| shard.segment_bytes);
        let stats = self.opened.stats_soon()?;
        Some(counters(&stats, &self.opened.stack.cost, stored(&stats)))
    }

    fn trouble(&self) -> Option<String> {
        room::full(self.folder)
    }
}

/// Starts the lanes of one shard on its own thread, on what `target` makes of the shard.
pub(crate) fn start_on_shard<T: Target>(
    client: &Client,
    index: usize,
    plan: &Arc<Plan>,
    seed: u64,
    outcomes: &Sender<Outcome>,
    target: impl FnOnce(OnShard) -> T + Send + 'static,
) {
    let (own, plan, outcomes) = (client.clone(), Arc::clone(plan), outcomes.clone());
    let seed = seed_of(seed, index as u64);
    // Nobody waits for the reply: the outcome comes with the others, and if the shard ends early its sender is dropped.
    drop(client.run_on_shard(index, move |shard| async move {
        let outcome = lane::run(target(OnShard { shard, client: own }), plan, seed).await;
        let _ = outcomes.send(outcome);
    }));
}

/// What the engine and the DFS's accountant say.
fn counters(stats: &EngineStats, cost: &Cost, stored_bytes: u64) -> Counters {
    let requests = |kinds: &[Operation]| kinds.iter().map(|kind| cost.requests(*kind)).sum();
    Counters {
        ssd: Ssd {
            reads: stats.sum(|shard| shard.io.reads),
            read_bytes: stats.sum(|shard| shard.io.read_bytes),
            writes: stats.sum(|shard| shard.io.writes),
            written_bytes: stats.sum(|shard| shard.io.written_bytes),
        },
        dfs: Dfs {
            gets: requests(&[Operation::Get, Operation::GetRange]),
            puts: requests(&[
                Operation::Put,
                Operation::PutIfAbsent,
                Operation::Upload,
                Operation::Part,
                Operation::Finish,
            ]),
            lists: requests(&[Operation::List]),
            heads: requests(&[Operation::Head]),
            deletes: requests(&[Operation::Delete, Operation::Abort]),
            in_bytes: cost.fetched_bytes(),
            out_bytes: cost.sent_bytes(),
        },
        reads_immediate: stats.sum(|shard| shard.reads_immediate),
        reads_waited: stats.sum(|shard| shard.reads_waited),
        ssd_hits: stats.sum(|shard| shard.cache.ssd.tier.hits()),
        remote_hits: stats.sum(|shard| shard.cache.loads.fetches),
        plan: PlanCounts::of(stats),
        stored_bytes,
        usd: cost.bill().usd(),
        storage_usd_per_hour: cost.storage_usd_per_hour(stored_bytes),
    }
}
