//! A store under measurement: it runs lanes on its threads and counts what it moves.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use aquifer_io::{Backend, BackendChoice, ExecutorOptions, select_backend, spawn_executor};

use super::lane;
use super::meter::Meter;
use super::plan::PlanCounts;
use super::stream::Plan;
use super::target::{Target, TargetError};
use crate::failure::Failure;
use crate::result::{Dfs, Hits, Ssd, quotient};

/// What one thread's lanes came to.
pub(crate) type Outcome = Result<Meter, TargetError>;

/// See the module.
pub(crate) trait Arm {
    /// Threads that run lanes.
    fn threads(&self) -> u64;

    /// Starts all lanes of all threads; each thread sends its outcome when its lanes have ended.
    fn start(&self, plan: &Arc<Plan>, seed: u64, outcomes: Sender<Outcome>) -> Result<(), Failure>;

    /// What it has moved so far; `None` when it cannot say now.
    fn counters(&self) -> Option<Counters> {
        None
    }

    /// Why nothing can come of this measurement any more, when that is so: a full disk, for example.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Counts that only grow, and the bytes kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    pub(crate) ssd: Ssd,
    pub(crate) dfs: Dfs,
    /// Reads answered at once.
    pub(crate) reads_immediate: u64,
    /// Reads that waited for SSD or DFS.
    pub(crate) reads_waited: u64,
    /// Blocks that came from the SSD.
    pub(crate) ssd_hits: u64,
    /// Blocks that came from the DFS.
    pub(crate) remote_hits: u64,
    /// How these blocks were read.
    pub(crate) plan: PlanCounts,
    /// Bytes kept now: on the DFS, of a local store on the SSD.
    pub(crate) stored_bytes: u64,
    /// What was paid to the DFS so far, in US dollars.
    pub(crate) usd: f64,
    /// What keeping the bytes costs, in US dollars an hour.
    pub(crate) storage_usd_per_hour: f64,
}

impl Counters {
    /// What came since; the bytes kept are those of now.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let ssd = Ssd {
            reads: self.ssd.reads.saturating_sub(earlier.ssd.reads),
            read_bytes: self.ssd.read_bytes.saturating_sub(earlier.ssd.read_bytes),
            writes: self.ssd.writes.saturating_sub(earlier.ssd.writes),
            written_bytes: self.ssd.written_bytes.saturating_sub(earlier.ssd.written_bytes),
        };
        let dfs = Dfs {
            gets: self.dfs.gets.saturating_sub(earlier.dfs.gets),
            puts: self.dfs.puts.saturating_sub(earlier.dfs.puts),
            lists: self.dfs.lists.saturating_sub(earlier.dfs.lists),
            heads: self.dfs.heads.saturating_sub(earlier.dfs.heads),
            deletes: self.dfs.deletes.saturating_sub(earlier.dfs.deletes),
            in_bytes: self.dfs.in_bytes.saturating_sub(earlier.dfs.in_bytes),
            out_bytes: self.dfs.out_bytes.saturating_sub(earlier.dfs.out_bytes),
        };
        Self {
            ssd,
            dfs,
            reads_immediate: self.reads_immediate.saturating_sub(earlier.reads_immediate),
            reads_waited: self.reads_waited.saturating_sub(earlier.reads_waited),
            ssd_hits: self.ssd_hits.saturating_sub(earlier.ssd_hits),
            remote_hits: self.remote_hits.saturating_sub(earlier.remote_hits),
            plan: self.plan.since(&earlier.plan),
            stored_bytes: self.stored_bytes,
            usd: (self.usd - earlier.usd).max(0.0),
            storage_usd_per_hour: self.storage_usd_per_hour,
        }
    }

    /// Where reads were answered from, when this share of them found nothing: by filters and indexes then.
    pub(crate) fn hits(&self, absent: f64) -> Option<Hits> {
        let reads = (self.reads_immediate + self.reads_waited) as f64;
        let memory = quotient(self.reads_immediate as f64, reads)?;
        let waited = 1.0 - memory;
        let ssd = quotient(self.ssd_hits as f64, (self.ssd_hits + self.remote_hits) as f64).unwrap_or(0.0);
        let absent = absent.clamp(0.0, memory);
        Some(Hits { memory: memory - absent, ssd: waited * ssd, remote: waited * (1.0 - ssd), absent })
    }
}

/// Runs the lanes of a target on threads of their own.
pub(crate) fn on_threads<T: Target>(
    target: impl Fn(u64) -> T + Clone + Send + 'static,
    threads: u64,
    plan: &Arc<Plan>,
    seed: u64,
    outcomes: &Sender<Outcome>,
) -> Result<(), Failure> {
    let backend = select_backend(BackendChoice::Auto).map_or(Backend::Threads, |selection| selection.backend);
    for index in 0..threads {
        let (plan, target, outcomes) = (Arc::clone(plan), target.clone(), outcomes.clone());
        let options = ExecutorOptions {
            name: format!("bench-{index}"),
            backend,
            seed: seed_of(seed, index),
            ring_entries: 64,
            buffer_bytes_max: 1 << 20,
            ..ExecutorOptions::default()
        };
        let started = spawn_executor(options, move || async move {
            let outcome = lane::run(target(index), plan, seed_of(seed, index)).await;
            // Who was to receive it may have given up waiting.
            let _ = outcomes.send(outcome);
        });
        // It ends with its lanes; nobody needs to wait for the thread itself.
        started.map_err(|error| Failure::Other(format!("cannot start a measuring thread: {error}")))?;
    }
    Ok(())
}

/// The seed of one thread.
pub(crate) fn seed_of(seed: u64, index: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index)
}

/// A target on threads of its own, of which nothing else is known: what does nothing, or a map in memory.
pub(crate) struct OnThreads<F> {
    pub(crate) threads: u64,
    /// Makes the target of a thread, by its number.
    pub(crate) target: F,
}

impl<T: Target, F: Fn(u64) -> T + Clone + Send + 'static> Arm for OnThreads<F> {
    fn threads(&self) -> u64 {
        self.threads
    }

    fn start(&self, plan: &Arc<Plan>, seed: u64, outcomes: Sender<Outcome>) -> Result<(), Failure> {
        on_threads(self.target.clone(), self.threads, plan, seed, &outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_shares_that_add_up_to_one() {
        let counters = Counters {
            reads_immediate: 60,
            reads_waited: 40,
            ssd_hits: 30,
            remote_hits: 10,
            ..Counters::default()
        };
        let hits = counters.hits(0.1).unwrap();
        assert!((hits.memory + hits.ssd + hits.remote + hits.absent - 1.0).abs() < 1e-9);
        assert!((hits.ssd - 0.3).abs() < 1e-9 && (hits.remote - 0.1).abs() < 1e-9);
        assert_eq!(Counters::default().hits(0.0), None);
        let twice = Counters { reads_immediate: 100, ..counters };
        assert_eq!(twice.since(&counters).reads_immediate, 40);
    }
}
