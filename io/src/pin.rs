//! Which CPUs this process may use, and tying a thread to one of them.

use crate::executor::context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The CPUs in this process's affinity mask, ascending: what a container or `taskset` leaves it. Never empty
/// (CPU 0 when the mask cannot be read). In a simulated world, as many as its options say.
#[must_use]
pub fn cores_available() -> Vec<usize> {
    if let Some(machine) = context::machine() {
        return (0..machine.cores()).collect();
    }
    let cores: Vec<usize> = match sched_getaffinity(None) {
        Ok(mask) => (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect(),
        Err(_) => Vec::new(),
    };
    if cores.is_empty() { vec![0] } else { cores }
}

/// The CPU of an executor's thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Core {
    /// Whichever the scheduler chooses, now and later.
    #[default]
    Any,
    /// The one that this process may use and has tied the fewest of its executors to; of several, the first.
    LeastUsed,
    /// This one.
    Number(usize),
}

/// Executors of this process that are tied to each CPU.
static TIED: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// The place of one executor in the count, until it is dropped.
#[derive(Debug)]
pub(crate) struct Tie {
    core: usize,
}

impl Tie {
    /// Chooses a CPU and counts for it.
    pub(crate) fn new(core: Core) -> Option<Self> {
        let mut tied = TIED.lock().unwrap_or_else(PoisonError::into_inner);
        let core = match core {
            Core::Any => return None,
            Core::Number(core) => core,
            Core::LeastUsed => {
                let uses = |core: &usize| tied.get(core).copied().unwrap_or(0);
                cores_available().into_iter().min_by_key(uses)?
            }
        };
        let uses = tied.entry(core).or_insert(0_usize);
        *uses = uses.saturating_add(1);
        Some(Self { core })
    }

    pub(crate) fn core(&self) -> usize {
        self.core
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        let mut tied = TIED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(uses) = tied.get_mut(&self.core) {
            *uses = uses.saturating_sub(1);
        }
    }
}

/// The CPUs that a thread may use, to be given to another one.
#[derive(Clone, Debug)]
pub(crate) struct Affinity(Option<CpuSet>);

impl Affinity {
    pub(crate) fn of_thread() -> Self {
        Self(sched_getaffinity(None).ok())
    }

    /// Sets it for this thread. A thread that may not is slower, not wrong.
    pub(crate) fn restore(&self) {
        if let Some(mask) = &self.0 {
            let _ = sched_setaffinity(None, mask);
        }
    }
}

/// Ties this thread to one CPU; on failure one line that says why.
pub(crate) fn pin_thread(core: usize) -> Result<(), String> {
    if core >= CpuSet::MAX_CPU {
        return Err(format!(
            "not pinned: CPU {core} is above the {} that an affinity mask holds",
            CpuSet::MAX_CPU
        ));
    }
    let mut mask = CpuSet::new();
    mask.set(core);
    sched_setaffinity(None, &mask).map_err(|error| format!("not pinned to CPU {core}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each engine's first shard was tied to the first CPU, so two engines of a process shared it while others idled.
    #[test]
    fn each_executor_takes_the_core_that_has_fewest_until_it_ends() {
        let cores = cores_available();
        let mut first: Vec<_> = cores.iter().filter_map(|_| Tie::new(Core::LeastUsed)).collect();
        assert_eq!(first.iter().map(Tie::core).collect::<Vec<_>>(), cores);
        let second: Vec<_> = cores.iter().filter_map(|_| Tie::new(Core::LeastUsed)).collect();
        assert_eq!(second.iter().map(Tie::core).collect::<Vec<_>>(), cores);
        let left = first.pop().unwrap().core();
        assert_eq!(Tie::new(Core::LeastUsed).unwrap().core(), left);
        drop(first);
        let busy = Tie::new(Core::Number(cores[0])).unwrap();
        assert_eq!(busy.core(), cores[0]);
        if let Some(&other) = cores.get(1) {
            assert_eq!(Tie::new(Core::LeastUsed).unwrap().core(), other);
        }
        assert!(Tie::new(Core::Any).is_none());
    }

    #[test]
    fn pins_to_a_core_it_has_and_says_why_not_otherwise() {
        let cores = cores_available();
        assert!(!cores.is_empty());
        std::thread::spawn(move || {
            let before = Affinity::of_thread();
            pin_thread(cores[0]).unwrap();
            assert_eq!(cores_available(), [cores[0]]);
            before.restore();
            assert_eq!(cores_available(), cores);
            assert!(pin_thread(1023).unwrap_err().starts_with("not pinned to CPU 1023"));
            assert!(pin_thread(1 << 20).is_err());
        })
        .join()
        .unwrap();
    }
}
