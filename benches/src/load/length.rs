//! How long values are: always the same, or drawn from a distribution.

use std::fmt;
use std::str::FromStr;

use rand_distr::{Distribution as _, LogNormal};

use super::record::VALUE_BYTES_MIN;
use super::rng::{Rng, whole_part};
use crate::byte_size::parse_bytes;

/// Longest value that is drawn.
const VALUE_BYTES_MAX: u64 = 64 << 20;

/// Lengths of values in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Length {
    Fixed(u64),
    /// The natural logarithm is normal with this median and this standard deviation.
    LogNormal {
        median_bytes: u64,
        sigma: f64,
    },
}

impl Length {
    /// The next length, at least `bytes_min`.
    pub(crate) fn draw(self, rng: &mut Rng, bytes_min: u64) -> u64 {
        let bytes = match self {
            Self::Fixed(bytes) => bytes,
            Self::LogNormal { median_bytes, sigma } => {
                LogNormal::new((median_bytes.max(1) as f64).ln(), sigma)
                    .map_or(median_bytes, |lengths| whole_part(lengths.sample(rng)))
            }
        };
        bytes.clamp(bytes_min, VALUE_BYTES_MAX)
    }
}

impl Length {
    /// The mean, before values too short to be checked are lengthened.
    pub(crate) fn mean_bytes(self) -> u64 {
        match self {
            Self::Fixed(bytes) => bytes.max(VALUE_BYTES_MIN as u64),
            Self::LogNormal { median_bytes, sigma } => {
                whole_part(median_bytes as f64 * (sigma * sigma / 2.0).exp())
            }
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes}"),
            Self::LogNormal { median_bytes, sigma } => write!(f, "lognormal:{median_bytes}:{sigma}"),
        }
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let within = |bytes: u64| {
            if bytes <= VALUE_BYTES_MAX { Ok(bytes) } else { Err("values have at most 64 MiB".to_owned()) }
        };
        match text.split(':').collect::<Vec<_>>().as_slice() {
            [bytes] => Ok(Self::Fixed(within(parse_bytes(bytes)?)?)),
            ["lognormal", median, sigma] => {
                let sigma = sigma.parse().ok().filter(|sigma: &f64| (0.0..=4.0).contains(sigma));
                let sigma = sigma.ok_or_else(|| "the standard deviation is from 0 to 4".to_owned())?;
                Ok(Self::LogNormal { median_bytes: within(parse_bytes(median)?)?, sigma })
            }
            _ => Err("a number of bytes, or lognormal:MEDIAN_BYTES:SIGMA as in lognormal:100:0.8".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_their_formula() {
        let length: Length = "lognormal:100:0.8".parse().unwrap();
        let mut rng = Rng::new(3);
        let mut lengths: Vec<u64> = (0..100_001).map(|_| length.draw(&mut rng, 0)).collect();
        lengths.sort_unstable();
        assert!((97..=103).contains(&lengths[50_000]), "median {}", lengths[50_000]);
        let mean = lengths.iter().sum::<u64>() as f64 / lengths.len() as f64;
        assert!((mean / (100.0 * (0.8_f64 * 0.8 / 2.0).exp()) - 1.0).abs() < 0.03, "{mean}");
        assert_eq!("4KiB".parse::<Length>().unwrap().draw(&mut rng, 0), 4096);
        assert_eq!(Length::Fixed(3).draw(&mut rng, 16), 16);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "many", "lognormal:100", "lognormal:100:9", "1GiB", "normal:1:1"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
        for text in ["100", "lognormal:100:0.8"] {
            assert_eq!(text.parse::<Length>().unwrap().to_string(), text);
        }
    }
}
