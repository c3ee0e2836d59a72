//! Count, sum and maximum of any column by any other: the workload of other people's events.
//!
//! Numbers are exact decimals ([`Decimal`]); a row whose value is empty is counted and adds nothing.
//!
//! State of one key, 48 bytes:
//!
//! ```text
//! offset bytes field
//!      0     1 version: 2
//!      1     1 flags: bit 0 set when some value is known, other bits zero
//!      2     1 digits after the point of the sum
//!      3     1 digits after the point of the maximum
//!      4     4 zero
//!      8     8 count of rows, u64, at least 1
//!     16    16 sum of the values times ten to its digits, i128, in lowest terms
//!     32    16 maximum likewise; zero when no value is known
//! ```

use super::contract::{Overflow, StateError, Workload};
use super::decimal::Decimal;
use super::layout::{Fields, Layout};
use crate::input::{Header, InputError, Row};

const STATE_BYTES: usize = 48;
const FLAG_VALUE_KNOWN: u8 = 1;
const _: () = assert!(8 + 8 + 16 + 16 == STATE_BYTES);

/// The two columns.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    key: usize,
    value: usize,
}

impl Totals {
    /// Finds the columns. Error: one is missing.
    pub(crate) fn bind(header: &Header, key: &str, value: &str) -> Result<Self, InputError> {
        Ok(Self { key: header.index(key)?, value: header.index(value)? })
    }
}

/// One row: its value, where it has one.
pub(crate) type TotalEvent = Option<Decimal>;

/// What is kept of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TotalState {
    /// Rows, with a value or without.
    pub(crate) count: u64,
    /// Sum of the values.
    pub(crate) sum: Decimal,
    /// Largest value.
    pub(crate) max: Option<Decimal>,
}

impl Workload for Totals {
    const SHAPE: u8 = 2;
    const NAME: &'static str = "totals";
    type Event = TotalEvent;
    type State = TotalState;

    fn key_column(&self) -> usize {
        self.key
    }

    fn event(&self, row: &Row<'_>) -> Result<TotalEvent, InputError> {
        let text = row.field(self.value).trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let number = Decimal::parse(text);
        number.map(Some).ok_or_else(|| row.bad_field(self.value, "not a decimal number of at most 38 digits"))
    }

    fn event_bytes(event: &TotalEvent, out: &mut Vec<u8>) {
        let (mantissa, scale) = event.unwrap_or_default().parts();
        out.extend_from_slice(&[u8::from(event.is_some()), scale]);
        out.extend_from_slice(&mantissa.to_le_bytes());
    }

    fn apply(state: Option<TotalState>, event: &TotalEvent) -> Result<TotalState, Overflow> {
        let Some(before) = state else {
            return Ok(TotalState { count: 1, sum: event.unwrap_or_default(), max: *event });
        };
        Ok(TotalState {
            count: before.count.checked_add(1).ok_or(Overflow("the count"))?,
            sum: before.sum.checked_add(event.unwrap_or_default()).ok_or(Overflow("the sum"))?,
            max: before.max.max(*event),
        })
    }

    fn encode(state: &TotalState) -> impl AsRef<[u8]> + Send + 'static {
        let (sum, sum_scale) = state.sum.parts();
        let (max, max_scale) = state.max.unwrap_or_default().parts();
        let flags = if state.max.is_some() { FLAG_VALUE_KNOWN } else { 0 };
        Layout::<STATE_BYTES>::new()
            .put(&[Self::SHAPE, flags, sum_scale, max_scale, 0, 0, 0, 0])
            .put(&state.count.to_le_bytes())
            .put(&sum.to_le_bytes())
            .put(&max.to_le_bytes())
            .done()
    }

    fn decode(bytes: &[u8]) -> Result<TotalState, StateError> {
        let mut fields = Fields::new(bytes, STATE_BYTES, Self::SHAPE)?;
        let [flags, sum_scale, max_scale, _, _, _, _] = fields.take()?;
        let count = fields.u64()?;
        let sum = Decimal::from_parts(fields.i128()?, sum_scale).ok_or(StateError::Field("sum"))?;
        let max = Decimal::from_parts(fields.i128()?, max_scale).ok_or(StateError::Field("maximum"))?;
        if count == 0 {
            return Err(StateError::Field("count"));
        }
        let state = TotalState { count, sum, max: Some(max).filter(|_| flags & FLAG_VALUE_KNOWN != 0) };
        // One state has one form: flags and zeros are checked by making the form again.
        if Self::encode(&state).as_ref() != bytes {
            return Err(StateError::Field("padding"));
        }
        Ok(state)
    }

    fn columns() -> &'static [&'static str] {
        &["key", "count", "sum", "max"]
    }

    fn cells(state: &TotalState) -> Vec<String> {
        vec![
            state.count.to_string(),
            state.sum.to_string(),
            state.max.map_or_else(String::new, |max| max.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(values: &[&str]) -> TotalState {
        let event = |text: &&str| Decimal::parse(text.as_bytes());
        values.iter().fold(None, |state, text| Some(Totals::apply(state, &event(text)).unwrap())).unwrap()
    }

    #[test]
    fn an_empty_value_counts_and_adds_nothing() {
        assert_eq!(Totals::cells(&fold(&["", ""])), ["2", "0", ""]);
        assert_eq!(Totals::cells(&fold(&["", "-1.5", "-0.25", ""])), ["4", "-1.75", "-0.25"]);
    }

    #[test]
    fn states_survive_their_encoding_and_nothing_else_does() {
        for state in
            [fold(&[""]), fold(&["-3"]), fold(&["0"]), fold(&["1e38"]), fold(&["0.001", "12345.6789"])]
        {
            let bytes = Totals::encode(&state).as_ref().to_vec();
            assert_eq!(Totals::decode(&bytes).unwrap(), state);
        }
        let good = Totals::encode(&fold(&["1.5"])).as_ref().to_vec();
        for (offset, byte) in [(0, 1), (1, 3), (1, 0), (2, 37), (3, 200), (5, 1), (8, 0), (16, 10)] {
            let mut bad = good.clone();
            bad[offset] = byte;
            assert!(Totals::decode(&bad).is_err(), "byte {offset} = {byte}");
        }
        assert!(Totals::decode(&[]).is_err());
    }

    #[test]
    fn a_sum_beyond_38_digits_is_an_error() {
        let state = fold(&["1e37"]);
        let tiny = Decimal::parse(b"1e-20");
        assert_eq!(Totals::apply(Some(state), &tiny).unwrap_err(), Overflow("the sum"));
    }
}
