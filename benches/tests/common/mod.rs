//! What the tests of the program share: its command, real events in any number, and the state they must end in.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

pub mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder for one test: temporary folders of the program go there too, so that leftovers are seen.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with these flags, on two shards and without the environment's store.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aquifer-bench"));
        command.args(flags).env("TMPDIR", self.path("tmp")).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, flags: &[&str]) -> Ended {
        Ended::new(&self.command(flags).output().unwrap())
    }

    /// Writes the first rows of the real events; the file's name.
    pub fn events(&self, rows: usize) -> String {
        let path = self.path(&format!("events-{rows}.csv"));
        let text = real_events();
        let end = text.match_indices('\n').nth(rows).map_or(text.len(), |(index, _)| index + 1);
        std::fs::write(&path, &text[..end]).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Temporary folders that the program left behind.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have ended well.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stderr, self.stdout);
        self
    }

    /// It must have failed with this code and said this.
    #[track_caller]
    pub fn failed(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        assert!(self.stderr.contains(text), "{text:?} is not in\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// A `dfs` process; killed with the test.
pub struct Dfs {
    child: Child,
    lines: Vec<String>,
}

impl Dfs {
    /// On a free port, with the bucket `test-bucket` and these flags.
    pub fn start(place: &Place, flags: &[&str]) -> Self {
        let dir = place.path("served");
        let own =
            ["dfs", "--dir", dir.to_str().unwrap(), "--listen", "127.0.0.1:0", "--bucket", "test-bucket"];
        let mut child = place.command(&[&own, flags].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = stdout.lines().take(4).map(Result::unwrap).collect();
        Self { child, lines }
    }

    /// The variables it printed.
    pub fn variables(&self) -> Vec<(String, String)> {
        let exports = self.lines.iter().filter_map(|line| line.strip_prefix("export "));
        let pairs = exports.flat_map(|line| line.split(' ')).filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Host and port.
    pub fn address(&self) -> String {
        let variables = self.variables();
        let endpoint = &variables.iter().find(|(name, _)| name == "AWS_ENDPOINT").unwrap().1;
        endpoint.strip_prefix("http://").unwrap().to_owned()
    }

    /// Sends a signal and waits for its end; the exit code.
    pub fn signal(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dfs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn real_events() -> String {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights-2013.csv.zst");
    String::from_utf8(zstd::decode_all(std::fs::File::open(packed).unwrap()).unwrap()).unwrap()
}

/// Flights, sum and maximum of delays, miles, last destination and its departure.
type State = (u64, i64, Option<i64>, i64, String, String);

/// The final state of a file of flights, by code that shares nothing with the program.
pub fn flights_state(file: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let mut rows = text.lines();
    let header: Vec<&str> = rows.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|found| *found == name).unwrap();
    let columns = [
        column("tail_number"),
        column("arrival_delay_min"),
        column("distance_mi"),
        column("destination"),
        column("scheduled_departure_s"),
    ];
    let mut keys: BTreeMap<String, State> = BTreeMap::new();
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let [tail, delay, distance, destination, departure] = columns.map(|index| fields[index]);
        let state = keys.entry(tail.to_owned()).or_default();
        state.0 += 1;
        if let Ok(delay) = delay.parse::<i64>() {
            state.1 += delay;
            state.2 = Some(state.2.map_or(delay, |max| max.max(delay)));
        }
        state.3 += distance.parse::<i64>().unwrap_or(0);
        (state.4, state.5) = (destination.to_owned(), departure.to_owned());
    }
    let mut out = String::from(
        "tail_number,flights,arrival_delay_sum_min,arrival_delay_max_min,distance_sum_mi,last_destination,last_departure_s\n",
    );
    for (key, (flights, sum, max, miles, destination, departure)) in keys {
        let max = max.map_or_else(String::new, |max| max.to_string());
        writeln!(out, "{key},{flights},{sum},{max},{miles},{destination},{departure}").unwrap();
    }
    out
}
