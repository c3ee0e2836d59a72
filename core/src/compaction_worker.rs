//! A worker: another process (or thread) that does the owner's merges, on a store that it does not own.
//!
//! It looks for jobs, claims one by put-if-absent, merges, and puts the result; the owner takes it over. It never touches a manifest, so
//! nothing it does or leaves undone can harm the store: at the worst its work is not used. While it works it shows life by small
//! objects, and looks whether its job is still wanted. See [`crate::compact::owner`] for the owner's side.

use crate::compact::merge_job::{self, Mandate};
use crate::compact::offer::{self, Folder, Offer};
use crate::compact::owner::{look, look_at_all};
use crate::compaction_options::{CompactionBudget, CompactionOptions};
use crate::compaction_worker_host::WorkerHost;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    COMPACTION_BACKOFF, MANIFEST_BYTES_MAX, MEMORY_BYTES_MAX, SHARD_MEMORY_BYTES_MIN, check_most,
};
use crate::manifest::store::ManifestStore;
use crate::merge_operator::{MergeOperator, MergeOperators};
use crate::options::Options;
use crate::shard_budget::ShardBudget;
use crate::{descriptor, embedder_panics, name};
use aquifer_io::{BackendChoice, ExecutorOptions};
use aquifer_remote::{Content, PutOutcome, Remote, RemoteErrorKind};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Options of [`compact_store`].
#[derive(Clone)]
pub struct WorkerOptions {
    /// Budget in bytes for everything the worker holds in memory; at least 4 MiB. The larger, the larger the segments it writes.
    pub memory_bytes: u64,
    /// The machine under its thread.
    pub io: BackendChoice,
    /// Pause between two looks for a job, when there was none.
    pub poll: Duration,
    /// Pause between two signs of life. Less than a quarter of the owner's lease.
    pub beat: Duration,
    /// End once there was no job for this long. `None`: never.
    pub idle_max: Option<Duration>,
    /// End after this many jobs. `None`: never.
    pub jobs_max: Option<u64>,
    /// What it may take of its machine. It has no reads that could come in, so its share of the CPU counts for little.
    pub budget: CompactionBudget,
    /// Name by which its claims say who it is, for people: at most 255 bytes.
    pub name: String,
    /// Merge operators beside the built-in ones: those of the store's engine. Operands of an unknown one are kept as they are.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// Seed of everything random. `None` seeds from the operating system.
    pub seed: Option<u64>,
}

impl Default for WorkerOptions {
    /// 256 MiB, a look every 2 s, a sign of life every 5 s, no end.
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            io: BackendChoice::Auto,
            poll: Duration::from_secs(2),
            beat: Duration::from_secs(5),
            idle_max: None,
            jobs_max: None,
            budget: CompactionBudget::default(),
            name: "worker".to_owned(),
            merge_operators: Vec::new(),
            seed: None,
        }
    }
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operators: Vec<_> = self.merge_operators.iter().map(|operator| operator.name()).collect();
        f.debug_struct("WorkerOptions")
            .field("memory_bytes", &self.memory_bytes)
            .field("io", &self.io)
            .field("poll", &self.poll)
            .field("beat", &self.beat)
            .field("idle_max", &self.idle_max)
            .field("jobs_max", &self.jobs_max)
            .field("budget", &self.budget)
            .field("name", &self.name)
            .field("merge_operators", &operators)
            .field("seed", &self.seed)
            .finish()
    }
}

impl WorkerOptions {
    fn validate(&self) -> Result<()> {
        let too_small = |what: &str| Err(Error::invalid(what.to_owned()));
        if self.memory_bytes < SHARD_MEMORY_BYTES_MIN {
            return too_small(&format!(
                "memory_bytes is {}; a worker needs at least {SHARD_MEMORY_BYTES_MIN}",
                self.memory_bytes
            ));
        }
        check_most("memory_bytes", self.memory_bytes, MEMORY_BYTES_MAX)?;
        if self.poll.is_zero() || self.beat.is_zero() {
            return too_small("poll and beat must be above zero");
        }
        self.budget.validate()?;
        if self.name.len() > 255 {
            return too_small(&format!(
                "the worker's name has {} bytes; at most 255 are possible",
                self.name.len()
            ));
        }
        Ok(())
    }
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Jobs whose result it put.
    pub jobs: u64,
    /// Jobs it began and did not end: its claim was declared void, the owner wanted them no more, or they failed.
    pub given_up: u64,
    /// Bytes that it uploaded.
    pub uploaded_bytes: u64,
    /// Jobs in which a merge operator panicked: its operands were kept as they are.
    pub operator_panics: u64,
}

/// Does compaction jobs of the store at `remote`, which another process has open with
/// [`CompactionOptions::remote`], until there were none for `idle_max`. Needs no right to open the store and disturbs no one
/// who has.
///
/// Can be awaited on any runtime or none; the work is done on a thread of its own. Dropping the future ends the worker between two
/// requests, as killing its process does: a job under way goes to somebody else.
///
/// # Errors
/// `Invalid`: options, or no store at `remote`. `Store`, `Unavailable` and `Corrupt` when the store's descriptor cannot be read; while it
/// runs, a DFS that does not answer is waited for.
pub async fn compact_store(remote: Arc<dyn Remote>, options: WorkerOptions) -> Result<WorkerReport> {
    compact_store_until(remote, options, std::future::pending()).await
}

/// As [`compact_store`], but ends in order as soon as `until` is there, a signal for example, and reports what it did up to then. Dropping the
/// future ends the worker as there. A job
/// under way is given up: its claim shows no more life, so that the owner gives it to somebody else when the lease is over.
///
/// # Errors
/// As [`compact_store`].
pub async fn compact_store_until(
    remote: Arc<dyn Remote>,
    options: WorkerOptions,
    until: impl Future<Output = ()>,
) -> Result<WorkerReport> {
    options.validate()?;
    let remote = embedder_panics::guard(remote);
    let selection = aquifer_io::select_backend(options.io)?;
    let Some(descriptor) = descriptor::read(&remote, &name::store()?).await? else {
        return Err(Error::invalid(format!("there is no store at {}: check the URL", remote.describe())));
    };
    let engine_options = Options {
        shards: 1,
        memory_bytes: options.memory_bytes,
        compaction: CompactionOptions { budget: options.budget, remote: None },
        merge_operators: options.merge_operators.clone(),
        warm_up: false,
        seed: options.seed,
        ..Options::default()
    };
    let operators = MergeOperators::new(&options.merge_operators)?;
    check_operators(&remote, descriptor.key_groups, &operators).await?;
    let budget = ShardBudget::new(&engine_options, 1);
    let executor = ExecutorOptions {
        name: "aquifer-worker".to_owned(),
        backend: selection.backend,
        buffer_bytes_max: budget.buffer_bytes,
        seed: options.seed.unwrap_or_else(aquifer_io::random_u64),
        ..ExecutorOptions::default()
    };
    let (ended, has_ended) = oneshot::channel();
    let (stop, is_stopped) = oneshot::channel::<()>();
    let thread = aquifer_io::spawn_executor(executor, move || async move {
        let report = Rc::new(Cell::new(WorkerReport::default()));
        let worked = async {
            let host = WorkerHost::open(remote, operators, &options.budget, &budget).await?;
            Worker { host, options, report: Rc::clone(&report) }.run().await
        };
        let stopped = async {
            // Sent, or dropped with the future that waits for the worker.
            let _ = is_stopped.await;
        };
        futures_util::pin_mut!(worked, stopped);
        let outcome = match select(worked, stopped).await {
            Either::Left((worked, _)) => worked,
            Either::Right(_) => Ok(()),
        };
        drop(ended.send(outcome.map(|()| report.get())));
    })?;
    futures_util::pin_mut!(until);
    let outcome = match select(has_ended, until).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_, has_ended)) => {
            let _ = stop.send(());
            has_ended.await
        }
    };
    thread.join()?;
    outcome.unwrap_or_else(|_| Err(Error::closed()))
}

/// The operators of the embedder's own must do what those did that wrote the store.
async fn check_operators(
    remote: &Arc<dyn Remote>,
    key_groups: u16,
    operators: &MergeOperators,
) -> Result<()> {
    if operators.own().is_empty() {
        return Ok(());
    }
    let newest = ManifestStore::new(Arc::clone(remote), 0..key_groups).newest().await?;
    newest.map_or(Ok(()), |newest| newest.agreed.check_operators(operators.own()))
}

/// A worker on its own thread.
struct Worker {
    host: WorkerHost,
    options: WorkerOptions,
    /// Read by whoever ends it in the middle.
    report: Rc<Cell<WorkerReport>>,
}

impl Worker {
    async fn run(self) -> Result<()> {
        let mut idle_since = aquifer_io::now();
        let mut failures = 0;
        loop {
            let done = self.one_job().await;
            self.note(|report| {
                report.uploaded_bytes = self.host.uploaded_bytes.get();
                report.operator_panics = self.host.operator_panics.get();
            });
            if self.options.jobs_max.is_some_and(|most| self.report.get().jobs >= most) {
                return Ok(());
            }
            let pause = match done {
                Ok(true) => {
                    (idle_since, failures) = (aquifer_io::now(), 0);
                    continue;
                }
                Ok(false) => self.options.poll,
                // Another job may do better, and this one's owner waits for nobody.
                Err(_) => {
                    failures += 1;
                    COMPACTION_BACKOFF.pause(failures - 1)
                }
            };
            if self.options.idle_max.is_some_and(|most| idle_since.elapsed() >= most) {
                return Ok(());
            }
            aquifer_io::sleep(pause).await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut WorkerReport)) {
        let mut report = self.report.get();
        change(&mut report);
        self.report.set(report);
    }

    /// Does one job, if there is one that is free.
    async fn one_job(&self) -> Result<bool> {
        let remote = Arc::clone(&self.host.blocks.remote);
        let free: Vec<(String, Folder)> = match look_at_all(&remote).await {
            Ok(folders) => folders.into_iter().filter(|(_, folder)| folder.is_free()).collect(),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Ok(false),
            Err(error) => return Err(error),
        };
        if free.is_empty() {
            return Ok(false);
        }
        // Workers that look at the same moment do not all reach for the same job.
        let first = usize::try_from(aquifer_io::random_u64() % free.len() as u64).unwrap_or(0);
        for (folder, found) in free.iter().cycle().skip(first).take(free.len()) {
            let claim = name::in_folder(folder, &offer::claim(found.voids))?;
            let who = Content::from(self.options.name.clone().into_bytes());
            if remote.put_if_absent(&claim, who).await? == PutOutcome::Created {
                // Until its result stands, also if nobody is left to say so.
                self.note(|report| report.given_up += 1);
                return self.carry_out(folder, found.voids).await.map(|()| true);
            }
        }
        Ok(false)
    }

    async fn carry_out(&self, folder: &str, claim: u32) -> Result<()> {
        let remote = &self.host.blocks.remote;
        let job = name::in_folder(folder, "job")?;
        let offer = match remote.get(&job, MANIFEST_BYTES_MAX).await {
            Ok(bytes) => Offer::decode(&bytes, &job)?,
            // Its owner was faster.
            Err(error) if error.kind() == RemoteErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::from(error)),
        };
        let life = Rc::new(Life::default());
        drop(aquifer_io::spawn_local(beat(
            Arc::clone(remote),
            folder.to_owned(),
            claim,
            self.options.beat,
            Rc::clone(&life),
        )));
        let check = || {
            if life.is_unwanted.get() {
                Err(Error::new(
                    ErrorKind::Busy,
                    "the owner declared this claim void, or wants the job no more",
                ))
            } else {
                Ok(())
            }
        };
        let mandate = Mandate {
            epoch: offer.epoch,
            job: &offer.job,
            format: offer.format,
            copies_down: offer.copies_down,
            now_ms: offer.now_ms,
            check: &check,
        };
        let worked = merge_job::carry_out(&self.host, &mandate).await;
        life.is_over.set(true);
        let outcome = worked?;
        check()?;
        let done = name::in_folder(folder, "done")?;
        let result = Content::from(offer::encode_result(&offer, &outcome)?);
        if remote.put_if_absent(&done, result).await? == PutOutcome::Created {
            self.note(|report| {
                report.jobs += 1;
                report.given_up -= 1;
            });
        }
        Ok(())
    }
}

/// Between a worker at its merge and its signs of life.
#[derive(Debug, Default)]
struct Life {
    is_over: Cell<bool>,
    is_unwanted: Cell<bool>,
}

/// Shows life until the work is over, and looks whether it is still wanted.
async fn beat(remote: Arc<dyn Remote>, folder: String, claim: u32, pause: Duration, life: Rc<Life>) {
    for number in 0_u32.. {
        aquifer_io::sleep(pause).await;
        if life.is_over.get() {
            return;
        }
        match look(&remote, &folder).await {
            Ok(found) if !found.has_job || found.is_done || found.voids > claim => {
                life.is_unwanted.set(true);
                return;
            }
            // What fails now is tried again at the next beat: the lease is several beats long.
            Ok(_) | Err(_) => {}
        }
        if let Ok(name) = name::in_folder(&folder, &offer::beat(claim, number)) {
            drop(remote.put(&name, Content::from(Vec::<u8>::new())).await);
        }
    }
}
