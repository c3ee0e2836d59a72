//! Why the SSD tier does not take a block.

/// Why an entry was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Larger than an entry may be.
    TooLarge,
    /// The writer is behind.
    Behind,
    /// No region can be begun now.
    NoRegion,
    /// Not wanted often enough.
    Cold,
    /// The day's bytes are used up.
    Budget,
    /// There is no tier, or it is being closed.
    Off,
}
