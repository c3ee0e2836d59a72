//! A shard's merges: the task that picks them, and what they find on the shard. What to merge is decided, and merged, in [`crate::compact`].

pub(crate) mod host;
pub(crate) mod task;
