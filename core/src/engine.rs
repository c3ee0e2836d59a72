//! The engine: opens a store, owns its shards' threads, and what they share.

use crate::checkpoint::restored;
use crate::checkpoint_parts::CheckpointInfo;
use crate::client::Client;
use crate::clock::Clock;
use crate::current_budgets::Budgets;
use crate::disk_options::check_dir;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Route;
use crate::mailbox::Mailbox;
use crate::manifest::format::Manifest;
use crate::manifest::hot::{HotSegment, HotSegments};
use crate::manifest::store::ManifestStore;
use crate::merge_operator::MergeOperators;
use crate::opening::OpeningProgress;
use crate::options::{CpuPinning, Options};
use crate::segment::SegmentEntry;
use crate::shard::life;
use crate::shard::shard_core::ShardStart;
use crate::shard_budget::ShardBudget;
use crate::shared::Shared;
use crate::version::{self, SegmentId};
use crate::{descriptor, embedder_panics};
use aquifer_cache::SsdMode;
use aquifer_io::{Backend, BackendSelection, DirLock, ExecutorOptions, ExecutorThread};
use aquifer_remote::Remote;
use futures_channel::oneshot;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

/// What an engine stands on before its shards start.
struct EngineParts {
    clock: Clock,
    /// Identity of the store, by which its cache files are known.
    store: u64,
    operators: MergeOperators,
    selection: BackendSelection,
    local_dir: Option<DirLock>,
    /// Why it does not write, if it must not.
    refusal: Option<Error>,
}

/// One process's hold on a store: its shards, each on a thread of its own ([`CpuPinning`] says on which CPU).
///
/// Dropping the engine ends it as [`Engine::close`] does, and blocks as long as that takes. To the store both look like a crash after the last checkpoint:
/// writes since then are gone.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    threads: Vec<ExecutorThread>,
    /// Dropped by each shard when it has ended.
    lives: Vec<oneshot::Receiver<()>>,
    restored: Option<CheckpointInfo>,
    backend: Backend,
    io_note: Option<String>,
    pub(crate) budgets: Budgets,
}

impl Engine {
    /// Opens the store at `remote` for writing: creates it if there is none, takes the next epoch, so that any earlier writer
    /// is fenced, and starts the shards on the state of the newest checkpoint. Nothing of the state is read before it is asked for.
    ///
    /// Can be awaited on any runtime or none. Dropping the future ends what was started of the engine; it may leave an epoch claimed, which does
    /// no harm.
    ///
    /// # Errors
    /// `Invalid`: options, or another number of key groups, time domain or version of a merge operator than the store's. `Unavailable`: the DFS did not answer. `Store`: it refuses, or
    /// has no atomic put-if-absent. `Corrupt`: the descriptor or the newest manifest is damaged. `Local`: the local folder is in use
    /// by another engine or cannot be used.
    pub async fn open(remote: Arc<dyn Remote>, options: Options) -> Result<Self> {
        options.validate()?;
        let remote = embedder_panics::guard(remote);
        let operators = MergeOperators::new(&options.merge_operators)?;
        let selection = aquifer_io::select_backend(options.io)?;
        let local_dir = match check_dir(options.disk.bytes, options.disk.dir.as_deref())? {
            Some(folder) => {
                aquifer_io::fs::create_dir_all(folder).await?;
                Some(aquifer_io::fs::lock_dir(folder)?)
            }
            None => None,
        };
        let descriptor = descriptor::open(&remote, options.key_groups).await?;
        let manifests = ManifestStore::new(Arc::clone(&remote), 0..descriptor.key_groups);
        let agree = |current: Option<&Manifest>| {
            let found = current.map(|current| current.agreed.clone()).unwrap_or_default();
            found.with(options.ttl_time, current.is_some_and(Manifest::has_expiring), operators.own())
        };
        let manifest = manifests.claim(descriptor.key_groups, agree).await?;
        let clock = Clock::of(&manifest.agreed);
        let ground =
            EngineParts { clock, store: descriptor.identity, operators, selection, local_dir, refusal: None };
        Self::start_shards(remote, manifest, &options, ground).await
    }

    /// Opens what `manifest` names for reading: nothing is claimed or written, and every write is refused with `refusal`.
    pub(crate) async fn reading(
        remote: Arc<dyn Remote>,
        manifest: Manifest,
        options: &Options,
        clock: Clock,
        refusal: Error,
    ) -> Result<Self> {
        options.validate()?;
        let ground = EngineParts {
            clock,
            // Nothing of it is kept on a local disk.
            store: 0,
            operators: MergeOperators::new(&options.merge_operators)?,
            selection: aquifer_io::select_backend(options.io)?,
            local_dir: None,
            refusal: Some(refusal),
        };
        // Whatever this engine may come to do, no write leaves it.
        Self::start_shards(aquifer_remote::read_only(remote), manifest, options, ground).await
    }

    /// Starts the shards on what `manifest` names.
    async fn start_shards(
        remote: Arc<dyn Remote>,
        manifest: Manifest,
        options: &Options,
        ground: EngineParts,
    ) -> Result<Self> {
        let route = Route::new(manifest.key_groups, options.shard_count())?;
        let manifests = ManifestStore::new(Arc::clone(&remote), manifest.groups.clone());
        let budget = ShardBudget::new(options, route.shards());
        let restored = restored(&manifest);
        let mailboxes =
            (0..route.shards()).map(|_| Arc::new(Mailbox::new(budget.mailbox_bytes_max / 2))).collect();
        let segments = manifest.segments.clone();
        let hot = Arc::new(if options.warm_up { listed(&manifest) } else { Vec::new() });
        let shared = Arc::new(Shared {
            remote,
            manifests,
            route,
            epoch: manifest.epoch,
            formats: options.compression.formats(),
            store: ground.store,
            mailboxes,
            sequence_next: AtomicU64::new(manifest.sequence_next),
            checkpoint_running: AtomicBool::new(false),
            operators: ground.operators,
            snapshot_next: AtomicU64::new(0),
            clock: ground.clock,
            manifest: Mutex::new(manifest),
            closed: AtomicBool::new(false),
            failure: OnceLock::new(),
            panicked: OnceLock::new(),
        });
        if let Some(refusal) = ground.refusal {
            shared.poison(refusal);
        }
        let mut engine = Self {
            shared,
            threads: Vec::new(),
            lives: Vec::new(),
            restored,
            backend: ground.selection.backend,
            io_note: ground.selection.note,
            budgets: Budgets::new(options, budget, ground.local_dir),
        };
        // On an error the half-started engine is dropped, which ends the shards that run.
        engine.start(options, budget, &segments, &hot).await?;
        Ok(engine)
    }

    async fn start(
        &mut self,
        options: &Options,
        budget: ShardBudget,
        segments: &[SegmentEntry],
        hot: &Arc<HotSegments<SegmentId>>,
    ) -> Result<()> {
        let seed = options.seed.unwrap_or_else(aquifer_io::random_u64);
        let mut opening = (options.disk.mode == SsdMode::Pinned).then(|| OpeningProgress::new(options));
        let mut opened = Vec::new();
        for (id, mailbox) in self.shared.mailboxes.iter().enumerate() {
            let executor = ExecutorOptions {
                name: format!("aquifer-{id}"),
                backend: self.backend,
                core: options.cpu_pinning.of_shard(id),
                buffer_bytes_max: budget.buffer_bytes,
                seed: seed.wrapping_add(id as u64),
                ..ExecutorOptions::default()
            };
            let start = ShardStart {
                id,
                shared: Arc::clone(&self.shared),
                options: options.clone(),
                budget,
                segments: clipped(segments, &self.shared.route.groups(id)),
                hot: Arc::clone(hot),
            };
            let mailbox = Arc::clone(mailbox);
            let (ready, is_ready) = oneshot::channel();
            let part = opening.as_mut().map(OpeningProgress::shard);
            let (alive, has_ended) = oneshot::channel::<()>();
            let life = move || async move {
                let _alive = alive;
                life::live(start, mailbox, part, ready).await;
            };
            let thread = aquifer_io::spawn_executor(executor, life)?;
            let refused = thread.pin_note().map(str::to_owned);
            self.lives.push(has_ended);
            self.threads.push(thread);
            if let (Some(why), CpuPinning::Cores(_)) = (refused, &options.cpu_pinning) {
                return Err(Error::new(
                    ErrorKind::Local,
                    format!("shard {id} is {why}: name other CPUs, or none"),
                ));
            }
            opened.push(is_ready);
        }
        if let Some(opening) = opening {
            opening.check(options, &budget).await?;
        }
        for is_ready in opened {
            is_ready.await.unwrap_or_else(|_| Err(Error::closed()))?;
        }
        Ok(())
    }

    /// A handle for operations, from any thread and runtime.
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.shared))
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shared.route.shards()
    }

    /// Number of key groups of the store.
    pub fn key_groups(&self) -> u16 {
        self.shared.route.key_groups()
    }

    /// The fencing epoch this engine writes under.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// The checkpoint that this engine started from, if the store had one.
    pub fn restored(&self) -> Option<&CheckpointInfo> {
        self.restored.as_ref()
    }

    /// The backend that carries the shards' files.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// One line to be shown: why that is not io_uring, if it was chosen automatically, or what to know of the backend that was asked for.
    pub fn io_note(&self) -> Option<&str> {
        self.io_note.as_deref()
    }

    /// Ends the shards and waits for their threads. Takes no checkpoint: take one first if writes since the last one count.
    ///
    /// Everything that waits is answered with `Closed` at once, and nothing waits for the DFS: uploads, merges and reads under way are given
    /// up. What is waited for is the slice of work that a shard's thread is in (milliseconds), operations of the local disk that the kernel has,
    /// and writing down what the SSD tier holds. A job of [`Client::run_on_shard`] that computes without awaiting is waited for too.
    ///
    /// Dropping the future ends the engine as dropping the engine does: the drop waits for the threads.
    ///
    /// # Errors
    /// `Closed`, with the panic's message, if a shard has ended by a panic before: it is a bug.
    pub async fn close(mut self) -> Result<()> {
        self.shared.close();
        for life in self.lives.drain(..) {
            // Dropped unsent, when the shard has ended.
            let _ = life.await;
        }
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.shared.close();
        let mut outcome = Ok(());
        for thread in self.threads.drain(..) {
            outcome =
                outcome.and(thread.join().map_err(|error| Error::new(ErrorKind::Closed, error.to_string())));
        }
        self.shared.panicked.get().map_or(outcome, |error| Err(error.clone()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        drop(self.end());
    }
}

/// What a manifest lists as in use. A list that makes no sense is none: it is advice.
fn listed(manifest: &Manifest) -> HotSegments<SegmentId> {
    let named = |listed: HotSegment<u32>| {
        let entry = manifest.segments.get(listed.segment as usize)?;
        Some(HotSegment { segment: version::id_of(entry), partitions: listed.partitions })
    };
    manifest.hot_list().unwrap_or_default().into_iter().filter_map(named).collect()
}

/// The segments that hold anything of `groups`, clipped to them.
fn clipped(segments: &[SegmentEntry], groups: &Range<u16>) -> Vec<SegmentEntry> {
    segments
        .iter()
        .map(|segment| {
            let groups = segment.groups.start.max(groups.start)..segment.groups.end.min(groups.end);
            SegmentEntry { groups, ..segment.clone() }
        })
        .filter(|segment| !segment.groups.is_empty())
        .collect()
}
