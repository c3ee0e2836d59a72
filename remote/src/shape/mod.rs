//! What a distributed file system does to its callers, as numbers: waiting, narrow pipes, faults.
//!
//! ```text
//! seeded generator ──> LatencyProfile (how long) ┐
//!                 ──> FaultPlan (what goes wrong) ├──> the shaping wrapper, the simulated store, the embedded server
//!      bytes, now ──> Pace (when they have passed) ┘
//! ```
//!
//! Pure: nothing here waits, keeps time or draws by itself. Who uses it brings the generator, so that one seed replays a run.

mod fault;
mod latency;
mod pace;
pub(crate) mod options;

pub use fault::{BadRates, Fault, FaultPlan, FaultRates, RATE_UNIT};
pub use latency::{LatencyProfile, UnknownProfile};
pub use pace::Pace;
