//! One event: read its key's state, change it, write it back.

use std::sync::Arc;
use std::time::Duration;

use aquifer::{Client, ErrorKind};

use super::feed::Numbered;
use super::lanes::LaneIndex;
use crate::failure::Failure;
use crate::input::{InputError, Source};
use crate::workload::{Overflow, StateError, Workload};

/// What became of an event.
#[derive(Debug)]
pub(super) enum Outcome<E> {
    /// It is applied and acknowledged.
    Done(Done),
    /// The engine's queue was full: it has to begin anew once another one is done.
    Again(LaneIndex, Arc<[u8]>, Numbered<E>),
}

/// A finished event.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) lane: LaneIndex,
    pub(super) get: Duration,
    pub(super) update: Duration,
}

/// Why an event could not be applied.
#[derive(Debug)]
pub(super) enum UpdateError {
    Engine(&'static str, aquifer::Error),
    State(StateError, Arc<[u8]>),
    Overflow(Overflow, u64),
}

impl UpdateError {
    /// As the run's failure.
    pub(super) fn into_failure(self, source: &Source) -> Failure {
        match self {
            Self::Engine(doing, error) => Failure::engine(doing)(error),
            Self::State(error, key) => {
                let key = String::from_utf8_lossy(&key).into_owned();
                Failure::Other(format!(
                    "the store holds for key {key:?} {error}: it was not made by this command"
                ))
            }
            Self::Overflow(error, line) => {
                InputError::at_line(&source.to_string(), line, error.to_string()).into()
            }
        }
    }
}

/// Applies one event. The caller sees to it that no other event of this key is in flight.
pub(super) async fn update<W: Workload>(
    client: &Client,
    lane: LaneIndex,
    key: Arc<[u8]>,
    event: Numbered<W::Event>,
) -> Result<Outcome<W::Event>, UpdateError> {
    let started = aquifer_io::now();
    let found = match client.get(&key).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::Busy => return Ok(Outcome::Again(lane, key, event)),
        Err(error) => return Err(UpdateError::Engine("cannot read state", error)),
    };
    let get = started.elapsed();
    let before = match found.as_deref().map(W::decode).transpose() {
        Ok(before) => before,
        Err(error) => return Err(UpdateError::State(error, key)),
    };
    let after = W::apply(before, &event.event).map_err(|error| UpdateError::Overflow(error, event.line))?;
    match client.put(&key, W::encode(&after).as_ref()).await {
        Ok(()) => Ok(Outcome::Done(Done { lane, get, update: started.elapsed() })),
        Err(error) if error.kind() == ErrorKind::Busy => Ok(Outcome::Again(lane, key, event)),
        Err(error) => Err(UpdateError::Engine("cannot write state", error)),
    }
}
