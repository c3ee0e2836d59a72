//! An engine that does nothing: what is measured then is this tool.

use std::sync::Mutex;

use super::contract::{About, Arm};
use crate::compare::drive::bulk::{self, Bulk, Found};
use crate::compare::drive::lanes;
use crate::compare::drive::tally::Tally;
use crate::compare::spec::{Data, Doing, Prepare, Stats, Work};
use crate::failure::Failure;
use crate::load::record::write_value;

/// See the module. It gives one value back for every key, so that its answers are checked, and wrong.
pub(super) struct Nothing {
    data: Data,
    value: Vec<u8>,
    /// So that a call does something that no compiler takes away.
    written: Mutex<u64>,
}

impl Nothing {
    pub(super) fn new(prepare: &Prepare) -> Self {
        let mut value = Vec::new();
        write_value(&mut value, 0, 0, usize::try_from(prepare.data.value_bytes).unwrap_or(usize::MAX));
        Self { data: prepare.data, value, written: Mutex::new(0) }
    }
}

impl Bulk for Nothing {
    fn read(&self, keys: &[Vec<u8>], found: Found<'_>) -> Result<(), Failure> {
        for place in 0..keys.len() {
            found(place, Some(std::hint::black_box(&self.value)));
        }
        Ok(())
    }

    fn write(&self, keys: &[Vec<u8>], values: &[Vec<u8>]) -> Result<(), Failure> {
        let bytes: usize = keys.iter().chain(values).map(Vec::len).sum();
        *self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += bytes as u64;
        Ok(())
    }
}

impl Arm for Nothing {
    fn about(&self) -> About {
        About { version: "0".into(), ..About::default() }
    }

    fn round(&self, work: &Work) -> Result<Tally, Failure> {
        let mut tally = match work.doing {
            Doing::Load | Doing::Overwrite | Doing::MultiGet => bulk::run(self, work, self.data)?,
            // The loop of one key a call, whether on a shard or not.
            Doing::Get if work.in_flight == 1 && work.rate.is_none() => bulk::run(self, work, self.data)?,
            _ => lanes::on_nothing(&self.value, work, self.data)?,
        };
        // All of them are, and that says nothing.
        tally.wrong = 0;
        Ok(tally)
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn fill(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn checkpoint(&self) -> Result<u64, Failure> {
        Ok(0)
    }

    fn stats(&self) -> Result<Stats, Failure> {
        Ok(Stats::default())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
