//! `RocksDB`, by the `rocksdb` crate.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, FlushOptions, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions};

use super::contract::{About, Arm, setting};
use super::dfs::{dfs_of, remote_of};
use super::rocksdb_options::{Chosen, chosen};
use crate::compare::drive::bulk::{self, Bulk, Found};
use crate::compare::drive::lanes::{self, Blocking};
use crate::compare::drive::tally::Tally;
use crate::compare::spec::{Data, Doing, Files, Prepare, Stats, Work};
use crate::compare::transfer;
use crate::failure::Failure;
use crate::resources::folder_bytes;
use crate::result::Settings;

/// Below this many bytes read from the disk, a round of multi-gets need not have had a ring.
const READ_BYTES_WITHOUT_RING_MAX: u64 = 1 << 20;

/// See the module.
pub(super) struct RocksDb {
    database: Arc<Database>,
    prepare: Prepare,
    settings: Settings,
    /// Files of the last checkpoint that are on the DFS: those need not be sent again.
    uploaded: Mutex<Uploaded>,
}

#[derive(Default)]
struct Uploaded {
    checkpoints: u64,
    files: BTreeSet<String>,
}

/// What threads share.
struct Database {
    database: DB,
    reads: ReadOptions,
    writes: WriteOptions,
}

fn failed(doing: &str) -> impl Fn(rocksdb::Error) -> Failure + '_ {
    move |error| Failure::Other(format!("RocksDB: {doing}: {error}"))
}

impl RocksDb {
    pub(super) fn open(prepare: &Prepare) -> Result<Self, Failure> {
        let Chosen { mut database, families, mut settings } = chosen(prepare)?;
        database.create_missing_column_families(true);
        let path = prepare.dir.join("db");
        let opened = DB::open_cf_descriptors(&database, &path, families);
        let opened = opened.map_err(failed("cannot open the database"))?;
        let mut reads = ReadOptions::default();
        reads.set_verify_checksums(true);
        // Without folly, which the crate cannot build with, it changes nothing for a multi-get: the ring serves one file after the other.
        reads.set_async_io(true);
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        setting(&mut settings, "async_io", "set, and without folly of no effect on multi-gets");
        Ok(Self {
            database: Arc::new(Database { database: opened, reads, writes }),
            prepare: prepare.clone(),
            settings,
            uploaded: Mutex::new(Uploaded::default()),
        })
    }

    /// Brings the last checkpoint on the DFS into the folder.
    pub(super) fn download(prepare: &Prepare) -> Result<(), Failure> {
        let remote = remote_of(dfs_of(prepare)?)?;
        transfer::download(&remote, &prepare.dir.join("db"))
    }
}

impl Bulk for Database {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        if let [key] = keys {
            let value = self.database.get_pinned_opt(key, &self.reads).map_err(failed("a read failed"))?;
            found(0, value.as_deref());
            return Ok(());
        }
        let Some(family) = self.database.cf_handle(rocksdb::DEFAULT_COLUMN_FAMILY_NAME) else {
            return Err(Failure::Other("RocksDB has no default column family".into()));
        };
        let values = self.database.batched_multi_get_cf_opt(&family, keys, true, &self.reads);
        for (place, value) in values.into_iter().enumerate() {
            found(place, value.map_err(failed("a multi-get failed"))?.as_deref());
        }
        Ok(())
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        if let ([key], [value]) = (keys, values) {
            return self.database.put_opt(key, value, &self.writes).map_err(failed("a write failed"));
        }
        let mut batch = WriteBatch::default();
        for (key, value) in keys.iter().zip(values) {
            batch.put(key, value);
        }
        self.database.write_opt(batch, &self.writes).map_err(failed("a write failed"))
    }
}

impl Blocking for Database {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.database.get_opt(key, &self.reads).map_err(failed("a read failed"))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.database.put_opt(key, value, &self.writes).map_err(failed("a write failed"))
    }
}

impl Bulk for RocksDb {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        self.database.read(keys, found)
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        self.database.write(keys, values)
    }
}

impl Arm for RocksDb {
    fn about(&self) -> About {
        let mut settings = self.settings.clone();
        let levels = self.database.database.property_value("rocksdb.levelstats").ok().flatten();
        setting(&mut settings, "levels", levels.unwrap_or_default());
        let version = option_env!("AQUIFER_ROCKSDB_VERSION").unwrap_or("11.8.1 (crate 0.25)");
        About { version: version.into(), settings, notes: Vec::new() }
    }

    fn round(&self, work: &Work) -> Result<Tally, Failure> {
        let data: Data = self.prepare.data;
        if work.rate.is_some() || work.doing == Doing::Update {
            return lanes::on_blocking(&self.database, work, data);
        }
        let read = crate::compare::process_io::read_bytes();
        let tally = bulk::run(self.database.as_ref(), work, data)?;
        let read = crate::compare::process_io::read_bytes().saturating_sub(read);
        if work.doing == Doing::MultiGet && read > READ_BYTES_WITHOUT_RING_MAX && tally.rings == 0 {
            return Err(Failure::Other(
                "RocksDB read from the disk without io_uring: the crate's feature `io-uring` is not at work, and a comparison \
                 would be unfair. Build with it, on a kernel that allows it (/proc/sys/kernel/io_uring_disabled is 0)"
                    .into(),
            ));
        }
        Ok(tally)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let Database { database, writes, .. } = self.database.as_ref();
        database.delete_opt(key, writes).map_err(failed("a deletion failed"))
    }

    fn settle(&self) -> Result<(), Failure> {
        let database = &self.database.database;
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        database.flush_opt(&flush).map_err(failed("a flush failed"))?;
        if self.prepare.files == Files::Big {
            // Its best shape for multi-gets: all in one file, so that one call's reads go side by side.
            database.compact_range(None::<&[u8]>, None::<&[u8]>);
        }
        let wait = WaitForCompactOptions::default();
        database.wait_for_compact(&wait).map_err(failed("compactions failed"))
    }

    fn fill(&self) -> Result<(), Failure> {
        let mut reads = ReadOptions::default();
        reads.fill_cache(true);
        reads.set_readahead_size(1 << 20);
        let mut entries = self.database.database.raw_iterator_opt(reads);
        entries.seek_to_first();
        let mut seen = 0_u64;
        while entries.valid() {
            seen += 1;
            if seen.is_multiple_of(1 << 16) {
                crate::interrupt::check()?;
            }
            entries.next();
        }
        entries.status().map_err(failed("a scan failed"))
    }

    fn checkpoint(&self) -> Result<u64, Failure> {
        let remote = remote_of(dfs_of(&self.prepare)?)?;
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        uploaded.checkpoints += 1;
        let folder = self.prepare.dir.join(format!("checkpoint-{}", uploaded.checkpoints));
        let checkpoint =
            Checkpoint::new(&self.database.database).map_err(failed("cannot begin a checkpoint"))?;
        checkpoint.create_checkpoint(&folder).map_err(failed("a checkpoint failed"))?;
        let number = uploaded.checkpoints;
        let sent = transfer::upload(&remote, &folder, number, &mut uploaded.files);
        // Hard links: what they name is gone when the database gives it up too.
        std::fs::remove_dir_all(&folder).map_err(|error| Failure::local("cannot remove", &folder, error))?;
        sent
    }

    fn stats(&self) -> Result<Stats, Failure> {
        Ok(Stats { state_bytes: folder_bytes(&self.prepare.dir.join("db")), ..Stats::default() })
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.database.database.cancel_all_background_work(true);
        Ok(())
    }
}
