//! The yardstick: fio, run on the same file with the same shapes.
//!
//! A fio process lives no longer than its measurement, whatever ends that.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use rustix::process::{Pid, Signal, kill_process};

use super::fio_json::parse;
use super::sample::{Sample, Times};
use super::shape::Shape;
use super::test_file::TestFile;
use crate::failure::Failure;
use crate::interrupt;

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

/// Why there are no numbers.
#[derive(Debug)]
pub(super) enum FioError {
    /// Ctrl-C.
    Interrupted,
    /// fio's fault: one line. The rest goes on without it.
    Failed(String),
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
    pub(super) fn measure(&self, shape: &Shape, file: &TestFile, times: Times) -> Result<Sample, FioError> {
        let failed = |what: &str, error: std::io::Error| FioError::Failed(format!("{what}: {error}"));
        let job = file.folder().join("job.fio");
        let text = if file.is_direct() { shape.text.to_owned() } else { buffered(shape.text) };
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
        let output = finish(Running(child))?;
        parse(&output, shape).map_err(|why| {
            let complaints = std::fs::read_to_string(&complaints).unwrap_or_default();
            let first = complaints.lines().chain(output.lines()).find(|line| line.starts_with("fio:"));
            FioError::Failed(first.map_or(why.clone(), |line| format!("{why} ({line})")))
        })
    }
}

/// Reads what it prints until it ends, or ends it.
fn finish(mut running: Running) -> Result<String, FioError> {
    let failed = |error: std::io::Error| FioError::Failed(format!("cannot read fio's output: {error}"));
    let Some(stdout) = running.0.stdout.take() else {
        return Err(FioError::Failed("fio has no output".into()));
    };
    let (sender, receiver) = oneshot::channel();
    let read = move || {
        let mut text = String::new();
        let read = stdout.take(OUTPUT_BYTES_MAX).read_to_string(&mut text);
        // Nobody waits for it any more after Ctrl-C.
        let _ = sender.send(read.map(|_| text));
    };
    std::thread::Builder::new().name("aquifer-fio".into()).spawn(read).map_err(failed)?;
    let stop = std::pin::pin!(interrupt::interrupted());
    match aquifer_io::block_on(select(stop, receiver)) {
        Either::Left(_) => Err(FioError::Interrupted),
        Either::Right((Ok(read), _)) => {
            let text = read.map_err(failed)?;
            running.0.wait().map_err(failed)?;
            Ok(text)
        }
        Either::Right((Err(oneshot::Canceled), _)) => Err(FioError::Failed("fio's reader ended".into())),
    }
}

/// A fio process; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By SIGTERM, because its jobs are processes that only it can end. After `wait` its number is not used any more.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
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

impl From<FioError> for Failure {
    fn from(error: FioError) -> Self {
        match error {
            FioError::Interrupted => Self::Interrupted,
            FioError::Failed(why) => Self::Other(why),
        }
    }
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
