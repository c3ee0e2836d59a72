//! Flags of `device`.

use std::path::PathBuf;
use std::time::Duration;

use crate::byte_size::parse_bytes;

/// Flags of `device`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeviceArgs {
    /// Folder on the disk to measure, for the test file; default: TMPDIR, else /var/tmp.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Length of the test file, in bytes or with KiB, MiB, GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "1GiB")]
    pub(crate) size_bytes: u64,
    /// Time of one measurement: of one shape through one backend in one round.
    #[arg(long, value_name = "S", value_parser = parse_seconds, default_value = "2")]
    pub(crate) seconds: Duration,
    /// Rounds; each measures every shape with fio and through every backend.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Only the shapes whose name contains this, as in `random-read-4k` or `depth-32`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Write every round's numbers as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Seconds with a fraction, within what can be measured and waited for.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.05..=3600.0;
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is needed".to_owned())?;
    if RANGE.contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("{} to {} seconds", RANGE.start(), RANGE.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_bounds() {
        assert_eq!(parse_seconds("0.2"), Ok(Duration::from_millis(200)));
        for text in ["", "x", "-1", "0", "nan", "inf", "1e9"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
