//! A segment: an immutable sorted run inside a pack.
//!
//! ```text
//! segment:    | partition 0 | partition 1 | ... | dictionary | head | footer |
//!             ^ offset of the segment           ^ tail_offset: one read from here opens the segment
//! partition:  | data block 0 | data block 1 | ... | meta |
//! ```
//! An index in two tiers: the head says which partition may hold a key, the partition's meta which of its blocks, after its filter let
//! the key pass. So a cold segment's first lookup takes two reads: the tail, whose length the manifest knows, then one partition with
//! its meta. Later lookups read single metas and blocks.
//!
//! The manifest keeps the footer's checksum, the footer that of the head (and dictionary), the head that of every partition's meta, the
//! meta that of every data block: a child's checksum stands in its parent, so that a misdirected or stale read shows.

mod place;
pub(crate) mod block;
pub(crate) mod counts;
mod dictionary;
pub(crate) mod filter;
pub(crate) mod footer;
pub(crate) mod ranges;
mod separators;
pub(crate) mod data;
pub(crate) mod partition;
pub(crate) mod cursor;
mod segment_entry;
pub(crate) mod head;
pub(crate) mod encoded;
pub(crate) mod writer;

#[cfg(test)]
mod data_test;
#[cfg(test)]
mod segment_test;

pub(crate) use place::SegmentPlace;
pub(crate) use segment_entry::SegmentEntry;
