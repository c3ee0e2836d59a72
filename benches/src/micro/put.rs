//! Writes on the shard's own thread beside a `BTreeMap`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::bed::{GIB, TestBed, put};
use super::chosen::Chosen;
use super::data::{Numbers, key, shuffled, value};
use super::report::{Goal, Row};
use super::rounds::{Pair, compare, timed};
use crate::cli::MicroArgs;
use crate::failure::Failure;
use crate::progress::Progress;

/// A sixteenth is the memtable: 64 MiB.
const MEMORY_BYTES: u64 = GIB;
/// So many keys fit that memtable.
const MEMTABLE_KEYS: u64 = 250_000;
/// The shard's other tasks (flush, compaction) get their turn after so many writes.
const WRITES_A_TURN: u64 = 256;

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The rows of group `put`.
pub(super) async fn rows(
    args: &MicroArgs,
    chosen: &Chosen<'_>,
    progress: &Progress,
) -> Result<Vec<Row>, Failure> {
    if !chosen.has("put") {
        return Ok(Vec::new());
    }
    let theirs = "BTreeMap insert";
    progress.step("measure", "put, within the memtable");
    let (inserts, updates) = within_memtable(args).await?;
    progress.step("measure", "put, with flushes");
    let flushing = with_flushes(args).await?;
    Ok(vec![
        Row::compared("put, new keys, memtable only", theirs, &inserts, Goal::AtLeast(0.25)),
        Row::compared("put, updates, memtable only", theirs, &updates, Goal::AtLeast(0.25)),
        Row::compared("put, uniform, flushes and compaction counted", theirs, &flushing, Goal::AtLeast(0.25)),
    ])
}

/// New keys into an empty memtable, then new values of the same keys.
async fn within_memtable(args: &MicroArgs) -> Result<(Vec<Pair>, Vec<Pair>), Failure> {
    let bed = TestBed::set_up(MEMORY_BYTES).await?;
    let keys = args.keys.min(MEMTABLE_KEYS);
    let (mut inserts, mut updates) = (Vec::new(), Vec::new());
    for round in 0..=u64::from(args.rounds) {
        // What the round before wrote leaves the memtable.
        bed.settle().await?;
        let flushes = bed.stats().await?.sum(|shard| shard.flushes);
        let (insert, update) = bed
            .on_shard(move |shard| async move {
                let mut map = Map::new();
                let mut pairs = Vec::new();
                for order in [shuffled(keys, round), shuffled(keys, !round)] {
                    let ours = async {
                        for &number in &order {
                            put(&shard, number, round).await?;
                        }
                        Ok(())
                    };
                    let ours_ns = timed(keys, ours).await?;
                    let theirs = async {
                        for &number in &order {
                            map.insert(Box::from(key(number)), Box::from(value(round)));
                        }
                        Ok(())
                    };
                    pairs.push(Pair { ours_ns, theirs_ns: timed(keys, theirs).await? });
                }
                let update = pairs.pop();
                Ok((pairs.pop(), update))
            })
            .await?;
        if bed.stats().await?.sum(|shard| shard.flushes) > flushes {
            return Err(Failure::Other("the memtable did not hold the keys of a round".into()));
        }
        if round > 0 {
            inserts.extend(insert);
            updates.extend(update);
        }
    }
    bed.close().await?;
    Ok((inserts, updates))
}

/// Uniform over all keys, more than the memtable holds: what the shard's thread spends on flushes and compaction counts.
async fn with_flushes(args: &MicroArgs) -> Result<Vec<Pair>, Failure> {
    let bed = TestBed::set_up(MEMORY_BYTES).await?;
    let (keys, rounds) = (args.keys, args.rounds);
    bed.load(keys).await?;
    let pairs = bed
        .on_shard(move |shard| async move {
            let mut map = Map::new();
            for number in shuffled(keys, 1) {
                map.insert(Box::from(key(number)), Box::from(value(number)));
            }
            let map = RefCell::new(map);
            compare(
                rounds,
                keys,
                async |round| {
                    let mut numbers = Numbers::new(round, keys);
                    for written in 0..keys {
                        put(&shard, numbers.next(), round).await?;
                        if written % WRITES_A_TURN == 0 {
                            aquifer_io::yield_now().await;
                        }
                    }
                    Ok(())
                },
                async |round| {
                    let (mut numbers, mut map) = (Numbers::new(round, keys), map.borrow_mut());
                    for _ in 0..keys {
                        map.insert(Box::from(key(numbers.next())), Box::from(value(round)));
                    }
                    Ok(())
                },
            )
            .await
        })
        .await?;
    bed.close().await?;
    Ok(pairs)
}
