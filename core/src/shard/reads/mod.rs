//! Reads: what they see, where a key is looked up, and how many blocks they ask for at once.

pub(crate) mod answer_room;
pub(crate) mod walk;
pub(crate) mod fetched_parts;
pub(crate) mod lookup;
pub(crate) mod snapshot;
pub(crate) mod waiting_lookup;
pub(crate) mod multi_get;
pub(crate) mod scan;
pub(crate) mod effect;
