//! The yardstick: fio, run on the same file with the same shapes.

use std::fs::File;
use std::process::{Command, Stdio};

use super::fio_json::parse;
use super::sample::Sample;
use super::shape::Shape;
use super::test_file::TestFile;
use crate::measure::spread::Times;
use crate::measure::tool::{Running, ToolError, output};

/// Longest output of one run that is read; three times that of the longest profile.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What to do without fio.
const HOW_TO_INSTALL: &str = "to see the shares of fio, install it: `apt-get install fio`, `dnf install fio`, \
                              `pacman -S fio`, or https://github.com/axboe/fio";

/// An installed fio.
#[derive(Debug)]
pub(super) struct Fio {
    version: String,
}

impl Fio {
    /// Looks for it; else one line that says how to get it.
    pub(super) fn find() -> Result<Self, String> {
        let found = Command::new("fio").arg("--version").stdin(Stdio::null()).output();
        match found {
            Ok(output) if output.status.success() => {
                Ok(Self { version: String::from_utf8_lossy(&output.stdout).trim().to_owned() })
            }
            Ok(output) => Err(format!("fio does not work ({}); {HOW_TO_INSTALL}", output.status)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("fio is not installed; {HOW_TO_INSTALL}"))
            }
            Err(error) => Err(format!("fio does not start ({error}); {HOW_TO_INSTALL}")),
        }
    }

    /// As it names itself.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Runs one shape.
    pub(super) fn measure(&self, shape: &Shape, file: &TestFile, times: Times) -> Result<Sample, ToolError> {
        self.measure_text(shape, shape.text, file, times)
    }

    /// Runs the section that the shape names of a job file with this text.
    pub(super) fn measure_text(
        &self,
        shape: &Shape,
        text: &str,
        file: &TestFile,
        times: Times,
    ) -> Result<Sample, ToolError> {
        let failed = |what: &str, error: std::io::Error| ToolError::Failed(format!("{what}: {error}"));
        let job = file.folder().join("job.fio");
        let text = if file.is_direct() { text.to_owned() } else { buffered(text) };
        std::fs::write(&job, text).map_err(|error| failed("cannot write fio's job file", error))?;
        let complaints = file.folder().join("fio.err");
        let stderr = File::create(&complaints).map_err(|error| failed("cannot keep fio's errors", error))?;
        let mut command = Command::new("fio");
        command
            .arg("--output-format=json")
            .arg(format!("--filename={}", escaped(file.path())))
            .arg(format!("--size={}", file.bytes()))
            .arg(format!("--runtime={}ms", times.measured.as_millis()))
            .arg(format!("--ramp_time={}ms", times.warm_up.as_millis()));
        if !shape.runs_whole_file() {
            command.arg(format!("--section={}", shape.section));
        }
        command.arg(&job).current_dir(file.folder());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let child = command.spawn().map_err(|error| failed("fio does not start", error))?;
        let output = output(Running(child), "fio", OUTPUT_BYTES_MAX)?;
        parse(&output, shape).map_err(|why| {
            let complaints = std::fs::read_to_string(&complaints).unwrap_or_default();
            let first = complaints.lines().chain(output.lines()).find(|line| line.starts_with("fio:"));
            ToolError::Failed(first.map_or(why.clone(), |line| format!("{why} ({line})")))
        })
    }
}

/// The same job through the page cache, for file systems that refuse direct I/O.
fn buffered(text: &str) -> String {
    text.replace("\ndirect=1\n", "\ndirect=0\n")
}

/// fio parts file names at colons.
fn escaped(path: &std::path::Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::super::shape::SHAPES;
    use super::*;

    #[test]
    fn every_profile_can_go_through_the_page_cache() {
        for shape in SHAPES {
            let text = buffered(shape.text);
            assert!(text.contains("\ndirect=0\n") && !text.contains("direct=1"), "{}", shape.name());
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped(std::path::Path::new("/a:b/c")), "/a\\:b/c");
    }
}
