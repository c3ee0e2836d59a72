//! `compare` in every build: the protocol of its arms' processes, and how a comparison ends, well or not.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::worker::{self, Worker};
use crate::common::{Dfs, Ended, Place};

/// A comparison that takes a moment: ours beside the engine that does nothing.
const QUICK: [&str; 16] = [
    "compare",
    "--against",
    "nothing",
    "--keys",
    "5000",
    "--seconds",
    "0.1",
    "--warmup",
    "0",
    "--rounds",
    "2",
    "--fill-rounds",
    "1",
    "--repeats",
    "0",
    "--free-bytes-min=1MiB",
];

fn json(place: &Place, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(place.path(name)).unwrap()).unwrap()
}

#[test]
fn an_engine_that_the_build_lacks_says_how_to_get_it() {
    let place = Place::new();
    for (engine, built, text) in [
        (
            "rocksdb",
            cfg!(feature = "rocksdb"),
            "built without RocksDB: RUSTFLAGS=-Ctarget-cpu=native cargo run --release --features rocksdb",
        ),
        ("slatedb", cfg!(feature = "slatedb"), "built without SlateDB"),
        ("fjall", cfg!(feature = "fjall"), "built without fjall"),
    ] {
        if !built {
            place.run(&["compare", "--against", engine]).failed(2, text);
        }
    }
    let help = place.run(&["compare", "--help"]).good().stdout;
    for text in ["get-ssd", "remote-rmw", "about 20 minutes", "docs/benchmarks-compare.md"] {
        assert!(help.contains(text), "{text}");
    }
    assert!(!place.run(&["--help"]).good().stdout.contains("compare-worker"));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let place = Place::new();
    let quick = |more: &[&str]| place.run(&[&QUICK, more].concat());
    quick(&["--rows", "get-sdd"]).failed(2, "get-ssd");
    quick(&["--rows", "restore"]).failed(2, "says nothing about this engine");
    quick(&["--json", "/proc/x"]).failed(3, "cannot write /proc/x");
    let huge = ["compare", "--against", "nothing", "--keys", "5000", "--free-bytes-min", "1000000TiB"];
    place.run(&huge).failed(2, "name another folder with --dir, or take fewer --keys");
}

#[test]
fn our_arm_gives_right_answers_through_the_protocol() {
    let place = Place::new();
    let dfs = Dfs::start(&place, &[]);
    let mut worker = Worker::start(&place);
    worker.prepare(&worker::prepare("aquifer", &place.path("arm"), &dfs));
    let said =
        worker.ask(&serde_json::json!({ "do": "script", "seed": 7, "operations": 10_000, "keys": 500 }));
    assert_eq!((&said["did"], &said["wrong"]), (&"script".into(), &0.into()), "{said}");
    assert!(said["checked"].as_u64().unwrap() > 10_000, "{said}");

    let round = worker.ask(&serde_json::json!({ "do": "round", "doing": "load", "via": "shard", "distribution": "uniform", "threads": 2,
        "in_flight": 1, "batch": 1, "rate": null, "operations": 0, "warm_up": worker::ms(0), "measured": worker::ms(100), "seed": 1, "checkpoints": 0 }));
    assert_eq!((&round["did"], &round["operations"]), (&"measured".into(), &2000.into()), "{round}");
    assert!(round["values"]["written_bytes"].as_f64().unwrap() > 0.0, "{round}");
    for (doing, via, in_flight, batch, rate, checkpoints) in [
        ("get", "shard", 1, 1, None, 0),
        ("get", "shard", 64, 1, None, 0),
        ("get", "shard", 64, 1, Some(2000.0), 0),
        ("get", "threads", 1, 1, None, 0),
        ("multi_get", "threads", 1, 64, None, 0),
        ("update", "shard", 64, 1, None, 1),
    ] {
        let round = worker.ask(&serde_json::json!({ "do": "round", "doing": doing, "via": via, "distribution": "zipf:0.99", "threads": 2,
            "in_flight": in_flight, "batch": batch, "rate": rate, "operations": 0, "warm_up": worker::ms(20), "measured": worker::ms(100), "seed": 3,
            "checkpoints": checkpoints }));
        assert_eq!(
            (&round["did"], &round["answers_wrong"]),
            (&"measured".into(), &0.into()),
            "{doing}: {round}"
        );
        assert!(
            round["answers_checked"].as_u64().unwrap() > 0 && round["ops_per_s"].as_f64().unwrap() > 0.0,
            "{doing}: {round}"
        );
        assert_eq!(round["values"]["checkpoint_s"].is_f64(), checkpoints > 0, "{round}");
    }
    for request in ["settle", "fill", "warm", "checkpoint"] {
        let said = worker.ask(&serde_json::json!({ "do": request }));
        assert_eq!(said["did"], "done", "{request}: {said}");
    }
    let restored = worker.ask(&serde_json::json!({ "do": "restore", "seed": 4 }));
    assert_eq!(restored["answers_wrong"], 0, "{restored}");
    assert!(restored["values"]["restore_first_answer_ms"].as_f64().unwrap() > 0.0, "{restored}");
    assert!(worker.ask(&serde_json::json!({ "do": "stats" }))["resident_bytes"].as_u64().unwrap() > 0);
    worker.quit();
}

#[test]
fn what_is_no_request_ends_a_worker_with_its_reason() {
    let place = Place::new();
    let mut worker = Worker::start(&place);
    let said = worker.ask(&serde_json::json!({ "do": "settle" }));
    assert_eq!(said["did"], "failed");
    assert!(said["why"].as_str().unwrap().contains("before an engine was opened"), "{said}");
    assert_eq!(worker.wait(), Some(0));
    let mut worker = Worker::start(&place);
    worker.send("{}");
    assert_eq!(worker.wait(), Some(3));
    let mut worker = Worker::start(&place);
    worker.close_stdin();
    assert_eq!(worker.wait(), Some(3), "its command is gone");
}

#[test]
fn rows_are_measured_on_both_arms_and_published() {
    let place = Place::new();
    let path = place.path("compare.json");
    let output = [
        "--json",
        path.to_str().unwrap(),
        "--rows",
        "load,get-ssd,open-loop,rmw-zipf,overwrite,get-memory,multiget-memory,rmw-memory",
        "--rate",
        "2000",
    ];
    place.run(&[&QUICK[..], &output].concat()).good();
    let found = json(&place, "compare.json");
    assert_eq!((&found["kind"], &found["header"]["partial"]), (&"compare".into(), &false.into()));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let arms = row["arms"].as_array().unwrap();
        assert_eq!(arms[0]["name"], "aquifer", "{row}");
        assert!(arms.len() >= 2 && row["ratios"].as_array().unwrap().len() == arms.len() - 1);
        for arm in arms {
            for round in arm["rounds"].as_array().unwrap() {
                assert!(round["ops_per_s"].as_f64().unwrap() > 0.0, "{}: {arm}", row["name"]);
                assert_eq!(round["answers_wrong"], 0, "{}: {arm}", row["name"]);
            }
        }
    }
    assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
}

/// Runs until a row begins on the standard error.
fn run_until(
    place: &Place,
    flags: &[&str],
    line_wanted: &str,
) -> (Child, BufReader<std::process::ChildStderr>) {
    #[expect(clippy::zombie_processes, reason = "who asks for it waits for it")]
    let mut child = place.command(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before {line_wanted:?}");
        if line.contains(line_wanted) {
            return (child, stderr);
        }
    }
}

/// Processes whose parent is this one, and that are arms.
fn workers_of(parent: u32) -> Vec<u32> {
    let of = |entry: std::fs::DirEntry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let found: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (found == parent && line.contains("compare-worker")).then_some(process)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

fn is_gone(process: u32) -> bool {
    let end = aquifer_io::now() + Duration::from_secs(20);
    while aquifer_io::now() < end {
        if !std::path::Path::new(&format!("/proc/{process}")).exists() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Signals in the second of two rows, which goes on for ever as far as the test is concerned: the first row is kept.
fn ended_in_the_second_row(signal: &str, to_worker: bool) -> (Ended, serde_json::Value) {
    let place = Place::new();
    let path = place.path("partial.json");
    let flags = [
        "compare",
        "--against",
        "nothing",
        "--keys",
        "5000",
        "--warmup",
        "0",
        "--fill-rounds",
        "1",
        "--repeats",
        "0",
        "--free-bytes-min",
        "1MiB",
        "--rounds",
        "100",
        "--seconds",
        "60",
        "--rows",
        "load,rmw-zipf",
        "--json",
        path.to_str().unwrap(),
    ];
    let (child, mut stderr) = run_until(&place, &flags, "row         rmw-zipf");
    let workers = workers_of(child.id());
    assert!(workers.len() >= 2, "{workers:?}");
    let target = if to_worker { workers[0] } else { child.id() };
    assert!(
        std::process::Command::new("kill").args([signal, &target.to_string()]).status().unwrap().success()
    );
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let ended = Ended { code: output.status.code(), stdout: String::new(), stderr: text };
    assert!(workers.into_iter().all(is_gone), "an arm lives on");
    assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
    (ended, json(&place, "partial.json"))
}

#[test]
fn a_killed_arm_ends_the_run_and_what_was_measured_is_kept() {
    let (ended, found) = ended_in_the_second_row("-KILL", true);
    ended.failed(3, "was killed by signal 9");
    assert_eq!(found["header"]["partial"], true);
    assert!(found["header"]["partial_reason"].as_str().unwrap().contains("killed by signal 9"), "{found}");
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn ctrl_c_ends_the_run_and_what_was_measured_is_kept() {
    let (ended, found) = ended_in_the_second_row("-INT", false);
    ended.failed(130, "interrupted");
    assert_eq!(
        (&found["header"]["partial"], &found["header"]["partial_reason"]),
        (&true.into(), &"interrupted".into())
    );
    assert_eq!(found["rows"][0]["name"], "load");
}
