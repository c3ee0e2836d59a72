//! Latencies in the formats of HdrHistogram's own tools: a folder with two files for each recording.
//!
//! ```text
//! 01-readrandom-round-1-response.hlog   interval log, version 1.3: a histogram (V2, deflated) for each interval, in nanoseconds
//! 01-readrandom-round-1-response.hgrm   percentiles of the whole round as text, in microseconds
//! ```
//!
//! The first part counts names in their order, so that two names which look the same as file names stay apart.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError};

use super::recording::Recording;
use crate::failure::Failure;
use crate::histogram::{Latencies, TICKS_PER_HALF_DISTANCE};
use crate::output::Output;

/// Maxima in an interval log are written in milliseconds, as its tools expect.
const NANOSECONDS_PER_MS: f64 = 1e6;

/// Longest part of a file name that comes from a name.
const NAME_CHARS_MAX: usize = 80;

/// The folder. When it was made here and nothing was written into it, it goes with this.
#[derive(Debug)]
pub(crate) struct HlogFolder {
    path: PathBuf,
    is_made_here: bool,
}

impl HlogFolder {
    /// Makes it when absent, and checks that files can be made in it.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let is_made_here = !path.exists();
        std::fs::create_dir_all(path)
            .map_err(|error| Failure::local("cannot make the folder", path, error))?;
        let folder = Self { path: path.to_owned(), is_made_here };
        Output::new(&path.join("probe.hlog"))?;
        Ok(folder)
    }

    /// Writes both files of each recording.
    pub(crate) fn write(&self, recordings: &[Recording]) -> Result<(), Failure> {
        let mut names: Vec<&str> = Vec::new();
        for recording in recordings {
            let number = names.iter().position(|name| *name == recording.name).unwrap_or_else(|| {
                names.push(&recording.name);
                names.len() - 1
            });
            let stem = format!(
                "{:02}-{}-round-{}-{}",
                number + 1,
                file_name(&recording.name),
                recording.round,
                file_name(&recording.what)
            );
            let log = interval_log(recording).map_err(|error| {
                Failure::Other(format!("cannot encode the latencies of {}: {error}", recording.name))
            })?;
            Output::new(&self.path.join(format!("{stem}.hlog")))?.write(&log)?;
            Output::new(&self.path.join(format!("{stem}.hgrm")))?.write(percentiles(recording).as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for HlogFolder {
    fn drop(&mut self) {
        if self.is_made_here {
            // Only when it is empty: the system refuses to remove any other.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Letters, digits and dots of a name, a dash for the rest.
fn file_name(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || character == '.' {
            text.push(character.to_ascii_lowercase());
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
        if text.len() >= NAME_CHARS_MAX {
            break;
        }
    }
    text.trim_matches(['-', '.']).to_owned()
}

fn interval_log(recording: &Recording) -> Result<Vec<u8>, String> {
    let failed = |error: IntervalLogWriterError<_>| format!("{error:?}");
    let began_unix_ms = recording.intervals.first().map_or(0, |interval| interval.began_unix_ms);
    let began = UNIX_EPOCH + Duration::from_millis(began_unix_ms);
    let comment = format!("{}, round {}, {}, nanoseconds", recording.name, recording.round, recording.what);
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&comment.replace(char::is_control, " "))
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(NANOSECONDS_PER_MS);
    let mut writer = builder.begin_log_with(&mut text, &mut serializer).map_err(|error| error.to_string())?;
    for interval in &recording.intervals {
        if let Some(histogram) = interval.latencies.histogram() {
            let at = Duration::from_millis(interval.began_unix_ms.saturating_sub(began_unix_ms));
            writer.write_histogram(histogram, at, interval.length, None).map_err(failed)?;
        }
    }
    Ok(text)
}

/// As `outputPercentileDistribution` of the Java library writes it.
fn percentiles(recording: &Recording) -> String {
    let mut all = Latencies::new();
    recording.intervals.iter().for_each(|interval| all.add(&interval.latencies));
    let mut text = Vec::new();
    if let Some(histogram) = all.histogram() {
        // Writing to a vector cannot fail.
        let _ = write_percentiles(&mut text, histogram);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn write_percentiles(text: &mut Vec<u8>, histogram: &Histogram<u64>) -> std::io::Result<()> {
    let us = |nanoseconds: f64| nanoseconds / 1e3;
    writeln!(text, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (us(step.value_iterated_to() as f64), step.quantile_iterated_to());
        write!(text, "{value:>12.3} {quantile:>2.12} {count:>10}")?;
        if quantile < 1.0 {
            write!(text, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(text)?;
    }
    let (mean, deviation, max) = (us(histogram.mean()), us(histogram.stdev()), us(histogram.max() as f64));
    writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    writeln!(text, "#[Max     = {max:>12.3}, Total count    = {:>12}]", histogram.len())?;
    writeln!(
        text,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets()).max(1)
    )
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::Interval;
    use super::*;

    const BEGAN_UNIX_MS: u64 = 1_772_368_496_250;

    /// Two seconds: a hundred latencies of 1 to 100 us, then ten of 5 ms.
    fn recording(name: &str) -> Recording {
        let interval = |second: u64, us: &mut dyn Iterator<Item = u64>| {
            let mut latencies = Latencies::new();
            us.for_each(|us| latencies.record(Duration::from_micros(us)));
            Interval {
                began_unix_ms: BEGAN_UNIX_MS + second * 1000,
                length: Duration::from_secs(1),
                latencies,
            }
        };
        let intervals = vec![interval(0, &mut (1..=100)), interval(1, &mut std::iter::repeat_n(5_000, 10))];
        Recording { name: name.to_owned(), round: 1, what: "response".to_owned(), intervals }
    }

    #[test]
    fn logs_are_read_back_with_all_that_was_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs");
        let hlog = HlogFolder::new(&path).unwrap();
        hlog.write(&[recording("readrandom, SSD"), recording("readrandom; SSD")]).unwrap();
        let mut files: Vec<String> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let stem = |number: u32| format!("0{number}-readrandom-ssd-round-1-response");
        let expected =
            [1, 2].map(|number| [format!("{}.hgrm", stem(number)), format!("{}.hlog", stem(number))]);
        assert_eq!(files, expected.concat());

        let text = std::fs::read(path.join(format!("{}.hlog", stem(1)))).unwrap();
        let mut deserializer = Deserializer::new();
        let (mut counts, mut starts, mut began) = (Vec::new(), Vec::new(), None);
        for entry in IntervalLogIterator::new(&text) {
            match entry.unwrap() {
                LogEntry::StartTime(at) => began = Some(at),
                LogEntry::BaseTime(at) => assert_eq!(Some(at), began),
                LogEntry::Interval(interval) => {
                    use base64::Engine as _;
                    let bytes =
                        base64::prelude::BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
                    let histogram: Histogram<u64> = deserializer.deserialize(&mut &bytes[..]).unwrap();
                    counts.push((histogram.len(), histogram.max() / 1000));
                    starts.push((interval.start_timestamp(), interval.duration(), interval.max()));
                }
            }
        }
        assert_eq!(began, Some(Duration::from_millis(BEGAN_UNIX_MS)));
        assert!(
            counts[0] == (100, 100) && counts[1].0 == 10 && (4_995..=5_005).contains(&counts[1].1),
            "{counts:?}"
        );
        let second = Duration::from_secs(1);
        assert_eq!((starts[0].0, starts[1].0, starts[1].1), (Duration::ZERO, second, second));
        assert!((starts[1].2 - 5.0).abs() < 0.01, "in milliseconds: {starts:?}");
    }

    #[test]
    fn percentiles_are_written_as_the_java_library_does() {
        let text = percentiles(&recording("x"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        let rows = || {
            lines[2..].iter().take_while(|line| !line.starts_with('#')).map(|line| line.split_whitespace())
        };
        let last: Vec<&str> = rows().last().unwrap().collect();
        assert_eq!(last[1..], ["1.000000000000", "110"]);
        assert!(rows().all(|row| row.clone().count() == 4 || row.clone().nth(1) == Some("1.000000000000")));
        assert!(text.contains("Total count    =          110]"), "{text}");
    }

    #[test]
    fn a_folder_made_for_nothing_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs");
        drop(HlogFolder::new(&path).unwrap());
        assert!(!path.exists());
        drop(HlogFolder::new(folder.path()).unwrap());
        assert!(folder.path().exists(), "it was there before");
    }

    #[test]
    fn names_are_safe_as_file_names() {
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(file_name("get:0.9,put:0.1 zipf:0.99"), "get-0.9-put-0.1-zipf-0.99");
        assert_eq!(file_name(&"é".repeat(500)), "");
        assert!(file_name(&"a b".repeat(500)).len() <= NAME_CHARS_MAX);
    }
}
