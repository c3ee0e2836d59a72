//! Row `ssd-writes`: what the SSD tier writes for each byte that it takes in, while compactions replace blocks and the tier is too small for all.

use aquifer_remote::shape::LatencyProfile;

use super::super::bed::Opened;
use super::stage::{Stage, complete, ours, read_all, set};
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::load::workload::Workload;
use crate::result::{Goal, Row, Tier, quotient};

/// Bytes written to the file, everything included, by bytes of entries taken in.
const AMPLIFICATION: &str = "ssd_write_amplification";
/// Of the data on the SSD, where no flag says so.
const DISK_PERCENT: f64 = 50.0;
/// Unmeasured rounds at most until the whole file has been written once, so that its regions are being reused.
const ROUNDS_BEFORE_MAX: u32 = 6;

/// What the tiers of all shards have done.
#[derive(Clone, Copy, Default)]
struct Tiers {
    written: u64,
    snapshots: u64,
    taken: u64,
    kept: u64,
    cold: u64,
    behind: u64,
    hits: u64,
    misses: u64,
    file: u64,
}

impl Tiers {
    fn of(opened: &Opened) -> Result<Self, Failure> {
        let stats = opened.stats()?;
        let sum = |of: fn(&aquifer_cache::SsdStats) -> u64| stats.sum(|shard| of(&shard.cache.ssd));
        Ok(Self {
            written: sum(|ssd| ssd.written_bytes),
            snapshots: sum(|ssd| ssd.snapshot_bytes),
            taken: sum(|ssd| ssd.taken_bytes),
            kept: sum(|ssd| ssd.kept_bytes),
            cold: sum(|ssd| ssd.rejections.cold),
            behind: sum(|ssd| ssd.rejections.behind),
            hits: sum(|ssd| ssd.tier.hits()),
            misses: sum(|ssd| ssd.tier.data.misses + ssd.tier.meta.misses),
            file: sum(|ssd| ssd.file_bytes),
        })
    }
}

/// Measures the row.
pub(super) fn measure(stage: &mut Stage<'_>) -> Result<Row, Failure> {
    let name = RowName::SsdWrites;
    let disk = stage.spec.percent_of_data(stage.spec.args.disk_percent.unwrap_or(DISK_PERCENT)).max(2 << 20);
    let setup = stage.setup(stage.memory_bytes(), disk, LatencyProfile::None);
    stage.step(name, "opening, and reading all keys once");
    stage.open(setup)?;
    read_all(stage.opened()?)?;
    let workload = Workload::named("valuestate-rmw").map_err(Failure::Usage)?;
    let in_flight = stage.spec.args.in_flight;
    let filled = Tiers::of(stage.opened()?)?;
    let mut before = filled;
    for _ in 0..ROUNDS_BEFORE_MAX {
        stage.step(name, "writing until the whole file has been reused once");
        let plan = stage.plan(&workload, in_flight, std::time::Duration::ZERO, stage.seconds());
        stage.gets(None, "ssd-writes", &plan, 0)?;
        before = Tiers::of(stage.opened()?)?;
        if before.written - filled.written >= before.file {
            break;
        }
    }
    let reused = quotient((before.written - filled.written) as f64, before.file as f64).unwrap_or(0.0);
    let mut arm = ours("aquifer", setup);
    let first = before;
    for number in stage.rounds() {
        stage.step(name, &format!("round {number} of {}", stage.spec.args.rounds));
        // No warm-up: all that is written counts, and the round before was one.
        let plan = stage.plan(&workload, in_flight, std::time::Duration::ZERO, stage.seconds());
        let taken = stage.gets(None, &format!("{name} {number}"), &plan, number)?;
        let now = Tiers::of(stage.opened()?)?;
        let mut round = stage.round(&format!("{name} aquifer"), number, &taken, &plan)?;
        let (written, entered) = ((now.written - before.written) as f64, (now.taken - before.taken) as f64);
        if let Some(amplification) = quotient(written, entered) {
            set(&mut round, AMPLIFICATION, amplification);
        }
        let (hits, misses) = ((now.hits - before.hits) as f64, (now.misses - before.misses) as f64);
        set(&mut round, "ssd_taken_bytes", entered);
        set(&mut round, "ssd_kept_bytes", (now.kept - before.kept) as f64);
        set(&mut round, "ssd_snapshot_bytes", (now.snapshots - before.snapshots) as f64);
        set(&mut round, "ssd_hit_share", quotient(hits, hits + misses).unwrap_or(0.0));
        arm.rounds.push(round);
        before = now;
    }
    stage.close()?;
    let (written, entered) = ((before.written - first.written) as f64, (before.taken - first.taken) as f64);
    let mut notes = vec![format!(
        "over all rounds {:.3}: {:.1} MiB written for {:.1} MiB taken in, of them {:.1} MiB hot entries written once more and {:.1} MiB \
         snapshots of the index; {} offers rejected as cold, {} because the writer was behind",
        quotient(written, entered).unwrap_or(0.0),
        mib(before.written - first.written),
        mib(before.taken - first.taken),
        mib(before.kept - first.kept),
        mib(before.snapshots - first.snapshots),
        before.cold - first.cold,
        before.behind - first.behind,
    )];
    if reused < 1.0 {
        notes.push(format!(
            "before the rounds only {reused:.2} of the file had been written anew: too few or too short rounds for a tier in its steady state"
        ));
    }
    let row = stage.row(name, &workload, in_flight);
    let goals = vec![Goal::itself_at_most(AMPLIFICATION, 1.3)];
    Ok(complete(Row { tier: Some(Tier::Mixed), ..row }, vec![arm], goals, notes))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
