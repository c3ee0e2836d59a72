//! Workloads: what is read from an event, what is kept per key, and how that is written as bytes and as CSV.
//!
//! | workload | key | state of a key |
//! |---|---|---|
//! | [`Flights`] | tail number | flights, sum and maximum of arrival delay, miles, last destination and its time |
//! | [`Totals`] | a column by choice | count, sum and maximum of another column |
//!
//! Invariants: [`Workload::decode`] accepts exactly what [`Workload::encode`] makes; applying an event never loses
//! precision, it fails.

mod contract;
mod layout;
mod decimal;
mod flights;
mod totals;

pub(crate) use contract::{Overflow, StateError, Workload};
pub(crate) use decimal::Decimal;
pub(crate) use flights::{FlightEvent, FlightState, Flights};
pub(crate) use totals::{TotalEvent, TotalState, Totals};
