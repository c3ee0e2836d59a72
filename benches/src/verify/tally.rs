//! What is folded beside the engine.

use std::fmt::Debug;

use crate::workload::Workload;

/// A workload whose results can be verified.
pub(crate) trait Verified: Workload {
    /// The independent fold that results are compared with.
    type Tally: Tally<Self>;
}

/// What the independent fold keeps of one key: small, and computed by code that shares nothing with
/// [`Workload::apply`].
pub(crate) trait Tally<W: Workload + ?Sized>: Debug + Clone + 'static {
    /// The tally of a key's first event.
    fn first(event: &W::Event) -> Self;
    /// Takes in one more event. `None`: out of range.
    fn add(&mut self, event: &W::Event) -> Option<()>;
    /// Whether a stored state says the same.
    fn agrees(&self, state: &W::State) -> bool;
    /// The tally in words, for the report of a mismatch.
    fn describe(&self) -> String;
}
