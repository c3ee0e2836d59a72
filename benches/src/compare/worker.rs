//! The process of an arm: does what the command asks, one request after the other, and ends with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use super::arm::{self, Arm};
use super::drive::tally::Tally;
use super::spec::{Answer, Data, Doing, Engine, LINE_BYTES_MAX, Measured, Prepare, Request, Stats, Work};
use super::{process_io, script};
use crate::failure::Failure;
use crate::histogram::Latencies;
use crate::load::distribution::Distribution;
use crate::measure::machine::process_cpu;
use crate::resources::resident_memory;
use crate::result::{Amplification, Dfs, Memory, Round, Ssd, quotient};

/// Keys that are read after a restore, beyond the first.
const RESTORED_KEYS_CHECKED: u64 = 1000;

/// Runs until the standard input ends or says so.
pub(crate) fn serve() -> Result<(), Failure> {
    let lines = lines_of_stdin()?;
    let mut worker = Worker { open: None };
    for line in lines {
        let request: Request = serde_json::from_str(&line)
            .map_err(|error| Failure::Other(format!("not a request of this version: {error}")))?;
        if request == Request::Quit {
            break;
        }
        match worker.answer(request) {
            Ok(answer) => say(&answer)?,
            Err(failure) => {
                say(&Answer::Failed { why: failure.to_string() })?;
                return Ok(());
            }
        }
    }
    worker.close()?;
    say(&Answer::Done { seconds: 0.0, bytes: 0 })
}

/// Reads requests beside the work: when the command is gone, so is this process, whatever it is doing.
fn lines_of_stdin() -> Result<std::sync::mpsc::Receiver<String>, Failure> {
    let (sender, lines) = std::sync::mpsc::sync_channel(16);
    let read = move || {
        let mut stdin = BufReader::new(std::io::stdin());
        loop {
            let mut line = String::new();
            match stdin.by_ref().take(LINE_BYTES_MAX).read_line(&mut line) {
                Ok(bytes) if bytes > 0 && sender.send(line).is_ok() => {}
                // The folder is the command's, and swept by the next one if need be.
                _ => std::process::exit(3),
            }
        }
    };
    let thread = std::thread::Builder::new().name("aquifer-requests".into());
    let started = thread.spawn(read).map(drop);
    started.map(|()| lines).map_err(|error| Failure::Other(format!("cannot read requests: {error}")))
}

fn say(answer: &Answer) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::Other(format!("cannot answer: {error}"));
    let mut line = serde_json::to_vec(answer).map_err(|error| cannot(&error))?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(|error| cannot(&error))
}

struct Worker {
    open: Option<(Box<dyn Arm>, Prepare)>,
}

impl Worker {
    fn close(&mut self) -> Result<(), Failure> {
        self.open.take().map_or(Ok(()), |(arm, _)| arm.close())
    }

    fn arm(&self) -> Result<(&dyn Arm, &Prepare), Failure> {
        let unopened = || Failure::Other("asked for work before an engine was opened".into());
        self.open.as_ref().map(|(arm, prepare)| (arm.as_ref(), prepare)).ok_or_else(unopened)
    }

    fn answer(&mut self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Prepare(prepare) => {
                self.close()?;
                let arm = arm::open(&prepare)?;
                let about = arm.about();
                self.open = Some((arm, *prepare));
                Ok(Answer::Prepared { version: about.version, settings: about.settings, notes: about.notes })
            }
            Request::Settle => timed(|| self.arm()?.0.settle().map(|()| 0)),
            Request::Fill => timed(|| self.arm()?.0.fill().map(|()| 0)),
            Request::Warm => timed(|| crate::warm::read_through(&self.arm()?.1.dir)),
            Request::Checkpoint => timed(|| self.arm()?.0.checkpoint()),
            Request::Round(work) => {
                let (arm, prepare) = self.arm()?;
                Ok(Answer::Measured(Box::new(round(arm, &work, prepare)?)))
            }
            Request::Script { seed, operations, keys } => {
                let (arm, prepare) = self.arm()?;
                script::run(arm, prepare.data, seed, operations, keys)
            }
            Request::Restore { seed } => self.restore(seed),
            Request::Stats => Ok(Answer::Stats(stats(self.arm()?.0)?)),
            Request::Quit => Ok(Answer::Done { seconds: 0.0, bytes: 0 }),
        }
    }

    /// Closes, empties the folder, and opens what the DFS has.
    fn restore(&mut self, seed: u64) -> Result<Answer, Failure> {
        let prepare = self.arm()?.1.clone();
        self.close()?;
        std::fs::remove_dir_all(&prepare.dir)
            .map_err(|error| Failure::local("cannot empty", &prepare.dir, error))?;
        let mut numbers = crate::load::rng::Rng::new(seed);
        let before = process_io::read_bytes();
        let began = aquifer_io::now();
        let arm = arm::restore(&prepare)?;
        let mut tally = Tally::new();
        check_one(arm.as_ref(), &prepare, numbers.below(prepare.data.keys), &mut tally)?;
        let took = began.elapsed();
        for _ in 0..RESTORED_KEYS_CHECKED.min(prepare.data.keys) {
            check_one(arm.as_ref(), &prepare, numbers.below(prepare.data.keys), &mut tally)?;
        }
        self.open = Some((arm, prepare));
        let mut round = Round {
            began_unix_ms: aquifer_io::unix_time_ms(),
            seconds: took.as_secs_f64(),
            operations: 1,
            ops_per_s: quotient(1.0, took.as_secs_f64()).unwrap_or(0.0),
            answers_checked: tally.checked,
            answers_wrong: tally.wrong,
            memory: Some(memory()),
            ..Round::default()
        };
        round.values.insert("restore_first_answer_ms".into(), took.as_secs_f64() * 1e3);
        round
            .values
            .insert("restore_disk_read_bytes".into(), process_io::read_bytes().saturating_sub(before) as f64);
        Ok(Answer::Measured(Box::new(Measured { round, ..Measured::default() })))
    }
}

fn check_one(arm: &dyn Arm, prepare: &Prepare, number: u64, tally: &mut Tally) -> Result<(), Failure> {
    let mut key = Vec::new();
    super::drive::keys::Keys::new(prepare.data, Distribution::Uniform, 0).key(&mut key, number);
    arm.read(&[key], &mut |_, value| tally.check(number, value))
}

fn timed(work: impl FnOnce() -> Result<u64, Failure>) -> Result<Answer, Failure> {
    let began = aquifer_io::now();
    let bytes = work()?;
    Ok(Answer::Done { seconds: began.elapsed().as_secs_f64(), bytes })
}

fn memory() -> Memory {
    let resident = resident_memory();
    Memory { resident_bytes: resident.now_bytes, peak_bytes: resident.peak_bytes }
}

fn stats(arm: &dyn Arm) -> Result<Stats, Failure> {
    Ok(Stats {
        disk_written_bytes: process_io::written_bytes(),
        disk_read_bytes: process_io::read_bytes(),
        resident_bytes: resident_memory().now_bytes,
        ..arm.stats()?
    })
}

/// One measurement, with what the process used meanwhile.
fn round(arm: &dyn Arm, work: &Work, prepare: &Prepare) -> Result<Measured, Failure> {
    let data: Data = prepare.data;
    let before = stats(arm)?;
    let (began_unix_ms, began, cpu) = (aquifer_io::unix_time_ms(), aquifer_io::now(), process_cpu());
    let mut values = BTreeMap::new();
    let tally =
        if work.checkpoints > 0 { under_checkpoints(arm, work, &mut values)? } else { arm.round(work)? };
    let mut seconds = tally.measured.as_secs_f64();
    let fills = matches!(work.doing, Doing::Load | Doing::Overwrite);
    if fills {
        values.insert("written_per_s".into(), tally.per_s);
        let settling = aquifer_io::now();
        arm.settle()?;
        values.insert("settle_s".into(), settling.elapsed().as_secs_f64());
        seconds = began.elapsed().as_secs_f64();
    }
    let cpu = process_cpu().saturating_sub(cpu);
    let after = stats(arm)?;
    let operations = tally.operations as f64;
    let per_s = if fills { quotient(operations, seconds).unwrap_or(0.0) } else { tally.per_s };
    // Warm-up is work too: of what the process used, the measured part's share is counted.
    let share = quotient(operations, tally.done as f64).unwrap_or(0.0).min(1.0);
    let counted = |now: u64, then: u64| crate::load::rng::whole_part(now.saturating_sub(then) as f64 * share);
    let ssd = Ssd {
        read_bytes: counted(after.disk_read_bytes, before.disk_read_bytes),
        written_bytes: counted(after.disk_written_bytes, before.disk_written_bytes),
        ..Ssd::default()
    };
    let uploaded = after.uploaded_bytes.map(|after| counted(after, before.uploaded_bytes.unwrap_or(0)));
    // Of an engine that lives on the DFS and does not count what it sends there, it is not known.
    let is_known = uploaded.is_some() || prepare.engine != Engine::Slatedb;
    let written = is_known.then(|| (ssd.written_bytes + uploaded.unwrap_or(0)) as f64);
    let asked = operations * (data.key_bytes + data.value_bytes) as f64;
    let reads_only = matches!(work.doing, Doing::Get | Doing::MultiGet);
    if let Some(written) = written.filter(|_| fills) {
        values.insert("written_bytes".into(), written);
    }
    if work.doing == Doing::MultiGet && prepare.engine == Engine::Rocksdb {
        values.insert("io_uring_rings".into(), tally.rings as f64);
    }
    let round = Round {
        began_unix_ms,
        seconds,
        operations: tally.operations,
        ops_per_s: per_s,
        offered_ops_per_s: work.rate,
        ops_per_s_per_core: quotient(per_s, f64::from(work.threads)),
        latency: tally.latency.summary(),
        service: tally.service.as_ref().map(Latencies::summary),
        cpu_us_per_operation: quotient(cpu.as_secs_f64() * 1e6, tally.done as f64),
        memory: Some(memory()),
        ssd: Some(ssd),
        dfs: uploaded.map(|out_bytes| Dfs { out_bytes, ..Dfs::default() }),
        amplification: Amplification {
            write: written.and_then(|written| quotient(written, if reads_only { 0.0 } else { asked })),
            read: quotient(ssd.read_bytes as f64, if fills { 0.0 } else { asked }),
            space: quotient(after.state_bytes as f64, data.bytes() as f64),
        },
        answers_checked: tally.checked,
        answers_wrong: tally.wrong,
        values,
        ..Round::default()
    };
    let service_ns = tally.service.as_ref().map(pairs).unwrap_or_default();
    Ok(Measured { round, response_ns: pairs(&tally.latency), service_ns })
}

/// A histogram as pairs of value and count.
fn pairs(latencies: &Latencies) -> Vec<(u64, u64)> {
    let values = latencies.histogram().into_iter().flat_map(hdrhistogram::Histogram::iter_recorded);
    values.map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
}

/// The measurement with checkpoints in the midst of it.
fn under_checkpoints(
    arm: &dyn Arm,
    work: &Work,
    values: &mut BTreeMap<String, f64>,
) -> Result<Tally, Failure> {
    let pause = (work.warm_up + work.measured) / (work.checkpoints + 1);
    let (mut seconds, mut sent) = (Vec::new(), 0);
    let tally = std::thread::scope(|scope| {
        let load = scope.spawn(|| arm.round(work));
        for _ in 0..work.checkpoints {
            wait(pause);
            let began = aquifer_io::now();
            sent += arm.checkpoint()?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        load.join().unwrap_or_else(|_| Err(Failure::Other("the load panicked: its message is above".into())))
    })?;
    if let Some(spread) = crate::measure::spread::Spread::of(seconds) {
        values.insert("checkpoint_s".into(), spread.median);
    }
    values.insert("checkpoint_sent_bytes".into(), sent as f64 / f64::from(work.checkpoints));
    Ok(tally)
}

fn wait(duration: Duration) {
    let end = aquifer_io::now() + duration;
    loop {
        let left = end.duration_since(aquifer_io::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
