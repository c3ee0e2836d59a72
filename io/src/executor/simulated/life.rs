//! The life of one simulated executor: `main` with its tasks, then the operations in flight, then its outcome.

use std::future::Future;
use std::rc::Rc;

use crate::executor::context::{Executor, Host};
use crate::executor::life::{DRAIN_MAX, Ending, outcome_of};
use crate::executor::options::ExecutorOptions;
use crate::executor::spawn_local::spawn_local;
use crate::executor::thread::{ExecutorThread, Handle};
use crate::executor::time::timeout;
use crate::simulated_machine::machine::{Class, Machine};
use crate::simulated_machine::seat::Occupant;
use crate::simulated_machine::ticket::Ticket;

/// Gives the machine one more executor; it begins when the machine is driven.
pub(super) fn start<F, Fut>(machine: &Rc<Machine>, options: &ExecutorOptions, main: F) -> ExecutorThread
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (seat, end) = machine.add_seat(&options.name, options.seed);
    let ticket = Ticket::new(machine, Rc::clone(&seat));
    let executor = Executor::new(options, options.slots_max(), Host::Simulated(ticket));
    machine.seat_executor(&seat, Rc::clone(&executor) as Rc<dyn Occupant>);
    let machine_of = Rc::downgrade(machine);
    let seat_of = Rc::clone(&seat);
    let outcome = end.clone();
    let life = async move {
        let ending = Ending(Rc::clone(&executor));
        let main = async move {
            // Dropped the moment `main` ends, also by a panic.
            let _ending = ending;
            main().await;
        };
        let ended = spawn_local(main).await;
        if let Some(machine) = machine_of.upgrade() {
            machine.drop_tasks(&seat_of, Class::Local);
        }
        let drained = timeout(DRAIN_MAX, executor.drained()).await.is_ok();
        let outcome_found = outcome_of(ended, &executor, drained);
        if let Some(machine) = machine_of.upgrade() {
            machine.note_end(&seat_of, &outcome_found);
        }
        outcome.set(outcome_found);
    };
    machine.spawn(&seat, Class::Life, Box::pin(life));
    ExecutorThread { handle: Handle::Simulated(end), pin_note: None }
}
