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
mod server_shape;
mod shaper;
mod exchange;

use std::sync::Arc;

use s3s::service::S3Service;

use super::watch::Watched;
pub(super) use exchange::Exchange;
use pace::SharedPace;
pub use server_shape::ServerShape;
pub(super) use shaper::Shaper;
use wire::{Line, Paces, Wire};

impl Shaper {
    /// Puts the shape between a connection and the service.
    pub(super) fn connect(self: &Arc<Self>, stream: Watched, service: S3Service) -> (Wire, Exchange) {
        let line = Line::new();
        let pace = || SharedPace::new(self.shape.connection_bandwidth_bytes_per_s).map(Arc::new);
        let paces = |all: &Option<Arc<SharedPace>>| Paces { own: pace(), all: all.clone() };
        let (incoming, outgoing) = (paces(&self.incoming), paces(&self.outgoing));
        let wire = Wire::new(stream, Arc::clone(&line), Arc::clone(&self.delays), incoming, outgoing);
        (wire, Exchange::new(service, Arc::clone(self), line))
    }
}
