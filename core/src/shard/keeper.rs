//! Which segments are kept local in a pinned disk tier, and the task that sees to it.
//!
//! ```text
//! written here     its blocks are pinned from memory, before its version ─┐
//! from elsewhere   fetched ───────────────────────────────────────────────┼─> held ──> no version, read or snapshot has it ──> unpinned
//! did not fit      fetched once something was unpinned ───────────────────┘
//! ```
//! Every segment of a version has a [`Home`], which goes with the last who can read it. A clip of a segment is a use of its own: partitions
//! that no clip needs any more are unpinned as well.
//! Nothing fails for want of disk: what is not local is read from the DFS, and counted.

use super::ShardCore;
use crate::error::Result;
use crate::limits::PIN_PAUSE;
use crate::segment::SegmentEntry;
use crate::version::home::{Home, Signal};
use crate::version::{Segment, SegmentId, Version};
use futures_util::future::select;
use futures_util::pin_mut;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has looked yet what of it is local.
    New,
    /// Its writer is pinning it.
    Written,
    Local,
    /// Some of it did not fit.
    Partly,
}

/// A segment that is kept.
#[derive(Debug)]
struct Held {
    entry: SegmentEntry,
    /// Its clips.
    uses: Vec<(Weak<Home>, Range<u16>)>,
    /// Key groups that were made local.
    local: Vec<Range<u16>>,
    state: State,
    /// The tier was changed since somebody began to look at it.
    is_stale: bool,
    /// Stored bytes that count here, and those of them that are not local.
    bytes: u64,
    missing_bytes: u64,
}

impl Held {
    /// Key groups that somebody may read.
    fn needed(&mut self) -> Vec<Range<u16>> {
        self.uses.retain(|(home, _)| home.strong_count() > 0);
        joined(self.uses.iter().map(|(_, groups)| groups.clone()).collect())
    }
}

/// Ranges in order, those that touch as one.
fn joined(mut ranges: Vec<Range<u16>>) -> Vec<Range<u16>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<u16>> = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match out.last_mut().filter(|last| range.start <= last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => out.push(range),
        }
    }
    out
}

/// How much of a shard's state is local.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Locality {
    pub(super) bytes: u64,
    pub(super) missing_bytes: u64,
    pub(super) is_all: bool,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    held: RefCell<BTreeMap<SegmentId, Held>>,
    signal: Rc<Signal>,
}

/// A segment and the key groups of it that somebody needs.
pub(super) struct Kept {
    pub(super) segment: Rc<Segment>,
    pub(super) groups: Vec<Range<u16>>,
}

impl Keeper {
    fn adopt(&self, segment: &Segment, state: State) {
        if segment.home.get().is_some() {
            return;
        }
        let home = Rc::new(Home(Rc::clone(&self.signal)));
        let groups = segment.entry.groups.clone();
        let mut held = self.held.borrow_mut();
        let held = held.entry(segment.id()).or_insert_with(|| Held {
            entry: segment.entry.clone(),
            uses: Vec::new(),
            local: Vec::new(),
            state,
            is_stale: false,
            bytes: segment.live_bytes(),
            missing_bytes: segment.live_bytes(),
        });
        held.uses.push((Rc::downgrade(&home), groups.clone()));
        let is_covered =
            held.local.iter().any(|local| local.start <= groups.start && groups.end <= local.end);
        if !is_covered && held.state != State::Written {
            held.state = State::New;
        }
        // Nobody else sets it: this is the shard's one thread.
        drop(segment.home.set(home));
        self.signal.raise();
    }

    /// Every segment of a version that will be read.
    pub(crate) fn adopt_all(&self, version: &Version) {
        version.segments().for_each(|segment| self.adopt(segment, State::New));
    }

    /// Its writer pins it now.
    pub(super) fn begin_written(&self, segment: &Segment) {
        self.adopt(segment, State::Written);
    }

    /// What became of that: so many bytes did not fit.
    pub(super) fn end_written(&self, segment: &Segment, missing_bytes: u64) {
        let groups = vec![segment.entry.groups.clone()];
        self.settle(segment.id(), groups, (u64::from(segment.entry.bytes), missing_bytes));
    }

    fn settle(&self, id: SegmentId, local: Vec<Range<u16>>, (bytes, missing_bytes): (u64, u64)) {
        if let Some(held) = self.held.borrow_mut().get_mut(&id) {
            held.state = match missing_bytes {
                _ if held.is_stale => State::New,
                0 => State::Local,
                _ => State::Partly,
            };
            (held.local, held.bytes, held.missing_bytes) = (local, bytes, missing_bytes);
        }
        self.signal.raise();
    }

    /// What was local may be so no more, or there is more room: all is looked at again.
    pub(super) fn look_again(&self) {
        for held in self.held.borrow_mut().values_mut() {
            held.is_stale = true;
            if held.state != State::Written {
                held.state = State::New;
            }
        }
        self.signal.raise();
    }

    /// What nobody has looked at yet, or also what did not fit.
    pub(super) fn to_pin(&self, also_partly: bool) -> Vec<Kept> {
        let mut held = self.held.borrow_mut();
        let is_wanted = |held: &Held| held.state == State::New || also_partly && held.state == State::Partly;
        let wanted = held.values_mut().filter(|held| is_wanted(held));
        let kept = wanted.filter_map(|held| {
            let groups = held.needed();
            held.is_stale = false;
            // Whatever comes of it, some of it may be there from now on.
            held.local = joined(held.local.iter().chain(&groups).cloned().collect());
            (!groups.is_empty()).then(|| Kept { segment: Rc::new(Segment::new(held.entry.clone())), groups })
        });
        kept.collect()
    }

    pub(super) fn pinned(&self, kept: &Kept, bytes: u64, missing_bytes: u64) {
        self.settle(kept.segment.id(), kept.groups.clone(), (bytes, missing_bytes));
    }

    /// What somebody stopped to need: the segment, what was local of it, and what is needed still.
    fn to_unpin(&self) -> Vec<(Kept, Vec<Range<u16>>)> {
        let mut held = self.held.borrow_mut();
        let mut out = Vec::new();
        held.retain(|_, held| {
            let needed = held.needed();
            if held.state == State::Written || needed == held.local {
                return true;
            }
            let is_less = held.local.iter().any(|local| {
                !needed.iter().any(|needed| needed.start <= local.start && local.end <= needed.end)
            });
            if is_less {
                let segment = Rc::new(Segment::new(held.entry.clone()));
                let was = std::mem::replace(&mut held.local, needed.clone());
                if held.state == State::Partly {
                    // How much of the rest is missing has to be counted.
                    held.state = State::New;
                }
                out.push((Kept { segment, groups: was }, needed.clone()));
            }
            !needed.is_empty()
        });
        out
    }

    /// So much is left of a segment of which parts were unpinned.
    fn unpinned(&self, was: &Kept, bytes: u64) {
        if let Some(held) = self.held.borrow_mut().get_mut(&was.segment.id()) {
            held.bytes = bytes;
        }
    }

    pub(super) fn locality(&self, is_off: bool) -> Locality {
        let held = self.held.borrow();
        let bytes = held.values().map(|held| held.bytes).sum();
        let missing = held.values().filter(|held| held.state != State::Local).map(|held| held.missing_bytes);
        let missing_bytes = if is_off { bytes } else { missing.sum() };
        let is_all = !is_off && held.values().all(|held| held.state == State::Local);
        Locality { bytes, missing_bytes, is_all }
    }
}

/// The keeper's task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    let Some(keeper) = core.keeper.as_ref() else { return };
    let mut is_behind = false;
    loop {
        if is_behind {
            // The DFS did not answer: once more after a while, or when something else is to be done.
            let (signal, pause) = (keeper.signal.wait(), aquifer_io::sleep(PIN_PAUSE));
            pin_mut!(signal, pause);
            select(signal, pause).await;
        } else {
            keeper.signal.wait().await;
        }
        // What stands in for others is local before those go.
        is_behind = keep(&core, keeper, false).await.is_err();
        let unpinned = keeper.to_unpin();
        let is_more_room = !unpinned.is_empty();
        for (was, needed) in &unpinned {
            // Of a head or meta that cannot be read now the blocks are found when the file is opened next.
            if let Ok(Some(bytes)) = core.unpin(was, needed).await {
                keeper.unpinned(was, bytes);
            }
        }
        drop(unpinned);
        if is_more_room {
            is_behind |= keep(&core, keeper, true).await.is_err();
        }
    }
}

/// Makes local what is not. The first error; the others are tried all the same.
async fn keep(core: &Rc<ShardCore>, keeper: &Keeper, also_partly: bool) -> Result<()> {
    let mut outcome = Ok(());
    for kept in keeper.to_pin(also_partly) {
        let pinned = core.make_local(&kept).await;
        outcome = outcome.and(pinned.map(|(bytes, missing)| keeper.pinned(&kept, bytes, missing)));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(joined(vec![5..7, 0..2, 2..3, 9..9, 6..8]), [0..3, 5..8]);
    }
}
