//! Flights by aircraft: the workload of the built-in events.
//!
//! State of one tail number, 56 bytes:
//!
//! ```text
//! offset bytes field
//!      0     1 version: 1
//!      1     1 flags: bit 0 set when some arrival delay is known, other bits zero
//!      2     1 length of the last destination, 0 to 12
//!      3     1 zero
//!      4    12 last destination, zeros after its end
//!     16     8 flights, u64, at least 1
//!     24     8 sum of the known arrival delays in minutes, i64
//!     32     8 maximum of the known arrival delays in minutes, i64; zero when none is known
//!     40     8 sum of the known distances in miles, i64
//!     48     8 scheduled departure of the last flight in seconds since 1970, i64
//! ```
//!
//! "Last" is the order of the events in the input, which for the built-in ones is the order of scheduled departure.

use super::contract::{Overflow, StateError, Workload};
use super::layout::{Fields, Layout};
use crate::input::{Header, InputError, Row};

const STATE_BYTES: usize = 56;
const DESTINATION_BYTES_MAX: usize = 12;
const FLAG_DELAY_KNOWN: u8 = 1;
const _: () = assert!(4 + DESTINATION_BYTES_MAX + 8 + 8 + 8 + 8 + 8 == STATE_BYTES);

const COLUMNS: [&str; 5] =
    ["tail_number", "destination", "scheduled_departure_s", "arrival_delay_min", "distance_mi"];

/// The columns of flights in an input.
#[derive(Debug, Clone)]
pub(crate) struct Flights {
    tail_number: usize,
    destination: usize,
    departure: usize,
    arrival_delay: usize,
    distance: usize,
}

impl Flights {
    /// Whether an input has the columns of flights.
    pub(crate) fn recognises(header: &Header) -> bool {
        header.has_all(&COLUMNS)
    }

    /// Finds the columns. Error: one is missing.
    pub(crate) fn bind(header: &Header) -> Result<Self, InputError> {
        let [tail_number, destination, departure, arrival_delay, distance] = COLUMNS;
        Ok(Self {
            tail_number: header.index(tail_number)?,
            destination: header.index(destination)?,
            departure: header.index(departure)?,
            arrival_delay: header.index(arrival_delay)?,
            distance: header.index(distance)?,
        })
    }
}

/// Name of a place, in place: 0 to 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DestinationName {
    bytes: [u8; DESTINATION_BYTES_MAX],
    length: u8,
}

impl DestinationName {
    /// `None` when too long.
    pub(crate) fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; DESTINATION_BYTES_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, length: u8::try_from(name.len()).ok()? })
    }

    /// The name.
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// One flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlightEvent {
    /// Scheduled departure in seconds since 1970.
    pub(crate) departure_s: i64,
    /// Minutes late (negative: early); unknown for a cancelled flight.
    pub(crate) arrival_delay_min: Option<i32>,
    /// Miles between the airports, where given.
    pub(crate) distance_mi: Option<i32>,
    /// Where it went.
    pub(crate) destination: DestinationName,
}

/// What is kept of one aircraft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlightState {
    /// Number of flights, known delay or not.
    pub(crate) flights: u64,
    /// Sum over the flights whose delay is known.
    pub(crate) arrival_delay_sum_min: i64,
    /// Largest known delay.
    pub(crate) arrival_delay_max_min: Option<i64>,
    /// Miles of all flights.
    pub(crate) distance_sum_mi: i64,
    /// Destination of the last flight in the input.
    pub(crate) last_destination: DestinationName,
    /// Its scheduled departure.
    pub(crate) last_departure_s: i64,
}

impl Flights {
    fn small(row: &Row<'_>, column: usize) -> Result<Option<i32>, InputError> {
        let Some(number) = row.whole_number(column)? else { return Ok(None) };
        i32::try_from(number).map(Some).map_err(|_| row.bad_field(column, "not a whole number of 32 bits"))
    }
}

impl Workload for Flights {
    const SHAPE: u8 = 1;
    const NAME: &'static str = "flights";
    type Event = FlightEvent;
    type State = FlightState;

    fn key_column(&self) -> usize {
        self.tail_number
    }

    fn event(&self, row: &Row<'_>) -> Result<FlightEvent, InputError> {
        let departure = row.whole_number(self.departure)?;
        Ok(FlightEvent {
            departure_s: departure.ok_or_else(|| row.bad_field(self.departure, "a time is needed"))?,
            arrival_delay_min: Self::small(row, self.arrival_delay)?,
            distance_mi: Self::small(row, self.distance)?,
            destination: DestinationName::new(row.field(self.destination)).ok_or_else(|| {
                row.bad_field(self.destination, &format!("longer than {DESTINATION_BYTES_MAX} bytes"))
            })?,
        })
    }

    fn event_bytes(event: &FlightEvent, out: &mut Vec<u8>) {
        out.extend_from_slice(&event.departure_s.to_le_bytes());
        for number in [event.arrival_delay_min, event.distance_mi] {
            out.push(u8::from(number.is_some()));
            out.extend_from_slice(&number.unwrap_or(0).to_le_bytes());
        }
        out.push(event.destination.length);
        out.extend_from_slice(event.destination.name());
    }

    fn apply(state: Option<FlightState>, event: &FlightEvent) -> Result<FlightState, Overflow> {
        let delay = event.arrival_delay_min.map(i64::from);
        let distance = i64::from(event.distance_mi.unwrap_or(0));
        let Some(before) = state else {
            return Ok(FlightState {
                flights: 1,
                arrival_delay_sum_min: delay.unwrap_or(0),
                arrival_delay_max_min: delay,
                distance_sum_mi: distance,
                last_destination: event.destination,
                last_departure_s: event.departure_s,
            });
        };
        Ok(FlightState {
            flights: before.flights.checked_add(1).ok_or(Overflow("the number of flights"))?,
            arrival_delay_sum_min: before
                .arrival_delay_sum_min
                .checked_add(delay.unwrap_or(0))
                .ok_or(Overflow("the sum of arrival delays"))?,
            arrival_delay_max_min: before.arrival_delay_max_min.max(delay),
            distance_sum_mi: before
                .distance_sum_mi
                .checked_add(distance)
                .ok_or(Overflow("the sum of distances"))?,
            last_destination: event.destination,
            last_departure_s: event.departure_s,
        })
    }

    fn encode(state: &FlightState) -> impl AsRef<[u8]> + Send + 'static {
        let flags = if state.arrival_delay_max_min.is_some() { FLAG_DELAY_KNOWN } else { 0 };
        Layout::<STATE_BYTES>::new()
            .put(&[Self::SHAPE, flags, state.last_destination.length, 0])
            .put(&state.last_destination.bytes)
            .put(&state.flights.to_le_bytes())
            .put(&state.arrival_delay_sum_min.to_le_bytes())
            .put(&state.arrival_delay_max_min.unwrap_or(0).to_le_bytes())
            .put(&state.distance_sum_mi.to_le_bytes())
            .put(&state.last_departure_s.to_le_bytes())
            .done()
    }

    fn decode(bytes: &[u8]) -> Result<FlightState, StateError> {
        let mut fields = Fields::new(bytes, STATE_BYTES, Self::SHAPE)?;
        let [flags, length, zero] = fields.take()?;
        let name: [u8; DESTINATION_BYTES_MAX] = fields.take()?;
        let name = name.get(..usize::from(length)).ok_or(StateError::Field("length of the destination"))?;
        let destination = DestinationName::new(name).ok_or(StateError::Field("destination"))?;
        let state = FlightState {
            flights: fields.u64()?,
            arrival_delay_sum_min: fields.i64()?,
            arrival_delay_max_min: Some(fields.i64()?).filter(|_| flags & FLAG_DELAY_KNOWN != 0),
            distance_sum_mi: fields.i64()?,
            last_destination: destination,
            last_departure_s: fields.i64()?,
        };
        if state.flights == 0 {
            return Err(StateError::Field("number of flights"));
        }
        // One state has one form: flags, zeros and unused bytes are checked by making the form again.
        if zero != 0 || Self::encode(&state).as_ref() != bytes {
            return Err(StateError::Field("padding"));
        }
        Ok(state)
    }

    fn columns() -> &'static [&'static str] {
        &[
            "tail_number",
            "flights",
            "arrival_delay_sum_min",
            "arrival_delay_max_min",
            "distance_sum_mi",
            "last_destination",
            "last_departure_s",
        ]
    }

    fn cells(state: &FlightState) -> Vec<String> {
        vec![
            state.flights.to_string(),
            state.arrival_delay_sum_min.to_string(),
            state.arrival_delay_max_min.map_or_else(String::new, |max| max.to_string()),
            state.distance_sum_mi.to_string(),
            String::from_utf8_lossy(state.last_destination.name()).into_owned(),
            state.last_departure_s.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(delay: Option<i32>, distance: Option<i32>, destination: &str, departure_s: i64) -> FlightEvent {
        let destination = DestinationName::new(destination.as_bytes()).unwrap();
        FlightEvent { departure_s, arrival_delay_min: delay, distance_mi: distance, destination }
    }

    fn fold(events: &[FlightEvent]) -> FlightState {
        events.iter().fold(None, |state, event| Some(Flights::apply(state, event).unwrap())).unwrap()
    }

    #[test]
    fn a_flight_without_delay_counts_but_adds_none() {
        let state = fold(&[flight(None, Some(200), "MIA", 5)]);
        assert_eq!(Flights::cells(&state), ["1", "0", "", "200", "MIA", "5"]);
        let state = fold(&[
            flight(None, None, "MIA", 5),
            flight(Some(-7), Some(10), "", 9),
            flight(None, None, "X", 8),
        ]);
        assert_eq!(Flights::cells(&state), ["3", "-7", "-7", "10", "X", "8"], "last is the order of events");
    }

    #[test]
    fn states_survive_their_encoding_and_nothing_else_does() {
        for state in [
            fold(&[flight(None, None, "", i64::MIN)]),
            fold(&[flight(Some(i32::MAX), Some(i32::MIN), "ABCDEFGHIJKL", i64::MAX)]),
            fold(&[flight(Some(0), Some(1), "JFK", 1), flight(Some(-3), Some(1), "BOS", 2)]),
        ] {
            let bytes = Flights::encode(&state).as_ref().to_vec();
            assert_eq!(bytes.len(), STATE_BYTES);
            assert_eq!(Flights::decode(&bytes).unwrap(), state);
            assert!(matches!(
                Flights::decode(&bytes[1..]),
                Err(StateError::Length { found: 55, expected: 56 })
            ));
        }
        let good = Flights::encode(&fold(&[flight(None, Some(1), "JFK", 1)])).as_ref().to_vec();
        for (offset, byte) in [(0, 2), (1, 2), (2, 13), (2, 2), (3, 1), (8, 1), (16, 0), (32, 1)] {
            let mut bad = good.clone();
            bad[offset] = byte;
            assert!(Flights::decode(&bad).is_err(), "byte {offset} = {byte}");
        }
    }

    #[test]
    fn sums_that_leave_their_range_are_errors() {
        let mut state = fold(&[flight(Some(1), Some(1), "JFK", 1)]);
        state.distance_sum_mi = i64::MAX;
        let overflow = Flights::apply(Some(state), &flight(None, Some(1), "JFK", 1)).unwrap_err();
        assert_eq!(overflow, Overflow("the sum of distances"));
    }
}
