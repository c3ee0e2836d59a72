//! When a checkpoint is due, and the one under way.
//!
//! ```text
//! issue … P │ wait until all events up to P are applied │ checkpoint(position P) called │ issue P+1 … meanwhile it commits
//! ```
//!
//! Invariants: one checkpoint at a time; its position is exactly the events whose writes were acknowledged before the call.

use std::pin::Pin;
use std::task::{Context, Poll};

use aquifer::{CheckpointInfo, Client, Reply};
use aquifer_io::Instant;

use super::measures::Measures;
use super::position::Position;
use crate::failure::Failure;

/// See the module.
pub(super) struct Checkpoints<'c> {
    client: &'c Client,
    every: u64,
    due_at: u64,
    stopped: Option<Instant>,
    running: Option<(Position, Reply<CheckpointInfo>)>,
    newest: Option<Position>,
}

impl<'c> Checkpoints<'c> {
    /// Checkpoints after each `every` events, counted from the beginning of the input.
    pub(super) fn new(client: &'c Client, every: u64, start: u64, newest: Option<Position>) -> Self {
        let due_at = start.saturating_sub(start % every).saturating_add(every);
        Self { client, every, due_at, stopped: None, running: None, newest }
    }

    /// The number of events at which issuing stops for the next barrier.
    pub(super) fn due_at(&self) -> u64 {
        self.due_at
    }

    /// Position of the newest committed one.
    pub(super) fn newest(&self) -> Option<Position> {
        self.newest
    }

    /// Whether none is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Issuing has stopped for a barrier: the pause is measured from here.
    pub(super) fn note_stop(&mut self) {
        self.stopped.get_or_insert_with(aquifer_io::now);
    }

    /// Places the barrier. The caller has seen all events up to `position` applied, and [`Checkpoints::is_idle`].
    pub(super) fn begin(&mut self, position: Position, measures: &mut Measures) {
        if let Some(stopped) = self.stopped.take() {
            measures.drain.record(stopped.elapsed());
        }
        self.running = Some((position, self.client.checkpoint(position.encode())));
        if position.events >= self.due_at {
            self.due_at = self.due_at.saturating_add(self.every);
        }
    }

    /// Moves the one under way. `Ready` when it has committed just now.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        measures: &mut Measures,
    ) -> Poll<Result<(Position, CheckpointInfo), Failure>> {
        let Some((position, running)) = &mut self.running else { return Poll::Pending };
        let Poll::Ready(result) = Pin::new(running).poll(context) else { return Poll::Pending };
        let position = *position;
        self.running = None;
        let info = result.map_err(Failure::engine("cannot take a checkpoint"))?;
        measures.checkpoint.record(info.duration);
        measures.barrier.record(info.barrier);
        measures.checkpoint_bytes = measures.checkpoint_bytes.saturating_add(info.uploaded_bytes);
        self.newest = Some(position);
        Poll::Ready(Ok((position, info)))
    }
}
