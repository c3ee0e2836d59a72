//! Many keys a call, from plain threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::keys::Keys;
use super::tally::{Tally, rings_open};
use crate::compare::spec::{Data, Doing, Work};
use crate::failure::Failure;
use crate::interrupt;
use crate::load::distribution::Distribution;
use crate::load::record::write_value;

/// Keys that are made at once.
const CHUNK_KEYS: usize = 4096;

/// Who sees the value of the key at a place of the call.
pub(crate) type Found<'a> = &'a mut dyn FnMut(usize, Option<&[u8]>);

/// A store as plain threads ask it.
pub(crate) trait Bulk: Sync {
    /// The values of keys that are in ascending order.
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure>;
    /// Writes all of them.
    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure>;
}

/// Runs `work` to its end. A fill takes its time from the first call to the last, the making of keys and values included;
/// of reads only the calls count.
pub(crate) fn run(store: &dyn Bulk, work: &Work, data: Data) -> Result<Tally, Failure> {
    let distribution: Distribution = work.distribution.parse().map_err(Failure::Usage)?;
    let (next, written) = (AtomicU64::new(0), AtomicU64::new(0));
    let rings_before = rings_open();
    let began = aquifer_io::now();
    let tallies: Vec<Result<Tally, Failure>> = std::thread::scope(|scope| {
        let threads = (0..work.threads).map(|index| {
            let keys = Keys::new(data, distribution, seed_of(work.seed, index));
            let thread = Thread { store, work, data, keys, next: &next, written: &written, rings_before };
            scope.spawn(move || thread.run())
        });
        let threads: Vec<_> = threads.collect();
        let lost = |_| Err(Failure::Other("a measuring thread panicked: its message is above".into()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
    });
    let mut all = Tally::new();
    for tally in tallies {
        all.add(&tally?);
    }
    if matches!(work.doing, Doing::Load | Doing::Overwrite) {
        all.measured = began.elapsed();
        all.per_s = all.operations as f64 / all.measured.as_secs_f64().max(f64::MIN_POSITIVE);
    }
    Ok(all)
}

/// Of one thread, from that of the work.
pub(crate) fn seed_of(seed: u64, index: u32) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(index))
}

struct Thread<'r> {
    store: &'r dyn Bulk,
    work: &'r Work,
    data: Data,
    keys: Keys,
    /// Keys given out, of a load.
    next: &'r AtomicU64,
    /// Operations given out, of an overwrite.
    written: &'r AtomicU64,
    rings_before: u64,
}

impl Thread<'_> {
    fn run(mut self) -> Result<Tally, Failure> {
        let mut tally = match self.work.doing {
            Doing::Load | Doing::Overwrite => self.fill()?,
            Doing::Get | Doing::MultiGet | Doing::Update => self.read()?,
        };
        // Rings belong to threads: this one's is open until it ends.
        tally.rings = rings_open().saturating_sub(self.rings_before);
        Ok(tally)
    }

    fn batch(&self) -> usize {
        usize::try_from(self.work.batch).unwrap_or(1).clamp(1, CHUNK_KEYS)
    }

    fn fill(&mut self) -> Result<Tally, Failure> {
        let batch = self.batch();
        let value_bytes = usize::try_from(self.data.value_bytes).unwrap_or(usize::MAX);
        let mut tally = Tally::new();
        let (mut numbers, mut keys, mut values) =
            (Vec::with_capacity(CHUNK_KEYS), Vec::new(), vec![Vec::new(); batch]);
        loop {
            if self.work.doing == Doing::Load {
                self.keys.filling(self.next, &mut numbers, &mut keys, batch);
            } else {
                let left = self
                    .work
                    .operations
                    .saturating_sub(self.written.fetch_add(CHUNK_KEYS as u64, Ordering::Relaxed));
                numbers.clear();
                numbers.resize(usize::try_from(left).unwrap_or(CHUNK_KEYS).min(CHUNK_KEYS), 0);
                self.keys.chosen(&mut numbers, &mut keys, batch);
            }
            if numbers.is_empty() {
                return Ok(tally);
            }
            interrupt::check()?;
            for (numbers, keys) in numbers.chunks(batch).zip(keys.chunks(batch)) {
                for (number, value) in numbers.iter().zip(&mut values) {
                    write_value(value, *number, self.work.seed, value_bytes);
                }
                let began = aquifer_io::now();
                self.store.write(keys, values.get(..keys.len()).unwrap_or_default())?;
                tally.latency.record(began.elapsed());
                tally.operations += keys.len() as u64;
                tally.done = tally.operations;
            }
        }
    }

    fn read(&mut self) -> Result<Tally, Failure> {
        let batch = self.batch();
        let mut tally = Tally::new();
        let (mut numbers, mut keys) = (vec![0; CHUNK_KEYS / batch * batch], Vec::new());
        let (mut spent, mut warm) = (Duration::ZERO, self.work.warm_up.is_zero());
        loop {
            interrupt::check()?;
            self.keys.chosen(&mut numbers, &mut keys, batch);
            let mut last = aquifer_io::now();
            for (numbers, keys) in numbers.chunks(batch).zip(keys.chunks(batch)) {
                self.store.read(keys, &mut |place, value| {
                    tally.check(numbers.get(place).copied().unwrap_or(u64::MAX), value);
                })?;
                let now = aquifer_io::now();
                let took = now.duration_since(last);
                last = now;
                spent += took;
                tally.done += keys.len() as u64;
                if warm {
                    tally.latency.record(took);
                    tally.operations += keys.len() as u64;
                } else if spent >= self.work.warm_up {
                    (spent, warm) = (Duration::ZERO, true);
                }
                if warm && spent >= self.work.measured {
                    tally.measured = spent;
                    tally.per_s = tally.operations as f64 / spent.as_secs_f64().max(f64::MIN_POSITIVE);
                    return Ok(tally);
                }
            }
        }
    }
}
