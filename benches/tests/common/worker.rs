//! The process of one arm of `compare`, asked as the command asks it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::{Dfs, Place};

/// Killed with the test.
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(place: &Place) -> Self {
        let mut command = place.command(&["compare-worker"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout }
    }

    pub fn send(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The answer to a request.
    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in the answer to {request}: {line:?}"))
    }

    /// Opens an engine.
    #[track_caller]
    pub fn prepare(&mut self, prepare: &Value) -> Value {
        let said = self.ask(prepare);
        assert_eq!(said["did"], "prepared", "{said}");
        said
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    #[track_caller]
    pub fn quit(mut self) {
        assert_eq!(self.ask(&json!({ "do": "quit" }))["did"], "done");
        assert_eq!(self.wait(), Some(0));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A duration as the protocol writes it.
pub fn ms(ms: u64) -> Value {
    json!({ "secs": ms / 1000, "nanos": ms % 1000 * 1_000_000 })
}

/// Opens this engine with 2,000 keys on the folder and the DFS.
pub fn prepare(engine: &str, dir: &Path, dfs: &Dfs) -> Value {
    let variables = dfs.variables();
    let of = |name: &str| variables.iter().find(|(found, _)| found == name).unwrap().1.clone();
    json!({
        "do": "prepare", "engine": engine, "dir": dir, "data": { "keys": 2000, "key_bytes": 16, "value_bytes": 100 },
        "memory_bytes": 16 << 20, "disk_bytes": 64 << 20, "threads": 2, "codec": "none", "files": "usual",
        "dfs": { "endpoint": of("AWS_ENDPOINT"), "bucket": "test-bucket", "access_key": of("AWS_ACCESS_KEY_ID"),
                 "secret_key": of("AWS_SECRET_ACCESS_KEY"), "prefix": engine },
        "rocksdb_options": null, "seed": 1,
    })
}
