//! Which segments are kept local in a pinned disk tier (see [`crate::shard::local_copies::keep`]).

use crate::segment::SegmentEntry;
use crate::version::local_use::{LocalUse, Signal};
use crate::version::{Segment, SegmentId, Version};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
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
pub(crate) struct Held {
    pub(crate) entry: SegmentEntry,
    /// Its clips.
    pub(crate) uses: Vec<(Weak<LocalUse>, Range<u16>)>,
    /// Key groups that were made local.
    pub(crate) local: Vec<Range<u16>>,
    pub(crate) state: State,
    /// The tier was changed since somebody began to look at it.
    pub(crate) is_stale: bool,
    /// Stored bytes that count here, and those of them that are not local.
    pub(crate) bytes: u64,
    pub(crate) missing_bytes: u64,
}

impl Held {
    /// Key groups that somebody may read.
    pub(crate) fn needed(&mut self) -> Vec<Range<u16>> {
        self.uses.retain(|(home, _)| home.strong_count() > 0);
        joined(self.uses.iter().map(|(_, groups)| groups.clone()).collect())
    }
}

/// Ranges in order, those that touch as one.
pub(crate) fn joined(mut ranges: Vec<Range<u16>>) -> Vec<Range<u16>> {
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
pub(crate) struct Locality {
    pub(crate) bytes: u64,
    pub(crate) missing_bytes: u64,
    pub(crate) is_all: bool,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) held: RefCell<BTreeMap<SegmentId, Held>>,
    pub(crate) signal: Rc<Signal>,
}

/// A segment and the key groups of it that somebody needs.
pub(crate) struct Kept {
    pub(crate) segment: Rc<Segment>,
    pub(crate) groups: Vec<Range<u16>>,
}

impl Keeper {
    pub(crate) fn adopt(&self, segment: &Segment, state: State) {
        if segment.home.get().is_some() {
            return;
        }
        let home = Rc::new(LocalUse(Rc::clone(&self.signal)));
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
    pub(crate) fn begin_written(&self, segment: &Segment) {
        self.adopt(segment, State::Written);
    }

    /// What became of that: so many bytes did not fit.
    pub(crate) fn end_written(&self, segment: &Segment, missing_bytes: u64) {
        let groups = vec![segment.entry.groups.clone()];
        self.settle(segment.id(), groups, (u64::from(segment.entry.bytes), missing_bytes));
    }

    pub(crate) fn settle(&self, id: SegmentId, local: Vec<Range<u16>>, (bytes, missing_bytes): (u64, u64)) {
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
    pub(crate) fn look_again(&self) {
        for held in self.held.borrow_mut().values_mut() {
            held.is_stale = true;
            if held.state != State::Written {
                held.state = State::New;
            }
        }
        self.signal.raise();
    }

    /// What nobody has looked at yet, or also what did not fit.
    pub(crate) fn to_pin(&self, also_partly: bool) -> Vec<Kept> {
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

    pub(crate) fn pinned(&self, kept: &Kept, bytes: u64, missing_bytes: u64) {
        self.settle(kept.segment.id(), kept.groups.clone(), (bytes, missing_bytes));
    }

    /// What somebody stopped to need: the segment, what was local of it, and what is needed still.
    pub(crate) fn to_unpin(&self) -> Vec<(Kept, Vec<Range<u16>>)> {
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
    pub(crate) fn unpinned(&self, was: &Kept, bytes: u64) {
        if let Some(held) = self.held.borrow_mut().get_mut(&was.segment.id()) {
            held.bytes = bytes;
        }
    }

    pub(crate) fn locality(&self, is_off: bool) -> Locality {
        let held = self.held.borrow();
        let bytes = held.values().map(|held| held.bytes).sum();
        let missing = held.values().filter(|held| held.state != State::Local).map(|held| held.missing_bytes);
        let missing_bytes = if is_off { bytes } else { missing.sum() };
        let is_all = !is_off && held.values().all(|held| held.state == State::Local);
        Locality { bytes, missing_bytes, is_all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(joined(vec![5..7, 0..2, 2..3, 9..9, 6..8]), [0..3, 5..8]);
    }
}
