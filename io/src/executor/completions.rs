//! How many completions a turn of a loop takes, of operations on a ring: a part of those that are there.
//!
//! A device hands them over in bunches, and a loop that deals with a whole bunch before it submits what follows leaves
//! the device without work meanwhile.

/// A turn takes one in so many of the operations in flight.
const SHARE: usize = 8;

/// Most completions of a turn.
pub(super) const COMPLETIONS_MAX: usize = 16;

/// Most completions of a turn, of so many operations in flight. Where a submission is dear, a turn takes at least
/// `completions_min`.
pub(super) fn completions_max(in_flight: usize, completions_min: usize) -> usize {
    (in_flight / SHARE).clamp(completions_min, COMPLETIONS_MAX)
}
