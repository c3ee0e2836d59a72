//! A block that is offered to the tier: where it comes from, and how long it may wait.

use super::origin::Origin;
use crate::key::ReadClass;

/// What becomes of an offer that waits when the day's bytes are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenSpent {
    /// It waits until they come back.
    Wait,
    GiveUp,
}

/// A block that is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) origin: Origin,
    /// It stands for blocks that were in use.
    pub(crate) is_hot: bool,
}

impl Source {
    /// Fetched for a reader.
    pub(crate) const READ: Self = Self { origin: Origin::Read, is_hot: false };
    /// Fetched before anybody asked for it, because it was in use elsewhere.
    pub(crate) const AHEAD: Self = Self { origin: Origin::Ahead, is_hot: true };

    /// What was fetched for a class of readers; `None`: it is not offered.
    pub(crate) const fn of_reads(reads: ReadClass) -> Option<Self> {
        match reads {
            // A scan is no sign of use, and frequency tells: a block that is read ahead once is not taken in by a tier that is full.
            ReadClass::Foreground | ReadClass::ReadAhead => Some(Self::READ),
            ReadClass::WarmUp => Some(Self::AHEAD),
            // What a merge reads is about to be gone.
            ReadClass::Compaction => None,
        }
    }
}
