//! `run --suite cache`, small: every row is measured beside its ceiling, every goal is judged, every answer is right, nothing is left behind.

use crate::common::Place;
use serde_json::Value;

fn goals(row: &Value) -> Vec<(String, String)> {
    let text = |goal: &Value, field: &str| goal[field].as_str().unwrap().to_owned();
    row["goals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|goal| (text(goal, "metric"), text(goal, "against")))
        .collect()
}

#[test]
fn every_row_is_measured_beside_its_ceiling() {
    let place = Place::new();
    let (json, html) = (place.path("cache.json"), place.path("cache.html"));
    let flags = ["run", "--suite", "cache", "--keys", "120000", "--rounds", "2", "--quiet"];
    let times = ["--seconds", "0.2", "--warmup", "0.05"];
    let outputs = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let ended = place.run(&[&flags[..], &times, &outputs].concat()).good();
    let document: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((document["kind"].as_str(), document["suite"].as_str()), (Some("compare"), Some("cache")));
    let rows = document["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let expected =
        ["get-ssd", "get-ssd-alone", "get-memory", "neighbours", "zipf-remote", "ssd-writes", "restart"];
    assert_eq!(names, expected);
    for row in rows {
        let goals = goals(row);
        assert!(!goals.is_empty(), "{row}");
        for (goal, (metric, against)) in row["goals"].as_array().unwrap().iter().zip(&goals) {
            assert!(goal["reached"].is_boolean(), "{metric} was not found: {goal}");
            assert!(goal["ratio"]["median"].as_f64().unwrap() > 0.0, "{goal}");
            let arms: Vec<_> = row["arms"].as_array().unwrap().iter().map(|arm| &arm["name"]).collect();
            assert!(against.is_empty() || arms.iter().any(|name| *name == against), "{against}: {arms:?}");
            assert!(ended.stdout.contains(row["name"].as_str().unwrap()), "{}", ended.stdout);
        }
        for arm in row["arms"].as_array().unwrap() {
            let rounds = arm["rounds"].as_array().unwrap();
            assert_eq!(rounds.len(), 2, "{}: {}", row["name"], arm["name"]);
            assert!(rounds.iter().all(|round| round["answers_wrong"] == 0));
        }
    }
    let value = |row: usize, name: &str| {
        rows[row]["arms"][0]["summary"][name]["median"].as_f64().unwrap_or_else(|| panic!("no {name}"))
    };
    // Gets from the SSD come from there, those from memory wait for nothing, and without an SSD tier nothing is read from one.
    assert!(value(0, "hit_remote_share") < 0.02, "{}", value(0, "hit_remote_share"));
    assert!(value(0, "hit_ssd_share") > 0.3);
    assert!(value(2, "hit_memory_share") > 0.999);
    assert_eq!(value(4, "ssd_reads"), 0.0);
    assert!(value(5, "ssd_write_amplification") >= 1.0);
    // After a clean end all entries are there, but those that were written over before.
    let (entries, hits) = (value(6, "close_entries"), value(6, "close_hit_share"));
    // The kill before took what waited in a chunk of 512 KiB.
    assert!(entries >= 59_000.0 && hits > 0.9, "{entries} {hits}");
    assert!(std::fs::read_to_string(&html).unwrap().contains("zipf-remote"));
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn rows_that_cannot_be_measured_say_why() {
    let place = Place::new();
    let run = |flags: &[&str]| place.run(&[&["run", "--suite", "cache", "--seconds", "0.1"], flags].concat());
    run(&["--rows", "neighbours", "--keys", "2000"]).failed(2, "use --keys 100000 or more");
    run(&["--rows", "restart", "--keys", "1000000000000"]).failed(3, "the run needs about");
    assert!(place.run(&["run", "--help"]).good().stdout.contains("get-ssd-alone"));
    assert!(!place.run(&["--help"]).good().stdout.contains("restart-worker"));
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}
