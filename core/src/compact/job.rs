//! One piece of work of compaction: what it reads, and where its result belongs.

use crate::version::invariants::Merged;
use crate::version::{Change, Segment, Version, intersection};
use std::ops::Range;
use std::rc::Rc;

/// Why a job was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    /// Whole segments are dead: they go unread.
    Drop,
    /// Runs whose keys do not overlap become one run by their names in the manifest alone.
    Move,
    /// Neighbouring tiers become one tier.
    Tiers,
    /// Tiers are merged into the bottom level.
    Bottom,
    /// Deletions or expired entries make up half: they are merged out, down to the bottom.
    Garbage,
}

/// A job. Its inputs are pinned: objects are never deleted under it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: JobKind,
    /// Sorted runs, newest first; of each, the segments that touch `groups`, in key order.
    pub(crate) inputs: Vec<Vec<Rc<Segment>>>,
    /// Key groups that are merged; the inputs keep the others.
    pub(crate) groups: Range<u16>,
    /// Where the result belongs.
    pub(crate) level: u8,
    /// The newest input's: the result stands where that stood.
    pub(crate) sequence: u64,
    /// Nothing older holds a key of these groups: deletions need not be kept.
    pub(crate) reaches_bottom: bool,
}

impl Job {
    /// A job over parts of runs. `None` if these hold nothing of `groups`.
    pub(crate) fn merge(
        kind: JobKind,
        version: &Version,
        runs: Range<usize>,
        groups: Range<u16>,
        level: u8,
    ) -> Option<Self> {
        let inputs: Vec<Vec<Rc<Segment>>> = version
            .runs
            .get(runs.clone())?
            .iter()
            .map(|run| run.touching(&groups).cloned().collect())
            .filter(|run: &Vec<_>| !run.is_empty())
            .collect();
        let sequence = inputs.iter().flatten().map(|segment| segment.entry.sequence).max()?;
        let reaches_bottom =
            version.runs.iter().skip(runs.end).all(|older| older.touching(&groups).next().is_none());
        Some(Self { kind, inputs, groups, level, sequence, reaches_bottom })
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Rc<Segment>> {
        self.inputs.iter().flatten()
    }

    /// Where outputs are cut: key groups from which no output may reach back to a lower one.
    ///
    /// A merge into the bottom leaves a hole in its tiers. A later tier over the hole would claim groups in which newer writes lie below it.
    pub(crate) fn cuts(&self) -> Vec<u16> {
        let mut islands: Vec<Range<u16>> =
            self.segments().map(|segment| intersection(&segment.groups(), &self.groups)).collect();
        islands.sort_by_key(|groups| groups.start);
        let mut cuts = Vec::new();
        let mut end = 0;
        for groups in islands {
            if groups.start > end {
                cuts.push(groups.start);
            }
            end = end.max(groups.end);
        }
        cuts
    }

    /// Bytes that it reads, about.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.share(&self.groups, u64::from(segment.entry.bytes))).sum()
    }

    /// Whether it reads blocks; else its change is known at once.
    pub(crate) fn is_merge(&self) -> bool {
        !matches!(self.kind, JobKind::Drop | JobKind::Move)
    }

    /// What it changes, given what it wrote.
    pub(crate) fn change(&self, outputs: Vec<Rc<Segment>>) -> Change {
        match self.kind {
            JobKind::Move => Change::relabel(self.segments(), self.level, self.sequence),
            // Parts of one segment may stand side by side, and not all of them be dead.
            JobKind::Drop => Change {
                removed: self
                    .segments()
                    .map(|segment| (Rc::clone(segment), segment.entry.groups.clone()))
                    .collect(),
                added: outputs,
            },
            JobKind::Tiers | JobKind::Bottom | JobKind::Garbage => Change {
                removed: self.segments().map(|segment| (Rc::clone(segment), self.groups.clone())).collect(),
                added: outputs,
            },
        }
    }
}

/// What a merge wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) outputs: Vec<Rc<Segment>>,
    pub(crate) merged: Merged,
}
