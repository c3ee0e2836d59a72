//! The driver: keeps many events in flight, those of one key in order, and takes checkpoints meanwhile.
//!
//! ```text
//! Feed ─> Lanes (per key, in order) ─> updates in flight (at most --in-flight) ─> engine
//!                └─ events that wait for their key (at most as many)
//! ```
//!
//! One thread, one future: everything here runs on the caller's thread, completions come as wakes from the shards.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aquifer::{CheckpointInfo, Client};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::checkpoints::Checkpoints;
use super::feed::{Feed, Numbered};
use super::lanes::{Admission, LaneIndex, Lanes};
use super::measures::Measures;
use super::position::Position;
use super::update::{Outcome, UpdateError, update};
use crate::failure::Failure;
use crate::input::Source;
use crate::progress::Progress;
use crate::workload::Workload;

/// Waiting events for each one that may be in flight.
const WAITING_PER_IN_FLIGHT: usize = 1;

/// A part of a run: from one opening of the store to the next.
pub(super) struct Leg<'l, W: Workload> {
    pub(super) client: &'l Client,
    pub(super) source: &'l Source,
    /// The input, at the position where the leg begins.
    pub(super) feed: Feed<'l, W>,
    /// The position is that of a committed checkpoint.
    pub(super) restored: bool,
    pub(super) in_flight_max: usize,
    pub(super) checkpoint_every: u64,
    /// Number of the event after which the engine is taken away, and how.
    pub(super) crash: Option<(u64, Box<dyn FnOnce() + 'l>)>,
}

/// How a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegEnd {
    /// The engine is gone.
    Crashed {
        /// Events issued and not yet applied, waiting ones included.
        in_flight: usize,
        /// Events issued.
        issued: u64,
    },
    /// All events are applied and in a checkpoint.
    Complete(Position),
}

/// Runs a leg to its end. `committed` hears of each checkpoint. Dropping the future is like a crash of the caller: the
/// engine finishes what it has been given.
pub(super) async fn drive<W: Workload>(
    mut leg: Leg<'_, W>,
    measures: &mut Measures,
    progress: &Progress,
    mut committed: impl FnMut(&Position, &CheckpointInfo),
) -> Result<LegEnd, Failure> {
    let client = leg.client;
    let start = leg.feed.position();
    let mut checkpoints =
        Checkpoints::new(client, leg.checkpoint_every, start.events, leg.restored.then_some(start));
    let crash_at = leg.crash.as_ref().map_or(u64::MAX, |(event, _)| *event);
    let mut flight = Flight::<W::Event, _, _>::new(leg.in_flight_max, |lane, key, event| {
        update::<W>(client, lane, key, event)
    });
    let began = aquifer_io::now();
    let mut applied_in = None;
    loop {
        let at_end = flight.take_in(&mut leg.feed, checkpoints.due_at().min(crash_at))?;
        let issued = leg.feed.position();
        if issued.events == crash_at {
            // One look at each, so that what was pushed last has reached the engine too.
            let context = &mut Context::from_waker(Waker::noop());
            flight.poll(context, measures).map_err(|error| error.into_failure(leg.source))?;
            let in_flight = flight.count();
            measures.note_applied(issued.events - start.events - in_flight as u64, began.elapsed());
            if let Some((_, crash)) = leg.crash.take() {
                crash();
            }
            return Ok(LegEnd::Crashed { in_flight, issued: issued.events });
        }
        if at_end || issued.events == checkpoints.due_at() {
            checkpoints.note_stop();
            if flight.count() == 0 && at_end {
                applied_in.get_or_insert_with(|| began.elapsed());
            }
            if flight.count() == 0 && checkpoints.is_idle() {
                if at_end && checkpoints.newest() == Some(issued) {
                    measures.note_applied(issued.events - start.events, applied_in.unwrap_or_default());
                    return Ok(LegEnd::Complete(issued));
                }
                checkpoints.begin(issued, measures);
                continue;
            }
        }
        let news = std::future::poll_fn(|context| {
            let finished = flight.poll(context, measures);
            let committed = checkpoints.poll(context, measures);
            match (&finished, &committed) {
                (Ok(0), Poll::Pending) => Poll::Pending,
                _ => Poll::Ready((finished, committed)),
            }
        });
        let (finished, committed_now) = news.await;
        finished.map_err(|error| error.into_failure(leg.source))?;
        if let Poll::Ready(result) = committed_now {
            let (position, info) = result?;
            committed(&position, &info);
        }
        progress.set(issued.events);
    }
}

/// The events in flight and those that wait for them.
struct Flight<E, F, S> {
    start: S,
    running: FuturesUnordered<F>,
    lanes: Lanes<Numbered<E>>,
    in_flight_max: usize,
    finished: Vec<LaneIndex>,
    again: Vec<(LaneIndex, Arc<[u8]>, Numbered<E>)>,
}

impl<E, F, S> Flight<E, F, S>
where
    F: Future<Output = Result<Outcome<E>, UpdateError>>,
    S: Fn(LaneIndex, Arc<[u8]>, Numbered<E>) -> F,
{
    fn new(in_flight_max: usize, start: S) -> Self {
        Self {
            start,
            running: FuturesUnordered::new(),
            lanes: Lanes::new(in_flight_max, in_flight_max.saturating_mul(WAITING_PER_IN_FLIGHT)),
            in_flight_max,
            finished: Vec::new(),
            again: Vec::new(),
        }
    }

    /// Events that are issued and not yet applied.
    fn count(&self) -> usize {
        self.running.len() + self.again.len() + self.lanes.waiting_count()
    }

    /// Takes in events while there is room, up to this number of events. Whether the input has ended.
    fn take_in<W: Workload<Event = E>>(
        &mut self,
        feed: &mut Feed<'_, W>,
        halt_at: u64,
    ) -> Result<bool, Failure> {
        while feed.position().events < halt_at
            && self.running.len() + self.again.len() < self.in_flight_max
            && self.lanes.has_room()
        {
            let Some(event) = feed.next()? else { return Ok(true) };
            if let Admission::Start(lane, key, event) = self.lanes.admit(feed.key(), event) {
                self.running.push((self.start)(lane, key, event));
            }
        }
        Ok(feed.has_ended())
    }

    /// Takes in all completions there are, starts what waited for them, and tells how many there were.
    fn poll(&mut self, context: &mut Context<'_>, measures: &mut Measures) -> Result<usize, UpdateError> {
        let mut news = 0;
        while let Poll::Ready(Some(outcome)) = self.running.poll_next_unpin(context) {
            news += 1;
            match outcome? {
                Outcome::Done(done) => {
                    measures.get.record(done.get);
                    measures.update.record(done.update);
                    self.finished.push(done.lane);
                }
                Outcome::Again(lane, key, event) => self.again.push((lane, key, event)),
            }
        }
        // What the engine could not take waits until it has answered something else.
        if !self.finished.is_empty() || self.running.is_empty() {
            for (lane, key, event) in self.again.drain(..) {
                self.running.push((self.start)(lane, key, event));
            }
        }
        for lane in self.finished.drain(..) {
            if let Some((key, event)) = self.lanes.finish(lane) {
                self.running.push((self.start)(lane, key, event));
            }
        }
        Ok(news)
    }
}
