//! What goes wrong on the simulated disk: on demand ([`Fault`]) and at random ([`FaultRates`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

/// What is done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskOperation {
    /// Opening or creating a file.
    Open,
    /// One read; a long or vectored one may be several.
    Read,
    /// One write; a long one may be several.
    Write,
    /// Making a file's writes durable.
    Sync,
    /// Reserving space, punching holes, setting the length.
    Space,
    /// Removing, renaming, creating folders.
    Names,
    /// Making a folder's names durable.
    SyncDir,
}

impl DiskOperation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Space => "space",
            Self::Names => "names",
            Self::SyncDir => "sync-dir",
        }
    }

    /// Whether it may need space that the disk has not.
    fn grows(self) -> bool {
        matches!(self, Self::Open | Self::Write | Self::Space | Self::Names)
    }
}

/// What happens to one operation instead of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// EIO. A write may have moved a part; a sync may have lost, for good, any of what it was to make durable.
    Error,
    /// ENOSPC; only operations that may need space.
    NoSpace,
    /// Only a part is moved, at least one unit of alignment; only reads and writes. The file layer asks for the rest.
    Short,
    /// One bit is wrong: of a read in the buffer alone, of a write on the disk; only reads and writes.
    FlipBit,
    /// The bytes come from another place, of this file or of another one; only reads.
    Misdirect,
    /// It takes this much longer.
    Delay(Duration),
}

/// An order for things to go wrong. An effect that does not fit the operation does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The operation it waits for.
    pub operation: DiskOperation,
    /// Only on this path (of a rename: the old one); `None` for any.
    pub path: Option<PathBuf>,
    /// So many that fit go well first.
    pub skip: u64,
    /// So many go wrong then; `u64::MAX` for all that follow.
    pub times: u64,
    /// What goes wrong.
    pub effect: Effect,
}

/// How often things go wrong by themselves, in millionths of the operations that the effect fits; zero is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// [`Effect::Error`].
    pub errors: u32,
    /// [`Effect::NoSpace`].
    pub no_space: u32,
    /// [`Effect::Short`].
    pub short: u32,
    /// [`Effect::FlipBit`] on a read.
    pub flipped_reads: u32,
    /// [`Effect::FlipBit`] on a write.
    pub flipped_writes: u32,
    /// [`Effect::Misdirect`].
    pub misdirected: u32,
    /// [`Effect::Delay`], of up to `delay_max`.
    pub delays: u32,
    /// Longest delay by chance.
    pub delay_max: Duration,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) error: Option<Errno>,
    pub(crate) short: bool,
    pub(crate) flip_bit: bool,
    pub(crate) misdirect: bool,
    pub(crate) delay: Duration,
}

impl Verdict {
    fn add(&mut self, operation: DiskOperation, effect: Effect) {
        let moves = matches!(operation, DiskOperation::Read | DiskOperation::Write);
        match effect {
            Effect::Error => self.error = self.error.or(Some(Errno::IO)),
            Effect::NoSpace if operation.grows() => self.error = self.error.or(Some(Errno::NOSPC)),
            Effect::Short if moves => self.short = true,
            Effect::FlipBit if moves => self.flip_bit = true,
            Effect::Misdirect if operation == DiskOperation::Read => self.misdirect = true,
            Effect::Delay(delay) => self.delay = self.delay.saturating_add(delay),
            Effect::NoSpace | Effect::Short | Effect::FlipBit | Effect::Misdirect => {}
        }
    }
}

/// The orders and the rates of one world.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) rates: FaultRates,
    orders: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(rates: FaultRates) -> Self {
        Self { rates, orders: Vec::new() }
    }

    pub(crate) fn order(&mut self, fault: Fault) {
        self.orders.push(fault);
    }

    /// Decides about one operation. Draws the same numbers of chance whatever the outcome.
    pub(crate) fn verdict(
        &mut self,
        operation: DiskOperation,
        path: &Path,
        chance: &mut fastrand::Rng,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for order in &mut self.orders {
            let fits = order.operation == operation && order.path.as_deref().is_none_or(|only| only == path);
            if !fits {
            } else if order.skip > 0 {
                order.skip -= 1;
            } else if order.times > 0 {
                order.times -= 1;
                verdict.add(operation, order.effect);
            }
        }
        self.orders.retain(|order| order.times > 0);
        let rates = &self.rates;
        let flipped =
            if operation == DiskOperation::Read { rates.flipped_reads } else { rates.flipped_writes };
        let delay_max_ns = u64::try_from(rates.delay_max.as_nanos()).unwrap_or(u64::MAX);
        let delay = Duration::from_nanos(chance.u64(..=delay_max_ns));
        for (rate, effect) in [
            (rates.errors, Effect::Error),
            (rates.no_space, Effect::NoSpace),
            (rates.short, Effect::Short),
            (flipped, Effect::FlipBit),
            (rates.misdirected, Effect::Misdirect),
            (rates.delays, Effect::Delay(delay)),
        ] {
            if chance.u32(..1_000_000) < rate {
                verdict.add(operation, effect);
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_wait_for_their_turn_and_end() {
        let mut faults = Faults::default();
        let mut chance = fastrand::Rng::with_seed(1);
        faults.order(Fault {
            operation: DiskOperation::Write,
            path: Some(PathBuf::from("/a")),
            skip: 1,
            times: 2,
            effect: Effect::NoSpace,
        });
        let mut errors = |operation, path: &str| {
            faults.verdict(operation, Path::new(path), &mut chance).error == Some(Errno::NOSPC)
        };
        assert!(!errors(DiskOperation::Write, "/a"), "skipped");
        assert!(!errors(DiskOperation::Write, "/b"), "another path");
        assert!(!errors(DiskOperation::Read, "/a"), "another operation");
        assert!(errors(DiskOperation::Write, "/a"));
        assert!(errors(DiskOperation::Write, "/a"));
        assert!(!errors(DiskOperation::Write, "/a"), "used up");
    }

    #[test]
    fn an_effect_that_does_not_fit_does_nothing() {
        let rates = FaultRates {
            no_space: 1_000_000,
            short: 1_000_000,
            flipped_reads: 1_000_000,
            misdirected: 1_000_000,
            ..FaultRates::default()
        };
        let mut chance = fastrand::Rng::with_seed(1);
        let verdict = |operation, chance: &mut fastrand::Rng| {
            Faults::new(rates).verdict(operation, Path::new("/a"), chance)
        };
        assert_eq!(verdict(DiskOperation::Sync, &mut chance), Verdict::default());
        let read = verdict(DiskOperation::Read, &mut chance);
        assert_eq!((read.error, read.short, read.flip_bit, read.misdirect), (None, true, true, true));
        let write = verdict(DiskOperation::Write, &mut chance);
        assert_eq!((write.error, write.flip_bit, write.misdirect), (Some(Errno::NOSPC), false, false));
    }
}
