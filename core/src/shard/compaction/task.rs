//! The compaction task of a shard: picks a job, carries it out or lets another process do so, and makes its change.
//!
//! One job at a time runs on the shard's own thread; others may be with other processes meanwhile. A job changes the
//! version when it is done, as a whole; the next checkpoint makes that durable, and until then the last manifest still
//! names the inputs, which are never deleted here. At close the task is dropped between two slices: nothing of its job
//! is installed.

use crate::compact::job::{Job, Outcome};
use crate::compact::merge_job::{self, Mandate};
use crate::compact::offer::Offer;
use crate::compact::owner::{self, Ending, Offered};
use crate::compact::pick::{Situation, covered_by, debt_bytes, has_merges, is_behind, next_expiry_ms, pick};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    COMPACTION_BACKOFF, COMPACTION_EXPIRY_PAUSE_MS, COMPACTION_OFFERS_MAX, COMPACTION_OFFERS_REST_LEASES,
};
use crate::shard::parts::counters::add;
use crate::shard::shard_core::ShardCore;
use crate::version::{SortedRun, Version, invariants};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// The compaction task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    if core.id == 0 && core.compaction.remote.is_some() {
        // What cannot be deleted now is deleted by the next owner.
        drop(owner::clear_earlier(&core.shared.remote, core.shared.epoch).await);
    }
    let mut failures = 0;
    loop {
        look_for_covered(&core).await;
        if core.shared.is_stopped() {
            // A shard that stopped wakes up to end.
            return;
        }
        let returned = core.compaction.returned.borrow_mut().pop_front().map(|job| (job, true));
        let picked = || pick(&core.version(), &situation(&core)).map(|job| (job, false));
        let Some((job, was_offered)) = returned.or_else(picked) else {
            change_or_expiry(&core).await;
            continue;
        };
        if !was_offered && is_offered(&core, &job) {
            offer(&core, job);
            continue;
        }
        let done = carry_out(&core, &job).await;
        if was_offered {
            release(&core, &job);
        }
        match done {
            Ok(()) => failures = 0,
            // Nothing was changed. Reads go on with the inputs; an input that is corrupt is reported to whoever reads it.
            Err(error) => {
                core.note_failure(&error);
                aquifer_io::sleep(COMPACTION_BACKOFF.pause(failures)).await;
                failures += 1;
            }
        }
    }
}

/// Waits until runs come or go, or until time alone may have given something to do. Without anything that expires there is no timer.
async fn change_or_expiry(core: &ShardCore) {
    let mut was_asked = false;
    // Asked at once, then after each change: whoever waits has just looked at what there is.
    let change = core.runs_changed.wait(|| std::mem::replace(&mut was_asked, true).then_some(()));
    let now_ms = core.shared.clock.dropping_ms();
    let Some(expiry_ms) = next_expiry_ms(&core.version(), now_ms) else { return change.await };
    let pause_ms = if core.shared.clock.runs() {
        expiry_ms.saturating_sub(now_ms).clamp(COMPACTION_EXPIRY_PAUSE_MS.0, COMPACTION_EXPIRY_PAUSE_MS.1)
    } else if core.shared.clock.event_time_ms().is_some() {
        // Nobody tells the shard that event time has moved.
        COMPACTION_EXPIRY_PAUSE_MS.0
    } else {
        // Nobody knows when anything expires.
        return change.await;
    };
    let expiry = aquifer_io::sleep(Duration::from_millis(pause_ms));
    futures_util::pin_mut!(change, expiry);
    futures_util::future::select(change, expiry).await;
}

/// Finds out what newer range deletions take as a whole. Their segments' heads say what they delete; mostly there are none of these.
async fn look_for_covered(core: &ShardCore) {
    let has_ranges = |version: &Version| version.segments().any(|segment| segment.facts.range_deletions > 0);
    loop {
        let version = core.version();
        let mut covered = HashSet::new();
        if has_ranges(&version) {
            for segment in version.segments().filter(|segment| segment.facts.range_deletions > 0) {
                // A head that cannot be read now says nothing: a merge will report it, and nothing is dropped for it.
                if let Ok((head, _)) = core.blocks.head(segment).await {
                    covered.extend(covered_by(&version, segment, head.range_deletes()));
                }
            }
        }
        *core.compaction.covered.borrow_mut() = covered;
        if Rc::ptr_eq(&version, &core.version()) {
            return;
        }
    }
}

/// Whether another process may do this job: one that is large enough, while this shard is behind with its own.
fn is_offered(core: &ShardCore, job: &Job) -> bool {
    let compaction = &core.compaction;
    let Some(remote) = compaction.remote else { return false };
    let rests = || compaction.offers_rest_until.get().is_some_and(|until| aquifer_io::now() < until);
    job.is_merge()
        && compaction.offers.get() < COMPACTION_OFFERS_MAX
        && job.input_bytes() >= remote.offer_bytes_min
        && (remote.always || !rests() && is_behind(&core.version(), &situation(core)))
}

/// Offers a job, by a task of its own: the shard goes on with what the job does not touch.
fn offer(core: &Rc<ShardCore>, job: Job) {
    core.compaction.busy.borrow_mut().extend(job.segments().map(|segment| segment.id()));
    core.compaction.offers.set(core.compaction.offers.get() + 1);
    let shard = Rc::clone(core);
    core.spawn(async move {
        let core = shard;
        let ending = offered(&core, &job).await;
        core.compaction.offers.set(core.compaction.offers.get() - 1);
        match ending {
            Ok(Ending::Done(outcome)) => {
                if let Err(error) = install(&core, &job, outcome) {
                    core.note_failure(&error);
                }
                release(&core, &job);
            }
            // It stays busy until the shard itself has done it.
            Ok(Ending::Returned { was_claimed }) => {
                let rest = core.compaction.remote.map_or(Duration::ZERO, |remote| remote.lease);
                if !was_claimed {
                    // There are no workers: the time for which the job stood idle is not spent again soon.
                    let until = aquifer_io::now() + rest.saturating_mul(COMPACTION_OFFERS_REST_LEASES);
                    core.compaction.offers_rest_until.set(Some(until));
                }
                core.compaction.returned.borrow_mut().push_back(job);
            }
            // The DFS refused, or the result is not what was asked for: the shard does it itself.
            Err(error) => {
                core.note_failure(&error);
                core.compaction.returned.borrow_mut().push_back(job);
            }
        }
        core.runs_changed.notify();
    });
}

async fn offered(core: &ShardCore, job: &Job) -> Result<Ending> {
    let Some(remote) = core.compaction.remote else { return Ok(Ending::Returned { was_claimed: false }) };
    let offer = Offer {
        epoch: core.shared.epoch,
        key_groups: core.shared.route.key_groups(),
        job: job.clone(),
        format: core.shared.formats.of(job.level),
        copies_down: core.shared.formats.fresh == core.shared.formats.bottom,
        now_ms: expiry_now_ms(core, job),
    };
    let offered = Offered::put(&core.shared.remote, &offer, remote.lease).await?;
    offered.ending(job, || core.shared.check_writable()).await
}

/// The inputs of a job that was offered may be picked again.
fn release(core: &ShardCore, job: &Job) {
    let mut busy = core.compaction.busy.borrow_mut();
    for segment in job.segments() {
        busy.remove(&segment.id());
    }
}

/// What a pick for this shard depends on, now.
pub(crate) fn situation(core: &ShardCore) -> Situation {
    Situation {
        groups: core.groups.clone(),
        unit_bytes: core.compaction.unit_bytes.get(),
        now_ms: if memtables_merge(core) { 0 } else { core.shared.clock.dropping_ms() },
        busy: core.compaction.busy.borrow().clone(),
        covered: core.compaction.covered.borrow().clone(),
        reads_pay: core.compaction.read_cost.is_due(),
    }
}

fn memtables_merge(core: &ShardCore) -> bool {
    core.memtable.borrow().has_merges()
        || core.version().frozen.iter().any(|frozen| frozen.memtable.has_merges())
}

/// The moment by which a job takes entries for expired: now, or never if a newer operand may stand on one that was alive when the
/// operand was written. Operands that are written from now on find it expired anyway.
fn expiry_now_ms(core: &ShardCore, job: &Job) -> u64 {
    let version = core.version();
    let inputs = job.segments().map(|segment| (segment.entry.level, Reverse(segment.entry.sequence)));
    let newest = inputs.min();
    let is_newer =
        |run: &&SortedRun| newest.is_some_and(|newest| (run.level, Reverse(run.sequence)) < newest);
    if memtables_merge(core) || has_merges(version.runs.iter().filter(is_newer), &job.groups) {
        return 0;
    }
    core.shared.clock.dropping_ms()
}

/// Bytes that compaction is behind by.
pub(crate) fn debt(core: &ShardCore) -> u64 {
    debt_bytes(&core.version(), &situation(core))
}

async fn carry_out(core: &Rc<ShardCore>, job: &Job) -> Result<()> {
    if !job.is_merge() {
        return install(core, job, Outcome::default());
    }
    let check = || core.shared.check_writable();
    let mandate = Mandate {
        epoch: core.shared.epoch,
        job,
        format: core.shared.formats.of(job.level),
        copies_down: core.shared.formats.fresh == core.shared.formats.bottom,
        now_ms: expiry_now_ms(core, job),
        check: &check,
    };
    core.merge_begins();
    let outcome = merge_job::carry_out(&**core, &mandate).await;
    core.merge_ended();
    install(core, job, outcome?)
}

/// Makes the change of a job that is done.
///
/// # Errors
/// `Busy` if its inputs are not there any more; `Corrupt` if an invariant would not hold. Nothing is changed then.
pub(crate) fn install(core: &ShardCore, job: &Job, outcome: Outcome) -> Result<()> {
    let merged = job.is_merge().then_some(outcome.merged);
    let change = job.change(outcome.outputs);
    // Flushes may have put newer tiers on top in the meantime.
    let before = core.version();
    let next = before.with_change(&change)?;
    let checked = invariants::of_change(&before, &change, &next, merged)
        .and_then(|()| invariants::of_version(&next, &core.groups));
    checked.map_err(|what| {
        Error::new(ErrorKind::Corrupt, format!("version invariant violated, nothing was changed: {what}"))
    })?;
    add(&core.counters.compactions, 1);
    core.set_version(next);
    Ok(())
}
