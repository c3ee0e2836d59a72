//! What waits for the flush task.

use crate::checkpoint_parts::BarrierPart;
use crate::notify::LocalNotify;
use crate::reply::ReplyTo;
use crate::version::Frozen;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// What waits for the flush task. Its length is bounded: memtables by their budget, barriers by one checkpoint at a time.
#[derive(Default)]
pub(crate) struct FlushQueue {
    pub(crate) items: RefCell<VecDeque<Item>>,
    pub(crate) added: LocalNotify,
}

pub(crate) enum Item {
    Full(Rc<Frozen>),
    Barrier { frozen: Option<Rc<Frozen>>, freeze: Duration, reply: ReplyTo<BarrierPart> },
}

impl FlushQueue {
    pub(crate) fn push(&self, item: Item) {
        self.items.borrow_mut().push_back(item);
        self.added.notify();
    }

    /// Lets all go that waits.
    pub(crate) fn clear(&self) {
        drop(self.items.take());
    }
}

/// What of a memtable is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeze {
    All,
    /// The part that holds most.
    Fullest,
}
