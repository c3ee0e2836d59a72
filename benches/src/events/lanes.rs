//! Lanes: one per key that has an event in flight, with the events of that key that wait for it.
//!
//! ```text
//! key ─> lane ─> waiting events in order (a list through one shared arena)
//! ```
//!
//! Invariants: a lane exists exactly while one event of its key is in flight; events of one key leave in the order they
//! came; the number of waiting events never exceeds the limit.

use std::collections::HashMap;
use std::sync::Arc;

/// End of a list.
const NONE: u32 = u32::MAX;

/// Number of a lane, valid until it is closed.
pub(super) type LaneIndex = u32;

/// What became of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Admission<E> {
    /// Its key was idle: it goes in flight, in this lane.
    Start(LaneIndex, Arc<[u8]>, E),
    /// An earlier event of its key is in flight: it waits.
    Queued,
}

#[derive(Debug)]
struct Lane {
    key: Arc<[u8]>,
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Waiting<E> {
    event: Option<E>,
    next: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<E> {
    by_key: HashMap<Arc<[u8]>, LaneIndex>,
    lanes: Vec<Option<Lane>>,
    free_lanes: Vec<LaneIndex>,
    waiting: Vec<Waiting<E>>,
    free_waiting: u32,
    waiting_count: usize,
    waiting_max: usize,
}

impl<E> Lanes<E> {
    /// No lanes yet.
    pub(super) fn new(lanes_max: usize, waiting_max: usize) -> Self {
        Self {
            by_key: HashMap::with_capacity(lanes_max),
            lanes: Vec::with_capacity(lanes_max),
            free_lanes: Vec::with_capacity(lanes_max),
            waiting: Vec::new(),
            free_waiting: NONE,
            waiting_count: 0,
            waiting_max,
        }
    }

    /// Whether another event may be admitted even if it has to wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_count < self.waiting_max
    }

    /// Events that wait for an earlier one of their key.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Takes in the next event of the input. The caller has seen [`Lanes::has_room`].
    pub(super) fn admit(&mut self, key: &[u8], event: E) -> Admission<E> {
        if let Some(&lane) = self.by_key.get(key) {
            self.enqueue(lane, event);
            return Admission::Queued;
        }
        let key: Arc<[u8]> = key.into();
        let opened = Lane { key: Arc::clone(&key), first: NONE, last: NONE };
        let lane = match self.free_lanes.pop() {
            Some(lane) => lane,
            None => {
                self.lanes.push(None);
                u32::try_from(self.lanes.len() - 1).unwrap_or(NONE)
            }
        };
        if let Some(place) = self.lanes.get_mut(lane as usize) {
            *place = Some(opened);
        }
        self.by_key.insert(Arc::clone(&key), lane);
        Admission::Start(lane, key, event)
    }

    /// The event in flight of this lane is done: the next one of its key, or the lane is closed.
    pub(super) fn finish(&mut self, lane: LaneIndex) -> Option<(Arc<[u8]>, E)> {
        let place = self.lanes.get_mut(lane as usize)?;
        let open = place.as_mut()?;
        if open.first == NONE {
            self.by_key.remove(&open.key);
            *place = None;
            self.free_lanes.push(lane);
            return None;
        }
        let index = open.first;
        let waiting = self.waiting.get_mut(index as usize)?;
        open.first = waiting.next;
        let event = waiting.event.take()?;
        waiting.next = self.free_waiting;
        self.free_waiting = index;
        self.waiting_count -= 1;
        Some((Arc::clone(&open.key), event))
    }

    fn enqueue(&mut self, lane: LaneIndex, event: E) {
        let entry = Waiting { event: Some(event), next: NONE };
        let index = self.free_waiting;
        let index = match self.waiting.get_mut(index as usize) {
            Some(free) => {
                self.free_waiting = free.next;
                *free = entry;
                index
            }
            None => {
                self.waiting.push(entry);
                u32::try_from(self.waiting.len() - 1).unwrap_or(NONE)
            }
        };
        let Some(Some(lane)) = self.lanes.get_mut(lane as usize) else { return };
        if lane.first == NONE {
            lane.first = index;
        } else if let Some(last) = self.waiting.get_mut(lane.last as usize) {
            last.next = index;
        }
        lane.last = index;
        self.waiting_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    /// Random admissions and completions against a map of queues.
    #[test]
    fn lanes_are_queues_by_key() {
        let mut lanes = Lanes::new(8, 64);
        let mut model: BTreeMap<Vec<u8>, VecDeque<u64>> = BTreeMap::new();
        let mut running: Vec<(LaneIndex, Arc<[u8]>, u64)> = Vec::new();
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for number in 0..20_000_u64 {
            if lanes.has_room() && random(2) == 0 {
                let key = vec![u8::try_from(random(20)).unwrap()];
                match lanes.admit(&key, number) {
                    Admission::Start(lane, name, event) => {
                        assert_eq!((&*name, event), (key.as_slice(), number));
                        assert!(!model.contains_key(&key), "the key was idle");
                        model.insert(key, VecDeque::new());
                        running.push((lane, name, event));
                    }
                    Admission::Queued => model.get_mut(&key).unwrap().push_back(number),
                }
            } else if !running.is_empty() {
                let index = usize::try_from(random(running.len() as u64)).unwrap();
                let (lane, key, _) = running.swap_remove(index);
                let next = model.get_mut(&*key).unwrap().pop_front();
                assert_eq!(lanes.finish(lane), next.map(|event| (Arc::clone(&key), event)));
                match next {
                    Some(event) => running.push((lane, key, event)),
                    None => drop(model.remove(&*key)),
                }
            }
            assert_eq!(lanes.waiting_count(), model.values().map(VecDeque::len).sum::<usize>());
        }
        assert!(lanes.lanes.len() <= 20 && lanes.waiting.len() <= 64, "places are used again");
    }
}
