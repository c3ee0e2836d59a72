//! Phases by name.

/// A tier that answers, or something that a job does to its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PhaseName {
    /// Everything is in memory.
    Memory,
    /// Memory is emptied before each round, the SSD tier has all.
    Ssd,
    /// A share of the data fits into memory, a share on the SSD.
    Mixed,
    /// No SSD tier: what is not in memory is read from the DFS.
    Remote,
    /// Checkpoints while operations go on.
    Checkpoint,
    /// Opening the state on empty caches, to the first answer.
    Restore,
    /// The same with twice the shards.
    Rescale,
    /// All of them, in this order.
    All,
}

impl PhaseName {
    const ALL: [Self; 7] =
        [Self::Memory, Self::Ssd, Self::Mixed, Self::Remote, Self::Checkpoint, Self::Restore, Self::Rescale];

    /// As the flag takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Ssd => "ssd",
            Self::Mixed => "mixed",
            Self::Remote => "remote",
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
            Self::Rescale => "rescale",
            Self::All => "all",
        }
    }

    /// Whether the latency of the DFS is part of it.
    pub(crate) fn is_remote(self) -> bool {
        !matches!(self, Self::Memory | Self::Ssd)
    }

    /// The phases that are meant, each once.
    pub(crate) fn expand(asked: &[Self]) -> Vec<Self> {
        let meant = |phase: &Self| asked.contains(phase) || asked.contains(&Self::All);
        Self::ALL.into_iter().filter(meant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_all_and_each_comes_once() {
        assert_eq!(PhaseName::expand(&[PhaseName::All]), PhaseName::ALL);
        let asked = [PhaseName::Restore, PhaseName::Memory, PhaseName::Restore];
        assert_eq!(PhaseName::expand(&asked), [PhaseName::Memory, PhaseName::Restore]);
        assert!(PhaseName::expand(&[]).is_empty());
    }
}
