//! Bugs on order: panics where the engine's own code runs.

use crate::client::Client;

/// Where on a shard's thread.
#[derive(Clone, Copy, Debug)]
pub enum PanicPlace {
    /// In the loop that serves the mailbox.
    Loop,
    /// In a task beside it.
    Task,
}

/// Has a shard panic once it meets this.
///
/// # Panics
/// On the shard's thread, as ordered.
#[expect(clippy::panic, reason = "it is what it is for")]
pub fn order(client: &Client, shard: usize, place: PanicPlace) {
    let job: crate::request::Job = match place {
        PanicPlace::Loop => Box::new(|_| panic!("a bug in the loop")),
        PanicPlace::Task => Box::new(|shard| shard.core().spawn(async { panic!("a bug in a task") })),
    };
    client.run_unguarded(shard, job);
}
