//! Read-modify-write of few hot keys, so many times that a store that keeps every version would write gigabytes.

use super::bed::{GIB, TestBed, put};
use super::chosen::Chosen;
use super::data::{KEY_BYTES, Numbers, VALUE_BYTES, key, number_of};
use super::report::{Goal, Row};
use super::rounds::timed;
use crate::cli::MicroArgs;
use crate::failure::Failure;
use crate::progress::Progress;

/// Keys that are updated again and again.
const HOT_KEYS: u64 = 10_000;
const OPERATIONS_A_TURN: u64 = 256;

/// The rows of group `rmw`.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) async fn rows(
    args: &MicroArgs,
    chosen: &Chosen<'_>,
    progress: &Progress,
) -> Result<Vec<Row>, Failure> {
    if !chosen.has("rmw") {
        return Ok(Vec::new());
    }
    progress.step("measure", &format!("read-modify-write, {} operations", args.updates));
    let bed = TestBed::set_up(GIB).await?;
    let updates = args.updates;
    let slice = updates.div_ceil(u64::from(args.rounds));
    let slices = bed
        .on_shard(move |shard| async move {
            let mut numbers = Numbers::new(1, HOT_KEYS);
            let (mut slices, mut left) = (Vec::new(), updates);
            while left > 0 {
                let operations = slice.min(left);
                left -= operations;
                let work = async {
                    for done in 0..operations {
                        let number = numbers.next();
                        let found = shard.get(&key(number)).await.map_err(Failure::engine("cannot read"))?;
                        let before = found.as_deref().map_or(Some(0), number_of);
                        put(&shard, number, before.ok_or(Failure::WrongAnswers(1))? + 1).await?;
                        if done % OPERATIONS_A_TURN == 0 {
                            aquifer_io::yield_now().await;
                        }
                    }
                    Ok(())
                };
                slices.push(timed(operations, work).await?);
            }
            Ok(slices)
        })
        .await?;
    let flushes = bed.stats().await?.sum(|shard| shard.flushes);
    bed.settle().await?;
    let written = bed.stats().await?.sum(|shard| shard.flushed_bytes + shard.compacted_bytes);
    verify(&bed, updates).await?;
    bed.close().await?;
    let put_bytes = updates * (KEY_BYTES + VALUE_BYTES) as u64;
    // An end of so few updates writes every key once, whatever they were.
    Ok(vec![
        Row::measured("read-modify-write of 10,000 hot keys", "ns", slices, Goal::None),
        Row::measured("  flushes that updates caused", "", vec![flushes as f64], Goal::AtMost(0.0)),
        Row::measured(
            "  write amplification, end included",
            "",
            vec![written as f64 / put_bytes as f64],
            Goal::AtMost(0.1),
        ),
    ])
}

/// Every update must have counted.
async fn verify(bed: &TestBed, updates: u64) -> Result<(), Failure> {
    let sum = bed
        .on_shard(|shard| async move {
            let mut sum = 0;
            for number in 0..HOT_KEYS {
                let found = shard.get(&key(number)).await.map_err(Failure::engine("cannot read"))?;
                sum += found.as_deref().and_then(number_of).unwrap_or(0);
            }
            Ok(sum)
        })
        .await?;
    if sum == updates { Ok(()) } else { Err(Failure::WrongAnswers(sum.abs_diff(updates))) }
}
