//! A use of a segment that somebody keeps local: it tells when the last who can read the segment is gone.

use crate::notify::LocalNotify;
use std::cell::Cell;
use std::rc::Rc;

/// Says that something is to be done.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_raised: Cell<bool>,
    raised: LocalNotify,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.is_raised.set(true);
        self.raised.notify();
    }

    pub(crate) async fn wait(&self) {
        self.raised.wait(|| self.is_raised.replace(false).then_some(())).await;
    }
}

/// Goes with the last who can read a segment, in one of its clips.
#[derive(Debug)]
pub(crate) struct LocalUse(pub(crate) Rc<Signal>);

impl Drop for LocalUse {
    fn drop(&mut self) {
        self.0.raise();
    }
}
