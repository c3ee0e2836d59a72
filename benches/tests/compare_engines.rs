//! The engines that this build has beside ours: the same answers on the same operations, and a comparison from end to end.
//! With none of the features there is nothing to test.

#![cfg(any(feature = "rocksdb", feature = "slatedb", feature = "fjall"))]

use crate::common::worker::{self, Worker};
use crate::common::{Dfs, Place};
use serde_json::{Value, json};

/// Engines of this build.
fn engines() -> Vec<&'static str> {
    let all = [
        ("rocksdb", cfg!(feature = "rocksdb")),
        ("slatedb", cfg!(feature = "slatedb")),
        ("fjall", cfg!(feature = "fjall")),
    ];
    all.into_iter().filter(|(_, built)| *built).map(|(name, _)| name).collect()
}

fn script(place: &Place, dfs: &Dfs, engine: &str, seed: u64) -> Value {
    let mut worker = Worker::start(place);
    worker.prepare(&worker::prepare(engine, &place.path(engine), dfs));
    let said = worker.ask(&json!({ "do": "script", "seed": seed, "operations": 10_000, "keys": 500 }));
    worker.quit();
    said
}

#[test]
fn all_engines_give_the_same_right_answers() {
    let place = Place::new();
    let dfs = Dfs::start(&place, &[]);
    let ours = script(&place, &dfs, "aquifer", 11);
    assert_eq!((&ours["did"], &ours["wrong"]), (&"script".into(), &0.into()), "{ours}");
    for engine in engines() {
        assert_eq!(script(&place, &dfs, engine, 11), ours, "{engine}");
    }
}

fn compare(place: &Place, against: &str, more: &[&str]) -> Value {
    let path = place.path(&format!("{against}.json"));
    let flags = [
        "compare",
        "--against",
        against,
        "--keys",
        "20000",
        "--seconds",
        "0.2",
        "--warmup",
        "0.1",
        "--rounds",
        "2",
        "--fill-rounds",
        "1",
        "--repeats",
        "0",
        "--free-bytes-min",
        "1GiB",
        "--rate",
        "2000",
        "--json",
        path.to_str().unwrap(),
    ];
    place.run(&[&flags[..], more].concat()).good();
    assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn names(found: &Value) -> Vec<&str> {
    found["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[cfg(feature = "rocksdb")]
#[test]
fn the_whole_suite_runs_against_rocksdb() {
    let found = compare(&Place::new(), "rocksdb", &["--suite", "state", "--profile", "nvme"]);
    let all = [
        "load",
        "get-ssd",
        "open-loop",
        "rmw-zipf",
        "overwrite",
        "get-memory",
        "multiget-memory",
        "rmw-memory",
        "remote-rmw",
        "checkpoint",
        "restore",
    ];
    assert_eq!(names(&found), all);
    for row in found["rows"].as_array().unwrap() {
        let goals = row["goals"].as_array().unwrap();
        assert!(
            !goals.is_empty() && goals.iter().all(|goal| goal["ratio"]["median"].as_f64().unwrap() > 0.0),
            "{}: {goals:?}",
            row["name"]
        );
        for round in row["arms"].as_array().unwrap().iter().flat_map(|arm| arm["rounds"].as_array().unwrap())
        {
            assert_eq!(round["answers_wrong"], 0, "{}", row["name"]);
        }
    }
}

/// The proof that multi-gets from the disk go through `io_uring`: the descriptors of its rings, in the result.
#[cfg(feature = "rocksdb")]
#[test]
fn rocksdb_reads_from_the_disk_by_io_uring() {
    let place = Place::new();
    let dfs = Dfs::start(&place, &[]);
    let mut worker = Worker::start(&place);
    let mut prepare = worker::prepare("rocksdb", &place.path("rocksdb"), &dfs);
    prepare["data"]["keys"] = 300_000.into();
    prepare["memory_bytes"] = (8 << 20).into();
    worker.prepare(&prepare);
    let round = |doing: &str, batch: u32| {
        json!({ "do": "round", "doing": doing, "via": "threads", "distribution": "uniform", "threads": 2, "in_flight": 1,
            "batch": batch, "rate": null, "operations": 0, "warm_up": worker::ms(0), "measured": worker::ms(300), "seed": 1, "checkpoints": 0 })
    };
    assert_eq!(worker.ask(&round("load", 64))["did"], "measured");
    let found = worker.ask(&round("multi_get", 64));
    assert!(found["ssd"]["read_bytes"].as_u64().unwrap() > 1 << 20, "not from the disk: {found}");
    assert!(found["values"]["io_uring_rings"].as_f64().unwrap() >= 1.0, "{found}");
    assert_eq!(found["answers_wrong"], 0);
    worker.quit();
}

#[cfg(feature = "rocksdb")]
#[test]
fn options_of_a_file_take_the_place_of_ours() {
    let place = Place::new();
    let dfs = Dfs::start(&place, &[]);
    let said = |text: &str| {
        let file = place.path("options");
        std::fs::write(&file, text).unwrap();
        let mut worker = Worker::start(&place);
        let mut prepare = worker::prepare("rocksdb", &place.path("rocksdb"), &dfs);
        prepare["rocksdb_options"] = file.to_str().unwrap().into();
        worker.ask(&prepare)
    };
    let taken = said("# a comment\nwrite_buffer_size=1048576\nmax_background_jobs=3\n");
    assert_eq!(
        (&taken["did"], &taken["settings"]["options_form"]),
        (&"prepared".into(), &"key=value on top of ours".into()),
        "{taken}"
    );
    let refused = said("no_such_option=1\n");
    assert!(refused["why"].as_str().unwrap().contains("RocksDB refuses it"), "{refused}");
    let own = std::fs::read_dir(place.path("rocksdb").join("db")).unwrap().flatten();
    let own = own
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("OPTIONS-"))
        .max()
        .unwrap();
    let whole = said(&std::fs::read_to_string(own).unwrap());
    assert_eq!(whole["did"], "prepared", "{whole}");
    assert!(
        whole["settings"]["options_form"].as_str().unwrap().starts_with("RocksDB's OPTIONS format"),
        "{whole}"
    );
}

#[cfg(feature = "slatedb")]
#[test]
fn the_rows_of_slatedb_run() {
    let found = compare(&Place::new(), "slatedb", &["--profile", "nvme"]);
    assert_eq!(names(&found), ["remote-load", "remote-get", "remote-rmw", "checkpoint", "restore"]);
}

#[cfg(feature = "fjall")]
#[test]
fn the_rows_of_fjall_run() {
    let found = compare(&Place::new(), "fjall", &[]);
    assert_eq!(
        names(&found),
        [
            "load",
            "get-ssd",
            "open-loop",
            "rmw-zipf",
            "overwrite",
            "get-memory",
            "multiget-memory",
            "rmw-memory"
        ]
    );
}
