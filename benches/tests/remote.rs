//! The `remote` command: numbers of every group, with and without other programs, and nothing left behind.

use std::path::PathBuf;

use crate::common::{Ended, Place};
use serde_json::Value;

const SMALL: [&str; 9] =
    ["remote", "--rounds", "1", "--seconds", "0.1", "--size-bytes", "20MiB", "--connections", "1,8"];

/// Our client, once more.
const TWO: &str = "aquifer, 2 HTTP threads";

/// Runs `remote` small, with these flags; the report.
fn report(place: &Place, command_of: impl FnOnce(&mut std::process::Command), flags: &[&str]) -> Value {
    let json = place.path("report.json");
    let mut command = place.command(&[&SMALL[..], &["--json", json.to_str().unwrap()], flags].concat());
    command_of(&mut command);
    Ended::new(&command.output().unwrap()).good();
    assert_eq!(place.left_behind(), Vec::<PathBuf>::new());
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

/// What was done and by whom.
fn names(report: &Value) -> Vec<(&str, &str)> {
    let results = report["results"].as_array().unwrap().iter();
    results.map(|result| (result["what"].as_str().unwrap(), result["by"].as_str().unwrap())).collect()
}

fn median(result: &Value, name: &str) -> f64 {
    result[name]["median"].as_f64().unwrap_or_else(|| panic!("no {name} in {result:#}"))
}

#[test]
fn every_group_is_measured_without_other_programs() {
    let place = Place::new();
    let without = |command: &mut std::process::Command| {
        command.env("PATH", "/nonexistent");
    };
    let report = report(&place, without, &[]);
    assert_eq!((&report["schema"], &report["command"]), (&1.into(), &"remote".into()));
    let notes = report["notes"].as_array().unwrap();
    for (tool, remedy) in [("wrk", "apt-get install wrk"), ("curl", "apt-get install curl")] {
        let told = notes.iter().any(|note| {
            let note = note.as_str().unwrap();
            note.starts_with(&format!("{tool} is not installed")) && note.contains(remedy)
        });
        assert!(told, "{tool}: {notes:#?}");
    }
    let expected = [
        ("gets: 4 KiB, 1 in flight", "aquifer"),
        ("gets: 4 KiB, 1 in flight", TWO),
        ("gets: 4 KiB, 8 in flight", "aquifer"),
        ("gets: 4 KiB, 8 in flight", TWO),
        ("large: upload 20 MiB", "aquifer"),
        ("large: upload 20 MiB", TWO),
        ("large: download 20 MiB", "aquifer"),
        ("large: download 20 MiB", TWO),
        ("hedge: profile s3, 64 in flight", "hedged"),
        ("hedge: profile s3, 64 in flight", "plain"),
        ("wire: profile none, 1 at once", "bare"),
        ("wire: profile none, 1 at once", "drawn"),
        ("wire: profile nvme, 1 at once", "bare"),
        ("wire: profile nvme, 1 at once", "drawn"),
        ("wire: profile hdfs, 4 at once", "bare"),
        ("wire: profile hdfs, 4 at once", "drawn"),
        ("wire: profile s3, 32 at once", "bare"),
        ("wire: profile s3, 32 at once", "drawn"),
    ];
    assert_eq!(names(&report), expected);
    for result in report["results"].as_array().unwrap() {
        let (what, by) = (result["what"].as_str().unwrap(), result["by"].as_str().unwrap());
        if by != "drawn" {
            assert!(median(result, "rate") > 0.0, "{result:#}");
        }
        if what.starts_with("gets") {
            assert!(
                median(result, "client_cpu_us") > 0.0 && result["server_cpu_us"].is_object(),
                "{result:#}"
            );
            assert!(median(result, "p50_us") <= median(result, "p99_9_us"), "{result:#}");
        }
        if what.starts_with("wire") && by == "bare" {
            let drawn = report["results"].as_array().unwrap().iter();
            let drawn = drawn.clone().find(|other| other["what"] == what && other["by"] == "drawn").unwrap();
            // The fastest answer of a profile is no faster than four fifths of its median.
            assert!(median(result, "p50_us") > 0.8 * median(drawn, "p50_us"), "{result:#}");
        }
    }
}

/// Shares are measured where the programs are.
#[test]
fn other_programs_are_measured_beside_ours() {
    let place = Place::new();
    let report = report(&place, |_| {}, &["--only", "8 in flight"]);
    let names = names(&report);
    assert_eq!(names.first(), Some(&("gets: 4 KiB, 8 in flight", "aquifer")));
    if names.contains(&("gets: 4 KiB, 8 in flight", "wrk")) {
        let result = &report["results"][0];
        assert!(median(result, "share") > 0.0 && result["goal_reached"].is_boolean(), "{result:#}");
        assert!(median(&report["results"][2], "client_cpu_us") >= 0.0);
    }
}

#[test]
fn a_store_by_url_is_measured_and_left_as_it_was() {
    let place = Place::new();
    let folder = place.path("store");
    let url = format!("file://{}", folder.display());
    let report = report(&place, |_| {}, &["--store", &url]);
    assert_eq!(report["store"], url.as_str());
    let names = names(&report);
    assert!(names.iter().all(|(_, by)| ["aquifer", TWO].contains(by)), "{names:?}");
    assert_eq!(names.len(), 8, "{names:?}");
    let files = |folder: &std::path::Path| {
        let mut open = vec![folder.to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                } else {
                    files.push(entry.path());
                }
            }
        }
        files
    };
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
}

#[test]
fn what_cannot_be_measured_is_told() {
    let place = Place::new();
    place.run(&["remote", "--only", "tape"]).failed(2, "there are gets, large, hedge and wire");
    place.run(&["remote", "--dir", "/nonexistent"]).failed(3, "/nonexistent");
    place.run(&["remote", "--store", "gopher://x"]).failed(3, "gopher");
    place.run(&["remote", "--size-bytes", "0"]).failed(2, "--size-bytes");
    assert_eq!(place.left_behind(), Vec::<PathBuf>::new());
}
