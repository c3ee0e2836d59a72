//! Counts and times what goes through a store.
//!
//! ```text
//! request ─> [operation, size class] ─> histogram of latencies (2 digits, 1 us to 1 h)
//!        └─> counters: requests, bytes each way, errors by kind
//! ```
//!
//! A request costs two looks at the clock, a few atomic additions and one short lock of a histogram that only requests of the same
//! kind and size share. A histogram takes about 12 KiB and is made with its first request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_io::{Instant, now};
use hdrhistogram::Histogram;

use super::layer::{Layer, Request, layered};
use super::operation::{Answer, Operation, SizeClass};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::store::{Remote, RemoteFuture};

/// Longest latency that is told apart from longer ones: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

const OPERATIONS: usize = Operation::ALL.len();
const HISTOGRAMS: usize = OPERATIONS * SizeClass::ALL.len();

type Latencies = Mutex<Option<Histogram<u32>>>;

/// Counters and latencies of one store since it was wrapped. Read them at any time from any thread.
///
/// Requests count when they start, bytes when they have arrived, latencies when the request succeeds. A request whose future is
/// dropped counts, but has no latency. Repeats below this wrapper are not seen from here.
#[derive(Debug)]
pub struct RemoteMetrics {
    requests: [AtomicU64; OPERATIONS],
    get_bytes: AtomicU64,
    put_bytes: AtomicU64,
    errors: AtomicU64,
    errors_by_kind: Mutex<Vec<(RemoteErrorKind, u64)>>,
    latencies: [Latencies; HISTOGRAMS],
}

/// What requests of one kind took, from the call to the answer, in microseconds; within 1 % of the exact values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySummary {
    /// Requests that succeeded.
    pub count: u64,
    /// Half were as fast.
    pub p50_us: u64,
    /// 95 % were as fast.
    pub p95_us: u64,
    /// 99 % were as fast.
    pub p99_us: u64,
    /// 99.9 % were as fast.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Default for RemoteMetrics {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; OPERATIONS],
            get_bytes: AtomicU64::new(0),
            put_bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            errors_by_kind: Mutex::default(),
            latencies: [const { Mutex::new(None) }; HISTOGRAMS],
        }
    }
}

impl RemoteMetrics {
    /// Requests of one kind, started.
    #[must_use]
    pub fn requests(&self, operation: Operation) -> u64 {
        self.requests.get(operation.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn requests_of(&self, operations: &[Operation]) -> u64 {
        operations.iter().map(|&operation| self.requests(operation)).sum()
    }

    /// Reads of objects and ranges.
    #[must_use]
    pub fn gets(&self) -> u64 {
        self.requests_of(&[Operation::Get, Operation::GetRange])
    }

    /// Bytes read.
    #[must_use]
    pub fn get_bytes(&self) -> u64 {
        self.get_bytes.load(Ordering::Relaxed)
    }

    /// Writes: puts, puts if absent (also those that found the name taken), and for uploads start, each part and finish.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.requests_of(&[
            Operation::Put,
            Operation::PutIfAbsent,
            Operation::Upload,
            Operation::Part,
            Operation::Finish,
        ])
    }

    /// Bytes written.
    #[must_use]
    pub fn put_bytes(&self) -> u64 {
        self.put_bytes.load(Ordering::Relaxed)
    }

    /// Pages listed.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.requests(Operation::List)
    }

    /// Objects deleted and uploads aborted.
    #[must_use]
    pub fn deletes(&self) -> u64 {
        self.requests_of(&[Operation::Delete, Operation::Abort])
    }

    /// Lengths asked for.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.requests(Operation::Head)
    }

    /// Requests that ended with an error.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Requests that ended with an error of this kind.
    #[must_use]
    pub fn errors_of(&self, kind: RemoteErrorKind) -> u64 {
        let errors = self.errors_by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count)
    }

    /// What requests of one kind and size took; none when none succeeded.
    #[must_use]
    pub fn latency(&self, operation: Operation, class: SizeClass) -> Option<LatencySummary> {
        let histogram = self.histogram(operation, class)?.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.as_ref().map(summary)
    }

    /// What requests of one kind took, whatever their size; none when none succeeded.
    #[must_use]
    pub fn latency_of(&self, operation: Operation) -> Option<LatencySummary> {
        let mut sum: Option<Histogram<u32>> = None;
        for class in SizeClass::ALL {
            let histogram = self.histogram(operation, class)?.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(histogram) = histogram.as_ref() else { continue };
            match &mut sum {
                Some(sum) => sum.add(histogram).ok()?,
                None => sum = Some(histogram.clone()),
            }
        }
        sum.as_ref().map(summary)
    }

    fn histogram(&self, operation: Operation, class: SizeClass) -> Option<&Latencies> {
        self.latencies.get(operation.index() * SizeClass::ALL.len() + class.index())
    }

    fn begin(&self, operation: Operation) -> Instant {
        if let Some(count) = self.requests.get(operation.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        now()
    }

    fn end(&self, operation: Operation, begun: Instant, sent_bytes: u64, result: Result<u64, &RemoteError>) {
        match result {
            Ok(fetched_bytes) => {
                self.put_bytes.fetch_add(sent_bytes, Ordering::Relaxed);
                self.get_bytes.fetch_add(fetched_bytes, Ordering::Relaxed);
                let latency_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.record(operation, SizeClass::of(sent_bytes.max(fetched_bytes)), latency_us);
            }
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                let mut errors = self.errors_by_kind.lock().unwrap_or_else(PoisonError::into_inner);
                match errors.iter_mut().find(|(kind, _)| *kind == error.kind()) {
                    Some((_, count)) => *count += 1,
                    None => errors.push((error.kind(), 1)),
                }
            }
        }
    }

    fn record(&self, operation: Operation, class: SizeClass, latency_us: u64) {
        let Some(latencies) = self.histogram(operation, class) else { return };
        let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
        if latencies.is_none() {
            *latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).ok();
        }
        if let Some(histogram) = latencies.as_mut() {
            histogram.saturating_record(latency_us);
        }
    }
}

fn summary(histogram: &Histogram<u32>) -> LatencySummary {
    LatencySummary {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p95_us: histogram.value_at_quantile(0.95),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

/// Wraps a store so that its requests, bytes, errors and latencies are counted.
#[must_use]
pub fn metered(inner: Arc<dyn Remote>) -> (Arc<dyn Remote>, Arc<RemoteMetrics>) {
    let metrics = Arc::new(RemoteMetrics::default());
    (layered(inner, Arc::clone(&metrics)), metrics)
}

impl Layer for RemoteMetrics {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        self.run_once(request, send())
    }

    fn run_once<T: Answer>(self: &Arc<Self>, request: Request, sent: RemoteFuture<T>) -> RemoteFuture<T> {
        let begun = self.begin(request.operation);
        let metrics = Arc::clone(self);
        Box::pin(async move {
            let outcome = sent.await;
            let fetched_bytes = outcome.as_ref().map(Answer::bytes);
            metrics.end(request.operation, begun, request.sent_bytes, fetched_bytes);
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ObjectName;

    #[test]
    fn latencies_errors_and_bytes_by_kind() {
        let metrics = RemoteMetrics::default();
        let begun = metrics.begin(Operation::GetRange);
        metrics.end(Operation::GetRange, begun, 0, Ok(4_096));
        metrics.record(Operation::GetRange, SizeClass::Upto4KiB, 1_000);
        metrics.record(Operation::GetRange, SizeClass::Upto1MiB, 50_000);
        let small = metrics.latency(Operation::GetRange, SizeClass::Upto4KiB).unwrap();
        assert_eq!(small.count, 2);
        assert!((990..=1_010).contains(&small.max_us), "{small:?}");
        let all = metrics.latency_of(Operation::GetRange).unwrap();
        assert_eq!(all.count, 3);
        assert!((49_500..=50_500).contains(&all.p999_us), "{all:?}");
        assert_eq!(metrics.latency_of(Operation::Put), None);
        let error = RemoteError::new(RemoteErrorKind::NotFound, "get");
        metrics.end(Operation::Get, begun, 0, Err(&error));
        metrics.end(Operation::Get, begun, 0, Err(&error));
        assert_eq!((metrics.errors(), metrics.errors_of(RemoteErrorKind::NotFound)), (2, 2));
        assert_eq!(metrics.errors_of(RemoteErrorKind::Unavailable), 0);
        assert_eq!((metrics.gets(), metrics.get_bytes(), metrics.put_bytes()), (1, 4_096, 0));
    }

    #[test]
    fn requests_through_a_store() {
        let inner = crate::open_url("memory://", crate::RemoteOptions::default()).unwrap();
        let (remote, metrics) = metered(inner);
        let name = ObjectName::new("a").unwrap();
        aquifer_io::block_on(async {
            remote.put(&name, vec![1; 10].into()).await.unwrap();
            assert_eq!(remote.get_range(&name, 2..5).await.unwrap().len(), 3);
            remote.head(&ObjectName::new("b").unwrap()).await.unwrap_err();
        });
        assert_eq!((metrics.puts(), metrics.gets(), metrics.heads(), metrics.errors()), (1, 1, 1, 1));
        assert_eq!((metrics.put_bytes(), metrics.get_bytes()), (10, 3));
        assert_eq!(metrics.latency_of(Operation::Put).unwrap().count, 1);
        assert_eq!(metrics.latency_of(Operation::Head), None);
    }
}
