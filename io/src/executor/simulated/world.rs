//! The handle of a simulated world, for the thread that drives it.

use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::life;
use crate::backend::Backend;
use crate::clock::Instant;
use crate::error::IoError;
use crate::executor::options::ExecutorOptions;
use crate::executor::thread::ExecutorThread;
use crate::simulated_disk::fault::Fault;
use crate::simulated_disk::image::DiskImage;
use crate::simulated_machine::machine::Machine;
use crate::simulated_machine::options::WorldOptions;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEnd {
    /// Nothing is ready and no timer is set: only a wake from outside, or a new executor, could change that.
    Idle,
    /// The virtual time given has passed.
    TimeUp,
    /// The power failed ([`World::halt_at_operation`]): nothing runs any more. [`World::crash`] has the disk.
    Halted,
    /// `polls_max` of the options was reached.
    PollsUp,
}

/// A simulated machine. Stays on the thread that made it; the executors run when one of its `run` functions, or
/// [`ExecutorThread::join`] of one of them, is called on this thread.
///
/// Dropping it drops all its tasks, each as on its executor.
#[derive(Debug)]
pub struct World {
    machine: Rc<Machine>,
}

impl World {
    /// A machine at time zero, with the disk that the options give. The seed decides all that follows.
    #[must_use]
    pub fn new(seed: u64, options: WorldOptions) -> Self {
        let machine = Machine::new(seed, options);
        machine.note(format_args!("world {seed}"));
        Self { machine }
    }

    /// Adds an executor, one to a shard. `main` begins with the next run. What the options say of the backend, of a core and of
    /// threads does not matter here; its random numbers come from its seed and the world's.
    ///
    /// Code that runs on an executor of a world adds one by [`spawn_executor`](crate::spawn_executor) with
    /// [`Backend::Simulated`].
    pub fn spawn_executor<F, Fut>(&self, mut options: ExecutorOptions, main: F) -> ExecutorThread
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        options.backend = Backend::Simulated;
        life::start(&self.machine, &options, main)
    }

    /// Runs until nothing is ready and no timer is set.
    pub fn run_until_idle(&self) -> RunEnd {
        self.run_until(u64::MAX)
    }

    /// Runs for so much virtual time; time is then at that point, also when the world came to rest before.
    pub fn run_for(&self, duration: Duration) -> RunEnd {
        let until_ns = (self.now() + duration).as_nanos();
        let end = self.run_until(until_ns);
        if end == RunEnd::Idle {
            self.machine.pass_until(until_ns);
        }
        end
    }

    fn run_until(&self, until_ns: u64) -> RunEnd {
        for _ in 0..self.machine.options.polls_max {
            if self.machine.has_halted.get() {
                return RunEnd::Halted;
            }
            match self.machine.next_ns() {
                None => return RunEnd::Idle,
                Some(next_ns) if next_ns > until_ns => {
                    self.machine.pass_until(until_ns);
                    return RunEnd::TimeUp;
                }
                Some(_) if self.machine.time_ns() >= until_ns => return RunEnd::TimeUp,
                Some(_) => drop(self.machine.step()),
            }
        }
        if self.machine.has_halted.get() { RunEnd::Halted } else { RunEnd::PollsUp }
    }

    /// Runs until this executor has ended; at rest, waits for wakes from other threads.
    pub(super) fn run_with_foreign_wakes(&self, executor: ExecutorThread) -> Result<(), IoError> {
        while !executor.has_ended() {
            if !self.machine.step() {
                self.machine.park();
            }
        }
        executor.join()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.machine.time_ns())
    }

    /// What happened so far, one line an event. The same seed, options and code give the same bytes.
    #[must_use]
    pub fn trace(&self) -> String {
        self.machine.trace.borrow().text().to_owned()
    }

    /// A hash of all events, also of those that the text of the trace has no room for.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.machine.trace.borrow().hash()
    }

    /// Orders a fault.
    pub fn order_fault(&self, fault: Fault) {
        self.machine.faults.borrow_mut().order(fault);
    }

    /// Disk operations begun so far.
    #[must_use]
    pub fn disk_operations(&self) -> u64 {
        self.machine.operations.get()
    }

    /// The power fails when this many disk operations were begun, with the last of them in flight.
    pub fn halt_at_operation(&self, operations: u64) {
        self.machine.halt_at.set(Some(operations));
    }

    /// Flips one bit of a file on the disk, live and durable; whether the file has that byte.
    #[must_use]
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        self.machine.disk.borrow_mut().flip_bit_at(path, offset, bit)
    }

    /// What the disk holds now, as if the machine had been shut down in peace.
    #[must_use]
    pub fn disk_image(&self) -> DiskImage {
        self.machine.disk.borrow().image()
    }

    /// What the disk could hold if the power failed now. The world goes on and nothing in it changes; other seeds give other
    /// images by the [crash rule](crate::simulated#the-crash-rule).
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> DiskImage {
        self.machine.disk.borrow().image_after_crash(&mut fastrand::Rng::with_seed(seed))
    }

    /// The power fails: what the disk holds then, by the [crash rule](crate::simulated#the-crash-rule). A new world
    /// can start from it.
    #[must_use]
    pub fn crash(self) -> DiskImage {
        self.machine.has_halted.set(true);
        // Before anything is dropped: a drop must not touch the disk any more.
        let image = self.machine.disk.borrow().image_after_crash(&mut self.machine.chance.borrow_mut());
        self.machine.note(format_args!("crash"));
        image
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.machine.tear_down();
    }
}
