//! What is measured, set up: an embedded DFS, an engine on it, and the folders of both.

use std::sync::Arc;

use aquifer::{Client, Engine, EngineStats, Options};
use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{RemoteOptions, open_url};

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::scratch::Scratch;

/// Requests to the embedded DFS at once: both ends of every connection are this process's memory.
const REQUESTS_MAX: usize = 16;

/// Looks at the engine's compactions until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 6_000;
const SETTLE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How many looks in a row must find nothing going on.
const SETTLED_LOOKS: u32 = 5;

/// See the module. Dropping it stops the engine, then the server, and removes the folders.
pub(super) struct Bed {
    engine: Engine,
    pub(super) client: Client,
    pub(super) shards: usize,
    // Dropped in this order: the server ends before its folder goes.
    _server: Server,
    _scratch: Scratch,
}

impl Bed {
    pub(super) async fn set_up(args: &RunArgs) -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let (dfs, local) = (scratch.path().join("dfs"), scratch.path().join("local"));
        let server =
            Server::start(ServerOptions::new(dfs)).map_err(|error| Failure::Other(error.to_string()))?;
        let remote = RemoteOptions { requests_in_flight_max: REQUESTS_MAX, ..server.remote_options() };
        let remote = open_url(&format!("s3://{}/run", server.bucket()), remote)?;
        std::fs::create_dir_all(&local)
            .map_err(|error| Failure::local("cannot make the folder", &local, error))?;
        let options = Options {
            shards: args.shards,
            memory_bytes: args.memory_bytes,
            disk_bytes: args.disk_bytes,
            local_dir: (args.disk_bytes > 0).then_some(local),
            io: args.io,
            seed: Some(args.seed),
            ..Options::default()
        };
        options.validate().map_err(|error| Failure::Usage(error.to_string()))?;
        let engine = Engine::open(Arc::clone(&remote), options)
            .await
            .map_err(Failure::engine("cannot open the store"))?;
        Ok(Self {
            client: engine.client(),
            shards: engine.shards(),
            engine,
            _server: server,
            _scratch: scratch,
        })
    }

    /// How its files are read and written.
    pub(super) fn backend(&self) -> String {
        self.engine.backend().to_string()
    }

    pub(super) async fn stats(&self) -> Result<EngineStats, Failure> {
        self.client.stats().await.map_err(Failure::engine("cannot read the engine's numbers"))
    }

    /// Writes all down and waits until compaction has nothing left to do.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        let checkpoint = self.client.checkpoint(Vec::new()).await;
        checkpoint.map_err(Failure::engine("cannot checkpoint what was loaded"))?;
        let mut quiet = 0;
        let mut before = self.compacted_bytes().await?;
        for _ in 0..SETTLE_LOOKS_MAX {
            crate::interrupt::check()?;
            pause(SETTLE_PAUSE);
            let now = self.compacted_bytes().await?;
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Other("compaction did not come to rest within ten minutes".into()))
    }

    async fn compacted_bytes(&self) -> Result<u64, Failure> {
        Ok(self.stats().await?.sum(|shard| shard.compacted_bytes))
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.engine.close().await.map_err(Failure::engine("cannot close the engine"))
    }
}

/// Lets time pass on the command's own thread, which is no executor.
fn pause(duration: std::time::Duration) {
    std::thread::park_timeout(duration);
}
