//! Point reads on the shard's own thread, all in the memtable or all in the memory cache, beside a `hashbrown` map; and what reads of
//! absent keys cost once the filter has been asked.

use aquifer::{FromMemory, Shard};
use hashbrown::HashMap;

use super::bed::{GIB, TestBed};
use super::chosen::Chosen;
use super::data::{Numbers, key, number_of, value};
use super::report::{Goal, Row};
use super::rounds::{Pair, compare};
use crate::cli::MicroArgs;
use crate::failure::Failure;
use crate::progress::Progress;

/// So many reads a round.
const READS: u64 = 500_000;
/// A gibibyte of it may be memtables, of which one holds all keys.
const MEMORY_BYTES: u64 = 4 * GIB;
/// False positives that the filter's eight bits of fingerprint promise.
const FILTER_PROMISE: f64 = 1.0 / 256.0;

/// The rows of groups `get` and `filter`.
pub(super) async fn rows(
    args: &MicroArgs,
    chosen: &Chosen<'_>,
    progress: &Progress,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let (gets, filter) = (chosen.has("get"), chosen.has("filter"));
    if !gets && !filter {
        return Ok(rows);
    }
    progress.step("load", &format!("{} keys", args.keys));
    let bed = TestBed::set_up(MEMORY_BYTES).await?;
    bed.load(args.keys).await?;
    if bed.stats().await?.sum(|shard| shard.flushes) > 0 {
        return Err(Failure::Other("the memtable did not hold all keys: use fewer --keys".into()));
    }
    if gets {
        progress.step("measure", "get, memtable hit");
        rows.push(row("get, memtable hit", &gets_on_shard(&bed, args).await?));
    }
    bed.settle().await?;
    warm(&bed, args.keys).await?;
    if gets {
        progress.step("measure", "get, memory cache hit");
        rows.push(row("get, memory cache hit", &gets_on_shard(&bed, args).await?));
    }
    if filter {
        progress.step("measure", "filter");
        rows.push(absent(&bed, args).await?);
    }
    bed.close().await?;
    Ok(rows)
}

fn row(name: &'static str, pairs: &[Pair]) -> Row {
    Row::compared(name, "hashbrown get", pairs, Goal::AtLeast(0.25))
}

/// Reads every key once, so that all blocks are in memory.
async fn warm(bed: &TestBed, keys: u64) -> Result<(), Failure> {
    bed.on_shard(move |shard| async move {
        for number in 0..keys {
            let found = shard.get(&key(number)).await.map_err(Failure::engine("cannot read"))?;
            check(number, found.as_deref())?;
        }
        Ok(())
    })
    .await
}

async fn gets_on_shard(bed: &TestBed, args: &MicroArgs) -> Result<Vec<Pair>, Failure> {
    let (keys, rounds) = (args.keys, args.rounds);
    bed.on_shard(move |shard| async move {
        let mut map: HashMap<Box<[u8]>, Box<[u8]>> = HashMap::new();
        for number in super::data::shuffled(keys, 1) {
            map.insert(Box::from(key(number)), Box::from(value(number)));
        }
        compare(
            rounds,
            READS,
            async |round| gets_of(&shard, Numbers::new(round, keys)),
            async |round| {
                let mut numbers = Numbers::new(round, keys);
                for _ in 0..READS {
                    let number = numbers.next();
                    check(number, map.get(key(number).as_slice()).map(|value| &**value))?;
                }
                Ok(())
            },
        )
        .await
    })
    .await
}

/// A function call a read, which sees the value where it lies: whatever would have to wait is no memory hit.
fn gets_of(shard: &Shard, mut numbers: Numbers) -> Result<(), Failure> {
    for _ in 0..READS {
        let number = numbers.next();
        let found = shard.try_get_with(&key(number), |value| value.and_then(number_of));
        match found.map_err(Failure::engine("cannot read"))? {
            FromMemory::Known(found) if found == Some(number) => {}
            FromMemory::Known(_) => return Err(Failure::WrongAnswers(1)),
            FromMemory::NotInMemory => {
                return Err(Failure::Other("a block was not in memory though all were read".into()));
            }
        }
    }
    Ok(())
}

fn check(number: u64, found: Option<&[u8]>) -> Result<(), Failure> {
    if found.and_then(number_of) == Some(number) { Ok(()) } else { Err(Failure::WrongAnswers(1)) }
}

/// Reads keys that were never written: each block that is looked into is a false positive.
async fn absent(bed: &TestBed, args: &MicroArgs) -> Result<Row, Failure> {
    let looked_into = async || {
        let stats = bed.stats().await?;
        Ok::<_, Failure>((
            stats.sum(|shard| shard.cache.memory.data.hits + shard.cache.memory.data.misses),
            stats.sum(|shard| shard.runs),
        ))
    };
    let mut rates = Vec::new();
    for round in 1..=u64::from(args.rounds) {
        let (before, runs) = looked_into().await?;
        let first = round * args.keys;
        let reads = args.keys;
        bed.on_shard(move |shard| async move {
            for number in first..first + reads {
                let found = shard.get(&key(number)).await.map_err(Failure::engine("cannot read"))?;
                if found.is_some() {
                    return Err(Failure::WrongAnswers(1));
                }
            }
            Ok(())
        })
        .await?;
        let (after, _) = looked_into().await?;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        rates.push((after - before) as f64 / (reads * runs.max(1)) as f64);
    }
    Ok(Row::measured("filter, false positives", "of probes", rates, Goal::AtMost(FILTER_PROMISE * 1.1)))
}
