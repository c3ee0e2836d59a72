//! `aquifer-bench`: real events through the whole path, the embedded DFS, and the disk's own ceiling.
//!
//! ```text
//! cli ─> events ─┬─> input ─> workload ─> driver ─> engine     the path of the events
//!                ├─> verify, state_out ─> engine               reading it back
//!                └─> report                                    what it took
//!     ─> dfs                                                   the server alone
//!     ─> device ─> fio, aquifer-io                             the disk alone
//!     ─> micro ─> engine                                       one core, all in memory
//!     ─> compare ─> result                                    ours beside other engines
//!     ─> remote ─> wrk, curl, aquifer-remote                   the store alone
//!     ─> run ─> result ─> table, JSON, page                    the engine by known workloads
//!     ─> show, diff ─> result                                  results again, and against each other
//! ```
//!
//! Exit codes are in [`failure`].

#![forbid(unsafe_code)]

mod allocator;
mod input;
mod resources;
mod failure;
mod output;
mod scratch;
mod interrupt;
mod measure;
mod cli;
mod result;
mod histogram;
mod report;
mod progress;
mod remote;
mod contact;
mod run;
mod compare;
mod device;
mod policies;
mod workload;
mod verify;
mod state_out;
mod show;
mod micro;
mod events;
mod diff;
mod dfs;
mod check;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, None | Some(Command::Events(_))) {
        allocator::tune();
    }
    allocator::allow_advised_huge_pages();
    let result = match cli.command {
        Some(Command::Events(args)) => events::events(args),
        Some(Command::Check(args)) => check::check(&args),
        Some(Command::Dfs(args)) => dfs::dfs(&args),
        Some(Command::Device(args)) => device::device(&args),
        Some(Command::Remote(args)) => remote::remote(&args),
        Some(Command::Micro(args)) => micro::micro(&args),
        Some(Command::Policies(args)) => policies::policies(&args),
        Some(Command::Run(args)) => run::run(*args),
        Some(Command::Compare(args)) => compare::compare(&args),
        Some(Command::CompareWorker) => compare::serve(),
        Some(Command::RestartWorker(args)) => run::serve_restart(&args),
        Some(Command::Show(args)) => show::show(&args),
        Some(Command::Diff(args)) => diff::diff(&args),
        None => events::events(cli.events),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::say(&format!("aquifer-bench: {failure}"));
            failure.exit_code()
        }
    }
}
