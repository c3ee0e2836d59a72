//! The `events` command from end to end: right states on every kind of store, and nothing left behind.

use crate::common::{Place, flights_state};

fn json(place: &Place, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(place.path(name)).unwrap()).unwrap()
}

#[test]
fn flights_survive_the_crash_and_come_out_right() {
    let place = Place::new();
    let input = place.events(20_000);
    let (state, report) = (place.path("state.csv"), place.path("report.json"));
    let flags = ["--input", &input, "--shards", "2", "--checkpoint-every", "3000", "--memory-bytes", "32MiB"];
    let outputs = ["--state-out", state.to_str().unwrap(), "--json", report.to_str().unwrap()];
    let ended = place.run(&[&flags[..], &outputs[..]].concat()).good();
    assert_eq!(std::fs::read_to_string(&state).unwrap(), flights_state(&input));
    let report = json(&place, "report.json");
    let keys = flights_state(&input).lines().count() - 1;
    assert_eq!(report["schema"], 1);
    assert_eq!(report["verification"]["keys"], keys);
    assert_eq!(report["verification"]["mismatches"], 0);
    assert_eq!(report["state_out_keys"], keys);
    assert_eq!(report["input"]["events"], 20_000);
    assert_eq!((&report["opens"][0]["shards"], &report["opens"][1]["shards"]), (&2.into(), &3.into()));
    assert_eq!(report["crash"]["at_event"], 10_000);
    assert!(report["crash"]["in_flight"].as_u64().unwrap() > 0, "the crash meets events in flight");
    let replayed = report["crash"]["replayed"].as_u64().unwrap();
    assert!(replayed > 0 && replayed.is_multiple_of(1000), "the crash is past a checkpoint: {replayed}");
    assert!(ended.stdout.contains("0 mismatches") && ended.stdout.contains("p99.9"), "{}", ended.stdout);
    assert!(ended.stderr.contains("embedded S3 server at http://127.0.0.1:"), "{}", ended.stderr);
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn no_disk_no_crash_one_shard_threads_and_memory() {
    let place = Place::new();
    let input = place.events(3_000);
    let flags = ["--input", &input, "--shards", "1", "--disk-bytes", "0", "--no-crash", "--io", "threads"];
    let more =
        ["--store", "memory://", "--in-flight", "1", "--memory-bytes", "8MiB", "--state-out", "/dev/stdout"];
    let ended = place.run(&[&flags[..], &more[..]].concat()).good();
    assert!(ended.stdout.starts_with(&flights_state(&input)), "{}", ended.stdout);
    assert!(!ended.stderr.contains("crash"), "{}", ended.stderr);
}

#[test]
fn anyones_events_by_key_and_value() {
    let place = Place::new();
    let input = place.path("sales.csv");
    let text = "shop,price\nb,1.50\r\na,\n\"x,y\",-2\nb,0.25\n,7\na,1e3\nb,\n";
    std::fs::write(&input, text).unwrap();
    let state = place.path("state.csv");
    let flags = ["--input", input.to_str().unwrap(), "--key", "shop", "--value", "price"];
    let more = ["--checkpoint-every", "2", "--memory-bytes", "32MiB", "--state-out", state.to_str().unwrap()];
    place.run(&[&flags[..], &more[..]].concat()).good();
    let found = std::fs::read_to_string(&state).unwrap();
    assert_eq!(found, "key,count,sum,max\n,1,7,7\na,2,1000,1000\nb,3,1.75,1.5\n\"x,y\",1,-2,-2\n");
}

#[test]
fn a_store_is_never_added_to_by_mistake() {
    let place = Place::new();
    let input = place.events(2_000);
    let store = format!("file://{}", place.path("store").display());
    let state = place.path("state.csv");
    let flags = [
        "--input",
        &input,
        "--store",
        &store,
        "--memory-bytes",
        "32MiB",
        "--state-out",
        state.to_str().unwrap(),
    ];
    place.run(&flags).good();
    place.run(&flags).failed(2, "go on with it by --resume, or name another prefix");
    std::fs::remove_file(&state).unwrap();
    place.run(&[&flags[..], &["--resume"]].concat()).good();
    assert_eq!(std::fs::read_to_string(&state).unwrap(), flights_state(&input), "nothing is applied twice");

    let grown = place.events(2_500);
    let more = ["--input", &grown, "--store", &store, "--memory-bytes", "32MiB", "--resume"];
    place.run(&[&more[..], &["--state-out", state.to_str().unwrap()]].concat()).good();
    assert_eq!(std::fs::read_to_string(&state).unwrap(), flights_state(&grown), "an input may grow");

    place
        .run(&[&flags[..], &["--resume"]].concat())
        .failed(3, "2500 events have been consumed, this input has 2000");
    let other =
        ["--input", &input, "--store", &store, "--resume", "--key", "carrier", "--value", "distance_mi"];
    place.run(&other).failed(3, "its key and value are other columns");
}

#[test]
fn the_embedded_dfs_keeps_its_folder_when_asked() {
    let place = Place::new();
    let input = place.events(1_000);
    let dir = place.path("dfs");
    let flags = ["--input", &input, "--dfs-dir", dir.to_str().unwrap(), "--memory-bytes", "32MiB"];
    place.run(&flags).good();
    assert!(dir.is_dir());
    place.run(&[&flags[..], &["--resume"]].concat()).good();
    place.run(&flags).failed(2, "already holds objects");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}
