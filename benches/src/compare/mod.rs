//! The `compare` command: ours beside other engines, on the same keys, values, operations, memory and disk.
//!
//! ```text
//! rows ─> suite ─> bench ─┬─> process ══ JSON lines ══> worker ─> arm (aquifer) ──> engine, embedded DFS
//!                         ├─> process ══ JSON lines ══> worker ─> arm (rocksdb) ──> local SSD
//!                         └─> process ══ JSON lines ══> worker ─> arm (nothing)     what the tool itself costs
//!         rounds ─> result: ratios, goals ─> table, JSON, HTML
//! ```
//!
//! Each arm is a process of its own, so that memory and processor time are its own; they take turns round by round.

mod process_io;
mod row;
mod spec;
#[cfg(feature = "rocksdb")]
mod transfer;
mod warm;
mod drive;
mod feature;
mod process;
mod arm;
mod script;
mod bench;
mod worker;
mod suite;

use crate::cli::{Against, CompareArgs};
use crate::failure::Failure;
use crate::interrupt;
use crate::result::{Comparison, Document, Header, Outputs, Settings};
use bench::Bench;
use row::ROWS;
pub(crate) use row::{RowName, help};
pub(crate) use spec::Codec;
use spec::Engine;
use suite::Suite;
pub(crate) use warm::read_through;
pub(crate) use worker::serve;

/// Runs the command to its end, or to the first failure: what was measured until then is published too.
pub(crate) fn compare(args: &CompareArgs) -> Result<(), Failure> {
    let engine = match args.against {
        Against::Rocksdb => Engine::Rocksdb,
        Against::Slatedb => Engine::Slatedb,
        Against::Fjall => Engine::Fjall,
        Against::Nothing => Engine::Nothing,
    };
    if !feature::has(engine) {
        return Err(feature::missing(engine));
    }
    let wanted = wanted(args)?;
    interrupt::watch()?;
    let outputs = Outputs::new(&args.output)?;
    let base = args.dir.clone().unwrap_or_else(crate::scratch::base);
    let header = Header::begin(&base, settings(args), args.seed);
    let mut comparison = Comparison::begin(header, args.rows.is_empty().then(|| "state".to_owned()));
    comparison.notes.extend(notes(args));
    let mut recordings = Vec::new();
    let measured = Bench::set_up(args).and_then(|mut bench| {
        let measured = Suite::new(&mut bench, wanted, &mut comparison.rows).run();
        recordings = std::mem::take(&mut bench.recordings);
        measured
    });
    if let Err(failure) = &measured {
        comparison.header.partial = true;
        comparison.header.partial_reason = Some(failure.to_string());
        if comparison.rows.is_empty() {
            return measured;
        }
    }
    let arms =
        comparison.rows.iter().flat_map(|row| &row.arms).filter(|arm| arm.name.starts_with(engine.name()));
    let version = arms.map(|arm| arm.version.clone()).next();
    comparison.header.versions.extend(version.map(|version| (engine.name().to_owned(), version)));
    comparison.finish();
    let wrong = comparison.answers_wrong();
    outputs.publish(&Document::Compare(comparison), &recordings)?;
    measured?;
    if wrong == 0 { Ok(()) } else { Err(Failure::WrongAnswers(wrong)) }
}

/// The rows that were named, or all that there are for this engine.
fn wanted(args: &CompareArgs) -> Result<Vec<RowName>, Failure> {
    let there = ROWS.iter().filter(|row| row.is_for(args.against)).map(|row| row.name);
    if args.rows.is_empty() {
        return Ok(there.collect());
    }
    let there: Vec<RowName> = there.collect();
    match args.rows.iter().find(|row| !there.contains(row)) {
        None => Ok(args.rows.clone()),
        Some(other) => {
            let names: Vec<String> = there.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(format!(
                "the row {other} says nothing about this engine; those that do: {}",
                names.join(", ")
            )))
        }
    }
}

fn settings(args: &CompareArgs) -> Settings {
    let numbers = [
        ("keys", args.keys),
        ("key_bytes", args.key_bytes),
        ("value_bytes", args.value_bytes),
        ("threads", args.threads.into()),
        ("rounds", args.rounds.into()),
        ("fill_rounds", args.fill_rounds.into()),
        ("repeats_max", args.repeats.into()),
        ("memory_percent", args.memory_percent),
        ("all_memory_percent", args.all_memory_percent),
        ("disk_percent", args.disk_percent),
    ];
    let mut settings: Settings =
        numbers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    settings.insert("seconds".to_owned(), args.seconds.as_secs_f64().into());
    settings.insert("warmup_seconds".to_owned(), args.warmup.as_secs_f64().into());
    settings.insert("profile".to_owned(), args.profile.to_string().into());
    settings.insert("compression".to_owned(), format!("{:?}", args.compression).to_lowercase().into());
    settings.insert("target_cpu".to_owned(), target_cpu().into());
    settings
}

/// What the compiler was told to build for.
fn target_cpu() -> String {
    let flags = option_env!("AQUIFER_RUSTFLAGS").unwrap_or_default();
    let found = flags.split([' ', '=']).skip_while(|word| !word.ends_with("target-cpu")).nth(1);
    found.unwrap_or("generic").to_owned()
}

fn notes(args: &CompareArgs) -> Vec<String> {
    let mut notes = vec![
        "the log is off on all arms: ours has none yet, so rows with one, synced or not, are not there"
            .to_owned(),
    ];
    if cfg!(debug_assertions) {
        notes.push("a debug build: its numbers mean nothing".to_owned());
    }
    if target_cpu() != "native" {
        notes.push(
            "ours is built for a generic processor: set RUSTFLAGS=-Ctarget-cpu=native for a fair comparison"
                .to_owned(),
        );
    }
    if args.against == Against::Fjall {
        notes.push(
            "fjall reads through the page cache, has no way past it, and keeps a log that is not synced"
                .to_owned(),
        );
    }
    notes
}
