//! Room for writes: what memtables may take, and what the shard is behind with.

use crate::limits::{COMPACTION_DEBT_UNITS, RUNS_DEBT};
use crate::shard::compaction;
use crate::shard::parts::counters::add;
use crate::shard::parts::pressure;
use crate::shard::parts::pressure::{Debt, Term};
use crate::shard::shard_core::ShardCore;

impl ShardCore {
    /// Memtables together have a limit; the rest of the write budget is the segment under upload, and compaction.
    pub(crate) fn has_room(&self) -> bool {
        self.memtable.borrow().bytes() + self.frozen_bytes.get() < self.budget().memtables_bytes_max
    }

    /// Whether a write need not wait: there is room, and nothing is behind.
    pub(crate) fn goes_on(&self) -> bool {
        self.has_room() && !pressure::slows_down(&self.debt())
    }

    /// Waits until there is room for a write of `bytes`, or no hope of it, and for what the write owes.
    pub(crate) async fn room(&self, bytes: usize) {
        if let Some(until) = self.pressure.pace(&self.debt(), bytes as u64, aquifer_io::now) {
            aquifer_io::sleep(until.duration_since(aquifer_io::now())).await;
        }
        if !self.has_room() {
            add(&self.counters.write_stalls, 1);
            let _waiting = self.pressure.wait_for_room();
            self.progress.wait(|| (self.has_room() || self.shared.is_stopped()).then_some(())).await;
        }
    }

    /// What the shard is behind with, now.
    pub(crate) fn debt(&self) -> Debt {
        let frozen = self.frozen_bytes.get() as u64;
        let memtables = self.memtable.borrow().bytes() as u64 + frozen;
        let (full, most) =
            (self.budget().memtable_bytes_max as u64, self.budget().memtables_bytes_max as u64);
        Debt {
            memtables: Term { amount: memtables, soft: full + most.saturating_sub(full) * 3 / 5, hard: most },
            ..self.version_debt.get()
        }
    }

    /// What a version is behind with: looked at once for each, as it walks all segments.
    pub(crate) fn debt_of_version(&self) -> Debt {
        let unit = self.compaction.unit_bytes();
        let runs = self.version().depth(&self.groups) as u64;
        Debt {
            runs: Term { amount: runs, soft: RUNS_DEBT.0, hard: RUNS_DEBT.1 },
            compaction: Term {
                amount: compaction::task::debt(self),
                soft: unit * COMPACTION_DEBT_UNITS.0,
                hard: unit * COMPACTION_DEBT_UNITS.1,
            },
            ..Debt::default()
        }
    }
}
