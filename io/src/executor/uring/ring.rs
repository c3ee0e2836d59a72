//! The ring itself, and the operations that the kernel works on: the one place that shows it memory and descriptors.
//!
//! ```text
//! begin(work) ─> entry on the submission queue ─ enter ─> kernel ─> completion ─ reap ─> waker ─> finish(key) ─> work
//! ```
//!
//! Who keeps which duty:
//! * The slab owns the work of each operation (buffer, path, open file) from `begin` until its completion was reaped,
//!   whoever waits for it or does not any more. Nothing of it is read, written, moved on the heap or freed meanwhile.
//! * `Ring` must not be dropped while operations are in flight: `executor/run/uring.rs` drains, else leaks it.
//! * A registered buffer's memory carries its place in the kernel's table, and a place is emptied before it is used again
//!   (`slots.rs`). The kernel pins the pages, so memory freed before that is never written to by an operation: none is
//!   in flight, or the slab would own it.
#![expect(
    unsafe_code,
    reason = "the kernel's view of memory and descriptors, which the compiler cannot check"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use slab::Slab;

use super::open_file::OpenFile;
use super::wakes::Wakes;
use crate::open_options::PRIVATE_FILE_MODE;
use crate::slots::{Slot, Slots};
use crate::transfer::{Direction, Transfer};

/// Marks the completions of the poll on the eventfd.
const WAKE: u64 = u64::MAX;

/// Registered files at once; more are used by their descriptors.
const FILES_MAX: u16 = 256;

/// Registered buffers at once; more are used by their addresses.
const BUFFERS_MAX: u16 = 512;

/// A buffer is registered when its memory is used the so-manieth time: pinning pages costs more than it saves once.
const USES_BEFORE_REGISTRATION: u8 = 8;

/// What the kernel is asked to do, with all that it needs for it.
pub(super) enum Work {
    Transfer {
        file: Rc<OpenFile>,
        direction: Direction,
        offset: u64,
        transfer: Transfer,
    },
    Open {
        path: CString,
        flags: OFlags,
    },
    SyncData {
        file: Rc<OpenFile>,
    },
    Fallocate {
        file: Rc<OpenFile>,
        mode: FallocateFlags,
        offset: u64,
        bytes: u64,
    },
    /// `None` once the kernel has it.
    Close {
        descriptor: Option<OwnedFd>,
    },
}

/// What came of it.
pub(super) struct Done {
    pub(super) outcome: io::Result<u32>,
    pub(super) work: Work,
    /// Of an open that went well.
    pub(super) opened: Option<OwnedFd>,
}

enum State {
    /// With the kernel. Who waits for it, when it was polled already.
    InFlight(Option<Waker>),
    /// With the kernel, and nobody waits.
    Abandoned,
    Done(io::Result<u32>, Option<OwnedFd>),
}

struct Operation {
    work: Work,
    state: State,
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Tasks are ready: submit, look, go on.
    Not,
    /// Until a completion.
    Completion,
    /// Until a completion, at most for so long.
    AtMost(Duration),
}

/// What a turn brought, in a form that may be let go of when the ring is not borrowed any more.
#[derive(Default)]
pub(super) struct Reaped {
    pub(super) wakers: Vec<Waker>,
    abandoned: Vec<Work>,
    descriptors: Vec<OwnedFd>,
}

impl Reaped {
    /// Drops what nobody waits for.
    pub(super) fn let_go(&mut self) {
        self.abandoned.clear();
        self.descriptors.clear();
    }
}

pub(super) struct Ring {
    ring: IoUring,
    operations: Slab<Operation>,
    /// Operations whose completion is still to come.
    in_flight: usize,
    wakes: Arc<Wakes>,
    /// The poll on the eventfd is on the ring.
    polled: bool,
    files: Arc<Slots>,
    buffers: Arc<Slots>,
}

impl Ring {
    /// A ring of this many entries, or half, or a quarter, .. as the kernel has memory for.
    ///
    /// # Errors
    /// The kernel's own; EINVAL before Linux 6.1.
    pub(super) fn new(entries: u32, wakes: Arc<Wakes>) -> io::Result<Self> {
        let ring = build(entries)?;
        let (files, buffers) = tables(&ring);
        Ok(Self {
            ring,
            operations: Slab::new(),
            in_flight: 0,
            wakes,
            polled: false,
            files: Slots::new(files),
            buffers: Slots::new(buffers),
        })
    }

    /// Most operations in flight: one entry of the submission queue is for the poll on the eventfd.
    pub(super) fn slots_max(&self) -> usize {
        usize::try_from(self.ring.params().sq_entries() - 1).unwrap_or(usize::MAX)
    }

    /// Gives an open file its place in the kernel's table, if there is one.
    pub(super) fn register_file(&self, descriptor: &OwnedFd) -> Option<Slot> {
        let slot = self.files.take()?;
        let entered =
            self.ring.submitter().register_files_update(slot.index().into(), &[descriptor.as_raw_fd()]);
        // The place comes back all the same when the kernel refused.
        entered.is_ok().then_some(slot)
    }

    /// Puts the work on the submission queue; the next turn hands it to the kernel.
    ///
    /// # Errors
    /// The work, when the queue is full or it cannot be said to the kernel: more operations than `slots_max`.
    pub(super) fn begin(&mut self, mut work: Work) -> Result<usize, Work> {
        if let Work::Transfer { transfer, .. } = &mut work {
            self.register_buffer(transfer);
        }
        if self.ring.submission().is_full() {
            return Err(work);
        }
        let slot = self.operations.vacant_entry();
        let key = slot.key();
        // Built from the work where it stays: at its place in the slab, or behind a pointer from there.
        let operation = slot.insert(Operation { work, state: State::InFlight(None) });
        let entry = entry(&mut operation.work).user_data(key as u64);
        // SAFETY: what the entry points to is owned by the slab until the completion was reaped (module text), and a
        // descriptor in it is open: `entry` took it from an open file that the slab owns.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        debug_assert!(pushed.is_ok(), "there was room");
        self.in_flight += 1;
        Ok(key)
    }

    /// Takes what came of an operation, or leaves word whom to wake.
    pub(super) fn poll(&mut self, key: usize, waker: &Waker) -> Option<Done> {
        let operation = self.operations.get_mut(key)?;
        match &mut operation.state {
            State::InFlight(waiting) => {
                match waiting {
                    Some(waiting) => waiting.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                None
            }
            State::Abandoned => None,
            State::Done(..) => match self.operations.remove(key) {
                Operation { work, state: State::Done(outcome, opened) } => {
                    Some(Done { outcome, work, opened })
                }
                Operation { .. } => None,
            },
        }
    }

    /// Nobody waits any more. What is done is returned, to be let go of; the rest goes when the kernel is done.
    pub(super) fn abandon(&mut self, key: usize) -> Option<Done> {
        let operation = self.operations.get_mut(key)?;
        if let State::InFlight(_) = operation.state {
            operation.state = State::Abandoned;
            return None;
        }
        self.poll(key, Waker::noop())
    }

    /// One turn: hands over what was begun, sleeps if there is nothing else to do, and takes completions, at most
    /// `completions_max`. True when all there were are taken.
    ///
    /// # Errors
    /// The kernel's own, when the ring itself is unusable. Nothing can be said of the operations in flight then.
    pub(super) fn turn(
        &mut self,
        wait: Wait,
        completions_max: usize,
        reaped: &mut Reaped,
    ) -> io::Result<bool> {
        self.empty_retired();
        if !self.polled {
            self.poll_eventfd();
        }
        let nothing_to_say = {
            let submission = self.ring.submission();
            submission.is_empty() && !submission.taskrun() && !submission.cq_overflow()
        };
        let waits =
            wait != Wait::Not && self.polled && self.ring.completion().is_empty() && self.wakes.fall_asleep();
        let entered = match wait {
            _ if !waits && nothing_to_say => Ok(0),
            _ if !waits => self.ring.submit(),
            Wait::AtMost(duration) => {
                let timespec = Timespec::from(duration);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
            }
            Wait::Not | Wait::Completion => self.ring.submit_and_wait(1),
        };
        self.wakes.awake();
        if let Err(error) = entered
            && !is_passing(&error)
        {
            return Err(error);
        }
        Ok(self.reap(completions_max, reaped))
    }

    fn reap(&mut self, completions_max: usize, reaped: &mut Reaped) -> bool {
        let mut completions = self.ring.completion();
        let mut taken = 0;
        while taken < completions_max {
            let Some(completion) = completions.next() else { return true };
            if completion.user_data() == WAKE {
                self.polled = io_uring::cqueue::more(completion.flags());
                continue;
            }
            taken += 1;
            self.in_flight -= 1;
            let key = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
            let Some(operation) = self.operations.get_mut(key) else { continue };
            let (outcome, opened) = result_of(&operation.work, completion.result());
            match std::mem::replace(&mut operation.state, State::Abandoned) {
                State::Abandoned => {
                    reaped.abandoned.push(self.operations.remove(key).work);
                    reaped.descriptors.extend(opened);
                }
                State::InFlight(waker) => {
                    operation.state = State::Done(outcome, opened);
                    reaped.wakers.extend(waker);
                }
                // One completion each.
                state @ State::Done(..) => operation.state = state,
            }
        }
        completions.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A poll that completes at each write to the eventfd, until the kernel says that it is over.
    fn poll_eventfd(&mut self) {
        let readable = u32::from(libc::POLLIN.unsigned_abs());
        let entry = opcode::PollAdd::new(Fd(self.wakes.eventfd().as_raw_fd()), readable)
            .multi(true)
            .build()
            .user_data(WAKE);
        // SAFETY: no memory is involved, and the eventfd is open as long as this ring.
        self.polled = unsafe { self.ring.submission().push(&entry) }.is_ok();
    }

    /// Registers memory that is used again and again.
    fn register_buffer(&self, transfer: &mut Transfer) {
        let memory = transfer.buffer.memory_mut();
        if memory.slot.is_some() || memory.uses >= USES_BEFORE_REGISTRATION {
            return;
        }
        memory.uses += 1;
        if memory.uses < USES_BEFORE_REGISTRATION {
            return;
        }
        let Some(slot) = self.buffers.take() else { return };
        let bytes = libc::iovec { iov_base: memory.start().cast(), iov_len: memory.len() };
        // SAFETY: the memory is allocated and this long; its value owns the place in the table that stands for it.
        let entered =
            unsafe { self.ring.submitter().register_buffers_update(slot.index().into(), &[bytes], None) };
        match entered {
            Ok(()) => memory.slot = Some(slot),
            // The limit on locked memory, mostly: it does as well without.
            Err(_) => self.buffers.close(),
        }
    }

    /// Has the kernel let go of what is at places given back.
    fn empty_retired(&self) {
        for index in self.files.take_retired() {
            let emptied = self.ring.submitter().register_files_update(index.into(), &[-1]);
            if emptied.is_ok() {
                self.files.freed(index);
            }
        }
        for index in self.buffers.take_retired() {
            let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
            // SAFETY: an empty place shows the kernel no memory.
            let emptied =
                unsafe { self.ring.submitter().register_buffers_update(index.into(), &[nothing], None) };
            if emptied.is_ok() {
                self.buffers.freed(index);
            }
        }
    }
}

/// One issuer, and completions only when it asks for them: Linux 6.1.
fn build(mut entries: u32) -> io::Result<IoUring> {
    loop {
        let built = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .dontfork()
            .build(entries);
        match built {
            Err(error) if error.raw_os_error() == Some(Errno::NOMEM.raw_os_error()) && entries > 8 => {
                entries /= 2;
            }
            other => return other,
        }
    }
}

/// Tables for registered files and buffers, with as many places as the kernel grants.
fn tables(ring: &IoUring) -> (u16, u16) {
    let submitter = ring.submitter();
    let files = submitter.register_files_sparse(FILES_MAX.into()).map_or(0, |()| FILES_MAX);
    let buffers = submitter.register_buffers_sparse(BUFFERS_MAX.into()).map_or(0, |()| BUFFERS_MAX);
    (files, buffers)
}

/// What passes when tried again: a signal, the time that was waited for, no memory for a moment.
fn is_passing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INTR | Errno::TIME | Errno::AGAIN | Errno::BUSY))
}

fn result_of(work: &Work, result: i32) -> (io::Result<u32>, Option<OwnedFd>) {
    let outcome = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()));
    let opened = match (work, &outcome) {
        // SAFETY: the kernel has just opened it for this operation; nobody else knows it.
        (Work::Open { .. }, Ok(_)) => Some(unsafe { OwnedFd::from_raw_fd(result) }),
        _ => None,
    };
    (outcome, opened)
}

/// A file by its place in the kernel's table, else by its descriptor.
macro_rules! on_file {
    ($file:expr, |$target:ident| $entry:expr) => {
        match $file.slot() {
            Some(slot) => {
                let $target = Fixed(u32::from(slot.index()));
                $entry
            }
            None => {
                let $target = Fd($file.descriptor().as_raw_fd());
                $entry
            }
        }
    };
}

/// The work in the kernel's words. Points to memory of the work and nothing else.
fn entry(work: &mut Work) -> Entry {
    match work {
        Work::Transfer { file, direction, offset, transfer } => {
            let start = transfer.buffer.start().wrapping_add(transfer.start);
            // At most BUFFER_BYTES_MAX.
            let bytes =
                u32::try_from(transfer.buffer.bytes().saturating_sub(transfer.start)).unwrap_or(u32::MAX);
            let slot = transfer.buffer.memory_mut().slot.as_ref().map(Slot::index);
            let offset = *offset;
            on_file!(file, |target| match (direction, slot) {
                (Direction::Read, Some(slot)) => {
                    opcode::ReadFixed::new(target, start, bytes, slot).offset(offset).build()
                }
                (Direction::Read, None) => opcode::Read::new(target, start, bytes).offset(offset).build(),
                (Direction::Write, Some(slot)) => {
                    opcode::WriteFixed::new(target, start, bytes, slot).offset(offset).build()
                }
                (Direction::Write, None) => opcode::Write::new(target, start, bytes).offset(offset).build(),
            })
        }
        Work::Open { path, flags } => {
            let at = Fd(rustix::fs::CWD.as_raw_fd());
            opcode::OpenAt::new(at, path.as_ptr())
                .flags(flags.bits().cast_signed())
                .mode(PRIVATE_FILE_MODE)
                .build()
        }
        Work::SyncData { file } => {
            on_file!(file, |target| opcode::Fsync::new(target).flags(FsyncFlags::DATASYNC).build())
        }
        Work::Fallocate { file, mode, offset, bytes } => on_file!(file, |target| {
            opcode::Fallocate::new(target, *bytes).offset(*offset).mode(mode.bits().cast_signed()).build()
        }),
        // From here on the kernel closes it, whatever comes of it.
        Work::Close { descriptor } => {
            let descriptor = descriptor.take().map_or(-1, IntoRawFd::into_raw_fd);
            opcode::Close::new(Fd(descriptor)).build()
        }
    }
}
