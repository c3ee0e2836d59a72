//! What fio says with `--output-format=json`, as far as it is needed.
//!
//! The profiles ask for percentiles of the total latency (submission and completion), which is what a caller of the
//! backends waits for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::sample::Sample;
use super::shape::{Shape, Work};

#[derive(Debug, Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    jobname: String,
    /// errno of the first error.
    #[serde(default)]
    error: i32,
    read: Transfers,
    write: Transfers,
    #[serde(default)]
    sync: Syncs,
    /// Percent of `job_runtime`.
    usr_cpu: f64,
    /// Percent of `job_runtime`.
    sys_cpu: f64,
    /// Milliseconds.
    job_runtime: u64,
}

#[derive(Debug, Deserialize)]
struct Transfers {
    total_ios: u64,
    iops: f64,
    lat_ns: Latency,
}

#[derive(Debug, Default, Deserialize)]
struct Syncs {
    #[serde(default)]
    lat_ns: Latency,
}

#[derive(Debug, Default, Deserialize)]
struct Latency {
    #[serde(default)]
    percentile: BTreeMap<String, f64>,
}

/// The numbers of a shape out of fio's standard output, which may begin with remarks.
pub(super) fn parse(text: &str, shape: &Shape) -> Result<Sample, String> {
    let start = text.find("\n{").map_or(0, |newline| newline + 1);
    let json = text.get(start..).unwrap_or_default();
    let output: Output =
        serde_json::from_str(json).map_err(|error| format!("fio's output is not understood: {error}"))?;
    if let Some(job) = output.jobs.iter().find(|job| job.error != 0) {
        let error = std::io::Error::from_raw_os_error(job.error);
        return Err(format!("fio's job {} failed: {error}", job.jobname));
    }
    let job = output.jobs.iter().find(|job| job.jobname == shape.section);
    let job = job.ok_or_else(|| format!("fio's output has no job {}", shape.section))?;
    let (transfers, latency) = match shape.work {
        Work::RandomRead | Work::ExtentRead | Work::ReadWhileWrite => (&job.read, &job.read.lat_ns),
        Work::RegionWrite => (&job.write, &job.write.lat_ns),
        Work::LogWrite => (&job.write, &job.sync.lat_ns),
    };
    if transfers.total_ios == 0 {
        return Err(format!("fio's job {} did nothing", job.jobname));
    }
    let at = |name: &str| {
        let found = latency.percentile.get(name).copied();
        found
            .map(|ns| ns / 1e3)
            .ok_or_else(|| format!("fio's output has no percentile {name} of {}", shape.name()))
    };
    // Percent of milliseconds are tens of microseconds.
    let cpu_us: f64 =
        output.jobs.iter().map(|job| (job.usr_cpu + job.sys_cpu) * job.job_runtime as f64 * 10.0).sum();
    Ok(Sample {
        operations: transfers.total_ios,
        iops: transfers.iops,
        bytes_per_s: transfers.iops * f64::from(shape.block_bytes),
        p50_us: at("50.000000")?,
        p99_us: at("99.000000")?,
        p99_9_us: at("99.900000")?,
        cpu_us_per_operation: cpu_us / transfers.total_ios as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::shape::SHAPES;
    use super::*;

    const LOG_WRITE: &str = include_str!("recorded/fio-3.33-log-write-4k.json");
    const RANDOM_READ: &str = include_str!("recorded/fio-3.33-random-read-16k.json");
    const READ_WHILE_WRITE: &str = include_str!("recorded/fio-3.33-read-while-write.json");

    fn shape(name: &str) -> Shape {
        SHAPES.into_iter().find(|shape| shape.name() == name).unwrap()
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-3
    }

    #[test]
    fn a_recorded_output_gives_its_numbers() {
        let sample = parse(RANDOM_READ, &shape("random-read-16k depth-8")).unwrap();
        assert_eq!(sample.operations, 10_109);
        assert!(near(sample.iops, 33_584.717_608), "{sample:?}");
        assert!(near(sample.bytes_per_s, 33_584.717_608 * 16_384.0), "{sample:?}");
        assert!(near(sample.p50_us, 230.4) && near(sample.p99_us, 325.632), "{sample:?}");
        assert!(near(sample.p99_9_us, 1843.2), "{sample:?}");
        assert!(near(sample.cpu_us_per_operation, 0.283_333 * 300_000.0 / 10_109.0), "{sample:?}");
    }

    #[test]
    fn the_latency_of_a_commit_is_that_of_its_sync() {
        let sample = parse(LOG_WRITE, &shape("log-write-4k depth-1")).unwrap();
        assert_eq!(sample.operations, 2686);
        assert!(near(sample.p50_us, 33.536) && near(sample.p99_9_us, 156.672), "{sample:?}");
    }

    #[test]
    fn of_reads_beside_writes_the_reads_count_and_the_processor_time_of_both() {
        let sample = parse(READ_WHILE_WRITE, &shape("read-while-write reads-depth-32")).unwrap();
        assert_eq!(sample.operations, 20_053);
        assert!(near(sample.p50_us, 444.416), "{sample:?}");
        assert!(near(sample.cpu_us_per_operation, 0.463_333 * 300_000.0 / 20_053.0), "{sample:?}");
    }

    #[test]
    fn remarks_before_the_json_are_passed_over() {
        let text = format!("fio: a remark\nnote: {{}}\n{RANDOM_READ}");
        assert_eq!(parse(&text, &shape("random-read-16k depth-8")).unwrap().operations, 10_109);
    }

    #[test]
    fn outputs_that_say_nothing_are_errors() {
        let shape = shape("random-read-16k depth-8");
        let with = |from: &str, to: &str| {
            assert!(RANDOM_READ.contains(from), "{from}");
            parse(&RANDOM_READ.replacen(from, to, 1), &shape).unwrap_err()
        };
        assert!(with("\"error\" : 0", "\"error\" : 5").contains("depth-8 failed: Input/output error"));
        assert!(with("\"jobname\" : \"depth-8\"", "\"jobname\" : \"other\"").contains("no job depth-8"));
        assert!(with("\"total_ios\" : 10109", "\"total_ios\" : 0").contains("did nothing"));
        assert!(with("\"99.900000\"", "\"99.990000\"").contains("no percentile 99.900000"));
        for text in ["", "fio: engine io_uring not loadable\n", "{}", "{\"jobs\": [{}]}", "\u{e9}\n{"] {
            assert!(parse(text, &shape).unwrap_err().contains("not understood"), "{text:?}");
        }
        assert!(parse("{\"jobs\": []}", &shape).unwrap_err().contains("no job"));
    }
}
