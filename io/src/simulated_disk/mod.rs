//! A disk in memory, with live bytes and durable ones, and what a crash leaves of them: see [`simulated`](crate::simulated).

pub(crate) mod fault;
mod content;
mod file_node;
pub(crate) mod image;
mod names;
pub(crate) mod disk;

#[cfg(test)]
mod disk_test;
