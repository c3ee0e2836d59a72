//! The slices and the rates in which compaction takes what it may of the machine.

use aquifer_io::Instant;
use std::cell::Cell;
use std::time::Duration;

/// Bytes a second, counted as a debt in time: what was taken ahead is waited for before the next piece.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_s: Option<u64>,
    /// Until then the rate is used up.
    taken_until: Cell<Instant>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_s: Option<u64>, shards: usize) -> Self {
        let share = bytes_per_s.map(|rate| (rate / shards.max(1) as u64).max(1));
        Self { bytes_per_s: share, taken_until: Cell::new(aquifer_io::now()) }
    }

    /// Takes `bytes`; gives how long to wait before they may move.
    fn take(&self, bytes: u64) -> Duration {
        let Some(rate) = self.bytes_per_s else { return Duration::ZERO };
        let now = aquifer_io::now();
        let taken = self.taken_until.get();
        let wait = if taken > now { taken.duration_since(now) } else { Duration::ZERO };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        self.taken_until.set(now + wait + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        wait
    }

    /// Waits until `bytes` more may move.
    pub(crate) async fn wait(&self, bytes: u64) {
        let wait = self.take(bytes);
        if !wait.is_zero() {
            aquifer_io::sleep(wait).await;
        }
    }

    /// Takes `bytes` if they may move at once.
    pub(crate) fn try_take(&self, bytes: u64) -> bool {
        let free = self.bytes_per_s.is_none() || self.taken_until.get() <= aquifer_io::now();
        if free {
            self.take(bytes);
        }
        free
    }
}

/// What a slice should take: a point read waits for no more than one, and for closing one block and its filter on top.
const SLICE: Duration = Duration::from_micros(200);
/// Bytes of a slice before any was measured, and the borders between which it is adapted.
const SLICE_BYTES: (usize, usize, usize) = (4 * 1024, 16 * 1024, 256 * 1024);

/// Cuts work into slices of about [`SLICE`], by measuring how many bytes one takes, and rests between them as the budget says.
#[derive(Debug)]
pub(crate) struct Slices {
    bytes_max: usize,
    bytes: usize,
    begun: Instant,
}

impl Slices {
    pub(crate) fn new() -> Self {
        Self { bytes_max: SLICE_BYTES.1, bytes: 0, begun: aquifer_io::now() }
    }

    /// Counts work; `true` once a slice is full.
    pub(crate) fn is_full(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes >= self.bytes_max
    }

    /// Lets everything else on this thread run, then rests if reads came in: `reads` counts them.
    pub(crate) async fn pause(&mut self, cpu_percent: u8, reads: impl Fn() -> u64) {
        let took = self.begun.elapsed();
        self.bytes_max = adapted(self.bytes, took);
        let before = reads();
        aquifer_io::yield_now().await;
        if reads() != before {
            let others = self.begun.elapsed().saturating_sub(took);
            let rest = rest(took, cpu_percent).saturating_sub(others);
            if !rest.is_zero() {
                aquifer_io::sleep(rest).await;
            }
        }
        self.restart();
    }

    /// Begins a slice anew after a wait for the DFS, which is no work.
    pub(crate) fn restart(&mut self) {
        self.bytes = 0;
        self.begun = aquifer_io::now();
    }
}

/// Bytes of the next slice, after `bytes` took `took`. It moves half of the way at most, so that one odd measurement does little.
fn adapted(bytes: usize, took: Duration) -> usize {
    let (least, _, most) = SLICE_BYTES;
    if took.is_zero() {
        // A world whose clock stands still while it computes.
        return bytes.clamp(least, most);
    }
    let fitting = bytes as u128 * SLICE.as_nanos() / took.as_nanos();
    let fitting = usize::try_from(fitting).unwrap_or(most).clamp(bytes / 2, bytes.saturating_mul(2));
    fitting.clamp(least, most)
}

/// What others get after a slice that took `took`.
fn rest(took: Duration, cpu_percent: u8) -> Duration {
    let percent = u32::from(cpu_percent.clamp(1, 100));
    took * (100 - percent) / percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_comes_to_take_what_it_should() {
        // 100 bytes a microsecond: 20,000 in a slice.
        let mut bytes = SLICE_BYTES.1;
        for _ in 0..10 {
            bytes = adapted(bytes, Duration::from_nanos(bytes as u64 * 10));
        }
        assert_eq!(bytes, 20_000);
        assert_eq!(adapted(bytes, Duration::from_secs(1)), 10_000, "one odd measurement");
        assert_eq!(adapted(1, Duration::from_secs(1)), SLICE_BYTES.0);
        assert_eq!(adapted(1 << 30, Duration::from_nanos(1)), SLICE_BYTES.2);
        assert_eq!(adapted(SLICE_BYTES.1, Duration::ZERO), SLICE_BYTES.1);
    }

    #[test]
    fn the_share_of_a_core_is_kept() {
        let took = Duration::from_micros(200);
        assert_eq!(rest(took, 50), took);
        assert_eq!(rest(took, 20), 4 * took);
        assert_eq!(rest(took, 100), Duration::ZERO);
    }

    #[test]
    fn a_throttle_lets_the_first_piece_go_and_makes_the_next_ones_wait() {
        let throttle = Throttle::new(Some(2_000_000), 2);
        assert_eq!(throttle.take(500_000), Duration::ZERO);
        assert!(!throttle.try_take(1));
        let wait = throttle.take(1_000_000);
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
        let free = Throttle::new(None, 1);
        assert_eq!((free.take(u64::MAX), free.take(u64::MAX)), (Duration::ZERO, Duration::ZERO));
        assert!(free.try_take(u64::MAX));
    }
}
