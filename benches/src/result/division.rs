//! Quotients of measured numbers.

/// One number by another; `None` where that is no number.
pub(crate) fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    let quotient = dividend / divisor;
    quotient.is_finite().then_some(quotient)
}
