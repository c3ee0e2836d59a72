//! What a debug build has to say of its numbers.

/// Said before and after the numbers of a build that is no measure of anything.
pub(super) const DEBUG_WARNING: &str =
    "WARNING: this is a debug build, its numbers mean nothing: build with --release to measure";
