//! Promises of simulated worlds: one seed replays a run, time is virtual, a crash keeps what was synced.

// Integration tests are tests anyhow; said again so that clippy knows.
#[cfg(test)]
#[path = "simulated/mod.rs"]
mod simulated;
