//! The `remote` command: what our client gets out of a store, beside programs that do nothing but ask for bytes.
//!
//! ```text
//! embedded DFS, each a process of its own        contenders, in interleaved rounds
//!   unshaped ───────────────┬─ 4 KiB GETs        aquifer · wrk       requests/s, latencies, CPU of both sides
//!                           └─ 256 MiB up, down  aquifer · curl      MiB/s
//!   s3 profile ─────────────── 4 KiB GETs        plain · hedged      p99.9, extra requests
//!   nvme, hdfs, s3 profile ─── one GET           bare · drawn        how honest the profiles are on the wire
//! ```
//!
//! With `--store URL` the first two are measured on that store instead, for `s3://` beside wrk and curl.

mod dfs_process;
mod sample;
mod target;
mod wire;
mod wrk;
mod curl;
mod gets;
mod report;
mod rounds;
mod table;
mod groups;

use std::path::Path;

use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ObjectName, RemoteOptions};

use crate::cli::RemoteArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::Machine;
use crate::measure::spread::Times;
use crate::output::{Output, publish};
use crate::progress::{Progress, say};
use crate::scratch::Scratch;
use curl::Curl;
pub(crate) use dfs_process::{BUCKET, DfsProcess};
use groups::{Bench, Client, Shaped};
use report::{Report, SCHEMA};
use target::Target;
use wrk::Wrk;

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn remote(args: &RemoteArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let (started, began_unix_ms) = (aquifer_io::now(), aquifer_io::unix_time_ms());
    let json = args.json.as_deref().map(Output::new).transpose()?;
    let mut notes = Vec::new();
    if cfg!(debug_assertions) {
        notes.push("a debug build: its numbers say nothing (cargo run --release)".to_owned());
    }
    let scratch = Scratch::new_in(&args.dir.clone().unwrap_or_else(crate::scratch::base))?;
    let machine = Machine::of(scratch.path());
    let wrk = Wrk::find(scratch.path())?.map_err(|note| notes.push(note)).ok();
    let curl = Curl::find().map_err(|note| notes.push(note)).ok();
    notes.iter().for_each(|note| say(&format!("note: {note}")));
    let said = notes.len();

    let mut progress = Progress::new();
    let unshaped = match &args.store {
        Some(_) => None,
        None => Some(start(scratch.path(), LatencyProfile::None, args, &progress)?).flatten(),
    };
    let client = match (&args.store, &unshaped) {
        (Some(url), _) => {
            Some(Client::open(|options| Target::open(url, options), &RemoteOptions::default())?)
        }
        (None, Some(dfs)) => Some(Client::open(|options| Target::embedded(dfs, options), &dfs.options())?),
        (None, None) => None,
    };
    let mut shaped = Vec::new();
    for profile in [LatencyProfile::Nvme, LatencyProfile::Hdfs, LatencyProfile::S3] {
        if let (None, Some(dfs)) = (&args.store, start(scratch.path(), profile, args, &progress)?) {
            let target = Target::embedded(&dfs, &dfs.options())?;
            let plain = Target::embedded(&dfs, &RemoteOptions { hedge: None, ..dfs.options() })?;
            shaped.push(Shaped { profile, target, plain, dfs });
        }
    }
    let folder = format!("aquifer-bench-{:016x}", aquifer_io::random_u64());
    let bench = Bench {
        args,
        times: Times::new(args.seconds),
        client,
        unshaped,
        shaped,
        blocks: ObjectName::new(format!("{folder}/blocks"))?,
        folder,
        wrk,
        curl,
        scratch: scratch.path(),
    };
    let measured = bench.prepare(&progress).and_then(|()| bench.run(&mut progress, &mut notes));
    // Also after a failure: what was written to a store of others is taken away again.
    let cleaned = bench.clean();
    let results = measured?;
    cleaned?;
    notes.iter().skip(said).for_each(|note| say(&format!("note: {note}")));
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: "remote",
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        began_unix_ms,
        machine,
        store: bench.described(),
        measured_s: bench.times.measured.as_secs_f64(),
        rounds: args.rounds,
        notes,
        results,
        total_s: started.elapsed().as_secs_f64(),
    };
    publish(&report, &table::table(&report), json.as_ref())
}

/// Starts the embedded DFS with a profile, where a chosen group needs it.
fn start(
    scratch: &Path,
    profile: LatencyProfile,
    args: &RemoteArgs,
    progress: &Progress,
) -> Result<Option<DfsProcess>, Failure> {
    if !groups::needs(profile, args) {
        return Ok(None);
    }
    let dfs = DfsProcess::start(&scratch.join(format!("dfs-{profile}")), profile)?;
    let text = format!("profile {profile} at {}, process {}", dfs.address(), dfs.process());
    progress.step("DFS", &text);
    Ok(Some(dfs))
}
