//! The rows of a comparison, stage by stage.
//!
//! ```text
//! disk        little memory: load, get, open loop, read-modify-write, overwrite
//! memory      the same state, reopened with memory for everything: get, multi-get, read-modify-write
//! remote      ours with that state on a DFS of the profile asked for, the other one as in the first stage
//! checkpoint  a state of their own, on that DFS
//! ```

mod ground;
mod checkpoints;
mod disk;
mod memory;
mod remote;

use super::bench::Bench;
use super::row::{Definition, ROWS, Stage};
use crate::cli::Against;
use crate::cli::compare_row::RowName;
use crate::failure::Failure;
use crate::result::Row;
use ground::Suite;

/// Measures the rows that are wanted. They are handed over as soon as they are complete.
pub(super) fn run(bench: &mut Bench<'_>, wanted: Vec<RowName>, rows: &mut Vec<Row>) -> Result<(), Failure> {
    Suite::new(bench, wanted, rows).run()
}

impl Suite<'_, '_> {
    fn run(&mut self) -> Result<(), Failure> {
        let against = self.bench.args.against;
        for stage in [Stage::Disk, Stage::Memory, Stage::Remote, Stage::Checkpoint] {
            let rows: Vec<&Definition> =
                ROWS.iter().filter(|row| row.stage == stage && self.wanted.contains(&row.name)).collect();
            if rows.is_empty() {
                continue;
            }
            match (stage, against) {
                (Stage::Disk, _) => self.disk(&rows)?,
                (Stage::Memory, _) => self.memory(&rows)?,
                (Stage::Checkpoint, _) => self.checkpoints(&rows)?,
                (Stage::Remote, Against::Slatedb) => self.remote_both(&rows)?,
                (Stage::Remote, _) => self.remote_ours(&rows)?,
            }
        }
        self.bench.close()
    }
}
