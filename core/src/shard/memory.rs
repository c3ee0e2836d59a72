//! What this shard may take of memory and disk, and other budgets while it runs.
//!
//! ```text
//! memory   less: blocks leave at once ─> the memtable is frozen ─> it and a merge under way end in what the cache lends them ─> answered
//! disk     in turn, by tasks: the file is made smaller or larger while reads go on (see `aquifer-cache`) ─> answered
//! ```

use crate::error::{Error, ErrorKind};
use crate::memtable::Memtables;
use crate::reply::ReplyTo;
use crate::shard::parts::flush_queue::Freeze;
use crate::shard::shard_core::{POINT_INDEX_PART, ShardCore};
use crate::shard_budget::ShardBudget;
use std::rc::Rc;

impl ShardCore {
    /// What this shard may take, now.
    #[inline]
    pub(crate) fn budget(&self) -> ShardBudget {
        self.budget.get()
    }

    /// Takes what the indexes have grown by out of the memory tier, and what the cache lends to memtables and a merge. Called where blocks
    /// enter the cache, and where memtables are frozen and go.
    pub(crate) fn balance_memory(&self) {
        const STEP_BYTES: usize = 64 * 1024;
        let index_bytes = usize::try_from(self.blocks.cache.stats().ssd.index_bytes).unwrap_or(usize::MAX);
        let index_bytes = index_bytes.saturating_add(self.points.borrow().bytes() + self.heat.bytes());
        let taken = index_bytes.saturating_add(self.lent_bytes()).next_multiple_of(STEP_BYTES);
        let share = self.budget().cache_bytes.saturating_sub(taken);
        if share != self.cache_share.get() {
            self.cache_share.set(share);
            self.blocks.cache.set_memory_bytes(share);
        }
    }

    /// What frozen memtables and their segments take beyond their share: that is so while a checkpoint has all of a memtable flushed at once. After
    /// the budget became smaller, also what was written, and what a merge took, under the larger one. And what large reads have under way.
    fn lent_bytes(&self) -> usize {
        let budget = self.budget();
        let frozen = self.frozen_bytes.get();
        let written = (self.memtable.borrow().bytes() + frozen).saturating_sub(budget.memtables_bytes_max);
        let merge = self.merge_bytes.get().saturating_sub(budget.compaction_bytes);
        let lent = budget.borrowed_bytes(frozen).saturating_add(written).saturating_add(merge);
        lent.saturating_add(self.large_reads_bytes())
    }

    /// A merge begins with what the budget allows now.
    pub(crate) fn merge_begins(&self) {
        self.merge_bytes.set(self.budget().compaction_bytes);
    }

    /// A merge has ended: what it took is free again.
    pub(crate) fn merge_ended(&self) {
        self.merge_bytes.set(0);
        self.balance_memory();
        self.progress.notify();
    }

    /// Goes on with another memory budget; answers once everything is within it.
    pub(crate) fn set_memory(self: &Rc<Self>, budget: &ShardBudget, reply: ReplyTo<()>) {
        let before = self.budget();
        // The disk has its own changes.
        self.budget.set(ShardBudget { disk_bytes: before.disk_bytes, ..*budget });
        self.points.borrow_mut().set_bytes_max(budget.cache_bytes / POINT_INDEX_PART);
        self.blocks.cache.set_meta_bytes_max(budget.meta_bytes_max);
        let bytes = self.memtable.borrow().bytes();
        let other_parts = budget.memtable_parts != before.memtable_parts;
        if other_parts || bytes >= budget.memtable_bytes_max {
            self.freeze_for_flush(Freeze::All);
        }
        if other_parts {
            *self.memtable.borrow_mut() = Memtables::new(&self.groups, budget.memtable_parts);
        }
        self.balance_memory();
        let core = Rc::clone(self);
        self.spawn(async move {
            let fits = || core.lent_bytes() <= core.budget().cache_bytes;
            // Of a shard that stopped writing nothing more leaves memory.
            core.progress.wait(|| (fits() || core.shared.is_stopped()).then_some(())).await;
            let outcome = if fits() { Ok(()) } else { core.shared.check_writable() };
            reply.send(outcome);
        });
    }

    /// Goes on with another budget for the SSD tier, after the changes before it; answers once the file is within it.
    pub(crate) fn set_disk(self: &Rc<Self>, disk_bytes: u64, reply: ReplyTo<()>) {
        let turn = self.resizes.begun.get();
        self.resizes.begun.set(turn + 1);
        let core = Rc::clone(self);
        // Not ended with the shard but awaited by it: a file that is half resized is nothing to leave.
        drop(aquifer_io::spawn_vital(async move {
            let resizes = &core.resizes;
            resizes.one_ended.wait(|| (resizes.ended.get() == turn).then_some(())).await;
            let outcome = core.blocks.cache.set_disk_bytes(disk_bytes).await;
            if outcome.is_ok() {
                core.budget.set(ShardBudget { disk_bytes, ..core.budget() });
            }
            core.balance_memory();
            if let Some(keeper) = core.keeper.as_ref() {
                keeper.look_again();
            }
            resizes.ended.set(turn + 1);
            resizes.one_ended.notify();
            let outcome = outcome.map_err(|error| Error::new(ErrorKind::Local, error.to_string()));
            reply.send(outcome);
        }));
    }

    /// Waits until no change of the disk budget is under way.
    pub(crate) async fn resized(&self) {
        let resizes = &self.resizes;
        resizes.one_ended.wait(|| (resizes.ended.get() == resizes.begun.get()).then_some(())).await;
    }
}
