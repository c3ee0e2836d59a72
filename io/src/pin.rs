//! Tying a thread to one CPU, of those that it may use.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

/// The CPUs in this thread's affinity mask, ascending: what a container or `taskset` leaves it. Never empty (CPU 0 when the mask
/// cannot be read).
pub(crate) fn cores_of_thread() -> Vec<usize> {
    let cores: Vec<usize> = match sched_getaffinity(None) {
        Ok(mask) => (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect(),
        Err(_) => Vec::new(),
    };
    if cores.is_empty() { vec![0] } else { cores }
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

    #[test]
    fn pins_to_a_core_it_has_and_says_why_not_otherwise() {
        let cores = cores_of_thread();
        assert!(!cores.is_empty());
        std::thread::spawn(move || {
            let before = Affinity::of_thread();
            pin_thread(cores[0]).unwrap();
            assert_eq!(cores_of_thread(), [cores[0]]);
            before.restore();
            assert_eq!(cores_of_thread(), cores);
            assert!(pin_thread(1023).unwrap_err().starts_with("not pinned to CPU 1023"));
            assert!(pin_thread(1 << 20).is_err());
        })
        .join()
        .unwrap();
    }
}
