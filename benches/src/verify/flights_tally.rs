//! The independent fold of flights.

use super::tally::{Tally, Verified};
use crate::workload::{FlightEvent, FlightState, Flights};

/// Totals of one aircraft, kept in another form than its state: known and unknown delays are counted apart.
#[derive(Debug, Clone)]
pub(crate) struct FlightTally {
    delay_known: u32,
    delay_unknown: u32,
    delay_max_min: i32,
    destination_length: u8,
    destination: [u8; 12],
    delay_total_min: i64,
    miles: i64,
    departure_s: i64,
}

impl FlightTally {
    fn note_last(&mut self, event: &FlightEvent) {
        let name = event.destination.name();
        self.destination = [0; 12];
        self.destination.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        self.destination_length = name.len().try_into().unwrap_or(u8::MAX);
        self.departure_s = event.departure_s;
    }

    fn destination(&self) -> &[u8] {
        self.destination.get(..usize::from(self.destination_length)).unwrap_or_default()
    }
}

impl Verified for Flights {
    type Tally = FlightTally;
}

impl Tally<Flights> for FlightTally {
    fn first(event: &FlightEvent) -> Self {
        let mut tally = Self {
            delay_known: 0,
            delay_unknown: 0,
            delay_max_min: i32::MIN,
            destination_length: 0,
            destination: [0; 12],
            delay_total_min: 0,
            miles: 0,
            departure_s: 0,
        };
        // The first event of a key cannot leave the range of sums that are twice as wide as it.
        let _ = tally.add(event);
        tally
    }

    fn add(&mut self, event: &FlightEvent) -> Option<()> {
        match event.arrival_delay_min {
            Some(minutes) => {
                self.delay_known = self.delay_known.checked_add(1)?;
                self.delay_total_min = self.delay_total_min.checked_add(minutes.into())?;
                self.delay_max_min = self.delay_max_min.max(minutes);
            }
            None => self.delay_unknown = self.delay_unknown.checked_add(1)?,
        }
        if let Some(miles) = event.distance_mi {
            self.miles = self.miles.checked_add(miles.into())?;
        }
        self.note_last(event);
        Some(())
    }

    fn agrees(&self, state: &FlightState) -> bool {
        let delay_max = (self.delay_known > 0).then_some(i64::from(self.delay_max_min));
        state.flights == u64::from(self.delay_known) + u64::from(self.delay_unknown)
            && state.arrival_delay_sum_min == self.delay_total_min
            && state.arrival_delay_max_min == delay_max
            && state.distance_sum_mi == self.miles
            && state.last_destination.name() == self.destination()
            && state.last_departure_s == self.departure_s
    }

    fn describe(&self) -> String {
        let delay_max = if self.delay_known > 0 { self.delay_max_min.to_string() } else { String::new() };
        format!(
            "{},{},{delay_max},{},{},{}",
            u64::from(self.delay_known) + u64::from(self.delay_unknown),
            self.delay_total_min,
            self.miles,
            String::from_utf8_lossy(self.destination()),
            self.departure_s,
        )
    }
}
