//! What a real store does to its clients, on this side of the wire: waiting, narrow lines, faults.
//!
//! ```text
//! socket ── wire (pace, reset, mute) ── hyper ── exchange (latency, faults) ── s3s ── folder
//!              └──────── line ───────────────────────┘
//! ```
//!
//! Deterministic from the seed: request number n, counted over all connections in the order in which their heads arrive, takes
//! the draws 2n (its latency) and 2n + 1 (its fault) of one generator. With one connection, a seed replays a run; with several, the
//! sequence is the same and who gets which number of it is up to the network.
//!
//! A request's latency counts from its head, and what the server really took is part of it: an answer leaves when both are
//! over. Bandwidth is limited each way on its own.

mod delay;
mod pace;
mod wire;
mod body;
mod exchange;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_io::Instant;
use s3s::service::S3Service;

use super::watch::Watched;
use crate::shape::{Fault, FaultPlan, LatencyProfile};
use delay::Delays;
pub(super) use exchange::Exchange;
use pace::SharedPace;
use wire::{Line, Paces, Wire};

/// What the server does to its clients. The default is nothing: it answers as fast as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerShape {
    /// How long requests take at least.
    pub latency: LatencyProfile,
    /// What goes wrong, and how often. A stall lasts 30 s; a slow close comes 1 s after the answer.
    pub faults: FaultPlan,
    /// Bytes per second of all connections together, each way. 0: no limit.
    pub bandwidth_bytes_per_s: u64,
    /// Bytes per second of each connection, each way. 0: no limit.
    pub connection_bandwidth_bytes_per_s: u64,
    /// Of all draws.
    pub seed: u64,
}

impl ServerShape {
    /// True when it changes nothing: requests then go the straight way.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }
}

/// The shape at work, shared by all connections of a server.
#[derive(Debug)]
pub(super) struct Shaper {
    shape: ServerShape,
    chance: Mutex<fastrand::Rng>,
    delays: Arc<Delays>,
    incoming: Option<Arc<SharedPace>>,
    outgoing: Option<Arc<SharedPace>>,
}

impl Shaper {
    /// Within a tokio runtime, on which somebody must run [`Shaper::ring`].
    pub(super) fn new(shape: ServerShape) -> io::Result<Arc<Self>> {
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
    pub(super) async fn ring(&self) {
        self.delays.ring().await;
    }

    /// Puts the shape between a connection and the service.
    pub(super) fn connect(self: &Arc<Self>, stream: Watched, service: S3Service) -> (Wire, Exchange) {
        let line = Line::new();
        let pace = || SharedPace::new(self.shape.connection_bandwidth_bytes_per_s).map(Arc::new);
        let paces = |all: &Option<Arc<SharedPace>>| Paces { own: pace(), all: all.clone() };
        let (incoming, outgoing) = (paces(&self.incoming), paces(&self.outgoing));
        let wire = Wire::new(stream, Arc::clone(&line), Arc::clone(&self.delays), incoming, outgoing);
        (wire, Exchange::new(service, Arc::clone(self), line))
    }

    /// For the next request: when its answer is due, and what goes wrong with it.
    fn draw(&self) -> (Instant, Option<Fault>) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = self.shape.latency.sample(&mut chance);
        let fault = self.shape.faults.next(&mut chance);
        (aquifer_io::now() + latency, fault)
    }
}
