//! Row `restart`: an SSD tier of many entries, opened by a process that has nothing else, after a kill in the midst of writing and after a clean end.
//!
//! ```text
//! fill ─ kill ─> round: open (measured) ─ close ─> open (measured) ─ write ─ kill ─> next round
//! ```
//! Before each start the kernel forgets what it has cached of the file, so that the index comes from the disk.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::super::patience::pause;
use super::super::room;
use super::restart_tier::{Restarted, file_bytes};
use super::stage::{Stage, bare_round, beside, complete, set};
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::interrupt;
use crate::load::workload::Workload;
use crate::measure::machine::Busy;
use crate::result::{Goal, Row, Tier};

/// The hidden command that the processes run.
pub(crate) const WORKER_COMMAND: &str = "restart-worker";
/// A process writes for so long before it is killed.
const WRITING_TIME: Duration = Duration::from_millis(100);
/// To be reached: three seconds, and a hundred megabytes.
const FIRST_HIT_MS_MAX: f64 = 3_000.0;
const INDEX_BYTES_MAX: f64 = 100e6;

fn entries(stage: &Stage<'_>) -> u64 {
    (stage.spec.keys / 2).max(1)
}

/// Whether there is room for the file, beside the loaded store: to be known before anything is measured.
pub(super) fn check_room(stage: &Stage<'_>) -> Result<(), Failure> {
    let needed = file_bytes(entries(stage)).saturating_add(stage.spec.data_bytes());
    room::check(stage.session.bed.folder(), needed)
}

/// Measures the row.
pub(super) fn measure(stage: &mut Stage<'_>) -> Result<Row, Failure> {
    let name = RowName::Restart;
    let entries = entries(stage);
    let path = stage.session.bed.folder().join("restart-tier");
    stage.step(name, &format!("writing {} entries", crate::numbers::count(entries)));
    let (mut process, filled) = Process::start::<u64>("fill", &path, entries)?;
    process.write_and_kill()?;
    let mut arm = beside("aquifer", env!("CARGO_PKG_VERSION"));
    for number in stage.rounds() {
        stage.step(name, &format!("round {number} of {}", stage.spec.args.rounds));
        let (busy, began) = (Busy::begin(), aquifer_io::unix_time_ms());
        forget_cached(&path)?;
        let (process, killed) = Process::start::<Restarted>("open", &path, entries)?;
        process.close()?;
        forget_cached(&path)?;
        let (mut process, closed) = Process::start::<Restarted>("open", &path, entries)?;
        process.write_and_kill()?;
        let mut round = bare_round(number, &busy, began);
        round.operations = 2;
        round.ops_per_s = 1e3 / killed.first_hit_ms.max(f64::MIN_POSITIVE);
        round.answers_checked = killed.hit_permille + closed.hit_permille;
        round.answers_wrong = killed.wrong + closed.wrong;
        for (after, found) in [("kill", &killed), ("close", &closed)] {
            let mut of = |what: &str, value: f64| set(&mut round, &format!("{after}_{what}"), value);
            of("first_hit_ms", found.first_hit_ms);
            of("open_ms", found.open_ms);
            of("entries", found.entries as f64);
            of("index_bytes", found.index_bytes as f64);
            of("resident_bytes", found.resident_bytes as f64);
            of("hit_share", found.hit_permille as f64 / 1e3);
        }
        arm.rounds.push(round);
    }
    std::fs::remove_file(&path).map_err(|error| Failure::local("cannot remove", &path, error))?;
    let median = |name: &str| {
        let found = arm.rounds.iter().filter_map(|round| round.values.get(name).copied());
        crate::measure::spread::Spread::of(found).map_or(0.0, |spread| spread.median)
    };
    let notes = vec![format!(
        "{} entries written; found after a kill {:.0}, after a clean end {:.0}; of a thousand random ones hit {:.0} and {:.0}; the index takes \
         {:.1} MB by its own account; resident is by how much the process grew, buffers included",
        filled,
        median("kill_entries"),
        median("close_entries"),
        median("kill_hit_share") * 1e3,
        median("close_hit_share") * 1e3,
        median("kill_index_bytes") / 1e6
    )];
    let goals = vec![
        Goal::itself_at_most("kill_first_hit_ms", FIRST_HIT_MS_MAX),
        Goal::itself_at_most("close_first_hit_ms", FIRST_HIT_MS_MAX),
        Goal::itself_at_most("kill_resident_bytes", INDEX_BYTES_MAX),
        Goal::itself_at_most("close_resident_bytes", INDEX_BYTES_MAX),
    ];
    let mut row = stage.row(name, &Workload::named("readrandom").map_err(Failure::Usage)?, 1);
    row.workload.name = name.to_string();
    row.workload.keys = entries;
    Ok(complete(Row { tier: Some(Tier::Ssd), ..row }, vec![arm], goals, notes))
}

/// The pages that the kernel keeps of the file; what is not written yet is written first.
fn forget_cached(path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::local("cannot empty the page cache of", path, error);
    let file = File::open(path).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(|errno| failed(errno.into()))
}

/// A process that has the tier open.
struct Process {
    child: Child,
    stdin: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it, and waits until it has done its work: what it says of it.
    fn start<T: DeserializeOwned>(work: &str, path: &Path, entries: u64) -> Result<(Self, T), Failure> {
        let failed = |error| Failure::Other(format!("the process of row restart does not start: {error}"));
        let program: PathBuf = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg(WORKER_COMMAND).arg(work).arg(path).arg(entries.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Other("the process of row restart has no input or output".into()));
        };
        let mut process = Self { child, stdin, answers: BufReader::new(stdout) };
        let answer = process.answer()?;
        Ok((process, answer))
    }

    /// Ctrl-C reaches the process too; then its output ends.
    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        interrupt::check()?;
        match read {
            Ok(1..) => serde_json::from_str(&line)
                .map_err(|error| Failure::Other(format!("row restart: {line:?} is no answer: {error}"))),
            _ => Err(Failure::Other("the process of row restart ended early: its message is above".into())),
        }
    }

    fn ask(&mut self, what: &str) -> Result<(), Failure> {
        let asked = writeln!(self.stdin, "{what}").and_then(|()| self.stdin.flush());
        asked.map_err(|error| Failure::Other(format!("the process of row restart is gone: {error}")))
    }

    /// Lets it end in order.
    fn close(mut self) -> Result<(), Failure> {
        self.ask("close")?;
        let ended = self.child.wait();
        match ended {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Failure::Other(
                "the process of row restart did not end well: its message is above".into(),
            )),
        }
    }

    /// Kills it in the midst of writing.
    fn write_and_kill(&mut self) -> Result<(), Failure> {
        self.ask("write")?;
        let _: String = self.answer()?;
        pause(WRITING_TIME)?;
        self.kill();
        Ok(())
    }

    fn kill(&mut self) {
        // SIGKILL. One that is gone already needs none.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
