//! Tools that measurements are compared with: fio, wrk, curl.
//!
//! A tool's process lives no longer than its measurement, whatever ends that.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::interrupt;

/// Why a tool gave no numbers.
#[derive(Debug)]
pub(crate) enum ToolError {
    /// Ctrl-C.
    Interrupted,
    /// The tool's fault: one line. The rest goes on without it.
    Failed(String),
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Interrupted => Self::Interrupted,
            ToolError::Failed(why) => Self::Other(why),
        }
    }
}

/// Starts a tool whose standard output is wanted, and nothing else of it.
pub(crate) fn start(command: &mut Command, name: &str) -> Result<Running, ToolError> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    started.map(Running).map_err(|error| ToolError::Failed(format!("{name} does not start: {error}")))
}

/// A tool's process; ended when dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By SIGTERM, because its jobs may be processes that only it can end. After `wait` its number is not used any more.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

/// Reads what a tool prints until it ends, or ends it. At most so many bytes.
pub(crate) fn output(mut running: Running, name: &str, bytes_max: u64) -> Result<String, ToolError> {
    let failed = |error: std::io::Error| ToolError::Failed(format!("cannot read {name}'s output: {error}"));
    let Some(stdout) = running.0.stdout.take() else {
        return Err(ToolError::Failed(format!("{name} has no output")));
    };
    let (sender, receiver) = oneshot::channel();
    let read = move || {
        let mut text = String::new();
        let read = stdout.take(bytes_max).read_to_string(&mut text);
        // Nobody waits for it any more after Ctrl-C.
        let _ = sender.send(read.map(|_| text));
    };
    std::thread::Builder::new().name("aquifer-tool".into()).spawn(read).map_err(failed)?;
    let stop = std::pin::pin!(interrupt::interrupted());
    match aquifer_io::block_on(select(stop, receiver)) {
        Either::Left(_) => Err(ToolError::Interrupted),
        Either::Right((Ok(read), _)) => {
            let text = read.map_err(failed)?;
            running.0.wait().map_err(failed)?;
            Ok(text)
        }
        Either::Right((Err(oneshot::Canceled), _)) => {
            Err(ToolError::Failed(format!("{name}'s reader ended")))
        }
    }
}
