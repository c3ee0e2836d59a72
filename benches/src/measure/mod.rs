//! What benchmarks share: the meter, the machine and who else uses it, tools to compare with, spreads over rounds, the order of turns.

pub(crate) mod machine;
pub(crate) mod spread;
pub(crate) mod thread_cpu;
pub(crate) mod tool;
pub(crate) mod turns;
pub(crate) mod meter;
