//! What an executor thread knows about itself, found through the thread.
//!
//! Two sets of local tasks run on an executor thread:
//! ```text
//! tasks       `main` and all it spawns: dropped the moment `main` ends
//! operations  file operations that must finish once begun (open, sync, .., and everything of the threads backend):
//!             run until the last one is done
//! ```

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::{Rc, Weak};

use tokio::task::LocalSet;

#[cfg(any(feature = "tokio-uring", feature = "glommio"))]
use super::gate::Gate;
use super::options::ExecutorOptions;
use super::panics::Panics;
use super::task::{TaskLost, task_pair};
use super::uring::driver::Driver;
use crate::backend::Backend;
use crate::budget::{Budget, Grant};
use crate::buffer_pool::BufferPool;
use crate::error::{IoError, IoErrorKind};
use crate::metrics::{Counters, IoMetrics};
use crate::simulated_machine::machine::{Class, Machine};
use crate::simulated_machine::seat::Occupant;
use crate::simulated_machine::ticket::Ticket;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

/// Who polls the tasks of an executor.
#[derive(Debug)]
pub(crate) enum Host {
    /// tokio; this set has the operations.
    Tokio(Weak<LocalSet>),
    /// tokio's sets of tasks, in our own loop round the thread's ring.
    Ring(Weak<LocalSet>, Rc<Driver>),
    /// A simulated machine.
    Simulated(Ticket),
}

impl From<&Rc<LocalSet>> for Host {
    fn from(operations: &Rc<LocalSet>) -> Self {
        Self::Tokio(Rc::downgrade(operations))
    }
}

/// State of one executor thread.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) backend: Backend,
    pub(crate) counters: Counters,
    /// Operations begun since the ring was last seen to take all of them: see `tokio_uring/turn.rs`.
    #[cfg(any(feature = "tokio-uring", feature = "glommio"))]
    pub(crate) unsubmitted: Cell<bool>,
    /// Which completions wait for the next turn, on runtimes that hand over all at once.
    #[cfg(any(feature = "tokio-uring", feature = "glommio"))]
    pub(super) gate: Gate,
    pool: Rc<BufferPool>,
    /// One for each operation that may be with the kernel.
    slots: Rc<Budget>,
    /// One for each thread of the pool that rare operations (names, lengths) may keep busy.
    pool_slots: Rc<Budget>,
    pub(super) host: Host,
    main_ended: Cell<bool>,
    pub(super) panics: Rc<Panics>,
}

impl Executor {
    pub(super) fn new(options: &ExecutorOptions, slots_max: usize, host: impl Into<Host>) -> Rc<Self> {
        Rc::new(Self {
            backend: options.backend,
            counters: Counters::default(),
            #[cfg(any(feature = "tokio-uring", feature = "glommio"))]
            unsubmitted: Cell::new(false),
            #[cfg(any(feature = "tokio-uring", feature = "glommio"))]
            gate: Gate::default(),
            pool: BufferPool::new(options.buffer_bytes_max),
            slots: Budget::new(slots_max.max(1)),
            pool_slots: Budget::new(options.file_threads_max.max(1)),
            host: host.into(),
            main_ended: Cell::new(false),
            panics: Rc::default(),
        })
    }

    pub(crate) fn pool(&self) -> Rc<BufferPool> {
        Rc::clone(&self.pool)
    }

    /// Leave for one operation to be with the kernel, first come first served. What owns the operation's buffer and
    /// file keeps it until the kernel is done.
    pub(crate) async fn slot(&self) -> Grant {
        self.slots.take(1).await
    }

    /// Leave for one rare operation to keep a thread of the pool busy. Taken after its slot. (tokio-uring's own
    /// runtime has no limit of its own that we could set.)
    pub(crate) async fn pool_slot(&self) -> Grant {
        self.pool_slots.take(1).await
    }

    /// Resolves when no operation is with the kernel any more. None may be begun after this.
    pub(super) async fn drained(&self) {
        drop(self.slots.take(self.slots.limit()).await);
    }

    pub(crate) fn operations_in_flight(&self) -> usize {
        self.slots.used()
    }

    /// Runs an operation to its end, also when the returned future is dropped.
    ///
    /// Never resolves when the executor's operations are over, which nobody on its thread lives to see.
    pub(crate) async fn run_to_end<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let (running, task) = task_pair(future, Some(Rc::clone(&self.panics)), false);
        match &self.host {
            Host::Tokio(operations) | Host::Ring(operations, _) => {
                let Some(operations) = operations.upgrade() else { return std::future::pending().await };
                drop(operations.spawn_local(tokio::task::unconstrained(running)));
            }
            Host::Simulated(ticket) => ticket.spawn(Class::Operation, Box::pin(running)),
        }
        match task.await {
            Ok(output) => output,
            // A bug in an operation: it goes on in the one who waits for it.
            Err(TaskLost::Panicked(message)) => std::panic::resume_unwind(Box::new(message)),
            Err(TaskLost::ExecutorEnded) => std::future::pending().await,
        }
    }

    /// The simulated machine that it runs on, if it is simulated and the machine still runs.
    pub(crate) fn machine(&self) -> Option<Rc<Machine>> {
        match &self.host {
            Host::Simulated(ticket) => ticket.machine(),
            Host::Tokio(_) | Host::Ring(..) => None,
        }
    }

    /// The thread's own ring, on the backend that has one.
    pub(crate) fn ring(&self) -> io::Result<&Rc<Driver>> {
        match &self.host {
            Host::Ring(_, driver) => Ok(driver),
            Host::Tokio(_) | Host::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(super) fn end_main(&self) {
        self.main_ended.set(true);
    }

    /// Local tasks are over: none is polled any more.
    pub(super) fn main_ended(&self) -> bool {
        self.main_ended.get()
    }

    pub(crate) fn metrics(&self) -> IoMetrics {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        IoMetrics {
            reads: self.counters.reads.get(),
            read_bytes: self.counters.read_bytes.get(),
            writes: self.counters.writes.get(),
            written_bytes: self.counters.written_bytes.get(),
            operations_in_flight: wide(self.operations_in_flight()),
            buffer_bytes: wide(self.pool.leased_bytes()),
            buffer_idle_bytes: wide(self.pool.idle_bytes()),
            buffer_bytes_max: wide(self.pool.bytes_max()),
        }
    }
}

impl Occupant for Executor {
    fn enter(self: Rc<Self>) -> Option<Rc<dyn Occupant>> {
        CURRENT.replace(Some(self)).map(|before| before as Rc<dyn Occupant>)
    }

    fn leave(&self) {
        drop(CURRENT.take());
    }

    fn end_main(&self) {
        Self::end_main(self);
    }

    fn main_ended(&self) -> bool {
        Self::main_ended(self)
    }
}

/// Makes this thread an executor's for as long as the returned value lives.
pub(super) fn enter(executor: Rc<Executor>) -> Entered {
    CURRENT.set(Some(executor));
    Entered
}

pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.take();
        drop(left);
    }
}

/// The simulated machine whose task this is, if it is one's.
pub(crate) fn machine() -> Option<Rc<Machine>> {
    try_current()?.machine()
}

/// The executor of this thread.
pub(crate) fn current(operation: &'static str) -> Result<Rc<Executor>, IoError> {
    try_current().ok_or_else(|| no_executor(operation))
}

/// The executor of this thread, if it is an executor's (and not already taking its thread-locals down).
pub(crate) fn try_current() -> Option<Rc<Executor>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The counts of this executor thread; all zero on a thread that is no executor.
#[must_use]
pub fn metrics() -> IoMetrics {
    current("metrics").map(|executor| executor.metrics()).unwrap_or_default()
}

fn no_executor(operation: &'static str) -> IoError {
    IoError::new(IoErrorKind::Unsupported, operation)
        .with_expected("a thread started by spawn_executor whose `main` still runs")
        .with_found(format!("thread {:?}", std::thread::current().name().unwrap_or("without a name")))
}
