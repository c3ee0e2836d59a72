//! The yardstick of ranged GETs: wrk, which does nothing with the answers but count them.
//!
//! Its requests are those of our client but for the signature, which is in the URL, made once, and checked by the server with every
//! request all the same.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::sample::Sample;
use super::target::{BLOCK_BYTES, OBJECT_BYTES};
use crate::failure::Failure;
use crate::measure::machine::Cpu;
use crate::measure::tool::{ToolError, output, start};

const OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// What to do without it.
const HOW_TO_INSTALL: &str = "to see the shares of wrk, install it: `apt-get install wrk`, `dnf install wrk`, or \
                              https://github.com/wg/wrk";

/// Ranges are drawn before the run, so that the script costs nothing while it runs.
const SCRIPT: &str = r#"
local requests, at = {}, 0
function init(arguments)
    local blocks, bytes, seed = tonumber(arguments[1]), tonumber(arguments[2]), tonumber(arguments[3])
    math.randomseed(seed)
    for index = 1, 4096 do
        local start = math.random(0, blocks - 1) * bytes
        requests[index] = wrk.format("GET", nil, { Range = "bytes=" .. start .. "-" .. (start + bytes - 1) })
    end
end
function request()
    at = at % 4096 + 1
    return requests[at]
end
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"p99_9_us":%d}\n',
        summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// An installed wrk.
#[derive(Debug)]
pub(super) struct Wrk {
    script: std::path::PathBuf,
}

#[derive(Debug, Deserialize)]
struct Summary {
    requests: u64,
    duration_us: f64,
    errors: u64,
    p50_us: f64,
    p99_us: f64,
    p99_9_us: f64,
}

impl Wrk {
    /// Looks for it; else one line that says how to get it. Its script goes into a folder of ours.
    pub(super) fn find(folder: &Path) -> Result<Result<Self, String>, Failure> {
        // It has no flag that succeeds without a URL.
        let found = Command::new("wrk").arg("--version").stdin(Stdio::null()).output();
        if let Err(error) = found {
            return Ok(Err(match error.kind() {
                std::io::ErrorKind::NotFound => format!("wrk is not installed; {HOW_TO_INSTALL}"),
                _ => format!("wrk does not start ({error}); {HOW_TO_INSTALL}"),
            }));
        }
        let script = folder.join("ranges.lua");
        std::fs::write(&script, SCRIPT).map_err(|error| Failure::local("cannot write", &script, error))?;
        Ok(Ok(Self { script }))
    }

    /// Sends ranged GETs to a presigned URL over so many connections.
    pub(super) fn measure(
        &self,
        url: &str,
        connections: usize,
        time: Duration,
        server: Option<u32>,
    ) -> Result<Sample, ToolError> {
        let threads = connections.min(aquifer_io::cores_available().len().max(1));
        let mut command = Command::new("wrk");
        command
            .args(["--threads", &threads.to_string(), "--connections", &connections.to_string()])
            // Whole seconds are all it knows.
            .args(["--duration", &format!("{}s", time.as_secs_f64().ceil().max(1.0))])
            .args(["--timeout", "10s", "--script"])
            .arg(&self.script)
            .args([url, "--"])
            .args([(OBJECT_BYTES / BLOCK_BYTES).to_string(), BLOCK_BYTES.to_string()])
            .arg((aquifer_io::random_u64() >> 34).to_string());
        let cpu = || (Cpu::of(std::process::id()).children, server.map(|server| Cpu::of(server).own));
        let before = cpu();
        let text = output(start(&mut command, "wrk")?, "wrk", OUTPUT_BYTES_MAX)?;
        let after = cpu();
        let summary = parse(&text).map_err(ToolError::Failed)?;
        let requests = summary.requests as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / requests;
        Ok(Sample {
            rate: Some(requests * 1e6 / summary.duration_us),
            p50_us: Some(summary.p50_us),
            p99_us: Some(summary.p99_us),
            p99_9_us: Some(summary.p99_9_us),
            client_cpu_us: Some(each(after.0.saturating_sub(before.0))),
            server_cpu_us: after.1.zip(before.1).map(|(after, before)| each(after.saturating_sub(before))),
            ..Sample::default()
        })
    }
}

fn parse(text: &str) -> Result<Summary, String> {
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.ok_or_else(|| "wrk ended without its numbers".to_owned())?;
    let summary: Summary =
        serde_json::from_str(line).map_err(|error| format!("wrk's output is not understood: {error}"))?;
    match (summary.requests, summary.errors) {
        (0, _) => Err("wrk got no answer".to_owned()),
        (_, 0) => Ok(summary),
        (_, errors) => Err(format!("{errors} of wrk's requests failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_numbers_are_read_and_failures_told() {
        let line =
            r#"{"requests":9,"duration_us":1000000,"errors":0,"p50_us":68,"p99_us":110,"p99_9_us":200}"#;
        let text = format!("Running 1s test\n  9 requests in 1.00s\n{line}\n");
        let summary = parse(&text).unwrap();
        assert_eq!((summary.requests, summary.errors), (9, 0));
        for (text, why) in [
            ("", "without its numbers"),
            ("{\"requests\":", "not understood"),
            (&line.replace("\"errors\":0", "\"errors\":3"), "3 of wrk's requests failed"),
            (&line.replace("\"requests\":9", "\"requests\":0"), "no answer"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
