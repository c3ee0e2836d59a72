//! The `events` command: events into keyed state on a DFS, a crash half way, restore, verification, report.
//!
//! ```text
//! count the input ─> open the DFS and the store ─> leg 1 ─> crash ─> reopen ─> leg 2 ─> verify ─> write the state ─> report
//! ```
//!
//! Everything runs in one future on the main thread; Ctrl-C drops it, and with it engine, server and temporary folders.

mod lanes;
mod measures;
mod position;
mod store;
mod checkpoints;
mod feed;
mod opened;
mod update;
mod driver;
mod summary;
mod run;

use crate::cli::EventsArgs;
use crate::failure::Failure;
use crate::input::{EventReader, Source};
use crate::interrupt;
use crate::workload::{Flights, Totals};
use run::Run;

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn events(args: EventsArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    aquifer_io::block_on(async move {
        let run = std::pin::pin!(choose(args));
        let stop = std::pin::pin!(interrupt::interrupted());
        match futures_util::future::select(stop, run).await {
            futures_util::future::Either::Left(_) => Err(Failure::Interrupted),
            futures_util::future::Either::Right((result, _)) => result,
        }
    })
}

/// Chooses the workload by flags and header.
async fn choose(args: EventsArgs) -> Result<(), Failure> {
    if args.read_only {
        let text = "events writes state, so it cannot run with --read-only: `aquifer-bench check --read-only \
                    --store URL` looks at a store without writing";
        return Err(Failure::Usage(text.into()));
    }
    if args.resume && args.store.is_none() && args.dfs_dir.is_none() {
        let text = "--resume goes on with a store that was kept: name it with --store URL or --dfs-dir DIR";
        return Err(Failure::Usage(text.into()));
    }
    let source = args.input.clone().map_or(Source::BuiltIn, Source::File);
    let header = EventReader::open(&source)?.header().clone();
    match (&args.key, &args.value) {
        (Some(key), Some(value)) => {
            let workload = Totals::bind(&header, key, value)?;
            let columns = format!("key {key}, value {value}");
            Box::pin(Run::new(args, source, workload, columns).run()).await
        }
        _ if Flights::recognises(&header) => {
            let workload = Flights::bind(&header)?;
            Box::pin(Run::new(args, source, workload, "flights by tail_number".into()).run()).await
        }
        _ => Err(Failure::Usage(format!(
            "{source}: name the key and the value with --key COLUMN --value COLUMN; its columns are {}",
            header.columns().join(", ")
        ))),
    }
}
