//! The rows: what is compared, and what is to be reached against `RocksDB`.

use super::feature;
use super::spec::Engine;
use crate::cli::Against;
use crate::cli::compare_row::RowName;
use crate::result::Tier;

/// Which engines, settings and data rows have in common: measured one after the other on the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Little memory, everything on the SSD.
    Disk,
    /// The same with memory for everything.
    Memory,
    /// State on the DFS.
    Remote,
    /// Checkpoints on the DFS.
    Checkpoint,
}

/// The definition of a row: its name and stage, the tier that it reads from, its description, and the engines that it is measured
/// against.
pub(super) struct Definition {
    pub(super) name: RowName,
    pub(super) stage: Stage,
    pub(super) tier: Tier,
    pub(super) what: &'static str,
    against: &'static [Against],
}

use Against::{Fjall, Nothing, Rocksdb, Slatedb};

/// In the order in which they are measured: those that change nothing before those that do.
pub(super) const ROWS: [Definition; 13] = [
    row(
        RowName::Load,
        Stage::Disk,
        Tier::Ssd,
        "all keys once in random order, until settled",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(RowName::GetSsd, Stage::Disk, Tier::Ssd, "uniform get from the SSD", &[Rocksdb, Fjall, Nothing]),
    row(
        RowName::OpenLoop,
        Stage::Disk,
        Tier::Ssd,
        "uniform get from the SSD at a fixed rate",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::RmwZipf,
        Stage::Disk,
        Tier::Mixed,
        "Zipf 0.99 read-modify-write",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::Overwrite,
        Stage::Disk,
        Tier::Ssd,
        "random keys written again, until settled",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::GetMemory,
        Stage::Memory,
        Tier::Memory,
        "uniform get, all in memory, on the shard's thread",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::MultiGetMemory,
        Stage::Memory,
        Tier::Memory,
        "uniform get, all in memory, through the client from a foreign thread, 64 keys a call",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::RmwMemory,
        Stage::Memory,
        Tier::Memory,
        "Zipf 0.99 read-modify-write, all in memory",
        &[Rocksdb, Fjall, Nothing],
    ),
    row(
        RowName::RemoteLoad,
        Stage::Remote,
        Tier::Remote,
        "all keys once, in random order, to the DFS",
        &[Slatedb],
    ),
    row(RowName::RemoteGet, Stage::Remote, Tier::Mixed, "uniform get, state on the DFS", &[Slatedb]),
    row(
        RowName::RemoteRmw,
        Stage::Remote,
        Tier::Mixed,
        "Zipf 0.99 read-modify-write, all state of ours on the DFS",
        &[Rocksdb, Slatedb],
    ),
    row(
        RowName::Checkpoint,
        Stage::Checkpoint,
        Tier::Remote,
        "checkpoint to the DFS under a load of Zipf 0.99 read-modify-writes",
        &[Rocksdb, Slatedb],
    ),
    row(
        RowName::Restore,
        Stage::Checkpoint,
        Tier::Remote,
        "from the checkpoint on the DFS and an empty disk to the first answer",
        &[Rocksdb, Slatedb],
    ),
];

const fn row(
    name: RowName,
    stage: Stage,
    tier: Tier,
    what: &'static str,
    against: &'static [Against],
) -> Definition {
    Definition { name, stage, tier, what, against }
}

impl Definition {
    /// Whether it says something about this engine.
    pub(super) fn is_for(&self, against: Against) -> bool {
        self.against.contains(&against)
    }
}

/// Returns the definition of the row with this name.
pub(super) fn definition(name: RowName) -> &'static Definition {
    let found = ROWS.iter().find(|row| row.name == name);
    found.unwrap_or(const { &ROWS[0] })
}

/// A line for each row, for the help.
pub(crate) fn help() -> String {
    let lines = ROWS.iter().map(|row| {
        let engines: Vec<String> =
            row.against.iter().map(|against| format!("{against:?}").to_lowercase()).collect();
        format!("  {:<17}{} ({})", row.name.text(), row.what, engines.join(", "))
    });
    format!(
        "Rows, and the engines that they are there for:\n{}\n\n\
         This build has: {}. An engine that it lacks is added by building with its feature:\n  \
         RUSTFLAGS=-Ctarget-cpu=native cargo run --release --features rocksdb -- compare --suite state --html compare.html\n\
         The first build of RocksDB takes about 20 minutes on 2 cores; docs/benchmarks-compare.md shows a way that takes 5.\n\
         What is compared how, and why it is fair, is in docs/benchmarks-compare.md.",
        lines.collect::<Vec<_>>().join("\n"),
        built_with()
    )
}

fn built_with() -> String {
    let engines = [Engine::Aquifer, Engine::Rocksdb, Engine::Slatedb, Engine::Fjall];
    let names = engines.into_iter().filter(|engine| feature::has(*engine)).map(Engine::name);
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_others_are_explained() {
        for row in &ROWS {
            assert_eq!(row.name.text().parse::<RowName>().unwrap(), row.name);
            assert_eq!(row.name.to_string(), row.name.text());
            assert!(help().contains(row.what));
        }
        let error = "get-sdd".parse::<RowName>().unwrap_err();
        assert!(error.contains("get-ssd") && error.contains("remote-rmw"), "{error}");
    }

    #[test]
    fn stages_are_not_entered_twice() {
        assert!(ROWS.iter().map(|row| row.stage).is_sorted());
        assert_eq!(ROWS.iter().filter(|row| row.is_for(Rocksdb)).count(), 11);
    }
}
