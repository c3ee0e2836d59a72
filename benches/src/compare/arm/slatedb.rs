//! SlateDB: a log-structured merge tree on an object store, on the same DFS as ours.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use slatedb::config::{
    CheckpointOptions, CheckpointScope, CompressionCodec, FlushOptions, FlushType, ObjectStoreCacheOptions,
    PutOptions, Settings as SlateSettings, SstBlockSize, WriteOptions,
};
use slatedb::db_cache::foyer::{FoyerCache, FoyerCacheOptions};
use slatedb::{Db, WriteBatch};
use tokio::runtime::{Handle, Runtime};

use super::contract::{About, Arm, setting};
use super::dfs::dfs_of;
use crate::cli::Codec;
use crate::compare::drive::bulk::{self, Bulk, Found};
use crate::compare::drive::lanes::{self, foreign};
use crate::compare::drive::tally::Tally;
use crate::compare::spec::{Doing, Prepare, Stats, Work};
use crate::failure::Failure;
use crate::result::Settings;
use crate::run::target::{Target, TargetError};

/// Part of an object that its disk cache keeps: the smallest that it may be, for point reads.
const CACHE_PART_BYTES: usize = 4096 * 4;

/// Looks at the compactions until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 7200;
const SETTLE_PAUSE: Duration = Duration::from_millis(250);

/// How many looks in a row must find nothing going on; it looks for work every few seconds itself.
const SETTLED_LOOKS: u32 = 24;

/// See the module.
pub(super) struct SlateDb {
    runtime: Runtime,
    store: Store,
    prepare: Prepare,
    settings: Settings,
}

/// What threads share.
#[derive(Clone)]
struct Store {
    db: Db,
    handle: Handle,
}

fn failed<E: std::fmt::Display>(doing: &str) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::Other(format!("SlateDB: {doing}: {error}"))
}

fn unsynced() -> WriteOptions {
    WriteOptions { await_durable: false, ..WriteOptions::default() }
}

impl SlateDb {
    pub(super) fn open(prepare: &Prepare) -> Result<Self, Failure> {
        let dfs = dfs_of(prepare)?;
        let remote = AmazonS3Builder::new()
            .with_endpoint(&dfs.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(&dfs.bucket)
            .with_access_key_id(&dfs.access_key)
            .with_secret_access_key(&dfs.secret_key)
            .with_unsigned_payload(true)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .build()
            .map_err(failed("cannot open the store"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(usize::try_from(prepare.threads).unwrap_or(2))
            .enable_all()
            .build()
            .map_err(failed("cannot start its runtime"))?;
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // A quarter for what is not flushed yet, as ours has; the rest is the cache of blocks.
        let write_bytes = prepare.memory_bytes / 4;
        let options = SlateSettings {
            wal_enabled: false,
            l0_sst_size_bytes: bytes(write_bytes / 2),
            max_unflushed_bytes: bytes(write_bytes),
            compression_codec: match prepare.codec {
                Codec::None => None,
                Codec::Zstd => Some(CompressionCodec::Zstd),
            },
            object_store_cache_options: ObjectStoreCacheOptions {
                root_folder: (prepare.disk_bytes > 0).then(|| prepare.dir.join("cache")),
                max_cache_size_bytes: Some(bytes(prepare.disk_bytes)),
                part_size_bytes: CACHE_PART_BYTES,
                cache_puts: true,
                ..ObjectStoreCacheOptions::default()
            },
            ..SlateSettings::default()
        };
        let cache_bytes = prepare.memory_bytes - write_bytes;
        let cache = FoyerCache::new_with_opts(FoyerCacheOptions {
            max_capacity: cache_bytes,
            shards: usize::try_from(prepare.threads).unwrap_or(2),
        });
        let mut settings = Settings::new();
        setting(&mut settings, "cache_bytes", cache_bytes);
        setting(&mut settings, "unflushed_bytes_max", write_bytes);
        setting(&mut settings, "disk_cache_bytes", prepare.disk_bytes);
        setting(&mut settings, "disk_cache_part_bytes", CACHE_PART_BYTES);
        setting(&mut settings, "block_bytes", 4096);
        setting(&mut settings, "log", "off");
        setting(&mut settings, "writes_await_durable", false);
        let db = runtime.block_on(async {
            let builder = Db::builder(dfs.prefix.clone(), Arc::new(remote));
            builder
                .with_settings(options)
                .with_db_cache(Arc::new(cache))
                .with_sst_block_size(SstBlockSize::Block4Kib)
                .build()
                .await
        });
        let db = db.map_err(failed("cannot open the database"))?;
        let store = Store { db, handle: runtime.handle().clone() };
        Ok(Self { store, runtime, prepare: prepare.clone(), settings })
    }

    fn flush(&self) -> Result<(), Failure> {
        let options = FlushOptions { flush_type: FlushType::MemTable };
        self.runtime.block_on(self.store.db.flush_with_options(options)).map_err(failed("a flush failed"))
    }

    /// What the store is made of now: changes as long as something is merged.
    fn shape(&self) -> String {
        format!("{:?}", self.store.db.manifest())
    }
}

/// Polls a future within tokio, whoever polls it.
struct Within<F> {
    handle: Handle,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let handle = self.handle.clone();
        let _entered = handle.enter();
        self.future.as_mut().poll(context)
    }
}

impl Store {
    async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        Within { handle: self.handle.clone(), future: Box::pin(future) }.await
    }
}

impl Target for Store {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.within(self.db.get(key)).await.map_err(|error| foreign(&error))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        let (puts, writes) = (PutOptions::default(), unsynced());
        let put = self.within(self.db.put_with_options(key, value, &puts, &writes)).await;
        put.map(drop).map_err(|error| foreign(&error))
    }

    async fn delete(&self, key: &[u8]) -> Result<(), TargetError> {
        let writes = unsynced();
        let deleted = self.within(self.db.delete_with_options(key, &writes)).await;
        deleted.map(drop).map_err(|error| foreign(&error))
    }
}

impl Bulk for SlateDb {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        let values = self.runtime.block_on(join_all(keys.iter().map(|key| self.store.db.get(key))));
        for (place, value) in values.into_iter().enumerate() {
            found(place, value.map_err(failed("a read failed"))?.as_deref());
        }
        Ok(())
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        let mut batch = WriteBatch::new();
        for (key, value) in keys.iter().zip(values) {
            batch.put(key, value);
        }
        let written = self.runtime.block_on(self.store.db.write_with_options(batch, &unsynced()));
        written.map(drop).map_err(failed("a batch failed"))
    }
}

impl Arm for SlateDb {
    fn about(&self) -> About {
        About { version: "0.14".into(), settings: self.settings.clone(), notes: Vec::new() }
    }

    fn round(&self, work: &Work) -> Result<Tally, Failure> {
        match work.doing {
            Doing::Load | Doing::Overwrite | Doing::MultiGet => bulk::run(self, work, self.prepare.data),
            Doing::Get | Doing::Update => {
                let store = self.store.clone();
                lanes::on_targets(move |_| store.clone(), work, self.prepare.data)
            }
        }
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let deleted = self.runtime.block_on(self.store.db.delete_with_options(key, &unsynced()));
        deleted.map(drop).map_err(failed("a deletion failed"))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.flush()?;
        let (mut quiet, mut before) = (0, self.shape());
        for _ in 0..SETTLE_LOOKS_MAX {
            crate::interrupt::check()?;
            std::thread::park_timeout(SETTLE_PAUSE);
            let now = self.shape();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Other("SlateDB's compactions did not come to rest within half an hour".into()))
    }

    fn fill(&self) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut entries = self.store.db.scan(..).await.map_err(failed("a scan failed"))?;
            while entries.next().await.map_err(failed("a scan failed"))?.is_some() {
                crate::interrupt::check()?;
            }
            Ok(())
        })
    }

    fn checkpoint(&self) -> Result<u64, Failure> {
        let options = CheckpointOptions::default();
        let made = self.runtime.block_on(self.store.db.create_checkpoint(CheckpointScope::All, &options));
        made.map(|_| 0).map_err(failed("a checkpoint failed"))
    }

    fn stats(&self) -> Result<Stats, Failure> {
        Ok(Stats::default())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.runtime.block_on(self.store.db.close()).map_err(failed("cannot close"))
    }
}
