//! An open file as the ring knows it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::slots::Slot;

/// An open file: its descriptor, and its place in the ring's table when there was one.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(super) descriptor: OwnedFd,
    pub(super) slot: Option<Slot>,
}

impl OpenFile {
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
