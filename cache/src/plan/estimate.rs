//! What a request costs and what a byte costs, measured: the time of a request as a line over its bytes.
//!
//! ```text
//! time │            · ·        slope: time of a byte
//!      │      ·  · /           intercept: time to the first byte
//!      │   ·  /·
//!      │ / ·
//!      └──────────────── bytes
//! ```
//! Least squares over the requests that ended lately: each new one makes all older ones count a little less. A request that took
//! far longer than the line says (a repeat, a pause of the disk) counts as a moderately slow one. While all requests have about the same
//! length a slope cannot be told from them; then the one that was assumed at first holds.

/// Requests after which an older one counts for a third.
const MEMORY_REQUESTS: f64 = 64.0;
/// Requests before outliers are told from others.
const SETTLED_REQUESTS: f64 = 8.0;
/// A request counts as at most so many times slower than expected.
const OUTLIER: f64 = 2.5;

/// What is assumed before anything was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior {
    pub(crate) request_ns: f64,
    pub(crate) byte_ns: f64,
    /// Lengths that spread less than this say little about the slope.
    pub(crate) spread_bytes: f64,
}

/// An SSD behind a local file system.
pub(crate) const SSD: Prior = Prior { request_ns: 80_000.0, byte_ns: 0.5, spread_bytes: 16_384.0 };
/// An object store, or a busy HDFS.
pub(crate) const REMOTE: Prior = Prior { request_ns: 10_000_000.0, byte_ns: 10.0, spread_bytes: 65_536.0 };

/// The line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    prior: Prior,
    requests: f64,
    bytes_mean: f64,
    ns_mean: f64,
    bytes_variance: f64,
    covariance: f64,
}

impl Estimate {
    pub(crate) const fn new(prior: Prior) -> Self {
        Self { prior, requests: 0.0, bytes_mean: 0.0, ns_mean: 0.0, bytes_variance: 0.0, covariance: 0.0 }
    }

    /// A request for so many bytes took so long.
    pub(crate) fn add(&mut self, bytes: u64, ns: u64) {
        let (bytes, mut ns) = (bytes as f64, ns as f64);
        if self.requests >= SETTLED_REQUESTS {
            ns = ns.min(OUTLIER * (self.request_ns() + self.byte_ns() * bytes));
        }
        self.requests = (self.requests + 1.0).min(MEMORY_REQUESTS);
        let share = 1.0 / self.requests;
        let (bytes_off, ns_off) = (bytes - self.bytes_mean, ns - self.ns_mean);
        self.bytes_mean += share * bytes_off;
        self.ns_mean += share * ns_off;
        self.bytes_variance = (1.0 - share) * (self.bytes_variance + share * bytes_off * bytes_off);
        self.covariance = (1.0 - share) * (self.covariance + share * bytes_off * ns_off);
    }

    /// Time of one more byte, in ns.
    pub(crate) fn byte_ns(&self) -> f64 {
        let doubt = self.prior.spread_bytes * self.prior.spread_bytes;
        let slope = (self.covariance + doubt * self.prior.byte_ns) / (self.bytes_variance + doubt);
        // Not faster than any machine's memory, nor slower than a modem.
        slope.clamp(0.01, 1e5)
    }

    /// Time to the first byte, in ns.
    pub(crate) fn request_ns(&self) -> f64 {
        if self.requests < 1.0 {
            return self.prior.request_ns;
        }
        (self.ns_mean - self.byte_ns() * self.bytes_mean).max(self.ns_mean / 16.0).max(1.0)
    }

    /// Bytes that take as long to move as one more request takes to begin.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    pub(crate) fn request_bytes(&self) -> u64 {
        (self.request_ns() / self.byte_ns()).clamp(0.0, 1e9) as u64
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of a test are small")]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < expected * 0.15
    }

    #[test]
    fn finds_the_line_through_noise_and_outliers() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut estimate = Estimate::new(REMOTE);
        for at in 0..1_000 {
            let bytes = random.u64(2_000..1_000_000);
            let noise = 0.9 + 0.2 * random.f64();
            let outlier = if at % 50 == 49 { 100.0 } else { 1.0 };
            estimate.add(bytes, ((25e6 + 20.0 * bytes as f64) * noise * outlier) as u64);
        }
        assert!((15e6..40e6).contains(&estimate.request_ns()), "{}", estimate.request_ns());
        assert!((10.0..40.0).contains(&estimate.byte_ns()), "{}", estimate.byte_ns());
    }

    #[test]
    fn requests_of_one_length_keep_the_slope_that_was_assumed() {
        let mut estimate = Estimate::new(SSD);
        for _ in 0..100 {
            estimate.add(4096, 100_000);
        }
        assert!(close(estimate.byte_ns(), SSD.byte_ns));
        assert!(close(estimate.request_ns(), 100_000.0 - 4096.0 * SSD.byte_ns));
    }

    #[test]
    fn follows_a_store_that_becomes_slower_and_faster_again() {
        let mut estimate = Estimate::new(REMOTE);
        assert!(close(estimate.request_ns(), REMOTE.request_ns));
        for (ms, requests) in [(1.5, 300), (25.0, 300), (1.5, 500)] {
            for at in 0..requests {
                estimate.add(4096 + at % 7 * 512, (ms * 1e6) as u64);
            }
            assert!(close(estimate.request_ns(), ms * 1e6), "{ms}: {}", estimate.request_ns());
        }
    }

    #[test]
    fn whatever_was_measured_the_numbers_stay_sane() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut estimate = Estimate::new(SSD);
        for _ in 0..10_000 {
            let bytes = [0, 1, 4096, 1 << 30][random.usize(..4)];
            estimate.add(bytes, [0, 1, 1 << 40][random.usize(..3)]);
            assert!(estimate.request_ns() >= 1.0 && estimate.byte_ns() >= 0.01);
            assert!(estimate.request_bytes() <= 1_000_000_000);
        }
    }
}
