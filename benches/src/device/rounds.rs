//! The order of measurements, so that what changes slowly (the disk's caches, other users) meets all engines alike.
//!
//! ```text
//! round 1:  shape A: read through · fio · tokio-uring · threads    shape B: read through · tokio-uring · threads · fio   ..
//! round 2:  shape A: read through · tokio-uring · threads · fio    ..
//! ```

use std::time::Duration;

use aquifer_io::Backend;

use super::backend;
use super::fio::Fio;
use super::report::{FIO, Measured, Round};
use super::sample::Sample;
use super::shape::Shape;
use super::test_file::TestFile;
use crate::failure::Failure;
use crate::measure::machine::Busy;
use crate::measure::spread::Times;
use crate::measure::tool::ToolError;
use crate::measure::turns::CycleFrom;
use crate::progress::Progress;

/// What can run a shape.
#[derive(Debug)]
pub(super) enum Engine {
    /// The yardstick.
    Fio(Fio),
    /// One of ours.
    Backend(Backend),
}

impl Engine {
    /// As the report names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Fio(_) => FIO.to_owned(),
            Self::Backend(backend) => backend.to_string(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    pub(super) engines: &'p [Engine],
    pub(super) shapes: &'p [Shape],
    pub(super) file: &'p TestFile,
    pub(super) times: Times,
    pub(super) rounds: u32,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// By shape, then by engine.
    pub(super) results: Vec<Measured>,
    /// The last thing that went wrong with fio.
    pub(super) fio_note: Option<String>,
}

impl Plan<'_> {
    /// Time that the measurements take; making the file and reading it through come on top.
    pub(super) fn duration(&self) -> Duration {
        let one = self.times.warm_up + self.times.measured;
        let count = self.shapes.len() * self.engines.len();
        one.saturating_mul(self.rounds).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Measures everything. A failure of fio costs its own numbers only.
    pub(super) fn run(&self, progress: &mut Progress) -> Result<Outcome, Failure> {
        let mut rounds: Vec<Vec<Vec<Round>>> = vec![vec![Vec::new(); self.engines.len()]; self.shapes.len()];
        let mut fio_note = None;
        let total = u64::from(self.rounds) * self.shapes.len() as u64 * self.engines.len() as u64;
        progress.start("measuring", total);
        for round in 1..=self.rounds {
            progress.step("round", &format!("{round} of {}", self.rounds));
            for (index, (shape, numbers)) in self.shapes.iter().zip(&mut rounds).enumerate() {
                self.file.read_through()?;
                let first = (round as usize - 1 + index) % self.engines.len().max(1);
                let turns = self.engines.iter().zip(numbers).cycle_from(first);
                for (engine, numbers) in turns {
                    let busy = Busy::begin();
                    match self.measure(engine, *shape)? {
                        Ok(sample) => numbers.push(Round::new(round, busy.others_cores(), sample)),
                        Err(why) => fio_note = Some(format!("{}, round {round}: {why}", shape.name())),
                    }
                    progress.add(1);
                }
            }
        }
        progress.finish();
        Ok(Outcome { results: self.sum_up(&rounds), fio_note })
    }

    /// The inner error is fio's.
    fn measure(&self, engine: &Engine, shape: Shape) -> Result<Result<Sample, String>, Failure> {
        match engine {
            Engine::Backend(backend) => backend::measure(*backend, shape, self.file, self.times).map(Ok),
            Engine::Fio(fio) => match fio.measure(&shape, self.file, self.times) {
                Ok(sample) => Ok(Ok(sample)),
                Err(ToolError::Failed(why)) => Ok(Err(why)),
                Err(ToolError::Interrupted) => Err(Failure::Interrupted),
            },
        }
    }

    fn sum_up(&self, rounds: &[Vec<Vec<Round>>]) -> Vec<Measured> {
        let mut results = Vec::new();
        for (shape, numbers) in self.shapes.iter().zip(rounds) {
            let engines = || self.engines.iter().zip(numbers);
            let fio = engines().find(|(engine, _)| matches!(engine, Engine::Fio(_)));
            let fio = fio.map_or(&[][..], |(_, rounds)| rounds);
            results
                .extend(engines().filter_map(|(engine, own)| Measured::new(shape, &engine.name(), own, fio)));
        }
        results
    }
}
