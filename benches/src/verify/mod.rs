//! Verification: every key of a store against an independent fold of the same input, in bounded memory.
//!
//! The input is read as often as needed, each time for a contiguous range of slots (key groups, cut finer where a
//! single group is too large), and folded into a table of fixed size; then the engine's pages of those key groups are
//! compared with the table.
//!
//! ```text
//! input ─> rows of slots [a, b) ─> FoldTable (budget) ─┐
//! engine ─> pages of their key groups ─────────────────┴─> equal | missing | extra | different
//! ```
//!
//! A pass that fills its table goes on with the lower half of its slots: what it has folded of those is complete.

mod compare;
mod flights_tally;
mod slot;
mod table;
mod totals_tally;
mod passes;

use std::fmt::Debug;

pub(crate) use compare::Comparison;
pub(crate) use flights_tally::FlightTally;
pub(crate) use passes::{Page, StoredState, verify};
pub(crate) use totals_tally::TotalTally;

use crate::workload::Workload;

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
