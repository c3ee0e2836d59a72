//! How an arm is driven: the same keys, values and checks whoever answers.
//!
//! ```text
//! lanes   one key an operation, in an open or closed loop, some in flight on each thread     run::lane
//! bulk    many keys a call from plain threads; keys are made beforehand, outside of the clock
//! shard   one key a call, on the thread that owns the data; keys are made beforehand
//! ```

pub(super) mod keys;
pub(super) mod tally;
pub(super) mod bulk;
pub(super) mod shard;
pub(super) mod lanes;
