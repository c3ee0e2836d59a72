//! The machine of a simulated world: executors that share one thread, one virtual clock and one disk.
//!
//! ```text
//! World ── drives ──> Machine (machine.rs): seats, tasks, turns, timers, virtual time, disk, trace
//! File, fs (files.rs) ─────────> Machine: verdict ─ wait ─ disk
//! Executor ── Ticket (ticket.rs): which machine, which seat
//! ```
//!
//! It stands below the executors: it knows them as the occupants of its seats (seat.rs).

pub(crate) mod options;
pub(crate) mod trace;
mod virtual_time;
mod wake;
pub(crate) mod end;
pub(crate) mod seat;
pub(crate) mod machine;
pub(crate) mod drive;
pub(crate) mod sleep;
pub(crate) mod files;
pub(crate) mod ticket;
