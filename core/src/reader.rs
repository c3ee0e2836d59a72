//! Reads a store without owning it: no epoch is taken, nothing is written, and whoever owns the store notices nothing.
//!
//! A reader sees one checkpoint, whole, for as long as it lives. It runs the engine's own shards, so that lookups and scans are the same code, on
//! a store handle that refuses every write.

use crate::answer::Answer;
use crate::checkpoint_parts::CheckpointInfo;
use crate::client::{Client, Scan};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::key_ref::{Key, KeyRange};
use crate::manifest::agreed::Agreed;
use crate::manifest::format::Manifest;
use crate::manifest::store::ManifestStore;
use crate::merge_operator::{MergeOperator, MergeOperators};
use crate::multi_get_options::MultiGetOptions;
use crate::options::Options;
use crate::request::Reply;
use crate::scan_options::ScanOptions;
use crate::stats::EngineStats;
use crate::{descriptor, embedder_panics, name};
use aquifer_io::BackendChoice;
use aquifer_remote::Remote;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Options of [`Reader::open`].
#[derive(Clone)]
pub struct ReaderOptions {
    /// The checkpoint to read, by its number ([`CheckpointInfo::id`]). `None`: the newest.
    pub checkpoint: Option<u64>,
    /// Shards, each on a thread of its own. 0 means one per core that this process may use.
    pub shards: usize,
    /// Budget in bytes for everything the reader holds in memory; at least 4 MiB a shard.
    pub memory_bytes: u64,
    /// The machine under the shards.
    pub io: BackendChoice,
    /// Merge operators beside the built-in ones: those of the store's engine.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// The moment that decides what has expired, in milliseconds, to read as of another one. `None`: the store's own present, which is the machine's clock, or
    /// the checkpoint's event time where times to live follow that ([`crate::TtlTime::Event`]). Where nobody recorded whose time they follow, nothing expires.
    pub now_ms: Option<u64>,
}

impl Default for ReaderOptions {
    /// The newest checkpoint, one shard, 64 MiB, the machine's clock.
    fn default() -> Self {
        Self {
            checkpoint: None,
            shards: 1,
            memory_bytes: 64 * 1024 * 1024,
            io: BackendChoice::Auto,
            merge_operators: Vec::new(),
            now_ms: None,
        }
    }
}

impl fmt::Debug for ReaderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operators: Vec<_> = self.merge_operators.iter().map(|operator| operator.name()).collect();
        f.debug_struct("ReaderOptions")
            .field("checkpoint", &self.checkpoint)
            .field("shards", &self.shards)
            .field("memory_bytes", &self.memory_bytes)
            .field("io", &self.io)
            .field("merge_operators", &operators)
            .field("now_ms", &self.now_ms)
            .finish()
    }
}

/// One checkpoint of a store, open for reading. See the module's head: it disturbs nobody, and sees nothing newer than its checkpoint;
/// open another one for that.
///
/// # Example
/// ```
/// use aquifer::{Engine, MultiGetOptions, Options, Reader, ReaderOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// aquifer::block_on(async {
///     let remote = aquifer::open_url("memory://", aquifer::RemoteOptions::default())?;
///     let options = Options { shards: 1, memory_bytes: 64 * 1024 * 1024, ..Options::default() };
///     let engine = Engine::open(remote.clone(), options).await?;
///     engine.client().put(b"N14228", b"1 flight").await?;
///     engine.client().checkpoint(Vec::new()).await?;
///
///     let reader = Reader::open(remote, ReaderOptions::default()).await?;
///     assert_eq!(reader.get(b"N14228").await?.as_deref(), Some(b"1 flight".as_slice()));
///     engine.client().put(b"N14228", b"2 flights").await?; // the owner goes on
///     let answers = reader.multi_get([b"N14228", b"N24211"], &MultiGetOptions::default()).await?;
///     assert_eq!(answers.len(), 2);
///     reader.close().await?;
///     engine.close().await?;
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    engine: Engine,
    client: Client,
}

impl Reader {
    /// Opens a checkpoint of the store at `remote`. Nothing of its state is read before it is asked for.
    ///
    /// Can be awaited on any runtime or none. Dropping the future ends what was started of the reader.
    ///
    /// # Errors
    /// `Invalid`: options, no store at `remote`, or no checkpoint of that number. `Unavailable`, `Store` and `Corrupt` when descriptor
    /// or manifest cannot be read.
    pub async fn open(remote: Arc<dyn Remote>, options: ReaderOptions) -> Result<Self> {
        let remote = embedder_panics::guard(remote);
        let Some(descriptor) = descriptor::read(&remote, &name::store()?).await? else {
            return Err(Error::invalid(format!("there is no store at {}: check the URL", remote.describe())));
        };
        let manifests = ManifestStore::new(Arc::clone(&remote), 0..descriptor.key_groups);
        let manifest = match (manifests.of_checkpoint(options.checkpoint).await?, options.checkpoint) {
            (Some(manifest), _) => manifest,
            // Its creator has not come further than the descriptor.
            (None, None) => Manifest::empty(descriptor.key_groups),
            (None, Some(number)) => {
                return Err(Error::invalid(format!(
                    "the store at {} has no checkpoint {number}",
                    remote.describe()
                )));
            }
        };
        Self::at(remote, manifest, options).await
    }

    /// Opens what a manifest names.
    pub(crate) async fn at(
        remote: Arc<dyn Remote>,
        manifest: Manifest,
        options: ReaderOptions,
    ) -> Result<Self> {
        let agreed = Self::agreed(&remote, &manifest).await?;
        agreed.check_operators(MergeOperators::new(&options.merge_operators)?.own())?;
        let clock = options.now_ms.map_or_else(|| Clock::of(&agreed), Clock::at);
        let options = Options {
            shards: options.shards,
            memory_bytes: options.memory_bytes,
            io: options.io,
            merge_operators: options.merge_operators,
            // It reads what it is asked for.
            warm_up: false,
            ..Options::default()
        };
        let refusal = Error::invalid("this is a reader of the store, which writes nothing: open an engine");
        let engine = Engine::reading(remote, manifest, &options, clock, refusal).await?;
        let client = engine.client();
        Ok(Self { engine, client })
    }

    /// What the store's openings agree on: as its manifest says; of one that is older than this record, as the newest does.
    async fn agreed(remote: &Arc<dyn Remote>, manifest: &Manifest) -> Result<Agreed> {
        if manifest.agreed.time.is_some() || !manifest.has_expiring() {
            return Ok(manifest.agreed.clone());
        }
        let newest = ManifestStore::new(Arc::clone(remote), manifest.groups.clone()).newest().await?;
        Ok(newest.map_or_else(|| manifest.agreed.clone(), |newest| newest.agreed))
    }

    /// The checkpoint that it reads; `None` for a store that has none yet.
    pub fn checkpoint(&self) -> Option<&CheckpointInfo> {
        self.engine.restored()
    }

    /// The key group of `key` in this store.
    pub fn key_group<'a>(&self, key: impl Into<Key<'a>>) -> u16 {
        self.client.key_group(key)
    }

    /// The value of `key`, `None` if it has none.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get<'a>(&self, key: impl Into<Key<'a>>) -> Reply<Option<Bytes>> {
        self.client.get(key)
    }

    /// The values of many keys in one operation: see [`Client::multi_get`].
    ///
    /// # Errors
    /// As [`Client::multi_get`].
    pub fn multi_get<'a>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Key<'a>>>,
        options: &MultiGetOptions<'_>,
    ) -> Reply<Vec<Result<Answer>>> {
        self.client.multi_get(keys, options)
    }

    /// The keys and values of a range, in order: see [`Client::scan`].
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions<'_>) -> Scan {
        self.client.scan(range, options)
    }

    /// Numbers of its shards. Dropping the future changes nothing.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn stats(&self) -> Result<EngineStats> {
        self.client.stats().await
    }

    /// Ends its shards and waits for their threads. Dropping the reader, or this future, does the same.
    ///
    /// # Errors
    /// As [`Engine::close`].
    pub async fn close(self) -> Result<()> {
        self.engine.close().await
    }
}
