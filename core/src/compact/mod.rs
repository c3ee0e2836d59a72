//! Merges sorted runs, so that a read has few of them to look into.
//!
//! Tiered: a run belongs to the size class of its bytes, each class eight times the one below; once eight neighbours of a class
//! have gathered, they become one run of the next class. Every byte is so rewritten about once a class. (Size-tiered compaction as in
//! Cassandra and RocksDB's universal style; leveling of the large classes is not done yet.)
//!
//! [`pick`] is a pure function of the runs' sizes, [`run`] carries a pick out.

mod pick;
pub(crate) mod run;
