//! A machine that one seed replays: virtual time, the order of tasks, a disk, and everything that can go wrong with it.
//!
//! ```text
//! World::new(seed, options) ─> spawn_executor .. ─> run ─> trace: the same bytes for the same seed
//!        ^                       │ the same File, spawn_local, sleep, now, random_u64 as on a real machine
//!        │                       v
//!    DiskImage <───crash─── live bytes │ durable bytes
//! ```
//!
//! All executors of a world run on the thread that drives it, one task at a time. Code that names no runtime runs
//! here unchanged.
//!
//! # What one seed decides
//!
//! * Which executor is next, and in which order its ready tasks are polled. Each turn of an executor polls all that
//!   were ready when it began, once, and last those that gave way ([`yield_now`](crate::yield_now)), in the order they did.
//! * Time: [`now`](crate::now) is virtual. Each poll takes a little of it, each disk operation some tens of
//!   microseconds; when nothing is ready, time jumps to the next timer or completion. The machine's speed plays no part.
//! * [`random_u64`](crate::random_u64) of each executor, the faults, and what a crash leaves.
//!
//! What it does not decide: threads outside (their wakes are taken, at a moment that no seed replays), addresses, and hash
//! maps with keys of the operating system.
//!
//! # The crash rule
//!
//! A crash leaves an image made of durable things and, by chance, of later ones:
//!
//! * **Bytes.** A file's durable bytes, and then, in order, any subset of the later writes, each cut at the borders of
//!   512-byte sectors in any way: a sector is old or new, never mixed. Writes in flight count as later writes. The length reaches
//!   to the last sector that is kept; a change of length or a reservation is kept or not as a whole.
//! * **Sync.** [`File::sync_data`](crate::File::sync_data) makes durable all writes to the file that were finished when it
//!   was called, and the length; not the file's name. A sync that fails makes any part durable, and the rest is never
//!   made durable by a later sync, though it can be read until the crash.
//! * **Names.** Creations, renames and removals are durable only after [`sync_dir`](crate::fs::sync_dir) of a folder they
//!   touch (earlier changes that such a change builds on become durable with it). Of the others, a crash keeps any subset. A
//!   rename is atomic: the old name or the new one. What no name leads to is gone.
//! * Locks, open files, memory and tasks are gone.
//!
//! No `unsafe` here.

pub use crate::executor::simulated::world::{RunEnd, World};
pub use crate::simulated_disk::fault::{DiskOperation, Effect, Fault, FaultRates};
pub use crate::simulated_disk::image::DiskImage;
pub use crate::simulated_machine::options::WorldOptions;
