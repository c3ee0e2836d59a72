//! The machine of a simulated world: tasks and their turns, timers, virtual time, and its disk, faults and trace.
//!
//! Invariants:
//! * Everything that has a choice draws from `chance`, in an order that only earlier draws decide.
//! * No borrow of the machine is held while code of a task runs (a poll, a waker, a drop).
//! * A task is in at most one turn, once: `queued` is set from the wake until the poll.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::end::SimulatedEnd;
use super::options::WorldOptions;
use super::seat::{Occupant, Seat, Seated};
use super::trace::Trace;
use super::virtual_time::VirtualTime;
use super::wake::{Ready, TaskId, TaskWake, Woken};
use crate::error::{IoError, IoErrorKind};
use crate::simulated_disk::disk::Disk;
use crate::simulated_disk::fault::Faults;

/// What becomes of a task when `main` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `main` and what it spawned: dropped.
    Local,
    /// A file operation: runs to its end.
    Operation,
    /// The executor's own: waits for all that.
    Life,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "task",
            Self::Operation => "operation",
            Self::Life => "life",
        }
    }
}

pub(crate) type Running = Pin<Box<dyn Future<Output = ()>>>;

struct TaskSlot {
    seat: Rc<Seat>,
    class: Class,
    /// `None` while it is polled.
    running: Option<Running>,
    /// It was woken while it was polled last: it gave way to all that were ready then.
    has_yielded: bool,
    wake: Arc<TaskWake>,
}

/// When, and a number that keeps those of the same time apart and in order.
pub(super) type TimerKey = (u64, u64);

/// An executor of the machine.
struct MachineExecutor {
    seat: Rc<Seat>,
    end: SimulatedEnd,
    /// `None` before it is seated and after the machine is torn down.
    occupant: Option<Rc<dyn Occupant>>,
}

pub(crate) struct Machine {
    pub(crate) options: WorldOptions,
    pub(crate) disk: RefCell<Disk>,
    pub(crate) faults: RefCell<Faults>,
    pub(crate) chance: RefCell<fastrand::Rng>,
    pub(crate) trace: RefCell<Trace>,
    pub(super) ready: Arc<Ready>,
    /// Disk operations begun.
    pub(crate) operations: Cell<u64>,
    /// The power fails when this many were begun.
    pub(crate) halt_at: Cell<Option<u64>>,
    /// Nothing runs any more: the power failed, or the world is being dropped.
    pub(crate) has_halted: Cell<bool>,
    seed: u64,
    time: VirtualTime,
    tasks: RefCell<BTreeMap<TaskId, TaskSlot>>,
    task_next: Cell<TaskId>,
    timers: RefCell<BTreeMap<TimerKey, Waker>>,
    timer_next: Cell<u64>,
    places: RefCell<Vec<MachineExecutor>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("seed", &self.seed).finish_non_exhaustive()
    }
}

thread_local! {
    /// The machines of this thread, to be found by their `ready`.
    static MACHINES: RefCell<Vec<Weak<Machine>>> = const { RefCell::new(Vec::new()) };
}

/// The machine that has this queue, if it lives on this thread.
pub(super) fn on_this_thread(ready: &Arc<Ready>) -> Option<Rc<Machine>> {
    let find = |machines: &RefCell<Vec<Weak<Machine>>>| {
        machines.borrow().iter().filter_map(Weak::upgrade).find(|machine| Arc::ptr_eq(&machine.ready, ready))
    };
    MACHINES.try_with(find).ok().flatten()
}

impl Machine {
    pub(crate) fn new(seed: u64, mut options: WorldOptions) -> Rc<Self> {
        let image = mem::take(&mut options.image);
        let machine = Rc::new(Self {
            disk: RefCell::new(Disk::new(&image, options.disk_bytes_max)),
            faults: RefCell::new(Faults::new(options.faults)),
            chance: RefCell::new(fastrand::Rng::with_seed(seed)),
            trace: RefCell::new(Trace::new(options.trace_bytes_max)),
            ready: Ready::new(),
            operations: Cell::new(0),
            halt_at: Cell::new(None),
            has_halted: Cell::new(false),
            seed,
            time: VirtualTime::default(),
            tasks: RefCell::default(),
            task_next: Cell::new(0),
            timers: RefCell::default(),
            timer_next: Cell::new(0),
            places: RefCell::default(),
            options,
        });
        MACHINES.with_borrow_mut(|machines| {
            machines.retain(|other| other.strong_count() > 0);
            machines.push(Rc::downgrade(&machine));
        });
        machine
    }

    /// How many CPUs it shows.
    pub(crate) fn cores(&self) -> usize {
        self.options.cores.max(1)
    }

    pub(crate) fn time_ns(&self) -> u64 {
        self.time.now_ns()
    }

    /// Lets time go on to this point, if it is not past it.
    pub(crate) fn pass_until(&self, time_ns: u64) {
        self.time.pass_until(time_ns);
    }

    pub(crate) fn note(&self, event: fmt::Arguments<'_>) {
        self.trace.borrow_mut().event(self.time_ns(), event);
    }

    pub(crate) fn add_seat(&self, name: &str, seed: u64) -> (Rc<Seat>, SimulatedEnd) {
        let mut places = self.places.borrow_mut();
        let seat = Rc::new(Seat {
            index: places.len(),
            turn: RefCell::default(),
            next: RefCell::default(),
            yielded: RefCell::default(),
            // Of the world's seed and its own.
            chance: RefCell::new(fastrand::Rng::with_seed(self.seed.rotate_left(32) ^ seed)),
        });
        let end = SimulatedEnd::new(&self.ready);
        places.push(MachineExecutor { seat: Rc::clone(&seat), end: end.clone(), occupant: None });
        drop(places);
        self.note(format_args!("executor {} {name:?}", seat.index));
        (seat, end)
    }

    pub(crate) fn seat_executor(&self, seat: &Seat, executor: Rc<dyn Occupant>) {
        if let Some(place) = self.places.borrow_mut().get_mut(seat.index) {
            place.occupant = Some(executor);
        }
    }

    pub(crate) fn note_end(&self, seat: &Seat, outcome: &Result<(), IoError>) {
        match outcome {
            Ok(()) => self.note(format_args!("end {}", seat.index)),
            Err(error) => self.note(format_args!("end {}: {error}", seat.index)),
        }
    }

    fn occupant(&self, seat: &Seat) -> Option<Rc<dyn Occupant>> {
        self.places.borrow().get(seat.index).and_then(|place| place.occupant.clone())
    }

    /// Adds a task, ready at the seat's next turn.
    pub(crate) fn spawn(&self, seat: &Rc<Seat>, class: Class, running: Running) {
        let task = self.task_next.get();
        self.task_next.set(task + 1);
        let wake =
            Arc::new(TaskWake { task, queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        wake.wake_by_ref();
        let slot =
            TaskSlot { seat: Rc::clone(seat), class, running: Some(running), has_yielded: false, wake };
        self.tasks.borrow_mut().insert(task, slot);
    }

    /// Drops all tasks of a class, also those that the drops spawn.
    pub(crate) fn drop_tasks(&self, seat: &Rc<Seat>, class: Class) {
        loop {
            let mine = |slot: &TaskSlot| Rc::ptr_eq(&slot.seat, seat) && slot.class == class;
            let found = self.tasks.borrow().iter().find(|(_, slot)| mine(slot)).map(|(task, _)| *task);
            let Some(task) = found else { return };
            let slot = self.tasks.borrow_mut().remove(&task);
            let seated = self.occupant(seat).map(|occupant| Seated::new(&self.time, seat, occupant));
            drop(slot);
            drop(seated);
        }
    }

    /// Wakes this waker at that time.
    pub(super) fn set_timer(&self, at_ns: u64, waker: &Waker) -> TimerKey {
        let number = self.timer_next.get();
        self.timer_next.set(number + 1);
        self.timers.borrow_mut().insert((at_ns, number), waker.clone());
        (at_ns, number)
    }

    pub(super) fn renew_timer(&self, key: TimerKey, waker: &Waker) {
        let older = self.timers.borrow_mut().get_mut(&key).map(|timer| mem::replace(timer, waker.clone()));
        drop(older);
    }

    pub(super) fn clear_timer(&self, key: TimerKey) {
        let timer = self.timers.borrow_mut().remove(&key);
        drop(timer);
    }

    fn first_timer_ns(&self) -> Option<u64> {
        self.timers.borrow().first_key_value().map(|((at_ns, _), _)| *at_ns)
    }

    /// Wakes those whose time has come.
    fn fire_timers(&self) {
        while self.first_timer_ns().is_some_and(|at_ns| at_ns <= self.time_ns()) {
            let timer = self.timers.borrow_mut().pop_first();
            if let Some((_, waker)) = timer {
                waker.wake();
            }
        }
    }

    /// When something happens next: now, or at the first timer.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.fire_timers();
        self.sort_woken();
        if self.places.borrow().iter().any(|place| place.seat.is_ready()) {
            return Some(self.time_ns());
        }
        self.first_timer_ns()
    }

    /// Lets time go on to what happens next, and polls a task; `false` when nothing will happen by itself any more.
    pub(crate) fn step(&self) -> bool {
        if self.has_halted.get() {
            return false;
        }
        let Some(next_ns) = self.next_ns() else { return false };
        if next_ns > self.time_ns() {
            self.pass_until(next_ns);
            self.fire_timers();
            self.sort_woken();
        }
        if let Some(seat) = self.choose_seat() {
            let task = seat.turn.borrow_mut().pop_front();
            if let Some(task) = task {
                self.poll(task);
            }
        }
        true
    }

    /// Waits for a wake from another thread.
    pub(crate) fn park(&self) {
        self.ready.park();
    }

    /// Runs a future inside a task: the other tasks go on until it is done.
    pub(crate) fn block_on<T>(&self, mut future: Pin<&mut impl Future<Output = T>>) -> T {
        let woken = Woken::new(&self.ready);
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            if woken.woken.swap(false, Ordering::AcqRel)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            if self.has_halted.get() {
                // The power failed, and this task with it. Its caller cannot go on without an output.
                std::panic::resume_unwind(Box::new("the simulated world crashed while a task blocked"));
            }
            if !self.step() && !self.has_halted.get() && !woken.woken.load(Ordering::Acquire) {
                // As on a real thread: only another thread can wake it now.
                self.park();
            }
        }
    }

    fn sort_woken(&self) {
        let woken = self.ready.take();
        let tasks = self.tasks.borrow();
        for task in woken {
            if let Some(slot) = tasks.get(&task) {
                if slot.has_yielded {
                    slot.seat.yielded.borrow_mut().push_back(task);
                } else {
                    slot.seat.next.borrow_mut().push(task);
                }
            }
        }
    }

    /// One of the executors that have something ready, with its turn begun.
    fn choose_seat(&self) -> Option<Rc<Seat>> {
        let mut chance = self.chance.borrow_mut();
        let seat = {
            let places = self.places.borrow();
            let ready = places.iter().map(|place| &place.seat).filter(|seat| seat.is_ready());
            chance.choice(ready.collect::<Vec<_>>()).map(Rc::clone)?
        };
        let mut turn = seat.turn.borrow_mut();
        if turn.is_empty() {
            let mut next = mem::take(&mut *seat.next.borrow_mut());
            chance.shuffle(&mut next);
            *turn = VecDeque::from(next);
            turn.append(&mut seat.yielded.borrow_mut());
        }
        drop(turn);
        Some(seat)
    }

    /// Polls a task once, if it is still there.
    fn poll(&self, task: TaskId) {
        let owner = self.tasks.borrow().get(&task).map(|slot| (Rc::clone(&slot.seat), slot.class));
        let Some((seat, class)) = owner else { return };
        let Some(occupant) = self.occupant(&seat) else { return };
        if class == Class::Local && occupant.main_ended() {
            // It is dropped in a moment.
            return;
        }
        let taken = self.tasks.borrow_mut().get_mut(&task).and_then(|slot| {
            slot.wake.queued.store(false, Ordering::Release);
            Some((slot.running.take()?, Arc::clone(&slot.wake)))
        });
        let Some((mut running, wake)) = taken else { return };
        self.note(format_args!("poll {} {} {task}", seat.index, class.name()));
        let seated = Seated::new(&self.time, &seat, occupant);
        let polled = running.as_mut().poll(&mut Context::from_waker(&Waker::from(wake)));
        let gone = {
            let mut tasks = self.tasks.borrow_mut();
            match (polled, tasks.get_mut(&task)) {
                (Poll::Pending, Some(slot)) => {
                    slot.running = Some(running);
                    slot.has_yielded = slot.wake.queued.load(Ordering::Acquire);
                    None
                }
                // Ready; or dropped while it ran.
                (_, _) => Some((running, tasks.remove(&task))),
            }
        };
        drop(gone);
        drop(seated);
        let cost_ns = self.chance.borrow_mut().u64(POLL_NS_MIN..POLL_NS_MAX);
        self.pass_until(self.time_ns().saturating_add(cost_ns));
    }

    /// Drops everything that could still run: nothing is polled any more.
    pub(crate) fn tear_down(&self) {
        self.has_halted.set(true);
        let seats: Vec<_> =
            self.places.borrow().iter().map(|place| (Rc::clone(&place.seat), place.end.clone())).collect();
        for class in [Class::Local, Class::Operation, Class::Life] {
            for (seat, _) in &seats {
                if let Some(occupant) = self.occupant(seat) {
                    occupant.end_main();
                }
                self.drop_tasks(seat, class);
            }
        }
        for (_, end) in &seats {
            end.set(Err(IoError::new(IoErrorKind::Other, "run executor")
                .with_found("its world crashed or was dropped")));
        }
        let occupants: Vec<_> =
            self.places.borrow_mut().iter_mut().map(|place| place.occupant.take()).collect();
        drop(occupants);
        let timers = mem::take(&mut *self.timers.borrow_mut());
        drop(timers);
    }
}

/// What a poll takes of virtual time, in nanoseconds: from this ..
const POLL_NS_MIN: u64 = 200;

/// .. to below this.
const POLL_NS_MAX: u64 = 2_000;
