//! The `diff` command: verdicts beyond the noise only, what else differs, exit codes.

use crate::common::Place;
use serde_json::{Value, json};

const RUN: &str = "tests/data/run-schema-1.json";
const COMPARE: &str = "tests/data/compare-schema-1.json";

/// The kept run with a change; the file's name.
fn changed(place: &Place, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut document: Value = serde_json::from_slice(&std::fs::read(RUN).unwrap()).unwrap();
    change(&mut document);
    let path = place.path(name);
    std::fs::write(&path, document.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Makes a number of every round of a phase so many percent of what it was. Counts stay counts.
fn scale(document: &mut Value, phase: usize, pointer: &str, percent: u32) {
    for round in document["phases"][phase]["rounds"].as_array_mut().unwrap() {
        let number = round.pointer_mut(pointer).unwrap();
        *number = match number.as_u64() {
            Some(count) => json!(count * u64::from(percent) / 100),
            None => json!(number.as_f64().unwrap() * f64::from(percent) / 100.0),
        };
    }
}

/// The row of a phase and a metric in the table.
fn row<'t>(text: &'t str, phase: &str, metric: &str) -> &'t str {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("│ {phase} ")));
    lines
        .find(|line| line.split('┆').nth(1).is_some_and(|cell| cell.trim() == metric))
        .unwrap_or_else(|| panic!("{phase}, {metric} in\n{text}"))
}

#[test]
fn a_result_against_itself_shows_no_difference() {
    let place = Place::new();
    for document in [RUN, COMPARE] {
        let text = place.run(&["diff", document, document, "--fail-on-regression"]).good().stdout;
        assert!(text.contains("0 better, 0 worse"), "{text}");
        assert!(!text.contains("DIFFERENT") && text.contains("no difference beyond the noise"), "{text}");
    }
}

#[test]
fn what_is_beyond_the_noise_gets_a_verdict_and_what_is_not_gets_none() {
    let place = Place::new();
    let new = changed(&place, "new.json", |document| {
        scale(document, 1, "/ops_per_s", 125);
        scale(document, 1, "/latency/p99_us", 150);
        scale(document, 1, "/latency/p50_us", 102);
        scale(document, 1, "/memory/resident_bytes", 50);
        scale(document, 0, "/ops_per_s", 300);
    });
    let text = place.run(&["diff", RUN, &new]).good().stdout;
    let phase = "readrandom, SSD";
    let throughput = row(&text, phase, "throughput, ops/s");
    assert!(throughput.contains("+25.0 %") && throughput.contains("faster"), "{throughput}");
    assert!(row(&text, phase, "p99, µs").contains("SLOWER"), "{text}");
    assert!(row(&text, phase, "p50, µs").contains("no difference beyond the noise"), "{text}");
    assert!(row(&text, phase, "resident memory").contains("better"), "{text}");
    let once = row(&text, "fillrandom", "throughput, ops/s");
    assert!(once.contains("+200.0 %") && once.contains("unknown: fewer than 3 quiet rounds"), "{once}");
    let ended = place.run(&["diff", RUN, &new, "--fail-on-regression"]);
    ended.failed(4, "numbers that are worse than before, beyond the noise: 1");
}

/// Half the throughput, while somebody else used the machine: that says nothing about this program.
#[test]
fn noisy_rounds_do_not_count() {
    let place = Place::new();
    let new = changed(&place, "new.json", |document| {
        for round in document["phases"][1]["rounds"].as_array_mut().unwrap() {
            round["ops_per_s"] = json!(round["ops_per_s"].as_f64().unwrap() / 2.0);
            round["others_cores"] = json!(0.9);
        }
        document["header"]["noise"]["noisy"] = json!(true);
    });
    let text = place.run(&["diff", RUN, &new, "--fail-on-regression"]).good().stdout;
    assert!(row(&text, "readrandom, SSD", "throughput, ops/s").contains("unknown"), "{text}");
    assert!(text.contains("WARNING the new result is NOISY"), "{text}");
}

#[test]
fn what_else_differs_is_said_first() {
    let place = Place::new();
    let new = changed(&place, "new.json", |document| {
        let header = &mut document["header"];
        header["machine"]["kernel"] = json!("6.12.0");
        header["settings"]["memory_bytes"] = json!(1 << 30);
        header["commit"] = json!("ffffffffffffffffffffffffffffffffffffffff");
        header["versions"]["rocksdb"] = json!("10.4.2");
        header["partial"] = json!(true);
        document["phases"][1]["workload"]["keys"] = json!(5);
        document["phases"][3]["name"] = json!("restore");
    });
    let text = place.run(&["diff", RUN, &new]).good().stdout;
    let table = text.find('┌').unwrap();
    for part in [
        "DIFFERENT kernel: 6.1.0-18-amd64 -> 6.12.0",
        "DIFFERENT setting memory_bytes: 134217728 -> 1073741824",
        "DIFFERENT commit: 4f2a9c1e7b3d5a6f8c0e1d2b3a4f5c6d7e8f9a0b -> ffffffffffff",
        "DIFFERENT version of rocksdb: none -> 10.4.2",
        "DIFFERENT workload of readrandom, SSD: readrandom (get:1, uniform), 10000000 keys",
        "WARNING the new result is partial",
    ] {
        assert!(text.find(part).is_some_and(|at| at < table), "{part} before the table of\n{text}");
    }
    assert!(text.contains("only in the old result: checkpoint under load"), "{text}");
    assert!(text.contains("only in the new result: restore"), "{text}");
}

#[test]
fn two_that_have_nothing_in_common_are_refused() {
    let place = Place::new();
    place.run(&["diff", RUN, COMPARE]).failed(2, "give two of the same command");
    let none = changed(&place, "none.json", |document| document["phases"] = json!([]));
    place
        .run(&["diff", RUN, &none])
        .failed(2, "nothing was measured in both: the old result has fillrandom;");
    place.run(&["diff", RUN, "/nonexistent"]).failed(3, "cannot read /nonexistent");
    place.run(&["diff", RUN]).failed(2, "NEW");
}
