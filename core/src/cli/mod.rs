//! The operators' binary, behind the feature `cli`: one file a subcommand.
//!
//! ```text
//! flags ─> store ─┬─> inspect: store, manifest, segment, block      bytes of the DFS, decoded
//!                 ├─> verify   ─> crate::verify
//!                 ├─> get, scan ─> crate::reader                    one checkpoint, without taking it over
//!                 └─> compact  ─> crate::compaction_worker                    jobs of whoever owns the store
//! ```
//! Everything but `compact` goes through a handle that refuses writes. Results go to the standard output, all else to the standard
//! error. Exit codes are in [`failure`].

mod failure;
mod output;
mod store;
mod text;
mod verify;
mod key_args;
mod scan;
mod inspect;
mod get;
mod compact;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 what was asked for is not there (store, checkpoint, segment, block, key), or verify found faults;
2 flags or a URL that make no sense; 3 the store cannot be reached, or refuses; 4 damaged bytes were met (verify lists them
and ends with 1); 5 this machine is at fault: a thread, the standard output.

Stores: s3://bucket/prefix takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT from the
environment, gs:// the GOOGLE_* and az:// the AZURE_* variables; webhdfs://host:port/path takes AQUIFER_HDFS_USER (or
HADOOP_USER_NAME) or AQUIFER_HDFS_DELEGATION_TOKEN; http(s)://host/path is a WebDAV server, with
AQUIFER_WEBDAV_USER and AQUIFER_WEBDAV_PASSWORD; file:///folder is a local folder, whose files are this user's alone
unless AQUIFER_FILE_SHARING=umask.";

/// Aquifer for operators: looks into a store, verifies it and compacts it. Nothing here takes a store from its owner.
#[derive(Debug, Parser)]
#[command(name = "aquifer", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a store, a manifest, a segment or a block holds.
    #[command(subcommand, after_help = AFTER_HELP)]
    Inspect(inspect::Command),
    /// Read and check every byte that a checkpoint reaches.
    #[command(after_help = AFTER_HELP)]
    Verify(verify::Args),
    /// Do the merges that the owner of a store offers, until a signal comes or there are none.
    #[command(after_help = AFTER_HELP)]
    Compact(compact::Args),
    /// Print the keys and values of a checkpoint, group by group, in the order of their bytes.
    #[command(after_help = AFTER_HELP)]
    Scan(scan::Args),
    /// Print the value of one key.
    #[command(after_help = AFTER_HELP)]
    Get(get::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = aquifer_io::block_on(async {
        match cli.command {
            Command::Inspect(command) => inspect::run(command).await,
            Command::Verify(args) => verify::run(&args).await,
            Command::Compact(args) => compact::run(args).await,
            Command::Scan(args) => scan::run(&args).await,
            Command::Get(args) => get::run(&args).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            output::say(&format!("aquifer: {failure}"));
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_its_exit_codes() {
        let mut cli = Cli::command();
        for command in cli.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            assert!(command.render_long_help().to_string().contains("Exit codes: 0 done"), "{name}");
        }
    }
}
