//! The answer to an offer.

use crate::rejection::Rejection;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    /// It is there already.
    Present,
    Rejected(Rejection),
}
