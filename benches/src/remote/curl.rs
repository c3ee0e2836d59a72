//! The yardstick of large transfers: curl, with one request for the whole object.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::sample::Sample;
use crate::measure::machine::Cpu;
use crate::measure::tool::{ToolError, output, start};

const OUTPUT_BYTES_MAX: u64 = 64 << 10;
const MIB: f64 = 1_048_576.0;
const HOW_TO_INSTALL: &str =
    "to see the shares of curl, install it: `apt-get install curl`, `dnf install curl`, or https://curl.se";

/// An installed curl.
#[derive(Debug)]
pub(super) struct Curl;

#[derive(Debug, Deserialize)]
struct Summary {
    http_code: u16,
    size_download: f64,
    size_upload: f64,
    time_total: f64,
    #[serde(default)]
    errormsg: Option<String>,
}

impl Curl {
    /// Looks for it; else one line that says how to get it.
    pub(super) fn find() -> Result<Self, String> {
        let found = Command::new("curl").arg("--version").stdin(Stdio::null()).output();
        match found {
            Ok(output) if output.status.success() => Ok(Self),
            Ok(output) => Err(format!("curl does not work ({}); {HOW_TO_INSTALL}", output.status)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("curl is not installed; {HOW_TO_INSTALL}"))
            }
            Err(error) => Err(format!("curl does not start ({error}); {HOW_TO_INSTALL}")),
        }
    }

    /// One PUT of a whole file to a presigned URL.
    pub(super) fn upload(&self, url: &str, file: &Path, server: Option<u32>) -> Result<Sample, ToolError> {
        self.run(&["--upload-file", &file.display().to_string()], url, server)
    }

    /// One GET of a whole object by a presigned URL.
    pub(super) fn download(&self, url: &str, server: Option<u32>) -> Result<Sample, ToolError> {
        self.run(&["--output", "/dev/null"], url, server)
    }

    fn run(&self, flags: &[&str], url: &str, server: Option<u32>) -> Result<Sample, ToolError> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "127.0.0.1,localhost", "--write-out", "\n%{json}\n"]);
        command.args(flags).arg(url);
        let cpu = || (Cpu::of(std::process::id()).children, server.map(|server| Cpu::of(server).own));
        let before = cpu();
        let text = output(start(&mut command, "curl")?, "curl", OUTPUT_BYTES_MAX)?;
        let after = cpu();
        let summary = parse(&text).map_err(ToolError::Failed)?;
        let mebibytes = summary.size_download.max(summary.size_upload) / MIB;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / mebibytes;
        Ok(Sample {
            rate: Some(mebibytes / summary.time_total),
            client_cpu_us: Some(each(after.0.saturating_sub(before.0))),
            server_cpu_us: after.1.zip(before.1).map(|(after, before)| each(after.saturating_sub(before))),
            ..Sample::default()
        })
    }
}

fn parse(text: &str) -> Result<Summary, String> {
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.ok_or_else(|| "curl ended without its numbers".to_owned())?;
    let summary: Summary =
        serde_json::from_str(line).map_err(|error| format!("curl's output is not understood: {error}"))?;
    match summary.http_code {
        200 | 201 | 204 => Ok(summary),
        0 => Err(format!("curl got no answer: {}", summary.errormsg.as_deref().unwrap_or("it says no more"))),
        status => Err(format!("curl was answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_numbers_are_read_and_failures_told() {
        let line =
            r#"{"http_code":200,"size_download":1048576,"size_upload":0,"time_total":0.5,"errormsg":null}"#;
        assert_eq!(parse(&format!("body\n{line}\n")).unwrap().http_code, 200);
        for (text, why) in [
            ("", "without its numbers"),
            ("{", "not understood"),
            (&line.replace("200", "403"), "answered 403"),
            (&line.replace("200", "0").replace("null", "\"refused\""), "no answer: refused"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
