//! Merges: the task that picks them, and the work in slices. What to merge is decided in [`crate::compact`].

pub(crate) mod work;
pub(crate) mod run;
