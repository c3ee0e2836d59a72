//! The account of answers that nobody has taken yet, and of large reads under way (see [`crate::shard::reads::answer_room`]).

use crate::untaken::Untaken;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// Answers are counted once their sum is so large.
pub(crate) const GROUP_BYTES: usize = 4 * 1024;

/// The account of one shard.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) untaken: Arc<Untaken>,
    /// Given and not yet counted.
    pub(crate) uncounted: Cell<usize>,
    /// How much may be given before the account has to be looked at.
    pub(crate) headroom: Cell<usize>,
    /// What large reads have under way.
    pub(crate) under_way: Cell<usize>,
    /// Large reads whose turn has not come, by number.
    pub(crate) turns: RefCell<VecDeque<u64>>,
    pub(crate) turn_next: Cell<u64>,
    /// So much was left when a read was refused for it.
    pub(crate) refused_at: Cell<usize>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            untaken: Arc::default(),
            uncounted: Cell::new(0),
            headroom: Cell::new(0),
            under_way: Cell::new(0),
            turns: RefCell::default(),
            turn_next: Cell::new(0),
            refused_at: Cell::new(usize::MAX),
        }
    }
}
