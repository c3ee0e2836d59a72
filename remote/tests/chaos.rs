//! Chaos: every kind of fault at 2 %, and nothing is lost, nothing is there twice, no byte is wrong.
//!
//! Names are written once, as the engine does: an attempt that was given up may still be applied, and would bring an older
//! object back under a name that is used again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquifer_io::block_on;
use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{
    ObjectName, PutOutcome, Remote, RemoteErrorKind, RemoteOptions, ShapeOptions, SimulatedDfs,
    from_object_store, open_url, wrap,
};
use futures_util::future::join_all;

use crate::world::{in_world, virtual_time};

/// Writers at once, of the chaos.
const TASKS: u64 = 200;
/// What each of them does.
const ROUNDS: u64 = 20;
/// Names that all of them claim.
const CLAIMS: u64 = 10;

/// 2 % of each kind.
fn two_percent() -> FaultRates {
    FaultRates::each(20_000)
}

/// Quick repeats, and enough of them that none runs out: one try in nine fails.
fn patient(seed: u64, faults: FaultRates, attempt_timeout: Duration) -> RemoteOptions {
    RemoteOptions {
        environment: false,
        seed: Some(seed),
        attempt_timeout,
        retries_max: 20,
        retry_pause: Duration::from_millis(1),
        retry_pause_max: Duration::from_millis(20),
        retry_time_max: Duration::from_secs(60),
        deadline: Duration::from_secs(90),
        shape: ShapeOptions { faults, ..ShapeOptions::default() },
        ..RemoteOptions::default()
    }
}

fn name(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

/// Content that nobody else writes, of a length that differs too.
fn content(task: u64, round: u64) -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(task << 32 | round);
    let length = chance.usize(1..20_000);
    std::iter::repeat_with(|| chance.u8(..)).take(length).collect()
}

/// What must be there at the end.
#[derive(Default)]
struct Model {
    objects: BTreeMap<String, Vec<u8>>,
    winners: BTreeMap<u64, Vec<u64>>,
    operations: u64,
}

type Shared = Arc<Mutex<Model>>;

async fn task(remote: Arc<dyn Remote>, model: Shared, task: u64) {
    let mut chance = fastrand::Rng::with_seed(task);
    let mut mine: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for round in 0..ROUNDS {
        let known = (!mine.is_empty()).then(|| mine.iter().nth(chance.usize(..mine.len())).unwrap());
        let known = known.map(|(object, bytes)| (object.clone(), bytes.clone()));
        match (chance.u32(..10), known) {
            (0..3, Some((object, bytes))) => {
                assert!(remote.get(&name(&object), 20_000).await.unwrap() == bytes, "{object}");
            }
            (3..5, Some((object, bytes))) => {
                let (start, end) = (bytes.len() / 3, bytes.len());
                let read = remote.get_range(&name(&object), start as u64..end as u64).await.unwrap();
                assert!(read == bytes[start..end], "{object}");
            }
            (5, Some((object, bytes))) => {
                assert_eq!(remote.head(&name(&object)).await.unwrap().bytes, bytes.len() as u64);
                let absent = remote.get(&name("never/there"), 9).await.unwrap_err();
                assert_eq!(absent.kind(), RemoteErrorKind::NotFound);
            }
            (6, Some((object, _))) => {
                remote.delete(&name(&object)).await.unwrap();
                mine.remove(&object);
                let gone = remote.head(&name(&object)).await.unwrap_err();
                assert_eq!(gone.kind(), RemoteErrorKind::NotFound, "{object} after its delete");
            }
            (7, Some(_)) => {
                let page = remote.list(&format!("own/{task:03}/"), None, 100).await.unwrap();
                let listed: Vec<String> =
                    page.entries.into_iter().map(|entry| entry.name.to_string()).collect();
                assert!(mine.keys().eq(&listed), "task {task}: {mine:?} {listed:?}", mine = mine.keys());
            }
            (draw, _) => {
                let object = format!("own/{task:03}/{round:03}");
                let bytes = content(task, round);
                if draw % 2 == 0 {
                    remote.put(&name(&object), bytes.clone().into()).await.unwrap();
                } else {
                    let made = remote.put_if_absent(&name(&object), bytes.clone().into()).await.unwrap();
                    assert_eq!(made, PutOutcome::Created, "{object} is nobody else's");
                }
                mine.insert(object, bytes);
            }
        }
        if round % 2 == 0 {
            let claim = round / 2;
            let made =
                remote.put_if_absent(&name(&format!("claim/{claim}")), content(task, 1_000 + claim).into());
            if made.await.unwrap() == PutOutcome::Created {
                model.lock().unwrap().winners.entry(claim).or_default().push(task);
            }
        }
    }
    let mut model = model.lock().unwrap();
    model.operations += ROUNDS + ROUNDS / 2;
    model.objects.extend(mine);
}

/// Runs the tasks through `remotes`, in turn, and looks at what is there then through `plain`.
async fn chaos(remotes: &[Arc<dyn Remote>], plain: &Arc<dyn Remote>) {
    let model = Shared::default();
    let tasks = (0..TASKS).zip(remotes.iter().cycle());
    join_all(tasks.map(|(number, remote)| task(Arc::clone(remote), Arc::clone(&model), number))).await;
    let mut model = std::mem::take(&mut *model.lock().unwrap());
    assert!(model.operations > 5_000, "{}", model.operations);
    assert_eq!(model.winners.len() as u64, CLAIMS);
    for (claim, winners) in model.winners {
        assert_eq!(winners.len(), 1, "claim {claim}: {winners:?}");
        model.objects.insert(format!("claim/{claim}"), content(winners[0], 1_000 + claim));
    }
    let mut listed = Vec::new();
    loop {
        let page = plain.list("", listed.last(), 500).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.name));
        if !page.more {
            break;
        }
    }
    let names: Vec<&str> = listed.iter().map(ObjectName::as_str).collect();
    assert!(model.objects.keys().eq(&names), "{} objects, {} listed", model.objects.len(), names.len());
    for (object, bytes) in &model.objects {
        assert!(plain.get(&name(object), 20_000).await.unwrap() == *bytes, "{object}");
    }
}

/// A folder in memory where there is one: thousands of syncs are not what is tested here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn memory() -> Arc<dyn Remote> {
    from_object_store(Arc::new(object_store::memory::InMemory::new()), "", "memory").unwrap()
}

#[test]
fn chaos_on_memory() {
    let plain = memory();
    let stack = wrap(Arc::clone(&plain), &patient(1, two_percent(), Duration::from_millis(200))).unwrap();
    block_on(chaos(&[Arc::clone(&stack.foreground)], &plain));
    // Six kinds of 2 %, of which the slow close harms nobody, and truncation reads alone.
    let requests: u64 =
        aquifer_remote::Operation::ALL.iter().map(|&operation| stack.cost.requests(operation)).sum();
    assert!(stack.repeats() * 100 > requests * 3, "{} of {requests}", stack.repeats());
    assert_eq!(stack.limits.foreground_in_flight().requests, 0);
}

#[test]
fn chaos_on_the_embedded_server() {
    let dir = folder();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let plain = server.remote("").unwrap();
    let options = RemoteOptions {
        settings: server.remote_options().settings,
        ..patient(2, two_percent(), Duration::from_secs(1))
    };
    let remote = open_url("s3://aquifer", options).unwrap();
    block_on(chaos(&[remote], &plain));
}

/// Faults on the server's side, several processes' wrappers, virtual time: each seed is another course.
#[test]
fn chaos_in_a_simulated_world() {
    for seed in 0..4 {
        in_world(seed, move || async move {
            let shape = ShapeOptions {
                latency: LatencyProfile::Hdfs,
                bandwidth_bytes_per_s: 500 << 20,
                faults: two_percent(),
            };
            let dfs = SimulatedDfs::new(seed, &shape);
            let remotes: Vec<Arc<dyn Remote>> = (0..4)
                .map(|process| {
                    let patient = patient(seed + process, FaultRates::default(), Duration::from_secs(1));
                    let options = RemoteOptions { timers: virtual_time(0).timers, ..patient };
                    wrap(dfs.remote(), &options).unwrap().foreground
                })
                .collect();
            let plain = Arc::clone(&remotes[0]);
            chaos(&remotes, &plain).await;
        });
    }
}

/// 16 writers, 200 names, many answers lost before and after the write: one winner each, and all know who.
async fn race(remotes: &[Arc<dyn Remote>], plain: &Arc<dyn Remote>) {
    assert_eq!(remotes.len(), 16);
    for batch in (0..200_u64).collect::<Vec<_>>().chunks(20) {
        join_all(batch.iter().map(async |&number| {
            let object = name(&format!("race/{number:03}"));
            let puts = remotes
                .iter()
                .zip(0..)
                .map(|(remote, writer)| remote.put_if_absent(&object, content(writer, number).into()));
            let outcomes = join_all(puts.collect::<Vec<_>>()).await;
            let outcomes: Vec<PutOutcome> = outcomes.into_iter().map(Result::unwrap).collect();
            let winners: Vec<usize> =
                (0..16).filter(|&writer| outcomes[writer] == PutOutcome::Created).collect();
            assert_eq!(winners.len(), 1, "{object}: {winners:?}");
            let there = plain.get(&object, 20_000).await.unwrap();
            assert!(there == content(winners[0] as u64, number), "{object} is not its winner's");
        }))
        .await;
    }
}

fn lost_answers() -> FaultRates {
    FaultRates { unavailable: 50_000, reset_before: 50_000, reset_after: 200_000, ..FaultRates::default() }
}

/// 16 clients of one store, each with its own faults.
fn clients(plain: &Arc<dyn Remote>) -> Vec<Arc<dyn Remote>> {
    let options = |seed| patient(seed, lost_answers(), Duration::from_secs(10));
    (0..16).map(|seed| wrap(Arc::clone(plain), &options(seed)).unwrap().foreground).collect()
}

#[test]
fn races_with_lost_answers_on_memory() {
    let plain = memory();
    block_on(race(&clients(&plain), &plain));
}

#[test]
fn races_with_lost_answers_on_a_directory() {
    let dir = folder();
    let url = format!("file://{}", dir.path().display());
    let plain = open_url(&url, RemoteOptions { environment: false, ..RemoteOptions::default() }).unwrap();
    block_on(race(&clients(&plain), &plain));
}

#[test]
fn races_with_lost_answers_on_the_embedded_server() {
    let dir = folder();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let plain = server.remote("jobs").unwrap();
    block_on(race(&clients(&plain), &plain));
}

#[test]
fn races_with_lost_answers_in_a_simulated_world() {
    for seed in 0..3 {
        in_world(seed, move || async move {
            let shape = ShapeOptions {
                latency: LatencyProfile::S3,
                faults: lost_answers(),
                ..ShapeOptions::default()
            };
            let dfs = SimulatedDfs::new(seed, &shape);
            let remotes: Vec<Arc<dyn Remote>> = (0..16)
                .map(|writer| {
                    let patient = patient(writer, FaultRates::default(), Duration::from_secs(1));
                    let options = RemoteOptions { timers: virtual_time(0).timers, ..patient };
                    wrap(dfs.remote(), &options).unwrap().foreground
                })
                .collect();
            race(&remotes, &Arc::clone(&remotes[0])).await;
        });
    }
}
