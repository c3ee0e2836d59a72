//! Which CPUs this process may use, and how many of its executors are tied to each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::context;
use crate::pin::{Core, cores_of_thread};

/// The CPUs in this process's affinity mask, ascending: what a container or `taskset` leaves it. Never empty
/// (CPU 0 when the mask cannot be read). In a simulated world, as many as its options say.
#[must_use]
pub fn cores_available() -> Vec<usize> {
    match context::machine() {
        Some(machine) => (0..machine.cores()).collect(),
        None => cores_of_thread(),
    }
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
}
