//! An engine with one shard on a store in memory: nothing else in the process computes.

use aquifer::{Client, Engine, EngineStats, Options, Shard};
use aquifer_remote::{RemoteOptions, open_url};

use super::data::{key, shuffled, value};
use crate::failure::Failure;

pub(super) const GIB: u64 = 1 << 30;

/// Looks at the engine's compactions until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 3_000;
const SETTLE_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
/// How many looks in a row must find nothing going on.
const SETTLED_LOOKS: u32 = 5;

/// See the module.
pub(super) struct TestBed {
    engine: Engine,
    pub(super) client: Client,
}

impl TestBed {
    /// With a memory budget, of which a sixteenth is the memtable's.
    pub(super) async fn set_up(memory_bytes: u64) -> Result<Self, Failure> {
        let remote = open_url("memory://micro", RemoteOptions::default())?;
        let options = Options { shards: 1, memory_bytes, seed: Some(1), ..Options::default() };
        let engine = Engine::open(remote, options).await.map_err(Failure::engine("cannot open the store"))?;
        Ok(Self { client: engine.client(), engine })
    }

    /// Runs a job on the shard's own thread.
    pub(super) async fn on_shard<T, F, Fut>(&self, job: F) -> Result<T, Failure>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Failure>> + 'static,
        T: Send + 'static,
    {
        self.client.run_on_shard(0, job).await.map_err(Failure::engine("cannot run on the shard"))?
    }

    /// Writes keys 0 to `keys`, each with its number as value, in random order.
    pub(super) async fn load(&self, keys: u64) -> Result<(), Failure> {
        self.on_shard(move |shard| async move {
            for number in shuffled(keys, 1) {
                put(&shard, number, number).await?;
            }
            Ok(())
        })
        .await
    }

    /// Moves all to the store and waits until compaction has nothing left to do.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        let checkpoint = self.client.checkpoint(Vec::new()).await;
        checkpoint.map_err(Failure::engine("cannot checkpoint"))?;
        let (mut quiet, mut before) = (0, u64::MAX);
        for _ in 0..SETTLE_LOOKS_MAX {
            crate::interrupt::check()?;
            let now = self.stats().await?.sum(|shard| shard.compacted_bytes + shard.compactions);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
            // This is the command's own thread, which is no executor.
            std::thread::park_timeout(SETTLE_PAUSE);
        }
        Err(Failure::Other("compaction did not come to rest within a minute".into()))
    }

    pub(super) async fn stats(&self) -> Result<EngineStats, Failure> {
        self.client.stats().await.map_err(Failure::engine("cannot read the engine's numbers"))
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.engine.close().await.map_err(Failure::engine("cannot close the engine"))
    }
}

/// Writes `content` under key `number`.
pub(super) async fn put(shard: &Shard, number: u64, content: u64) -> Result<(), Failure> {
    shard.put(&key(number), &value(content)).await.map_err(Failure::engine("cannot write"))
}
