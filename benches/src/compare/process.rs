//! The process of an arm, as the command sees it: started once more from the same program, asked over its standard input,
//! ended with the command whatever ends that.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::spec::{Answer, LINE_BYTES_MAX, Measured, Prepare, Request};
use crate::failure::Failure;
use crate::interrupt;

/// The hidden command that it runs.
pub(crate) const WORKER_COMMAND: &str = "compare-worker";

/// Longest time between two looks at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time for one answer: a load of a large state is the longest.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// Time that a process has to end by itself.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct ArmProcess {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl ArmProcess {
    /// Starts it; nothing is open in it yet.
    pub(super) fn start(name: &str) -> Result<Self, Failure> {
        let failed = |error| Failure::Other(format!("the process of {name} does not start: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C is the command's to handle, which ends this process then.
        command.arg(WORKER_COMMAND).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, answers) = sync_channel(4);
        let arm = Self { name: name.to_owned(), child, stdin, answers };
        let read = move || {
            let Some(mut stdout) = stdout.map(BufReader::new) else { return };
            loop {
                let mut line = String::new();
                match stdout.by_ref().take(LINE_BYTES_MAX).read_line(&mut line) {
                    Ok(bytes) if bytes > 0 && sender.send(line).is_ok() => {}
                    // Its end is seen by who waits for the next answer.
                    _ => return,
                }
            }
        };
        std::thread::Builder::new().name("aquifer-answers".into()).spawn(read).map_err(failed)?;
        Ok(arm)
    }

    /// Its number.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut line = serde_json::to_vec(request)
            .map_err(|error| Failure::Other(format!("cannot encode a request: {error}")))?;
        line.push(b'\n');
        let sent = self.stdin.as_mut().map(|stdin| stdin.write_all(&line).and_then(|()| stdin.flush()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.lost());
        }
        let end = aquifer_io::now() + ANSWER_TIME_MAX;
        loop {
            interrupt::check()?;
            match self.answers.recv_timeout(LOOK) {
                Ok(line) => return self.understand(&line),
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost()),
                Err(RecvTimeoutError::Timeout) if aquifer_io::now() > end => {
                    let hours = ANSWER_TIME_MAX.as_secs() / 3600;
                    return Err(Failure::Other(format!("{} gave no answer for {hours} hours", self.name)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn understand(&self, line: &str) -> Result<Answer, Failure> {
        match serde_json::from_str(line) {
            Ok(Answer::Failed { why }) => Err(Failure::Other(format!("{}: {why}", self.name))),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::Other(format!("{} answered what is no answer: {error}", self.name))),
        }
    }

    /// Why it is gone.
    fn lost(&mut self) -> Failure {
        // Its output has ended, so it is about to, if it has not.
        let end = aquifer_io::now() + END_TIME_MAX;
        while aquifer_io::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::park_timeout(LOOK);
        }
        let _ = self.child.kill();
        let how = match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(9), _) => {
                    "was killed by signal 9: did the machine run out of memory? The kernel's log says so"
                        .to_owned()
                }
                (Some(signal), _) => format!("was killed by signal {signal}"),
                (None, code) => format!("ended by itself with code {}", code.unwrap_or_default()),
            },
            Err(error) => format!("is lost: {error}"),
        };
        Failure::Other(format!("the process of {} {how}", self.name))
    }

    /// Opens an engine in it: version, settings, notes.
    pub(super) fn prepare(&mut self, prepare: &Prepare) -> Result<Answer, Failure> {
        self.ask(&Request::Prepare(Box::new(prepare.clone())))
    }

    /// Asks for what is answered by a measurement.
    pub(super) fn measure(&mut self, request: &Request) -> Result<Measured, Failure> {
        match self.ask(request)? {
            Answer::Measured(measured) => Ok(*measured),
            other => Err(Failure::Other(format!("{} did not measure but answered {other:?}", self.name))),
        }
    }

    /// Ends it in order.
    pub(super) fn quit(mut self) -> Result<(), Failure> {
        self.ask(&Request::Quit)?;
        drop(self.stdin.take());
        let end = aquifer_io::now() + END_TIME_MAX;
        while aquifer_io::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Ok(());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}

impl Drop for ArmProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // What it has open is scratch: nothing is to be saved.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
