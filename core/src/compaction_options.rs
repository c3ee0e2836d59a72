//! What compaction may take of the machine, and what of it other processes may do.

use crate::error::{Error, Result};
use std::time::Duration;

/// Compaction: a part of [`crate::Options`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionOptions {
    /// What it may take of the machine.
    pub budget: CompactionBudget,
    /// Compaction by other processes: `None` offers them nothing.
    pub remote: Option<RemoteCompaction>,
}

impl CompactionOptions {
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        self.budget.validate()?;
        self.remote.as_ref().map_or(Ok(()), RemoteCompaction::validate)
    }
}

/// What compaction may take of the machine. One budget for a whole engine, whose shards share it evenly, or for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionBudget {
    /// Most of a core that a shard's compaction takes while reads come in, in percent, 1 to 100. With no reads it takes what is idle.
    pub cpu_percent: u8,
    /// Most bytes a second that compaction offers to the SSD tier of the cache; what is above goes to the DFS alone. `None`: no limit.
    pub disk_bytes_per_s: Option<u64>,
    /// Most bytes a second that compaction uploads. `None`: no limit. Too little of it slows writers down in the end.
    pub upload_bytes_per_s: Option<u64>,
}

impl Default for CompactionBudget {
    /// Half of a core while reads come in; disk and uploads without limit.
    fn default() -> Self {
        Self { cpu_percent: 50, disk_bytes_per_s: None, upload_bytes_per_s: None }
    }
}

impl CompactionBudget {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.cpu_percent == 0 || self.cpu_percent > 100 {
            return Err(Error::invalid(format!(
                "cpu_percent of the compaction budget is {}; 1 to 100 are possible",
                self.cpu_percent
            )));
        }
        for (name, rate) in
            [("disk_bytes_per_s", self.disk_bytes_per_s), ("upload_bytes_per_s", self.upload_bytes_per_s)]
        {
            if rate.is_some_and(|rate| rate < RATE_LEAST) {
                return Err(Error::invalid(format!(
                    "{name} of the compaction budget is {}; use at least {RATE_LEAST}, or None for no limit",
                    rate.unwrap_or_default()
                )));
            }
        }
        Ok(())
    }
}

/// Below this a single segment would take hours.
const RATE_LEAST: u64 = 64 * 1024;

/// Compaction by other processes: see [`crate::compact_store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteCompaction {
    /// Merges that read at least this many bytes are offered to workers; smaller ones cost less to do than to hand over.
    pub offer_bytes_min: u64,
    /// A worker that shows no sign of life for this long loses its job. At least 100 ms; it should be several times what the DFS takes
    /// for a request, and more than four times the workers' beat.
    pub lease: Duration,
    /// Offer such merges whenever they are due. If `false`, only while the shard is behind with its own (runs or bytes of more than four
    /// full memtables too many), and not for eight leases after an offer that nobody claimed: handing over costs half a lease then.
    pub always: bool,
}

impl Default for RemoteCompaction {
    /// Merges of 16 MiB and more, when behind; a lease of 30 s.
    fn default() -> Self {
        Self { offer_bytes_min: 16 * 1024 * 1024, lease: Duration::from_secs(30), always: false }
    }
}

impl RemoteCompaction {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.lease < LEASE_LEAST {
            return Err(Error::invalid(format!(
                "compaction.remote.lease is {:?}; use at least {LEASE_LEAST:?}",
                self.lease
            )));
        }
        Ok(())
    }
}

const LEASE_LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_that_cannot_work_are_refused() {
        assert!(CompactionBudget::default().validate().is_ok());
        for budget in [
            CompactionBudget { cpu_percent: 0, ..CompactionBudget::default() },
            CompactionBudget { cpu_percent: 101, ..CompactionBudget::default() },
            CompactionBudget { upload_bytes_per_s: Some(1), ..CompactionBudget::default() },
            CompactionBudget { disk_bytes_per_s: Some(0), ..CompactionBudget::default() },
        ] {
            assert!(budget.validate().is_err(), "{budget:?}");
        }
    }
}
