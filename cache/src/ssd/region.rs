//! One region of the file: what it is doing, and how much of it is alive.

use super::format::Round;
use std::rc::Rc;

/// The state of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing of it is in the index.
    #[default]
    Clean,
    Current,
    Sealed,
    /// Its entries are leaving.
    Emptying,
}

/// One region of the file.
#[derive(Default)]
pub(super) struct Region {
    /// 0: never begun, as far as is known.
    pub(super) generation: u64,
    pub(super) state: State,
    /// Sectors that begin with a part of an entry that is in the index.
    pub(super) live_sectors: u32,
    /// Its entries that are in the index: small ones may share a sector.
    pub(super) live_entries: u32,
    /// Sectors of all entries that were put there in this generation; of a region that was recovered, as many as there may be.
    pub(super) put_sectors: u32,
    /// Clones of it are the places that are being read: the region is not begun anew until they are gone.
    pub(super) hold: Rc<()>,
}

impl Region {
    pub(super) fn of(generation: u64, state: State) -> Self {
        Self { generation, state, ..Self::default() }
    }

    /// What was put there and is not in the index any more.
    pub(super) fn dead_sectors(&self) -> u32 {
        self.put_sectors.saturating_sub(self.live_sectors)
    }

    /// Whether entries of it are being read.
    pub(super) fn is_held(&self) -> bool {
        Rc::strong_count(&self.hold) > 1
    }
}

/// A region that is to be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    pub(super) region: u32,
    pub(super) round: Round,
}
