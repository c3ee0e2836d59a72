//! `aquifer-bench run`, small: every number is there, every answer is right, nothing is left behind.

use crate::common::{Ended, Place};
use serde_json::Value;

/// Flags of a run that takes about a second.
const SMALL: [&str; 8] =
    ["--keys", "4000", "--warmup", "0.05", "--memory-bytes", "32MiB", "--disk-bytes", "32MiB"];

fn run(place: &Place, flags: &[&str]) -> Ended {
    let seconds: &[&str] = if flags.contains(&"--seconds") { &[] } else { &["--seconds", "0.2"] };
    place.run(&[&["run"], &SMALL[..], seconds, flags].concat())
}

/// Runs it, and reads its JSON back.
fn document(place: &Place, flags: &[&str]) -> (Ended, Value) {
    let path = place.path("result.json");
    let ended = run(place, &[flags, &["--json", path.to_str().unwrap()]].concat()).good();
    let document = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    (ended, document)
}

fn phases(document: &Value) -> &Vec<Value> {
    document["phases"].as_array().unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn workloads_by_name_run_one_after_the_other() {
    let place = Place::new();
    let names = [
        "fillseq",
        "fillrandom",
        "overwrite",
        "readrandom",
        "readmissing",
        "multireadrandom",
        "readwhilewriting",
        "updaterandom",
        "mergerandom",
        "seekrandom",
        "deleterandom",
        "a",
        "b",
        "c",
        "ycsb-d",
        "ycsb-e",
        "f",
        "valuestate-rmw",
        "mapstate-put-scan",
        "liststate-append",
        "window-insert-fire-clear",
    ];
    let (ended, document) = document(&place, &[&names[..], &["--rounds", "1", "--quiet"]].concat());
    assert!(ended.stderr.contains("WARNING: this is a debug build") || !cfg!(debug_assertions));
    let phases = phases(&document);
    assert_eq!(phases.len(), names.len());
    for (phase, name) in phases.iter().zip(names) {
        let found = phase["workload"]["name"].as_str().unwrap();
        assert!(found == name || found == format!("ycsb-{name}"), "{found} for {name}");
        let round = &phase["rounds"][0];
        assert!(number(round, "ops_per_s") > 0.0 && number(round, "operations") > 0.0, "{name}");
        assert!(number(&round["latency"], "max_us") >= number(&round["latency"], "p50_us"), "{name}");
        assert_eq!(number(round, "answers_wrong"), 0.0, "{name}");
        let reads = !["fillseq", "fillrandom", "overwrite", "deleterandom", "mergerandom"].contains(&name);
        assert_eq!(number(round, "answers_checked") > 0.0, reads, "{name}");
        assert!(number(round, "cpu_us_per_operation") > 0.0, "{name}");
        assert!(number(&phase["tool"], "us_per_operation") > 0.0, "{name}");
        assert!(number(&round["memory"], "resident_bytes") > 1e6, "{name}");
        assert!(number(round, "dollars_per_hour") >= 0.0, "{name}");
    }
    let fill = &phases[1]["rounds"][0];
    assert_eq!(number(fill, "operations"), 4000.0, "each key once");
    assert!(number(&fill["amplification"], "write") > 0.0 && number(&fill["values"], "settled_s") > 0.0);
    assert!(number(&phases[4]["rounds"][0]["hits"], "absent") > 0.5, "filters know what is missing");
    assert_eq!(document["header"]["partial"], Value::Bool(false));
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_workload_by_parts_on_the_shards_own_threads() {
    let place = Place::new();
    let flags = [
        "--ops",
        "get:0.8,put:0.1,update:0.1",
        "--distribution",
        "hotset:0.1:0.9",
        "--value-bytes",
        "lognormal:100:0.5",
        "--key-bytes",
        "20",
        "--from",
        "shard",
        "--shards",
        "2",
        "--in-flight",
        "8",
        "--rounds",
        "2",
        "--seed",
        "9",
    ];
    let (_, document) = document(&place, &flags);
    let phase = &phases(&document)[0];
    assert_eq!(phase["rounds"].as_array().unwrap().len(), 2);
    assert_eq!(phase["workload"]["operations"], "get:0.8,put:0.1,update:0.1");
    assert_eq!(phase["workload"]["from"], "shard");
    assert_eq!(document["header"]["seed"], 9);
    let kinds = phase["rounds"][0]["by_kind"].as_array().unwrap();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn state_shapes_on_the_shards_own_threads() {
    let place = Place::new();
    let names = [
        "seekrandom",
        "mapstate-put-scan",
        "liststate-append",
        "window-insert-fire-clear",
        "multireadrandom",
    ];
    let (_, document) =
        document(&place, &[&names[..], &["--from", "shard", "--shards", "2", "--rounds", "1"]].concat());
    for phase in phases(&document) {
        let round = &phase["rounds"][0];
        assert!(number(round, "answers_checked") > 0.0, "{phase}");
        assert_eq!(number(round, "answers_wrong"), 0.0, "{phase}");
    }
}

#[test]
fn a_rate_is_held_or_the_result_says_that_it_was_not() {
    let place = Place::new();
    let (_, slow) = document(&place, &["--rate", "200", "--seconds", "0.5", "--rounds", "1"]);
    let round = &phases(&slow)[0]["rounds"][0];
    assert_eq!(number(round, "offered_ops_per_s"), 200.0);
    assert!(round["service"]["count"].as_f64().unwrap() > 0.0);
    assert_eq!(number(&round["values"], "operations_never_begun"), 0.0);

    let (ended, fast) = document(&place, &["--rate", "1000000000", "--rounds", "1"]);
    assert!(ended.stderr.contains("could not hold the rate (achieved 0.0"), "{}", ended.stderr);
    let phase = &phases(&fast)[0];
    assert!(phase["notes"][0].as_str().unwrap().contains("could not hold the rate"));
    assert!(number(&phase["rounds"][0]["values"], "operations_never_begun") > 1e6);
}

#[test]
fn a_sweep_reports_each_rate() {
    let place = Place::new();
    let (ended, document) = document(&place, &["--rate-sweep", "--p99-us", "100000", "--seconds", "0.1"]);
    let sweep = &phases(&document)[0]["sweep"];
    let steps = sweep["steps"].as_array().unwrap();
    assert!((2..=12).contains(&steps.len()), "{sweep}");
    assert!(steps.iter().all(|step| number(step, "offered_ops_per_s") > 0.0 && number(step, "p99_us") > 0.0));
    assert_eq!(ended.stderr.matches("round       readrandom at ").count(), steps.len(), "{}", ended.stderr);
}

#[test]
fn every_phase_has_its_ceiling() {
    let place = Place::new();
    let flags = ["--phases", "all", "--profile", "nvme", "--rounds", "1", "--seconds", "0.3"];
    let (_, document) = document(&place, &flags);
    let found: Vec<&str> = phases(&document).iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(
        found,
        [
            "memory: readrandom",
            "ssd: readrandom",
            "mixed nvme: readrandom",
            "remote nvme: readrandom",
            "checkpoint nvme: updaterandom",
            "restore nvme: readrandom",
            "rescale nvme: readrandom",
        ]
    );
    for phase in phases(&document) {
        let ceilings = phase["ceilings"].as_array().unwrap();
        assert!(!ceilings.is_empty(), "{phase}");
        for ceiling in ceilings {
            assert!(number(ceiling, "value") > 0.0 && number(ceiling, "share") >= 0.0, "{ceiling}");
        }
        assert_eq!(number(&phase["rounds"][0], "answers_wrong"), 0.0);
    }
    let values = |index: usize| &phases(&document)[index]["rounds"][0]["values"];
    assert!(number(values(4), "checkpoint_ms") > 0.0 && number(values(4), "checkpoint_barrier_us") >= 0.0);
    assert!(number(values(5), "first_answer_ms") >= number(values(5), "open_ms"));
    assert_eq!(
        phases(&document)[6]["settings"]["shards"],
        2 * std::thread::available_parallelism().unwrap().get()
    );
    assert!(number(&phases(&document)[0]["rounds"][0]["hits"], "memory") > 0.99);
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

/// Names and lengths of all files below a folder.
fn files(folder: &std::path::Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((entry.path().to_str().unwrap().to_owned(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_loaded_store_is_kept_and_taken_again() {
    let place = Place::new();
    let kept = place.path("kept");
    let folder = kept.to_str().unwrap();
    let quick = ["--rounds", "1", "--seed", "5"];
    run(&place, &[&["readrandom", "--keep", folder], &quick[..]].concat()).good();
    let loaded = files(&kept);
    assert!(loaded.len() > 1, "{loaded:?}");
    run(&place, &["--keep", folder]).failed(2, "the folder is not empty");

    // What is deleted on a store that was taken is not deleted in the folder.
    let ended = place.run(&[
        "run",
        "deleterandom",
        "updaterandom",
        "--reuse",
        folder,
        "--seconds",
        "0.2",
        "--rounds",
        "1",
    ]);
    let ended = ended.good();
    assert!(!ended.stderr.contains("load  "), "{}", ended.stderr);
    assert_eq!(files(&kept), loaded);
    let (_, document) = document(&place, &["c", "--reuse", folder, "--rounds", "1"]);
    assert_eq!(number(&phases(&document)[0]["workload"], "keys"), 4000.0);
    assert_eq!(document["header"]["seed"], 5);

    for (flags, text) in [
        (&["--keys", "4001"][..], "it was loaded with --keys 4000, not 4001"),
        (&["--seed", "6"], "it was loaded with --seed 5, not 6"),
        (&["--value-bytes", "200"], "it was loaded with --value-bytes 100, not 200"),
        (&["--key-bytes", "17"], "it was loaded with --key-bytes 16, not 17"),
    ] {
        place.run(&[&["run", "--reuse", folder], flags].concat()).failed(2, text);
    }
    place.run(&["run", "fillseq", "--reuse", folder]).failed(2, "leave --keep and --reuse out");
    place.run(&["run", "--reuse", place.path("tmp").to_str().unwrap()]).failed(2, "so no loaded store");

    // A store that has less than it should gives wrong answers, and the run says so.
    let descriptor = kept.join("aquifer-bench-kept.json");
    let text = std::fs::read_to_string(&descriptor).unwrap();
    std::fs::write(&descriptor, text.replace("4000", "8000")).unwrap();
    let ended = place.run(&["run", "--reuse", folder, "--seconds", "0.2", "--rounds", "1"]);
    ended.failed(1, "answers were wrong");
    std::fs::write(&descriptor, "{}").unwrap();
    place.run(&["run", "--reuse", folder]).failed(2, "is damaged");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}
