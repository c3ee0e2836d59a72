//! Ranged GETs of 4 KiB through our client: as many lanes as requests in flight, each with one at a time.

use std::cell::RefCell;

use aquifer_io::{now, random_u64};
use aquifer_remote::{ObjectName, RemoteError, RemoteErrorKind};
use futures_util::stream::{FuturesUnordered, TryStreamExt};

use super::sample::Sample;
use super::target::{BLOCK_BYTES, OBJECT_BYTES, Target};
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::meter::Meter;
use crate::measure::spread::Times;

/// Measures so many lanes.
pub(super) fn measure(
    target: &Target,
    name: &ObjectName,
    in_flight: usize,
    times: Times,
) -> Result<Sample, Failure> {
    let meter = match target.server {
        Some(server) => Meter::beside(times, server),
        None => Meter::new(times),
    };
    let meter = RefCell::new(meter);
    let counted = || (target.hedges.reads(), target.hedges.hedges());
    let before = counted();
    let lanes: FuturesUnordered<_> = (0..in_flight).map(|_| lane(target, name, &meter)).collect();
    let ended = aquifer_io::block_on(lanes.try_collect::<()>());
    // Numbers cut short by Ctrl-C are no numbers.
    interrupt::check()?;
    ended?;
    let (reads, hedges) = (counted().0 - before.0, counted().1 - before.1);
    let extra = 100.0 * hedges as f64 / reads.max(1) as f64;
    let sample = Sample::of_meter(&meter.borrow(), target.server.is_some());
    Ok(Sample { extra_requests_percent: Some(extra), ..sample })
}

async fn lane(target: &Target, name: &ObjectName, meter: &RefCell<Meter>) -> Result<(), RemoteError> {
    while meter.borrow().goes_on() {
        let block = random_u64() % (OBJECT_BYTES / BLOCK_BYTES);
        let range = block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES;
        let began = now();
        let read = target.remote.get_range(name, range.clone()).await;
        let read = read.and_then(|bytes| match bytes.get(..8) {
            Some(found) if found == block.to_le_bytes() => Ok(()),
            _ => Err(RemoteError::new(RemoteErrorKind::Other, "get_range")
                .with_object(name)
                .with_range(range)
                .with_cause("these are bytes of another block")),
        });
        if read.is_err() {
            meter.borrow_mut().fail();
            return read;
        }
        meter.borrow_mut().done(began);
    }
    Ok(())
}
