//! `aquifer compact`: merges that the owner of a store offers to other processes.

use super::failure::Failure;
use super::output;
use super::store::StoreArgs;
use super::text::{self, human};
use crate::compaction_options::CompactionBudget;
use crate::compaction_worker::{WorkerOptions, WorkerReport, compact_store_until};
use crate::{descriptor, name};
use futures_channel::oneshot;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::time::Duration;

/// Flags of `compact`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Memory for everything it holds. The more, the larger the segments it writes.
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = text::parse_bytes)]
    memory_bytes: u64,
    /// Most bytes a second that it uploads. Without it: no limit.
    #[arg(long, value_name = "BYTES", value_parser = text::parse_bytes)]
    upload_bytes_per_s: Option<u64>,
    /// Do one job if there is one now, and end.
    #[arg(long, conflicts_with_all = ["jobs", "idle_s"])]
    once: bool,
    /// End after so many jobs.
    #[arg(long, value_name = "JOBS", value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
    /// End once there was no job for so many seconds. Without it: never.
    #[arg(long, value_name = "SECONDS")]
    idle_s: Option<u64>,
    /// Pause between two looks for a job, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    poll_ms: u64,
    /// Pause between two signs of life, in milliseconds: less than a quarter of the owner's lease.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    beat_ms: u64,
    /// By which its claims say who it is, for people.
    #[arg(long, default_value = "aquifer compact")]
    name: String,
    /// Print JSON at the end.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    store: String,
    jobs: u64,
    given_up: u64,
    uploaded_bytes: u64,
    ended_by_signal: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let remote = args.store.remote()?;
    if descriptor::read(&remote, &name::store()?).await?.is_none() {
        return Err(super::store::no_store(&remote));
    }
    let (once, second) = (args.once, Duration::from_secs(1));
    let options = WorkerOptions {
        memory_bytes: args.memory_bytes,
        poll: Duration::from_millis(args.poll_ms),
        beat: Duration::from_millis(args.beat_ms),
        idle_max: if once {
            Some(Duration::ZERO)
        } else {
            args.idle_s.map(|idle| second.saturating_mul(u32::try_from(idle).unwrap_or(u32::MAX)))
        },
        jobs_max: if once { Some(1) } else { args.jobs },
        budget: CompactionBudget {
            upload_bytes_per_s: args.upload_bytes_per_s,
            ..CompactionBudget::default()
        },
        name: args.name,
        ..WorkerOptions::default()
    };
    let signalled = std::cell::Cell::new(false);
    let signal = signal()?;
    let until = async {
        // Dropped without a signal: there will be none.
        if signal.await.is_err() {
            std::future::pending::<()>().await;
        }
        signalled.set(true);
        output::say("aquifer: ending by a signal; a second one ends at once");
    };
    let report = compact_store_until(remote.clone(), options, until).await?;
    print(&remote.describe(), report, signalled.get(), args.json)
}

fn print(store: &str, report: WorkerReport, ended_by_signal: bool, json: bool) -> Result<(), Failure> {
    // It has no operators but the built-in ones, which do not panic.
    let WorkerReport { jobs, given_up, uploaded_bytes, .. } = report;
    if json {
        return output::json(&Document {
            store: store.to_owned(),
            jobs,
            given_up,
            uploaded_bytes,
            ended_by_signal,
        });
    }
    let uploaded = human(uploaded_bytes);
    output::line(&format!("{jobs} jobs done, {given_up} given up, {uploaded} uploaded to {store}"))
}

/// Resolves at the first SIGINT or SIGTERM; the second one ends the process.
fn signal() -> Result<oneshot::Receiver<()>, Failure> {
    let cannot = |source| Failure::Local { doing: "cannot watch for signals", source };
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    let (came, receiver) = oneshot::channel();
    let watch = move || {
        let mut came = Some(came);
        for signal in signals.forever() {
            match came.take() {
                Some(came) => drop(came.send(())),
                None => std::process::exit(128 + signal),
            }
        }
    };
    std::thread::Builder::new().name("aquifer-signals".to_owned()).spawn(watch).map_err(cannot)?;
    Ok(receiver)
}
