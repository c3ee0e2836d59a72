//! Row `neighbours`: 256 concurrent gets of keys that lie beside each other, with every cache empty, from the s3 profile.
//!
//! A round trip is the median of plain GETs through the same client, one at a time, right before the bursts of the round.

use std::time::Duration;

use aquifer::{KeyRange, ScanOptions};
use aquifer_io::now;
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{Operation, Stack};
use futures_util::future::join_all;

use super::super::bed::Opened;
use super::super::ceiling::requests::Plain;
use super::super::lane::PRESENT;
use super::super::patience::wait;
use super::stage::{Stage, bare_round, beside, complete, ours, set};
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::histogram::Latencies;
use crate::interrupt;
use crate::load::record::{number_of, version_of, write_key};
use crate::load::rng::Rng;
use crate::load::workload::Workload;
use crate::measure::machine::Busy;
use crate::measure::spread::Spread;
use crate::result::{Dfs, Goal, Round, Row, Tier};

/// Gets of one burst.
const BURST_KEYS: usize = 256;
/// Bursts of one round.
const BURSTS: usize = 20;
/// Places tried for each burst: near the end of a key group fewer keys follow.
const TRIES_MAX: usize = 64;
const OURS: &str = "aquifer";
const PLAIN: &str = "plain GET";
/// Median time from the first get of a burst to its last answer; of a plain GET, its latency.
const MS: &str = "burst_p50_ms";
/// Most GETs of one burst.
const GETS: &str = "burst_gets_max";

/// Keys that follow each other in the store.
type Burst = Vec<Vec<u8>>;

/// Measures the row.
pub(super) fn measure(stage: &mut Stage<'_>) -> Result<Row, Failure> {
    let name = RowName::Neighbours;
    stage.step(name, "looking for neighbours");
    stage.open(stage.setup(stage.memory_bytes(), 0, LatencyProfile::None))?;
    let mut rng = Rng::new(stage.spec.seed);
    let bursts: Vec<Burst> = (0..stage.spec.args.rounds as usize * BURSTS)
        .map(|_| neighbours(stage, &mut rng))
        .collect::<Result<_, Failure>>()?;
    let setup = stage.setup(stage.memory_bytes(), 0, LatencyProfile::S3);
    stage.open(setup)?;
    let (mut us, mut them) = (ours(OURS, setup), beside(PLAIN, ""));
    for (number, bursts) in stage.rounds().zip(bursts.chunks(BURSTS)) {
        stage.step(name, &format!("round {number} of {}", stage.spec.args.rounds));
        let (busy, began) = (Busy::begin(), aquifer_io::unix_time_ms());
        let opened = stage.opened()?;
        let plain = Plain::new(&opened.stack.foreground)?;
        let (_, alone) = plain.gets(1, stage.seconds())?;
        plain.remove()?;
        let mut round = Round { latency: alone, ..bare_round(number, &busy, began) };
        round.operations = alone.count;
        round.ops_per_s = 1e6 / alone.p50_us.max(f64::MIN_POSITIVE);
        set(&mut round, MS, alone.p50_us / 1e3);
        them.rounds.push(round);
        us.rounds.push(burst_round(opened, bursts, number)?);
    }
    let runs = stage.opened()?.stats()?.shards.iter().map(|shard| shard.runs).max().unwrap_or(0);
    stage.close()?;
    let goals = vec![Goal::at_most(MS, PLAIN, 2.5), Goal::itself_at_most(GETS, 8.0)];
    let notes = vec![format!(
        "{BURSTS} bursts a round, each at another place, all caches emptied before each; a shard has up to {runs} sorted runs; of {GETS} the worst \
         burst of each round counts"
    )];
    let workload = Workload::named("readrandom").map_err(Failure::Usage)?;
    let mut row = stage.row(name, &workload, 1);
    row.workload.name = name.to_string();
    row.workload.distribution = "neighbours".to_owned();
    row.workload.from = crate::cli::From::Client.name().to_owned();
    row.workload.threads = 1;
    row.workload.in_flight = BURST_KEYS as u64;
    Ok(complete(Row { tier: Some(Tier::Remote), ..row }, vec![us, them], goals, notes))
}

/// Keys of one burst, by a scan from a random key on.
fn neighbours(stage: &Stage<'_>, rng: &mut Rng) -> Result<Burst, Failure> {
    let client = &stage.opened()?.client;
    let mut from = Vec::new();
    for _ in 0..TRIES_MAX {
        interrupt::check()?;
        write_key(&mut from, rng.below(stage.spec.keys), stage.spec.key_bytes.into(), PRESENT);
        let options = ScanOptions { page_entries: BURST_KEYS, ..ScanOptions::default() };
        let range = KeyRange::beside(&from, from.as_slice()..);
        let page = wait(async { client.scan(&range, &options).next_page().await })?;
        let page = page.map_err(Failure::engine("a scan failed"))?.unwrap_or_default();
        if page.len() == BURST_KEYS {
            return Ok(page.into_iter().map(|(key, _)| key.to_vec()).collect());
        }
    }
    let (keys, groups) = (stage.spec.keys, aquifer::KEY_GROUPS_DEFAULT);
    Err(Failure::Usage(format!(
        "the row neighbours needs {BURST_KEYS} keys beside each other in a key group, and {keys} keys in {groups} groups are too few: use \
         --keys 100000 or more"
    )))
}

fn gets(stack: &Stack) -> u64 {
    stack.cost.requests(Operation::Get) + stack.cost.requests(Operation::GetRange)
}

/// Bursts one after the other, each on empty caches.
fn burst_round(opened: &Opened, bursts: &[Burst], number: u32) -> Result<Round, Failure> {
    let (busy, began) = (Busy::begin(), aquifer_io::unix_time_ms());
    let (mut times, mut most, mut all, mut wrong) = (Vec::new(), 0, 0, 0);
    let mut latencies = Latencies::new();
    for burst in bursts {
        wait(opened.client.forget_memory())?.map_err(Failure::engine("cannot empty the memory tier"))?;
        let before = gets(&opened.stack);
        let start = now();
        let asked = burst.iter().map(|key| {
            let answer = opened.client.get(key);
            async move { (answer.await, start.elapsed()) }
        });
        let answers = wait(join_all(asked))?;
        let took = start.elapsed();
        let used = gets(&opened.stack) - before;
        (most, all) = (used.max(most), all + used);
        times.push(took);
        for (key, (answer, after)) in burst.iter().zip(answers) {
            let value = answer.map_err(Failure::engine("a get failed"))?;
            let is_right =
                number_of(key).zip(value).is_some_and(|(number, value)| version_of(&value, number).is_some());
            wrong += u64::from(!is_right);
            latencies.record(after);
        }
    }
    let spread = Spread::of(times.iter().map(Duration::as_secs_f64)).unwrap_or_default();
    let operations = (bursts.len() * BURST_KEYS) as u64;
    let mut round = Round {
        operations,
        ops_per_s: BURST_KEYS as f64 / spread.median.max(f64::MIN_POSITIVE),
        latency: latencies.summary(),
        answers_checked: operations,
        answers_wrong: wrong,
        dfs: Some(Dfs { gets: all, ..Dfs::default() }),
        ..bare_round(number, &busy, began)
    };
    set(&mut round, MS, spread.median * 1e3);
    set(&mut round, "burst_max_ms", spread.max * 1e3);
    set(&mut round, GETS, most as f64);
    set(&mut round, "burst_gets_mean", all as f64 / bursts.len().max(1) as f64);
    Ok(round)
}
