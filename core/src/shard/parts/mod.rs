//! The parts that a shard owns, a file for each. A part knows its own state and never the shard; the rooms beside this
//! one act on parts.

pub(crate) mod counters;
pub(crate) mod answers;
pub(crate) mod flush_queue;
pub(crate) mod growing;
pub(crate) mod heat;
pub(crate) mod hot_list;
pub(crate) mod keeper;
pub(crate) mod point_index;
pub(crate) mod pressure;
pub(crate) mod resizes;
pub(crate) mod snapshots;
pub(crate) mod tasks;
pub(crate) mod waiting;
pub(crate) mod warm_up;
