//! What was in use at a checkpoint: listed with it, and fetched before somebody asks; after a merge, put back.

pub(crate) mod hot_list;
pub(crate) mod fetch;
pub(crate) mod refill;
