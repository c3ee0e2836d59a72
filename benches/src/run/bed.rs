//! What is measured, set up: a DFS, an engine on it, and the folders of both. Opened again and again, as phases ask for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aquifer::{Client, CompressionOptions, DiskOptions, Engine, EngineStats, Options};
use aquifer_remote::server::{Server, ServerOptions, ServerShape};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ObjectName, Remote, RemoteOptions, Stack, open_stack};

use super::kept;
use super::patience::{pause, wait, wait_checking, wait_for};
use super::room;
use super::spec::Spec;
use crate::contact;
use crate::failure::Failure;
use crate::scratch::Scratch;

/// Most requests to the DFS at once. Both ends of every connection to the embedded one are this process's memory.
const REQUESTS_MAX: u64 = 256;

/// Looks at the engine's compactions until they rest, so many times with so long between.
const SETTLE_LOOKS_MAX: u32 = 36_000;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// How many looks in a row must find nothing going on.
const SETTLED_LOOKS: u32 = 3;

/// Longest wait for numbers that a line of progress can do without.
const STATS_TIME_MAX: Duration = Duration::from_secs(1);

/// Names of one page when a store is emptied.
const LIST_ENTRIES_MAX: usize = 1_000;

/// How an engine is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setup {
    /// 0: one per core.
    pub(crate) shards: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) profile: LatencyProfile,
}

/// An open engine. Dropping it stops the engine, then the server.
pub(crate) struct Opened {
    engine: Engine,
    pub(crate) client: Client,
    pub(crate) stack: Stack,
    pub(crate) shards: usize,
    pub(crate) setup: Setup,
    /// What opening took.
    pub(crate) open_time: Duration,
    // Dropped after the engine.
    _server: Option<Server>,
}

/// See the module.
pub(crate) struct TestBed<'s> {
    spec: &'s Spec,
    opened: Option<Opened>,
    /// Number of the store under the prefix, and of the local folder: each is used once.
    store: u32,
    local: u32,
    /// Prefix of this run's objects on a DFS of the user's.
    url: Option<String>,
    /// An engine was opened, so that there may be objects.
    wrote: bool,
    scratch: Scratch,
    /// A folder made by us, which goes when it is empty at the end.
    _made: Option<kept::MadeFolder>,
}

impl<'s> TestBed<'s> {
    /// Folders made, nothing running yet.
    pub(crate) fn new(spec: &'s Spec) -> Result<Self, Failure> {
        let args = &spec.args;
        let made = args.keep.as_deref().map(kept::MadeFolder::new).transpose()?;
        let from = args.reuse.as_deref().map(kept::dfs_folder);
        Self::on_links(spec, made, from.as_deref())
    }

    /// Another bed, on links of what this one's store has now: what is done to one does not touch the other. This one must be closed.
    pub(crate) fn beside(&self) -> Result<TestBed<'s>, Failure> {
        let mut beside = Self::on_links(self.spec, None, Some(&self.dfs_folder()))?;
        beside.store = self.store;
        Ok(beside)
    }

    fn on_links(
        spec: &'s Spec,
        made: Option<kept::MadeFolder>,
        from: Option<&Path>,
    ) -> Result<Self, Failure> {
        let args = &spec.args;
        let base = args.keep.as_ref().or(args.reuse.as_ref()).or(args.dir.as_ref());
        let scratch = match base {
            Some(base) => Scratch::new_in(base)?,
            None => Scratch::new()?,
        };
        let url = args.store.as_ref().map(|url| {
            format!("{}/aquifer-bench-{:016x}", url.trim_end_matches('/'), aquifer_io::random_u64())
        });
        let bed = Self { spec, opened: None, store: 1, local: 0, url, wrote: false, scratch, _made: made };
        if let Some(from) = from {
            kept::link_all(from, &bed.dfs_folder())?;
        }
        Ok(bed)
    }

    /// The engine that runs.
    pub(crate) fn opened(&self) -> Result<&Opened, Failure> {
        self.opened.as_ref().ok_or_else(|| Failure::Other("no engine is open: a bug in this tool".into()))
    }

    /// How the engine that runs was opened.
    pub(crate) fn setup(&self) -> Option<Setup> {
        self.opened.as_ref().map(|opened| opened.setup)
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    fn dfs_folder(&self) -> PathBuf {
        self.scratch.path().join("dfs")
    }

    /// Opens an engine on the store, after ending the one that runs: what it had written since its last checkpoint is gone, and so is its SSD
    /// tier.
    pub(crate) fn open(&mut self, setup: Setup) -> Result<&Opened, Failure> {
        self.close()?;
        let args = &self.spec.args;
        let (server, url, options) = self.dfs(setup.profile)?;
        let in_flight = self.spec.threads_max().saturating_mul(u64::from(args.in_flight));
        let requests = usize::try_from(in_flight.clamp(16, REQUESTS_MAX)).unwrap_or(16);
        let options =
            RemoteOptions { requests_in_flight_max: requests, prices: args.all_prices(), ..options };
        let stack = open_stack(&url, &options)?;
        let local = self.local_folder()?;
        let options = Options {
            shards: setup.shards,
            memory_bytes: setup.memory_bytes,
            disk: DiskOptions {
                bytes: setup.disk_bytes,
                dir: (setup.disk_bytes > 0).then_some(local),
                ..DiskOptions::default()
            },
            io: args.io,
            compression: CompressionOptions { blocks: args.compression, ..CompressionOptions::default() },
            seed: Some(self.spec.seed),
            ..Options::default()
        };
        options.validate().map_err(|error| Failure::Usage(error.to_string()))?;
        self.wrote = true;
        let began = aquifer_io::now();
        let engine = wait(Engine::open(Arc::clone(&stack.foreground), options))?;
        let engine = engine.map_err(Failure::engine("cannot open the store"))?;
        let open_time = began.elapsed();
        let (client, shards) = (engine.client(), engine.shards());
        let opened = Opened { engine, client, stack, shards, setup, open_time, _server: server };
        Ok(self.opened.insert(opened))
    }

    /// The DFS: the embedded one, started with a profile, or the user's.
    fn dfs(&self, profile: LatencyProfile) -> Result<(Option<Server>, String, RemoteOptions), Failure> {
        if let Some(url) = &self.url {
            let mut options = contact::patient(None);
            options.shape.latency = profile;
            return Ok((None, format!("{url}/{}", self.store), options));
        }
        let mut options = ServerOptions::new(self.dfs_folder());
        options.shape = ServerShape { latency: profile, seed: self.spec.seed, ..ServerShape::default() };
        let server = Server::start(options).map_err(|error| Failure::Other(error.to_string()))?;
        let options = server.remote_options();
        let url = format!("s3://{}/run-{}", server.bucket(), self.store);
        Ok((Some(server), url, options))
    }

    /// The folder of the SSD tier of the engine that runs.
    pub(crate) fn tier_folder(&self) -> PathBuf {
        self.scratch.path().join(format!("local-{}", self.local))
    }

    /// A new, empty folder for the SSD tier; the last one goes.
    fn local_folder(&mut self) -> Result<PathBuf, Failure> {
        let name = |number: u32| self.scratch.path().join(format!("local-{number}"));
        // What cannot be removed now goes with the whole at the end.
        let _ = std::fs::remove_dir_all(name(self.local));
        let local = name(self.local + 1);
        std::fs::create_dir_all(&local)
            .map_err(|error| Failure::local("cannot make the folder", &local, error))?;
        self.local += 1;
        Ok(local)
    }

    /// Ends the engine. What was written since its last checkpoint is gone.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        match self.opened.take() {
            Some(opened) => opened.close(),
            None => Ok(()),
        }
    }

    /// From now on another, empty store. The old one is deleted.
    pub(crate) fn fresh_store(&mut self) -> Result<(), Failure> {
        if let Some(opened) = self.opened.take() {
            let Opened { engine, stack, _server, .. } = opened;
            drop(engine);
            wait(emptied(&stack.foreground))??;
        }
        self.store += 1;
        Ok(())
    }

    /// Looks at the user's store before anything is written to it.
    pub(crate) fn make_contact(&self) -> Result<(), Failure> {
        let Some(url) = &self.spec.args.store else { return Ok(()) };
        wait(async {
            let contact = contact::look(url).await?;
            contact::probe(url, &contact).await
        })?
    }

    /// Keeps what was loaded and is settled, in the folder that the user named. The engine must be closed.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        let Some(folder) = &self.spec.args.keep else { return Ok(()) };
        kept::link_all(&self.dfs_folder(), &kept::dfs_folder(folder))?;
        self.spec.kept().write(folder)
    }
}

impl Drop for TestBed<'_> {
    fn drop(&mut self) {
        drop(self.opened.take());
        // What a dead store keeps cannot be deleted by anybody, and nobody waits long for it.
        let patience = Duration::from_secs(2);
        let options = RemoteOptions {
            retry_time_max: patience,
            deadline: patience,
            patience: Duration::ZERO,
            ..RemoteOptions::default()
        };
        if let Some(url) = self.url.as_ref().filter(|_| self.wrote)
            && let Ok(stack) = open_stack(url, &options)
        {
            let _ = aquifer_io::block_on(emptied(&stack.foreground));
        }
    }
}

impl Opened {
    pub(crate) fn stats(&self) -> Result<EngineStats, Failure> {
        wait(self.client.stats())?.map_err(Failure::engine("cannot read the engine's numbers"))
    }

    /// The numbers of all shards, unless they take long to come.
    pub(crate) fn stats_soon(&self) -> Option<EngineStats> {
        wait_for(STATS_TIME_MAX, self.client.stats())?.ok()
    }

    fn close(self) -> Result<(), Failure> {
        aquifer_io::block_on(self.engine.close()).map_err(Failure::engine("cannot close the engine"))
    }

    /// Writes all down and waits until compaction has nothing left to do.
    pub(crate) fn settle(&self, folder: &Path) -> Result<(), Failure> {
        let full = || room::full(folder).map_or(Ok(()), |why| Err(Failure::Other(why)));
        let checkpoint = wait_checking(self.client.checkpoint(Vec::new()), full)?;
        checkpoint.map_err(Failure::engine("cannot checkpoint what was written"))?;
        let mut quiet = 0;
        let mut before = self.stats()?.sum(|shard| shard.compacted_bytes + shard.compaction_errors);
        for _ in 0..SETTLE_LOOKS_MAX {
            full()?;
            pause(SETTLE_PAUSE)?;
            let now = self.stats()?.sum(|shard| shard.compacted_bytes + shard.compaction_errors);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            if quiet == SETTLED_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Other("compaction did not come to rest within an hour".into()))
    }
}

/// Deletes all objects of a store.
async fn emptied(remote: &Arc<dyn Remote>) -> Result<(), Failure> {
    let mut after: Option<ObjectName> = None;
    loop {
        let page = remote.list("", after.as_ref(), LIST_ENTRIES_MAX).await?;
        let deletes = page.entries.iter().map(|entry| remote.delete(&entry.name));
        futures_util::future::try_join_all(deletes).await?;
        after = page.entries.last().map(|entry| entry.name.clone());
        if !page.more || after.is_none() {
            return Ok(());
        }
    }
}
