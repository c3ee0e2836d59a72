//! How long one request takes, as a distribution with a tail.
//!
//! ```text
//! latency │                        s3:   50 %   25 ms        hdfs:  50 %   1.5 ms       nvme:  50 %   68 us
//! (log)   │                   /          90 %   31 ms               99 %   8 ms                99 %  110 us
//!         │              /               95 %   37 ms             99.9 %  20 ms              99.9 %  200 us
//!         │       _ - '                  99 %   80 ms
//!         └─────────────────           99.9 %  160 ms
//!          90 %  99 %  99.9 %  (share of requests that are as fast, log of the rest)
//! ```
//!
//! Between two given quantiles the logarithm of the latency runs straight over the logarithm of the share that is slower: tails
//! of real stores are near to that. The slowest request in ten thousand is as
//! slow as it gets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One point of a distribution: so many of a million requests take longer than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    slower_ppm: u32,
    latency_us: u32,
}

const fn point(slower_ppm: u32, latency_us: u32) -> Point {
    Point { slower_ppm, latency_us }
}

/// A request that the SSD of the file system's own machine answers, over a fast network. Median 68 us.
const NVME: &[Point] =
    &[point(1_000_000, 55), point(500_000, 68), point(10_000, 110), point(1_000, 200), point(100, 400)];

/// A busy HDFS in the same data centre: median 1.5 ms, 8 ms at 99 %.
const HDFS: &[Point] = &[
    point(1_000_000, 800),
    point(500_000, 1_500),
    point(10_000, 8_000),
    point(1_000, 20_000),
    point(100, 50_000),
];

/// A public cloud's object store: median 25 ms, 80 ms at 99 %, 160 ms at 99.9 %. Most answers are near the median.
const S3: &[Point] = &[
    point(1_000_000, 12_000),
    point(500_000, 25_000),
    point(100_000, 31_000),
    point(50_000, 37_000),
    point(10_000, 80_000),
    point(1_000, 160_000),
    point(100, 320_000),
];

/// Which latencies a store shows. Chosen by name: `nvme`, `hdfs`, `s3` or `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LatencyProfile {
    /// No waiting. Written `none`.
    #[default]
    None,
    /// Median 68 us, 110 us at 99 %, 200 us at 99.9 %. Written `nvme`.
    Nvme,
    /// Median 1.5 ms, 8 ms at 99 %, 20 ms at 99.9 %. Written `hdfs`.
    Hdfs,
    /// Median 25 ms, 80 ms at 99 %, 160 ms at 99.9 %. Written `s3`.
    S3,
}

impl LatencyProfile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::None, Self::Nvme, Self::Hdfs, Self::S3];

    fn points(self) -> &'static [Point] {
        match self {
            Self::None => &[],
            Self::Nvme => NVME,
            Self::Hdfs => HDFS,
            Self::S3 => S3,
        }
    }

    /// The latency of one request. Draws one number, also for [`LatencyProfile::None`], so that the profile does not change what
    /// else follows from a seed.
    pub fn sample(self, chance: &mut fastrand::Rng) -> Duration {
        self.at_slower_share(chance.f64())
    }

    /// The latency that this share of the requests (0 to 1) does not pass: `quantile(0.99)` is the 99th percentile.
    #[must_use]
    pub fn quantile(self, share: f64) -> Duration {
        self.at_slower_share(1.0 - share.clamp(0.0, 1.0))
    }

    fn at_slower_share(self, slower: f64) -> Duration {
        let points = self.points();
        // Past the last point nothing is known: its latency is the longest there is.
        let slower_ppm = (slower * 1e6).max(1e-3);
        let last = points.last().map_or(0.0, |point| f64::from(point.latency_us));
        let segment = points.windows(2).find_map(|pair| match pair {
            [from, to] if slower_ppm >= f64::from(to.slower_ppm) => Some((*from, *to)),
            _ => None,
        });
        let latency_us = segment.map_or(last, |(from, to)| between(from, to, slower_ppm));
        Duration::from_secs_f64(latency_us / 1e6)
    }
}

fn between(from: Point, to: Point, slower_ppm: f64) -> f64 {
    let share = (f64::from(from.slower_ppm) / slower_ppm).ln()
        / (f64::from(from.slower_ppm) / f64::from(to.slower_ppm)).ln();
    let (low, high) = (f64::from(from.latency_us), f64::from(to.latency_us));
    low * (high / low).powf(share.clamp(0.0, 1.0))
}

impl fmt::Display for LatencyProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Nvme => "nvme",
            Self::Hdfs => "hdfs",
            Self::S3 => "s3",
        })
    }
}

/// No profile has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no latency profile is called \"{0}\": use nvme, hdfs, s3 or none")]
pub struct UnknownProfile(String);

impl FromStr for LatencyProfile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.to_string() == name);
        found.ok_or_else(|| UnknownProfile(name.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(profile: LatencyProfile, share: f64) -> u128 {
        // Nanoseconds of rounding do not count.
        (profile.quantile(share) + Duration::from_nanos(500)).as_micros()
    }

    #[test]
    fn the_promised_quantiles_hold() {
        assert_eq!(us(LatencyProfile::Nvme, 0.5), 68);
        assert_eq!([us(LatencyProfile::Hdfs, 0.5), us(LatencyProfile::Hdfs, 0.99)], [1_500, 8_000]);
        let s3 = [0.5, 0.99, 0.999].map(|share| us(LatencyProfile::S3, share));
        assert_eq!(s3, [25_000, 80_000, 160_000]);
        assert_eq!(us(LatencyProfile::S3, 1.0), 320_000);
        assert_eq!(us(LatencyProfile::S3, 0.0), 12_000);
        assert_eq!(us(LatencyProfile::None, 0.99), 0);
    }

    #[test]
    fn points_are_in_order_and_quantiles_ascend() {
        for profile in LatencyProfile::ALL {
            for pair in profile.points().windows(2) {
                assert!(pair[0].slower_ppm > pair[1].slower_ppm && pair[0].latency_us < pair[1].latency_us);
            }
            let all: Vec<Duration> =
                (0..=1_000).map(|share| profile.quantile(f64::from(share) / 1e3)).collect();
            assert!(all.is_sorted(), "{profile}");
        }
    }

    #[test]
    fn samples_follow_the_quantiles_and_the_seed() {
        for profile in [LatencyProfile::Nvme, LatencyProfile::Hdfs, LatencyProfile::S3] {
            let draw = |seed| {
                let mut chance = fastrand::Rng::with_seed(seed);
                let mut all: Vec<Duration> = (0..100_000).map(|_| profile.sample(&mut chance)).collect();
                all.sort_unstable();
                all
            };
            let all = draw(7);
            assert_eq!(all, draw(7));
            assert_ne!(all, draw(8));
            for (index, share) in [(50_000, 0.5), (95_000, 0.95), (99_000, 0.99), (99_900, 0.999)] {
                let (found, right) = (all[index].as_secs_f64(), profile.quantile(share).as_secs_f64());
                assert!((found / right - 1.0).abs() < 0.1, "{profile} {share}: {found} {right}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for profile in LatencyProfile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "S4".parse::<LatencyProfile>().unwrap_err().to_string();
        assert_eq!(error, "no latency profile is called \"S4\": use nvme, hdfs, s3 or none");
    }
}
