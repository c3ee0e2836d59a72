//! Ours.

use std::time::Duration;

use aquifer::{
    Client, Compression, CompressionOptions, DiskOptions, Engine, ErrorKind, MultiGetOptions, Options,
    WriteBatch, block_on,
};

use super::contract::{About, Arm, setting};
use super::dfs::{dfs_of, remote_of};
use crate::cli::Codec;
use crate::compare::drive::bulk::{self, Bulk, Found};
use crate::compare::drive::tally::Tally;
use crate::compare::drive::{lanes, shard};
use crate::compare::spec::{Data, Doing, Prepare, Stats, Via, Work};
use crate::failure::Failure;
use crate::result::Settings;

/// Entries of a page when everything is read in order.
const SCAN_ENTRIES: usize = 4096;

/// Looks at the merges until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 36_000;
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// How many looks in a row must find nothing going on.
const SETTLED_LOOKS: u32 = 4;

/// See the module.
pub(super) struct Aquifer {
    engine: Engine,
    client: Client,
    data: Data,
    settings: Settings,
}

impl Aquifer {
    pub(super) fn open(prepare: &Prepare) -> Result<Self, Failure> {
        let remote = remote_of(dfs_of(prepare)?)?;
        let local_dir = prepare.dir.join("cache");
        std::fs::create_dir_all(&local_dir)
            .map_err(|error| Failure::local("cannot make the folder", &local_dir, error))?;
        let options = Options {
            shards: usize::try_from(prepare.threads).unwrap_or(1),
            memory_bytes: prepare.memory_bytes,
            disk: DiskOptions {
                bytes: prepare.disk_bytes,
                dir: (prepare.disk_bytes > 0).then_some(local_dir),
                ..DiskOptions::default()
            },
            compression: CompressionOptions {
                blocks: match prepare.codec {
                    Codec::None => Compression::None,
                    Codec::Zstd => Compression::Zstd { level: 1 },
                },
                ..CompressionOptions::default()
            },
            seed: Some(prepare.seed),
            ..Options::default()
        };
        let mut settings = Settings::new();
        setting(&mut settings, "shards", options.shards);
        setting(&mut settings, "memory_bytes", options.memory_bytes);
        setting(&mut settings, "disk_bytes", options.disk.bytes);
        setting(&mut settings, "compression", format!("{:?}", options.compression));
        options.validate().map_err(|error| Failure::Usage(error.to_string()))?;
        let engine =
            block_on(Engine::open(remote, options)).map_err(Failure::engine("cannot open the store"))?;
        setting(&mut settings, "io", engine.backend().to_string());
        Ok(Self { client: engine.client(), engine, data: prepare.data, settings })
    }

    fn merged_bytes(&self) -> Result<(u64, u64), Failure> {
        let stats =
            block_on(self.client.stats()).map_err(Failure::engine("cannot read the engine's numbers"))?;
        Ok((stats.sum(|shard| shard.compacted_bytes), stats.sum(|shard| shard.frozen_bytes)))
    }
}

impl Bulk for Aquifer {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        if let [key] = keys {
            let value = block_on(self.client.get(key)).map_err(Failure::engine("a read failed"))?;
            found(0, value.as_deref());
            return Ok(());
        }
        let mut places: Vec<usize> = (0..keys.len()).collect();
        while !places.is_empty() {
            let asked = places.iter().filter_map(|&place| keys.get(place));
            let answers = block_on(self.client.multi_get(asked, &MultiGetOptions::default()));
            let answers = answers.map_err(Failure::engine("a multi-get failed"))?;
            // Large values come in several calls.
            let mut left = Vec::new();
            for (place, answer) in places.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => found(place, answer.value.as_deref()),
                    Err(error) if error.kind() == ErrorKind::Remaining => left.push(place),
                    Err(error) => return Err(Failure::engine("a key of a multi-get failed")(error)),
                }
            }
            places = left;
        }
        Ok(())
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        if let ([key], [value]) = (keys, values) {
            return block_on(self.client.put(key, value)).map_err(Failure::engine("a write failed"));
        }
        let mut batch = WriteBatch::new();
        for (key, value) in keys.iter().zip(values) {
            batch.put(key, value);
        }
        block_on(self.client.write(&batch)).map_err(Failure::engine("a batch failed"))
    }
}

impl Arm for Aquifer {
    fn about(&self) -> About {
        let notes = vec!["no log: what is not in a checkpoint is lost with the process".to_owned()];
        About { version: env!("CARGO_PKG_VERSION").into(), settings: self.settings.clone(), notes }
    }

    fn round(&self, work: &Work) -> Result<Tally, Failure> {
        let beside = work.via == Via::Shard;
        match work.doing {
            Doing::Load | Doing::Overwrite if beside => {
                block_on(shard::run(&self.client, self.engine.shards(), work, self.data))
            }
            Doing::Get if beside && work.in_flight == 1 && work.rate.is_none() => {
                block_on(shard::run(&self.client, self.engine.shards(), work, self.data))
            }
            Doing::Get | Doing::Update if beside => {
                lanes::on_shards(&self.client, self.engine.shards(), work, self.data)
            }
            Doing::Update => lanes::through_client(&self.client, work, self.data),
            Doing::Get if work.in_flight > 1 || work.rate.is_some() => {
                lanes::through_client(&self.client, work, self.data)
            }
            _ => bulk::run(self, work, self.data),
        }
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        block_on(self.client.delete(key)).map_err(Failure::engine("a deletion failed"))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.checkpoint()?;
        let mut quiet = 0;
        let mut before = self.merged_bytes()?;
        for _ in 0..SETTLE_LOOKS_MAX {
            crate::interrupt::check()?;
            std::thread::park_timeout(SETTLE_PAUSE);
            let now = self.merged_bytes()?;
            quiet = if now == before && now.1 == 0 { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Other("merges did not come to rest within half an hour".into()))
    }

    fn fill(&self) -> Result<(), Failure> {
        let groups = aquifer::KEY_GROUPS_DEFAULT;
        block_on(async {
            for group in 0..groups {
                crate::interrupt::check()?;
                let mut after: Option<bytes::Bytes> = None;
                loop {
                    let page = self.client.scan_group(group, after.as_deref(), SCAN_ENTRIES).await;
                    let page = page.map_err(Failure::engine("a scan failed"))?;
                    match page.next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
            }
            Ok(())
        })
    }

    fn checkpoint(&self) -> Result<u64, Failure> {
        let before = self.stats()?.uploaded_bytes.unwrap_or(0);
        block_on(self.client.checkpoint(Vec::new())).map_err(Failure::engine("a checkpoint failed"))?;
        Ok(self.stats()?.uploaded_bytes.unwrap_or(0).saturating_sub(before))
    }

    fn stats(&self) -> Result<Stats, Failure> {
        let stats =
            block_on(self.client.stats()).map_err(Failure::engine("cannot read the engine's numbers"))?;
        Ok(Stats {
            uploaded_bytes: Some(stats.sum(|shard| shard.flushed_bytes + shard.compacted_bytes)),
            state_bytes: stats.sum(|shard| shard.segment_bytes),
            ..Stats::default()
        })
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        block_on(self.engine.close()).map_err(Failure::engine("cannot close the engine"))
    }
}
