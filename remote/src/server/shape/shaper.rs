//! The shape of a server at work.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_io::Instant;

use super::delay::Delays;
use super::pace::SharedPace;
use super::server_shape::ServerShape;
use crate::shape::Fault;

/// The shape at work, shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Shaper {
    pub(super) shape: ServerShape,
    chance: Mutex<fastrand::Rng>,
    pub(super) delays: Arc<Delays>,
    pub(super) incoming: Option<Arc<SharedPace>>,
    pub(super) outgoing: Option<Arc<SharedPace>>,
}

impl Shaper {
    /// Within a tokio runtime, on which somebody must run [`Shaper::ring`].
    pub(crate) fn new(shape: ServerShape) -> io::Result<Arc<Self>> {
        let pace = || SharedPace::new(shape.bandwidth_bytes_per_s).map(Arc::new);
        Ok(Arc::new(Self {
            shape,
            chance: Mutex::new(fastrand::Rng::with_seed(shape.seed)),
            delays: Delays::new()?,
            incoming: pace(),
            outgoing: pace(),
        }))
    }

    /// Wakes who waits, for ever.
    pub(crate) async fn ring(&self) {
        self.delays.ring().await;
    }

    /// For the next request: when its answer is due, and what goes wrong with it.
    pub(super) fn draw(&self) -> (Instant, Option<Fault>) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = self.shape.latency.sample(&mut chance);
        let fault = self.shape.faults.next(&mut chance);
        (aquifer_io::now() + latency, fault)
    }
}
