//! Where a run's state lives: the embedded DFS, or a store by URL; and the local folders of the run.

use std::path::PathBuf;
use std::sync::Arc;

use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{OnWait, Remote, RemoteMetrics, RemoteOptions, metered, open_url};

use crate::cli::EventsArgs;
use crate::contact;
use crate::failure::Failure;
use crate::progress::say;
use crate::scratch::{Scratch, private_folder};

/// Requests to the embedded DFS at once. Both ends of every connection are this process's memory, 60 to 100 KiB, and a
/// server without distance is not faster with more.
const EMBEDDED_REQUESTS_MAX: usize = 16;
const PREFIX: &str = "events";
/// Sub-folder of `--local-dir` that is used, and deleted at the crash: nothing else in the folder is touched.
const LOCAL_FOLDER: &str = "aquifer-events";

/// See the module. Dropping it stops the server and removes temporary folders.
pub(super) struct Store {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) requests: Arc<RemoteMetrics>,
    /// For the report: the URL, without secrets.
    pub(super) url: String,
    /// For the first line of the run.
    pub(super) described: String,
    /// The engine's folder; `None` without a disk budget.
    pub(super) local_dir: Option<PathBuf>,
    // Dropped in this order: the server ends before its folder goes.
    _server: Option<Server>,
    _scratch: Option<Scratch>,
}

impl Store {
    /// Starts the embedded DFS or opens the URL, after finding out that the store there will do.
    pub(super) async fn open(args: &EventsArgs) -> Result<Self, Failure> {
        let needs_local = args.disk_bytes > 0 && args.local_dir.is_none();
        let needs_dfs = args.store.is_none() && args.dfs_dir.is_none();
        let scratch = if needs_local || needs_dfs { Some(Scratch::new()?) } else { None };
        let local_dir = match (&args.local_dir, &scratch) {
            _ if args.disk_bytes == 0 => None,
            (Some(dir), _) => Some(dir.join(LOCAL_FOLDER)),
            (None, scratch) => scratch.as_ref().map(|scratch| scratch.path().join("local")),
        };
        let (remote, server, described) = match &args.store {
            Some(url) => {
                let found = contact::look(url).await?;
                // Before the probe: a store in use is the likelier mistake, and the probe writes.
                if !found.is_empty && !args.resume {
                    return Err(occupied(&found.remote.describe()));
                }
                contact::probe(url, &found).await?;
                (open_url(url, contact::patient(args.patience))?, None, None)
            }
            None => {
                let dir = match (&args.dfs_dir, &scratch) {
                    (Some(dir), _) => dir.clone(),
                    (None, Some(scratch)) => scratch.path().join("dfs"),
                    (None, None) => return Err(Failure::Other("no folder for the embedded DFS".into())),
                };
                let (remote, server) = embedded(dir.clone())?;
                let described =
                    format!("embedded S3 server at {}, folder {}", server.endpoint(), dir.display());
                (remote, Some(server), Some(described))
            }
        };
        let url = remote.describe();
        let (remote, requests) = metered(remote);
        let described = described.unwrap_or_else(|| url.clone());
        Ok(Self { remote, requests, url, described, local_dir, _server: server, _scratch: scratch })
    }

    /// Without `--resume` a run begins with nothing under the store's prefix.
    pub(super) async fn refuse_existing(&self, resume: bool) -> Result<(), Failure> {
        let is_empty = resume || self.remote.list("", None, 1).await?.entries.is_empty();
        if is_empty { Ok(()) } else { Err(occupied(&self.url)) }
    }

    /// Makes the engine's local folder where it is missing.
    pub(super) fn make_local(&self) -> Result<(), Failure> {
        let Some(dir) = &self.local_dir else { return Ok(()) };
        private_folder(dir).map_err(|error| Failure::local("cannot make the folder", dir, error))
    }

    /// What a crash of the machine takes: the engine's local folder with all in it.
    pub(super) fn delete_local(&self) -> Result<(), Failure> {
        let Some(dir) = &self.local_dir else { return Ok(()) };
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::local("cannot delete the folder", dir, error))
            }
            _ => Ok(()),
        }
    }
}

fn occupied(url: &str) -> Failure {
    let remedy = "go on with it by --resume, or name another prefix or folder";
    Failure::Usage(format!("{url} already holds objects: {remedy}"))
}

fn embedded(dir: PathBuf) -> Result<(Arc<dyn Remote>, Server), Failure> {
    let server = Server::start(ServerOptions::new(dir)).map_err(|error| Failure::Other(error.to_string()))?;
    let url = format!("s3://{}/{PREFIX}", server.bucket());
    let options = RemoteOptions {
        requests_in_flight_max: EMBEDDED_REQUESTS_MAX,
        on_wait: OnWait::call(say),
        ..server.remote_options()
    };
    let remote = open_url(&url, options)?;
    Ok((remote, server))
}
