//! What a comparison runs on: folders, a DFS, and the processes of the arms; and how rounds are measured on them.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_remote::shape::LatencyProfile;

use super::process::ArmProcess;
use super::spec::{Answer, Data, DfsAccess, Engine, Files, Prepare, Request, Work};
use crate::byte_size::human_bytes;
use crate::cli::{Against, CompareArgs};
use crate::failure::Failure;
use crate::histogram::Latencies;
use crate::measure::machine::{Busy, NOISY_CORES};
use crate::measure::turns::CycleFrom;
use crate::progress::Progress;
use crate::remote::{BUCKET, DfsProcess};
use crate::result::{Arm, Curve, Interval, Recording, Round};
use crate::scratch::Scratch;

/// The least that an arm gets: what ours needs on a few shards.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// What a process holds beside its budget: program, stacks, HTTP, histograms.
const MEMORY_BYTES_BESIDE: u64 = 96 << 20;

/// Which arm, by its place among the contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Ours.
    Ours,
    /// The other engine.
    Theirs,
    /// The other engine with one big file a level.
    TheirsBig,
    /// The engine that does nothing.
    Nothing,
}

/// An arm's process and what is open in it.
pub(super) struct Contender {
    who: Who,
    process: ArmProcess,
    pub(super) prepare: Prepare,
    /// Of the folder and prefix, so that a fresh start has fresh ones.
    starts: u32,
    about: Option<(String, crate::result::Settings, Vec<String>)>,
}

/// One arm in one row.
#[derive(Debug, Clone)]
pub(super) struct Entrant {
    pub(super) name: String,
    pub(super) who: Who,
    pub(super) request: Request,
}

/// See the module. Dropping it ends the processes, then removes the folders.
pub(super) struct Bench<'r> {
    pub(super) args: &'r CompareArgs,
    pub(super) progress: Progress,
    pub(super) contenders: Vec<Contender>,
    /// The row that is measured.
    pub(super) row: String,
    /// Latencies of every round.
    pub(super) recordings: Vec<Recording>,
    dfs: Option<(LatencyProfile, DfsProcess)>,
    scratch: Scratch,
}

impl<'r> Bench<'r> {
    pub(super) fn set_up(args: &'r CompareArgs) -> Result<Self, Failure> {
        let base = args.dir.clone().unwrap_or_else(crate::scratch::base);
        let scratch = Scratch::new_in(&base)?;
        let needed = args.free_bytes_min.unwrap_or_else(|| disk_needed(args));
        let free = rustix::fs::statvfs(scratch.path())
            .map_err(|error| Failure::local("cannot look at the disk of", scratch.path(), error.into()))?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        if free < needed {
            return Err(Failure::Usage(format!(
                "{} of disk are free in {} and about {} are needed: free some, name another folder with --dir, or take fewer --keys",
                human_bytes(free),
                base.display(),
                human_bytes(needed)
            )));
        }
        Ok(Self {
            args,
            progress: Progress::new(),
            contenders: Vec::new(),
            row: String::new(),
            recordings: Vec::new(),
            dfs: None,
            scratch,
        })
    }

    pub(super) fn data(&self) -> Data {
        Data { keys: self.args.keys, key_bytes: self.args.key_bytes, value_bytes: self.args.value_bytes }
    }

    /// A share of the data as memory.
    pub(super) fn memory_bytes(data: Data, percent: u64) -> u64 {
        (data.bytes() / 100).saturating_mul(percent).max(MEMORY_BYTES_MIN)
    }

    /// Has a DFS with this profile serve the one folder.
    pub(super) fn serve(&mut self, profile: LatencyProfile) -> Result<(), Failure> {
        if self.dfs.as_ref().is_some_and(|(served, _)| *served == profile) {
            return Ok(());
        }
        // Who still writes to the other one must be gone before it is.
        self.contenders.clear();
        self.dfs = None;
        let folder = self.scratch.path().join("dfs");
        self.dfs = Some((profile, DfsProcess::start(&folder, profile)?));
        Ok(())
    }

    fn access(&self, prefix: &str) -> Option<DfsAccess> {
        let (_, dfs) = self.dfs.as_ref()?;
        Some(DfsAccess {
            endpoint: dfs.endpoint().to_owned(),
            bucket: BUCKET.to_owned(),
            access_key: dfs.access_key().to_owned(),
            secret_key: dfs.secret_key().to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// Starts the process of an arm on the folder named so; an engine is opened by [`Self::open`].
    pub(super) fn enter(&mut self, who: Who, name: &str, data: Data) -> Result<(), Failure> {
        let engine = match (who, self.args.against) {
            (Who::Ours, _) => Engine::Aquifer,
            (Who::Nothing, _) | (_, Against::Nothing) => Engine::Nothing,
            (_, Against::Rocksdb) => Engine::Rocksdb,
            (_, Against::Slatedb) => Engine::Slatedb,
            (_, Against::Fjall) => Engine::Fjall,
        };
        let prepare = Prepare {
            engine,
            dir: self.scratch.path().join(name),
            data,
            memory_bytes: Self::memory_bytes(data, self.args.memory_percent),
            disk_bytes: data.bytes() * 3 + (256 << 20),
            threads: self.args.threads,
            codec: self.args.compression,
            files: if who == Who::TheirsBig { Files::Big } else { Files::Usual },
            dfs: self.access(name),
            rocksdb_options: self.args.rocksdb_options.clone(),
            seed: self.args.seed,
        };
        let process = ArmProcess::start(engine.name())?;
        self.contenders.push(Contender { who, process, prepare, starts: 0, about: None });
        Ok(())
    }

    pub(super) fn has(&self, who: Who) -> bool {
        self.contenders.iter().any(|contender| contender.who == who)
    }

    pub(super) fn contender(&mut self, who: Who) -> Result<&mut Contender, Failure> {
        let found = self.contenders.iter_mut().find(|contender| contender.who == who);
        found.ok_or_else(|| Failure::Other(format!("{who:?} takes no part in this")))
    }

    /// Opens an engine on what is there, with what `change` makes of its settings.
    pub(super) fn open(&mut self, who: Who, change: impl FnOnce(&mut Prepare)) -> Result<(), Failure> {
        let contender = self.contender(who)?;
        change(&mut contender.prepare);
        match contender.process.prepare(&contender.prepare)? {
            Answer::Prepared { version, settings, notes } => {
                contender.about = Some((version, settings, notes));
            }
            other => return Err(Failure::Other(format!("{who:?} did not open but answered {other:?}"))),
        }
        Ok(())
    }

    /// Opens an engine on nothing, and forgets what was there.
    pub(super) fn open_fresh(&mut self, who: Who) -> Result<(), Failure> {
        let dfs = self.scratch.path().join("dfs");
        let contender = self.contender(who)?;
        contender.starts += 1;
        let (before, starts) = (contender.prepare.clone(), contender.starts);
        let name = before.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        let fresh = format!("{stem}.{starts}");
        self.open(who, |prepare| {
            prepare.dir.set_file_name(&fresh);
            if let Some(dfs) = &mut prepare.dfs {
                dfs.prefix.clone_from(&fresh);
            }
        })?;
        // Of a large state two do not fit the disk; and what cannot be removed now goes with all the rest.
        let old: [PathBuf; 2] = [before.dir, dfs.join("objects").join(format!("{name}+"))];
        for path in old {
            let _ = std::fs::remove_dir_all(path);
        }
        Ok(())
    }

    /// Reads the files of these arms through, right before they are timed.
    pub(super) fn warm(&mut self, entrants: &[Entrant]) -> Result<(), Failure> {
        for contender in &mut self.contenders {
            if entrants.iter().any(|entrant| entrant.who == contender.who) {
                contender.process.ask(&Request::Warm)?;
            }
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, who: Who, request: &Request) -> Result<Answer, Failure> {
        self.contender(who)?.process.ask(request)
    }

    /// One measurement, again when others were at work too, and how often.
    pub(super) fn measure(&mut self, entrant: &Entrant, number: u32, repeats: u32) -> Result<Round, Failure> {
        let mut beside: Vec<u32> =
            self.contenders.iter().map(|contender| contender.process.process()).collect();
        beside.extend(self.dfs.as_ref().map(|(_, dfs)| dfs.process()));
        let cores = aquifer_io::cores_available().len().max(1) as f64;
        let mut repeated = 0;
        loop {
            let busy = Busy::beside(beside.clone());
            let measured = self.contender(entrant.who)?.process.measure(&entrant.request)?;
            let mut round = measured.round;
            round.round = number;
            round.others_cores = busy.others_cores();
            round.others_share = round.others_cores / cores;
            round.noisy = round.others_cores > NOISY_CORES;
            if !round.noisy || repeated == repeats {
                round.values.insert("repeats".into(), f64::from(repeated));
                self.record(entrant, &round, "response", &measured.response_ns);
                self.record(entrant, &round, "service", &measured.service_ns);
                let noise = if round.noisy { ", noisy" } else { "" };
                self.progress.step("", &format!("{}: {}{noise}", entrant.name, brief(&round)));
                return Ok(round);
            }
            repeated += 1;
        }
    }

    /// Keeps the latencies of a round that counts.
    fn record(&mut self, entrant: &Entrant, round: &Round, what: &str, pairs: &[(u64, u64)]) {
        if pairs.is_empty() || round.round == 0 {
            return;
        }
        let mut latencies = Latencies::new();
        pairs.iter().for_each(|(ns, count)| latencies.record_many(Duration::from_nanos(*ns), *count));
        self.recordings.push(Recording {
            name: format!("{} {}", self.row, entrant.name),
            round: round.round,
            what: what.to_owned(),
            intervals: vec![Interval {
                began_unix_ms: round.began_unix_ms,
                length: Duration::from_secs_f64(round.seconds),
                latencies,
            }],
        });
    }

    /// Latencies of all rounds of an arm in the present row, by percentile.
    pub(super) fn curve(&self, arm: &str) -> Curve {
        let name = format!("{} {arm}", self.row);
        let of = |what: &str| {
            let mut all = Latencies::new();
            let own =
                self.recordings.iter().filter(|recording| recording.name == name && recording.what == what);
            own.flat_map(|recording| &recording.intervals).for_each(|interval| all.add(&interval.latencies));
            all.curve()
        };
        Curve { response: of("response"), service: of("service") }
    }

    /// All arms in turns, so many rounds.
    pub(super) fn rounds(&mut self, entrants: &[Entrant], rounds: u32) -> Result<Vec<Arm>, Failure> {
        let mut arms = Vec::new();
        for entrant in entrants {
            arms.push(self.arm(entrant)?);
        }
        for number in 1..=rounds {
            let first = usize::try_from(number).unwrap_or(0) % entrants.len().max(1);
            for (index, entrant) in entrants.iter().enumerate().cycle_from(first) {
                let round = self.measure(&with_seed(entrant, number), number, self.args.repeats)?;
                if let Some(arm) = arms.get_mut(index) {
                    arm.rounds.push(round);
                }
            }
        }
        Ok(arms)
    }

    /// An arm of the result, without rounds yet.
    pub(super) fn arm(&mut self, entrant: &Entrant) -> Result<Arm, Failure> {
        let contender = self.contender(entrant.who)?;
        let (version, settings, notes) = contender.about.clone().unwrap_or_default();
        Ok(Arm { name: entrant.name.clone(), version, settings, notes, ..Arm::default() })
    }

    /// What an arm may hold, with what lies beside every budget.
    pub(super) fn memory_limit(&mut self, who: Who) -> Result<u64, Failure> {
        Ok(self.contender(who)?.prepare.memory_bytes.saturating_add(MEMORY_BYTES_BESIDE))
    }

    /// Ends the arms in order.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.contenders.drain(..).try_for_each(|contender| contender.process.quit())
    }
}

/// The same operations on all arms in one round, others in the next.
fn with_seed(entrant: &Entrant, number: u32) -> Entrant {
    let mut entrant = entrant.clone();
    match &mut entrant.request {
        Request::Round(work) => work.seed = work.seed.wrapping_add(u64::from(number) << 32),
        Request::Restore { seed } => *seed = seed.wrapping_add(u64::from(number) << 32),
        _ => {}
    }
    entrant
}

/// What an entrant does, for those that measure.
pub(super) fn doing(name: &str, who: Who, work: &Work) -> Entrant {
    Entrant { name: name.to_owned(), who, request: Request::Round(Box::new(work.clone())) }
}

fn brief(round: &Round) -> String {
    let rate = crate::numbers::number(round.ops_per_s);
    let value = |name: &str| round.values.get(name).copied();
    match (value("checkpoint_s"), value("restore_first_answer_ms")) {
        (Some(seconds), _) => format!("{rate} ops/s, checkpoint {seconds:.3} s"),
        (_, Some(ms)) => format!("first answer after {ms:.1} ms"),
        _ => format!("{rate} ops/s, p99 {:.1} µs", round.latency.p99_us),
    }
}

/// A guess on the safe side: three databases, each while merging, the DFS, the SSD tier, and the state of the checkpoints.
fn disk_needed(args: &CompareArgs) -> u64 {
    let data = args.keys.saturating_mul(args.key_bytes + args.value_bytes);
    data.saturating_mul(14).saturating_add(1 << 30)
}
