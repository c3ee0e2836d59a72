//! The command line as a whole: the commands, and the help that all of them share.

use clap::{Parser, Subcommand};

use crate::cli::{
    CheckArgs, CompareArgs, DeviceArgs, DfsArgs, DiffArgs, EventsArgs, MicroArgs, PoliciesArgs, RemoteArgs,
    RestartWorkerArgs, RunArgs, ShowArgs,
};

const AFTER_HELP: &str = "\
Without a command: `events` with its defaults.

Exit codes: 0 all keys agree, 1 a key does not, 2 flags that make no sense, 3 any other failure,
4 `diff --fail-on-regression` found something slower, 130 ended by Ctrl-C or SIGTERM.

Stores: s3://bucket/prefix takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT from the
environment, gs:// the GOOGLE_* and az:// the AZURE_* variables; webhdfs://host:port/path takes AQUIFER_HDFS_USER (or
HADOOP_USER_NAME) or AQUIFER_HDFS_DELEGATION_TOKEN; http(s)://host/path is a WebDAV server, with
AQUIFER_WEBDAV_USER and AQUIFER_WEBDAV_PASSWORD; file:///folder is a local folder, whose files are this user's alone
unless AQUIFER_FILE_SHARING=umask; memory:// is for trying out.";

/// Aquifer, disaggregated state storage for stream processing: real events through the whole path, and the embedded DFS.
#[derive(Debug, Parser)]
#[command(name = "aquifer-bench", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// The command to run; `events` if none is named.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Flags of `events`, when no command is named.
    #[command(flatten)]
    pub(crate) events: EventsArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream events into keyed state on a DFS, crash half way, restore, go on, verify every key, report.
    #[command(after_help = AFTER_HELP)]
    Events(EventsArgs),
    /// Find out whether a store will do, and what lies in it.
    Check(CheckArgs),
    /// Serve a folder as an S3 store until Ctrl-C, and print the variables to reach it with.
    Dfs(DfsArgs),
    /// Measure the disk in the engine's own access shapes: with fio, and through every I/O backend that works here.
    Device(DeviceArgs),
    /// Measure a store through our client, beside wrk and curl, and the embedded DFS's profiles on the wire.
    Remote(RemoteArgs),
    /// Measure the engine on one core, all in memory, beside the plain structures of memory.
    Micro(MicroArgs),
    /// Replay traces through the memory cache's policy and through others: what stays, and what a hit costs.
    Policies(PoliciesArgs),
    /// Measure the engine by workloads known from db_bench and YCSB, each answer checked.
    #[command(after_help = crate::run::help())]
    Run(Box<RunArgs>),
    /// Measure the engine beside others: RocksDB, SlateDB or fjall, which a build has by its features.
    #[command(after_help = crate::compare::help())]
    Compare(Box<CompareArgs>),
    /// One arm of `compare`, driven over its standard input.
    #[command(hide = true)]
    CompareWorker,
    /// A process of row `restart` of `run --suite cache`.
    #[command(hide = true)]
    RestartWorker(RestartWorkerArgs),
    /// Show a result of run or compare again: as a table, and as a page.
    Show(ShowArgs),
    /// Hold one result of run or compare against another: what is faster, what is slower, beyond the noise.
    Diff(DiffArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("aquifer-bench").chain(flags.iter().copied()))
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn faults_of_several_flags_go_together() {
        let Some(Command::Dfs(args)) =
            parse(&["dfs", "--dir", "/x", "--fault", "503=1%", "--fault", "stall=2%"]).unwrap().command
        else {
            panic!("not dfs")
        };
        let rates = args.fault_rates().unwrap();
        assert_eq!((rates.unavailable, rates.stall, rates.truncated), (10_000, 20_000, 0));
        for fault in ["nonsense=1%", "503", "503=2", "all=50%"] {
            let args = DfsArgs { fault: vec![fault.to_owned()], ..args.clone() };
            assert!(args.fault_rates().unwrap_err().starts_with("--fault: "), "{fault}");
        }
    }

    #[test]
    fn events_is_what_happens_without_a_command() {
        let bare = parse(&["--shards", "3"]).unwrap();
        assert!(bare.command.is_none());
        assert_eq!(bare.events.shards, Some(3));
        assert!(matches!(parse(&["events", "--shards", "3"]).unwrap().command, Some(Command::Events(_))));
    }

    #[test]
    fn a_backend_that_is_not_built_in_names_its_feature() {
        let optional =
            [("tokio-uring", cfg!(feature = "tokio-uring")), ("glommio", cfg!(feature = "glommio"))];
        for (name, is_built_in) in optional {
            for flags in [&["--io", name][..], &["run", "--io", name]] {
                let parsed = parse(flags);
                assert_eq!(parsed.is_ok(), is_built_in, "{flags:?}");
                let Err(error) = parsed else { continue };
                assert_eq!(error.exit_code(), 2);
                assert!(error.to_string().contains(&format!("--features {name}")), "{error}");
            }
        }
    }

    #[test]
    fn flags_that_make_no_sense_exit_with_2() {
        for flags in [
            &["--key", "carrier"][..],
            &["--value", "distance_mi"],
            &["--checkpoint-every", "0"],
            &["--in-flight", "0"],
            &["--memory-bytes", "many"],
            &["--shards", "0"],
            &["--io", "glass"],
            &["--store", "file:///x", "--dfs-dir", "/y"],
            &["--nonsense"],
            &["dfs"],
            &["check"],
            &["device", "--rounds", "0"],
            &["device", "--seconds", "0"],
            &["device", "--seconds", "never"],
            &["device", "--size-bytes", "1MB"],
            &["dfs", "--dir", "/x", "--listen", "here"],
            &["remote", "--rounds", "0"],
            &["remote", "--connections", "1,0"],
            &["remote", "--connections", "1,many"],
            &["remote", "--seconds", "0"],
            &["dfs", "--dir", "/x", "--profile", "tape"],
            &["dfs", "--dir", "/x", "--bandwidth-bytes-per-s", "fast"],
            &["dfs", "--dir", "/x", "--seed", "-1"],
        ] {
            let error = parse(flags).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flags:?}");
        }
    }
}
