//! One key a call on the threads that own the data: what an embedder who runs beside the data gets.

use std::time::Duration;

use aquifer::{Client, Error, FromMemory, Shard};
use futures_util::future::join_all;

use super::bulk::seed_of;
use super::keys::Keys;
use super::tally::Tally;
use crate::compare::spec::{Data, Doing, Work};
use crate::failure::Failure;
use crate::load::distribution::{Distribution, scatter};
use crate::load::record::write_value;

/// Keys that are made at once, of all shards.
const CHUNK_KEYS: u64 = 4096;

/// Runs `work` on every shard at once. Fills take their time from the first call to the last, the making of keys and
/// values included; of reads only the calls count.
pub(crate) async fn run(client: &Client, shards: usize, work: &Work, data: Data) -> Result<Tally, Failure> {
    let distribution: Distribution = work.distribution.parse().map_err(Failure::Usage)?;
    let began = aquifer_io::now();
    let jobs = (0..shards).map(|index| {
        let seed = seed_of(work.seed, u32::try_from(index).unwrap_or(u32::MAX));
        let (owner, work) = (client.clone(), work.clone());
        client.run_on_shard(index, move |shard| async move {
            let task = Task { shard, owner, shards: shards as u64, work, data };
            match task.work.doing {
                Doing::Load | Doing::Overwrite => task.fill(distribution, seed).await,
                Doing::Get | Doing::MultiGet | Doing::Update => task.gets(distribution, seed).await,
            }
        })
    });
    let mut all = Tally::new();
    for tally in join_all(jobs).await {
        all.add(&tally.and_then(|tally| tally).map_err(Failure::engine("an operation failed"))?);
    }
    if matches!(work.doing, Doing::Load | Doing::Overwrite) {
        all.measured = began.elapsed();
        all.per_s = all.operations as f64 / all.measured.as_secs_f64().max(f64::MIN_POSITIVE);
    }
    Ok(all)
}

struct Task {
    shard: Shard,
    /// Knows whose a key is.
    owner: Client,
    shards: u64,
    work: Work,
    data: Data,
}

impl Task {
    fn owns(&self, key: &[u8]) -> bool {
        self.owner.shard_of(key) == self.shard.id()
    }

    async fn gets(&self, distribution: Distribution, seed: u64) -> Result<Tally, Error> {
        let mut keys = Keys::new(self.data, distribution, seed);
        let mut tally = Tally::new();
        let (mut numbers, mut made) = (vec![0; usize::try_from(CHUNK_KEYS).unwrap_or(1)], Vec::new());
        let (mut spent, mut warm) = (Duration::ZERO, self.work.warm_up.is_zero());
        loop {
            keys.chosen(&mut numbers, &mut made, 1);
            let own = numbers.iter().zip(&made).filter(|(_, key)| self.owns(key));
            let own: Vec<(u64, &[u8])> = own.map(|(number, key)| (*number, key.as_slice())).collect();
            let mut last = aquifer_io::now();
            for (number, key) in &own {
                // As the other engine's get: the value is looked at where it lies.
                let look = |value: Option<&[u8]>| tally.check(*number, value);
                if let FromMemory::NotInMemory = self.shard.try_get_with(key, look)? {
                    let value = self.shard.get(key).await?;
                    tally.check(*number, value.as_deref());
                }
                let now = aquifer_io::now();
                let took = now.duration_since(last);
                last = now;
                spent += took;
                tally.done += 1;
                if warm {
                    tally.latency.record(took);
                    tally.operations += 1;
                } else if spent >= self.work.warm_up {
                    (spent, warm) = (Duration::ZERO, true);
                }
            }
            if warm && spent >= self.work.measured {
                tally.measured = spent;
                tally.per_s = tally.operations as f64 / spent.as_secs_f64().max(f64::MIN_POSITIVE);
                return Ok(tally);
            }
            aquifer_io::yield_now().await;
        }
    }

    async fn fill(&self, distribution: Distribution, seed: u64) -> Result<Tally, Error> {
        let mut keys = Keys::new(self.data, distribution, seed);
        let mut tally = Tally::new();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let value_bytes = usize::try_from(self.data.value_bytes).unwrap_or(usize::MAX);
        let loads = self.work.doing == Doing::Load;
        let wanted = if loads { u64::MAX } else { self.work.operations / self.shards };
        let mut turn = 0;
        loop {
            for _ in 0..CHUNK_KEYS {
                if tally.operations == wanted || (loads && turn == self.data.keys) {
                    return Ok(tally);
                }
                let number = if loads { scatter(turn, self.data.keys) } else { keys.next() };
                turn += 1;
                keys.key(&mut key, number);
                if !self.owns(&key) {
                    continue;
                }
                write_value(&mut value, number, self.work.seed, value_bytes);
                let began = aquifer_io::now();
                self.shard.put(&key, &value).await?;
                tally.latency.record(began.elapsed());
                tally.operations += 1;
                tally.done += 1;
            }
            aquifer_io::yield_now().await;
        }
    }
}
