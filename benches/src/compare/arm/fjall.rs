//! fjall: a log-structured merge tree in Rust, on local files.
//!
//! It has no direct reads and no way to switch its journal off: the first makes it faster here than a disk would let it be,
//! the second slower at writing.

use std::sync::Arc;

use fjall::config::{BlockSizePolicy, CompressionPolicy, HashRatioPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};

use super::contract::{About, Arm, setting};
use crate::cli::Codec;
use crate::compare::drive::bulk::{self, Bulk, Found};
use crate::compare::drive::lanes::{self, Blocking};
use crate::compare::drive::tally::Tally;
use crate::compare::spec::{Doing, Prepare, Stats, Work};
use crate::failure::Failure;
use crate::resources::folder_bytes;
use crate::result::Settings;

/// Looks at the compactions until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 36_000;
const SETTLE_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// How many looks in a row must find nothing going on.
const SETTLED_LOOKS: u32 = 10;

/// See the module.
pub(super) struct Fjall {
    store: Arc<Store>,
    prepare: Prepare,
    settings: Settings,
}

struct Store {
    database: Database,
    keys: Keyspace,
}

fn failed(doing: &str) -> impl Fn(fjall::Error) -> Failure + '_ {
    move |error| Failure::Other(format!("fjall: {doing}: {error}"))
}

impl Fjall {
    pub(super) fn open(prepare: &Prepare) -> Result<Self, Failure> {
        // A quarter for memtables, as ours has; all of them beside the cache.
        let write_bytes = prepare.memory_bytes / 4;
        let database = Database::builder(prepare.dir.join("db"))
            .cache_size(prepare.memory_bytes - write_bytes)
            // As little as it does with its journal: writes go to the page cache.
            .manual_journal_persist(true)
            .worker_threads(2)
            .open()
            .map_err(failed("cannot open the database"))?;
        let compression = match prepare.codec {
            Codec::None => CompressionType::None,
            Codec::Zstd => {
                return Err(Failure::Usage("fjall has no zstd: compare with --compression none".into()));
            }
        };
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size((write_bytes / 2).max(1 << 20))
                .data_block_size_policy(BlockSizePolicy::all(4096))
                .data_block_compression_policy(CompressionPolicy::all(compression))
                .data_block_hash_ratio_policy(HashRatioPolicy::all(1.33))
                .expect_point_read_hits(true)
        };
        let keys = database.keyspace("keys", options).map_err(failed("cannot open the keyspace"))?;
        let mut settings = Settings::new();
        setting(&mut settings, "cache_bytes", prepare.memory_bytes - write_bytes);
        setting(&mut settings, "write_buffers_bytes_max", write_bytes);
        setting(&mut settings, "block_bytes", 4096);
        setting(&mut settings, "data_block_hash_ratio", 1.33);
        setting(&mut settings, "direct_reads", false);
        setting(&mut settings, "log", "written, never synced");
        Ok(Self { store: Arc::new(Store { database, keys }), prepare: prepare.clone(), settings })
    }
}

impl Blocking for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.keys.get(key).map_err(failed("a read failed"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.keys.insert(key, value).map_err(failed("a write failed"))
    }
}

impl Bulk for Store {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        // There is no multi-get: one after the other is what a caller does.
        for (place, key) in keys.iter().enumerate() {
            let value = self.keys.get(key).map_err(failed("a read failed"))?;
            found(place, value.as_deref());
        }
        Ok(())
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for (key, value) in keys.iter().zip(values) {
            batch.insert(&self.keys, key.as_slice(), value.as_slice());
        }
        batch.commit().map_err(failed("a batch failed"))
    }
}

impl Bulk for Fjall {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        self.store.read(keys, found)
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        self.store.write(keys, values)
    }
}

impl Arm for Fjall {
    fn about(&self) -> About {
        let notes = vec![
            "reads through the page cache and writes a log that is never synced: it cannot do otherwise"
                .to_owned(),
        ];
        About { version: "3".into(), settings: self.settings.clone(), notes }
    }

    fn round(&self, work: &Work) -> Result<Tally, Failure> {
        if work.rate.is_some() || work.doing == Doing::Update {
            return lanes::on_blocking(&self.store, work, self.prepare.data);
        }
        bulk::run(self.store.as_ref(), work, self.prepare.data)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.store.keys.remove(key).map_err(failed("a deletion failed"))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.store.keys.rotate_memtable_and_wait().map_err(failed("a flush failed"))?;
        let database = &self.store.database;
        let state = || {
            (database.outstanding_flushes(), database.active_compactions(), database.compactions_completed())
        };
        let (mut quiet, mut before) = (0, state());
        for _ in 0..SETTLE_LOOKS_MAX {
            crate::interrupt::check()?;
            std::thread::park_timeout(SETTLE_PAUSE);
            let now = state();
            quiet = if now == before && now.0 == 0 && now.1 == 0 { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Other("fjall's compactions did not come to rest within half an hour".into()))
    }

    fn fill(&self) -> Result<(), Failure> {
        for (index, entry) in self.store.keys.iter().enumerate() {
            entry.into_inner().map_err(failed("a scan failed"))?;
            if index.is_multiple_of(1 << 16) {
                crate::interrupt::check()?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<u64, Failure> {
        Err(Failure::Usage("fjall has no checkpoints".into()))
    }

    fn stats(&self) -> Result<Stats, Failure> {
        Ok(Stats { state_bytes: folder_bytes(&self.prepare.dir.join("db")), ..Stats::default() })
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
