//! `aquifer verify`: every byte that a checkpoint reaches.

use super::failure::Failure;
use super::output;
use super::store::{StateArgs, StoreArgs};
use super::text::{self, count, human};
use crate::verify::{VerifyOptions, VerifyProgress, VerifyReport, verify_store};
use aquifer_remote::read_only;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;

/// Flags of `verify`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Segments that are read at once.
    #[arg(long, value_name = "SEGMENTS", default_value_t = 4)]
    parallel: usize,
    /// Bytes of one read. Memory is twice that for each segment that is read at once.
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = text::parse_bytes)]
    read_bytes: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    store: String,
    manifest: u64,
    checkpoint: u64,
    sound: bool,
    segments: u64,
    partitions: u64,
    blocks: u64,
    entries: u64,
    bytes_read: u64,
    bytes_unread: u64,
    faults: Vec<Fault<'a>>,
    faults_unlisted: u64,
}

#[derive(Serialize)]
struct Fault<'a> {
    object: &'a str,
    offset: u64,
    expected: &'a str,
    found: &'a str,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let remote = read_only(args.store.remote()?);
    // What is not there is told apart from what makes no sense; damage on the way is for the report.
    if let Err(failure @ Failure::NotThere(_)) = found(args).await {
        return Err(failure);
    }
    let options = VerifyOptions {
        checkpoint: args.state.checkpoint,
        reads_in_flight: args.parallel,
        window_bytes: usize::try_from(args.read_bytes).unwrap_or(usize::MAX),
    };
    let bar = bar();
    let progress = |progress: VerifyProgress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
        if progress.faults > 0 {
            bar.set_message(format!("{} faults", progress.faults));
        }
    };
    let outcome = verify_store(remote.clone(), options, progress).await;
    bar.finish_and_clear();
    let report = outcome?;
    if args.json {
        output::json(&document(remote.describe(), &report))?;
    } else {
        print(&remote.describe(), &report)?;
    }
    match report.faults.len() as u64 + report.faults_unlisted {
        0 => Ok(()),
        faults => Err(Failure::Faults(faults)),
    }
}

async fn found(args: &Args) -> Result<(), Failure> {
    args.store.open().await?.manifest_of(args.state).await.map(drop)
}

/// Drawn on the standard error, if a person watches.
fn bar() -> ProgressBar {
    let watched = std::io::stderr().is_terminal();
    let target = if watched { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style =
        "verify [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left {msg}";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

fn document(store: String, report: &VerifyReport) -> Document<'_> {
    let faults = report.faults.iter().map(|fault| Fault {
        object: &fault.object,
        offset: fault.offset,
        expected: &fault.expected,
        found: &fault.found,
    });
    Document {
        store,
        manifest: report.manifest,
        checkpoint: report.checkpoint,
        sound: report.is_sound(),
        segments: report.segments,
        partitions: report.partitions,
        blocks: report.blocks,
        entries: report.entries,
        bytes_read: report.bytes_read,
        bytes_unread: report.bytes_unread,
        faults: faults.collect(),
        faults_unlisted: report.faults_unlisted,
    }
}

fn print(store: &str, report: &VerifyReport) -> Result<(), Failure> {
    let faults = report.faults.len() as u64 + report.faults_unlisted;
    output::facts(&[
        ("store", store.to_owned()),
        ("checkpoint", format!("{}, as manifest {} has it", report.checkpoint, report.manifest)),
        ("segments", count(report.segments)),
        ("partitions", count(report.partitions)),
        ("blocks", count(report.blocks)),
        ("entries", count(report.entries)),
        ("read", human(report.bytes_read)),
        ("not read", format!("{}: behind something damaged or missing", human(report.bytes_unread))),
        ("faults", count(faults)),
    ])?;
    if faults == 0 {
        return output::line("everything is as it was written");
    }
    for fault in &report.faults {
        let (object, offset) = (&fault.object, fault.offset);
        output::line(&format!(
            "{object} at offset {offset}: expected {}, found {}",
            fault.expected, fault.found
        ))?;
    }
    if report.faults_unlisted > 0 {
        output::line(&format!("and {} more", count(report.faults_unlisted)))?;
    }
    Ok(())
}
