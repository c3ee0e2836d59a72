//! Plain requests through the client that the engine uses: what the shaped server alone takes.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use aquifer_io::now;
use aquifer_remote::{Content, ObjectName, Remote};
use futures_util::stream::{FuturesUnordered, TryStreamExt};

use crate::failure::Failure;
use crate::histogram::{Latencies, LatencySummary};
use crate::run::patience::wait;

/// Bytes of the object that is read.
const OBJECT_BYTES: u64 = 4 << 20;
/// Bytes of one read.
const READ_BYTES: u64 = 4 << 10;
/// Bytes of an upload whose bandwidth is taken.
const UPLOAD_BYTES: usize = 32 << 20;
/// Uploads and small requests: of their times the median is a round trip, and the shortest ones tell the bandwidth.
const TRIES: u32 = 5;

/// An object for plain requests; deleted by [`Self::remove`].
#[derive(Debug)]
pub(crate) struct Plain {
    remote: Arc<dyn Remote>,
    name: ObjectName,
}

impl Plain {
    /// Writes the object.
    pub(crate) fn new(remote: &Arc<dyn Remote>) -> Result<Self, Failure> {
        let name = ObjectName::new(format!("ceiling/{:016x}", aquifer_io::random_u64()))?;
        let length = usize::try_from(OBJECT_BYTES).unwrap_or(usize::MAX);
        wait(remote.put(&name, Content::from(vec![7; length])))??;
        Ok(Self { remote: Arc::clone(remote), name })
    }

    /// Reads with so many in flight for a time: how many a second, and their latencies.
    pub(crate) fn gets(&self, in_flight: usize, time: Duration) -> Result<(f64, LatencySummary), Failure> {
        let began = now();
        let done = Cell::new(0_u64);
        let latencies = std::cell::RefCell::new(Latencies::new());
        let lanes: FuturesUnordered<_> = (0..in_flight.max(1))
            .map(|_| async {
                while began.elapsed() < time {
                    let start = aquifer_io::random_u64() % (OBJECT_BYTES / READ_BYTES) * READ_BYTES;
                    let asked = now();
                    self.remote.get_range(&self.name, start..start + READ_BYTES).await?;
                    latencies.borrow_mut().record(asked.elapsed());
                    done.set(done.get() + 1);
                }
                Ok::<(), aquifer_remote::RemoteError>(())
            })
            .collect();
        wait(lanes.try_collect::<()>())??;
        let per_s = done.get() as f64 / began.elapsed().as_secs_f64();
        Ok((per_s, latencies.into_inner().summary()))
    }

    /// Median time of a small PUT, and bytes a second of a large one.
    pub(crate) fn puts(&self) -> Result<(Duration, f64), Failure> {
        let (small, large) = (self.put_times(1)?, self.put_times(UPLOAD_BYTES)?);
        let shortest = |times: &[Duration]| times.first().copied().unwrap_or_default();
        let transfer = shortest(&large).saturating_sub(shortest(&small)).as_secs_f64().max(1e-6);
        let trip = small.get(small.len() / 2).copied().unwrap_or_default();
        Ok((trip, UPLOAD_BYTES as f64 / transfer))
    }

    /// Ascending.
    fn put_times(&self, bytes: usize) -> Result<Vec<Duration>, Failure> {
        let body = bytes::Bytes::from(vec![7; bytes]);
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let began = now();
            wait(self.remote.put(&self.name, Content::from(body.clone())))??;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    }

    /// Deletes the object.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        Ok(wait(self.remote.delete(&self.name))??)
    }
}
