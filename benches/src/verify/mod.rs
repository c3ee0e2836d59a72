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

mod tally;
mod compare;
mod flights_tally;
mod slot;
mod table;
mod totals_tally;
mod passes;

pub(crate) use compare::Comparison;
pub(crate) use passes::{Page, StoredState, verify};
pub(crate) use tally::Verified;
