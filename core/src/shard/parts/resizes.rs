//! Changes of the disk budget that wait for each other.

use crate::notify::LocalNotify;
use std::cell::Cell;

/// Changes of the disk budget: one after the other, in the order of the mailbox.
#[derive(Debug, Default)]
pub(crate) struct Resizes {
    pub(crate) begun: Cell<u64>,
    pub(crate) ended: Cell<u64>,
    pub(crate) one_ended: LocalNotify,
}
