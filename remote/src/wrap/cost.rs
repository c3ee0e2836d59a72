//! What a store costs: requests by kind and bytes each way, priced.
//!
//! ```text
//! every request that really goes out (repeats and second requests too) ─> counters ─ x Prices ─> Bill
//! ```
//!
//! A listed page counts as one request; a store that gives at most 1,000 names at once makes several of a longer one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_io::{Instant, now};

use super::layer::{Layer, Request, layered};
use super::operation::{Answer, Operation};
use crate::prices::Prices;
use crate::store::{Remote, RemoteFuture};

const GIB: f64 = (1_u64 << 30) as f64;
/// 365 days of 24 hours over 12 months.
const HOURS_PER_MONTH: f64 = 730.0;

impl Prices {
    /// What 1,000 requests of this kind cost.
    fn per_1000(&self, operation: Operation) -> f64 {
        match operation {
            Operation::Put
            | Operation::PutIfAbsent
            | Operation::Upload
            | Operation::Part
            | Operation::Finish => self.write_usd_per_1000,
            Operation::Get | Operation::GetRange | Operation::Head => self.read_usd_per_1000,
            Operation::List => self.list_usd_per_1000,
            Operation::Delete | Operation::Abort => self.delete_usd_per_1000,
        }
    }
}

/// What was asked of one store since it was wrapped.
#[derive(Debug)]
pub struct Cost {
    prices: Prices,
    begun: Instant,
    requests: [AtomicU64; Operation::ALL.len()],
    sent_bytes: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bill {
    /// For requests, in US dollars.
    pub requests_usd: f64,
    /// For bytes read, in US dollars.
    pub egress_usd: f64,
    /// The time it covers.
    pub elapsed: Duration,
}

impl Bill {
    /// Requests and bytes together, in US dollars.
    #[must_use]
    pub fn usd(&self) -> f64 {
        self.requests_usd + self.egress_usd
    }

    /// At the rate of this time, in US dollars an hour; 0 before any time has passed.
    #[must_use]
    pub fn usd_per_hour(&self) -> f64 {
        let hours = self.elapsed.as_secs_f64() / 3_600.0;
        if hours > 0.0 { self.usd() / hours } else { 0.0 }
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.4} USD ({:.4} requests, {:.4} egress), {:.4} USD/h",
            self.usd(),
            self.requests_usd,
            self.egress_usd,
            self.usd_per_hour()
        )
    }
}

impl Cost {
    pub(super) fn new(prices: Prices) -> Arc<Self> {
        Arc::new(Self {
            prices,
            begun: now(),
            requests: Default::default(),
            sent_bytes: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
        })
    }

    /// Requests of one kind.
    #[must_use]
    pub fn requests(&self, operation: Operation) -> u64 {
        self.requests.get(operation.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Bytes of objects sent, also in vain.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of objects that arrived.
    #[must_use]
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    /// The bill until now.
    #[must_use]
    pub fn bill(&self) -> Bill {
        let request_usd =
            |operation| float(self.requests(operation)) / 1_000.0 * self.prices.per_1000(operation);
        Bill {
            requests_usd: Operation::ALL.into_iter().map(request_usd).sum(),
            egress_usd: float(self.fetched_bytes()) / GIB * self.prices.egress_usd_per_gib,
            elapsed: self.begun.elapsed(),
        }
    }

    /// What it costs to keep so many bytes, in US dollars an hour.
    #[must_use]
    pub fn storage_usd_per_hour(&self, stored_bytes: u64) -> f64 {
        float(stored_bytes) / GIB * self.prices.storage_usd_per_gib_month / HOURS_PER_MONTH
    }
}

#[expect(clippy::cast_precision_loss, reason = "money is rounded anyway")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Wraps a store so that what it costs is counted.
#[must_use]
pub fn priced(inner: Arc<dyn Remote>, prices: Prices) -> (Arc<dyn Remote>, Arc<Cost>) {
    let cost = Cost::new(prices);
    (layered(inner, Arc::clone(&cost)), cost)
}

impl Layer for Cost {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        self.run_once(request, send())
    }

    fn run_once<T: Answer>(self: &Arc<Self>, request: Request, sent: RemoteFuture<T>) -> RemoteFuture<T> {
        if let Some(count) = self.requests.get(request.operation.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sent_bytes.fetch_add(request.sent_bytes, Ordering::Relaxed);
        if !request.operation.is_read() {
            return sent;
        }
        let cost = Arc::clone(self);
        Box::pin(async move {
            let outcome = sent.await;
            if let Ok(answer) = &outcome {
                cost.fetched_bytes.fetch_add(answer.bytes(), Ordering::Relaxed);
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ObjectName;

    fn near(found: f64, right: f64) -> bool {
        (found - right).abs() < 1e-9
    }

    #[test]
    fn the_bill_is_the_sum_of_its_lines() {
        let inner = crate::open_url("memory://", crate::RemoteOptions::default()).unwrap();
        let (remote, cost) = priced(inner, Prices::S3);
        let name = ObjectName::new("a").unwrap();
        aquifer_io::block_on(async {
            remote.put(&name, vec![1; 1 << 20].into()).await.unwrap();
            for _ in 0..10 {
                remote.get(&name, 1 << 20).await.unwrap();
            }
            remote.list("", None, 10).await.unwrap();
            remote.delete(&name).await.unwrap();
        });
        assert_eq!((cost.sent_bytes(), cost.fetched_bytes()), (1 << 20, 10 << 20));
        let bill = cost.bill();
        assert!(near(bill.requests_usd, (0.005 + 10.0 * 0.000_4 + 0.005) / 1_000.0), "{bill:?}");
        assert!(near(bill.egress_usd, 10.0 / 1_024.0 * 0.09), "{bill:?}");
        let hour = Bill { elapsed: Duration::from_secs(1_800), ..bill };
        assert!(near(hour.usd_per_hour(), 2.0 * hour.usd()));
        assert!(near(Bill { elapsed: Duration::ZERO, ..bill }.usd_per_hour(), 0.0));
        assert!(near(cost.storage_usd_per_hour(730 << 30), 0.023));
        assert!(bill.to_string().contains("USD/h"));
    }
}
