//! The independent fold of count, sum and maximum.

use super::tally::{Tally, Verified};
use crate::workload::{Decimal, TotalEvent, TotalState, Totals};

/// Totals of one key, kept in another form than its state: rows with and without a value are counted apart.
#[derive(Debug, Clone)]
pub(crate) struct TotalTally {
    with_value: u32,
    without_value: u32,
    sum: Packed,
    max: Packed,
}

/// A decimal number at an alignment of one byte: half a table would be padding otherwise.
#[derive(Debug, Clone, Copy)]
struct Packed {
    mantissa: [u8; 16],
    scale: u8,
}

impl Packed {
    fn new(number: Decimal) -> Self {
        let (mantissa, scale) = number.parts();
        Self { mantissa: mantissa.to_le_bytes(), scale }
    }

    fn number(self) -> Decimal {
        Decimal::from_parts(i128::from_le_bytes(self.mantissa), self.scale).unwrap_or_default()
    }
}

impl Verified for Totals {
    type Tally = TotalTally;
}

impl Tally<Totals> for TotalTally {
    fn first(event: &TotalEvent) -> Self {
        Self {
            with_value: u32::from(event.is_some()),
            without_value: u32::from(event.is_none()),
            sum: Packed::new(event.unwrap_or(Decimal::ZERO)),
            max: Packed::new(event.unwrap_or(Decimal::ZERO)),
        }
    }

    fn add(&mut self, event: &TotalEvent) -> Option<()> {
        let Some(value) = *event else {
            self.without_value = self.without_value.checked_add(1)?;
            return Some(());
        };
        self.sum = Packed::new(value.checked_add(self.sum.number())?);
        if self.with_value == 0 || value > self.max.number() {
            self.max = Packed::new(value);
        }
        self.with_value = self.with_value.checked_add(1)?;
        Some(())
    }

    fn agrees(&self, state: &TotalState) -> bool {
        let max = (self.with_value > 0).then(|| self.max.number());
        state.count == u64::from(self.with_value) + u64::from(self.without_value)
            && state.sum == self.sum.number()
            && state.max == max
    }

    fn describe(&self) -> String {
        let max = if self.with_value > 0 { self.max.number().to_string() } else { String::new() };
        let count = u64::from(self.with_value) + u64::from(self.without_value);
        format!("{count},{},{max}", self.sum.number())
    }
}
