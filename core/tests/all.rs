//! All tests of the engine through its public interface, as one program: linking the engine once takes a tenth of the time.

#![cfg(test)]

mod answers;
mod budgets;
mod cli;
mod closing;
mod cold_reads;
mod common;
mod compaction;
mod compaction_crash;
mod compaction_faults;
mod copied_partitions;
mod corruption;
mod dead_segments;
mod dropped;
mod embedder;
mod every_operation;
mod faults;
mod fencing;
mod flipped_segments;
mod large_values;
mod merge_reads;
mod model;
mod numbers;
mod opening;
mod operations;
mod panics;
mod pinned;
mod pinning;
mod private_files;
mod ranges;
mod read_plan;
mod refill;
mod simulated;
mod ssd;
mod time_domain;
mod warm_up;
