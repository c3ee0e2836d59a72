//! The interface of an engine as an arm of the comparison, and the description that its reader gets.

use crate::compare::drive::bulk::Bulk;
use crate::compare::drive::tally::Tally;
use crate::compare::spec::{Stats, Work};
use crate::failure::Failure;
use crate::result::Settings;

/// The description of an arm for whoever reads its numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) settings: Settings,
    pub(crate) notes: Vec<String>,
}

/// An open engine.
pub(crate) trait Arm: Bulk {
    /// Version and settings, as they are.
    fn about(&self) -> About;
    /// One measurement.
    fn round(&self, work: &Work) -> Result<Tally, Failure>;
    /// Deletes a key.
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;
    /// Waits until nothing is merged or written any more.
    fn settle(&self) -> Result<(), Failure>;
    /// Reads everything once, in order.
    fn fill(&self) -> Result<(), Failure>;
    /// Makes all that was written durable on the DFS; how many bytes were sent for it.
    fn checkpoint(&self) -> Result<u64, Failure>;
    /// Sizes and counters that the process does not know by itself.
    fn stats(&self) -> Result<Stats, Failure>;
    /// Ends it.
    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// A setting as JSON.
pub(super) fn setting(settings: &mut Settings, name: &str, value: impl Into<serde_json::Value>) {
    settings.insert(name.to_owned(), value.into());
}
