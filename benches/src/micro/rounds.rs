//! Both sides in turn, on one thread, by that thread's own processor time.

use crate::failure::Failure;
use crate::measure::thread_cpu::thread_cpu;

/// Nanoseconds an operation of the two sides, of one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) ours_ns: f64,
    pub(super) theirs_ns: f64,
}

/// Nanoseconds of processor time that each of `operations` took.
pub(super) async fn timed(
    operations: u64,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<f64, Failure> {
    let before = thread_cpu();
    work.await?;
    let taken = thread_cpu().saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    Ok(taken.as_nanos() as f64 / operations.max(1) as f64)
}

/// Runs rounds in which the two sides take turns in going first. One round before them is not counted.
pub(super) async fn compare(
    rounds: u32,
    operations: u64,
    mut ours: impl AsyncFnMut(u64) -> Result<(), Failure>,
    mut theirs: impl AsyncFnMut(u64) -> Result<(), Failure>,
) -> Result<Vec<Pair>, Failure> {
    let mut pairs = Vec::new();
    for round in 0..=u64::from(rounds) {
        let (ours_ns, theirs_ns);
        if round % 2 == 0 {
            ours_ns = timed(operations, ours(round)).await?;
            theirs_ns = timed(operations, theirs(round)).await?;
        } else {
            theirs_ns = timed(operations, theirs(round)).await?;
            ours_ns = timed(operations, ours(round)).await?;
        }
        pairs.push(Pair { ours_ns, theirs_ns });
    }
    pairs.remove(0);
    Ok(pairs)
}
