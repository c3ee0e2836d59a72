//! The documents of schema 1 that are kept: read for ever, and described field by field in `docs/result-schema.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Better, Document, METRICS};

const RUN: &str = include_str!("../../tests/data/run-schema-1.json");
const COMPARE: &str = include_str!("../../tests/data/compare-schema-1.json");
const PAGE: &str = include_str!("../../../docs/result-schema.md");

/// Objects whose fields are names of the user's or the engine's choosing.
const MAPS: [&str; 7] = [
    "header.versions",
    "header.settings",
    "phases[].settings",
    "phases[].rounds[].values",
    "rows[].arms[].settings",
    "rows[].arms[].rounds[].values",
    // Metrics by name: their values are described as `*`.
    "*",
];

/// Fields of each object of a value, by the object's path.
fn fields(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match value {
        Value::Object(_) if MAPS.contains(&path) => {}
        Value::Object(object) if path.ends_with(".summary") || path.ends_with(".metrics") => {
            object.values().for_each(|value| fields(value, &format!("{path}.*"), found));
        }
        Value::Object(object) => {
            found.entry(path.to_owned()).or_default().extend(object.keys().cloned());
            for (name, value) in object {
                let is_top = path == "run" || path == "compare";
                fields(value, &if is_top { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// First cells of the tables below each heading, by every path that the heading names.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut found = BTreeMap::new();
    for section in PAGE.split("\n## ").skip(1) {
        let section = section.split("\n# ").next().unwrap();
        let (heading, body) = section.split_once('\n').unwrap();
        let rows = body.lines().filter(|line| line.starts_with("| `"));
        let names: BTreeSet<String> = rows.map(|row| quoted(row).remove(0)).collect();
        found.extend(quoted(heading).into_iter().map(|path| (path, names.clone())));
    }
    found
}

/// Without fields that are null: what came after the document was written is null in it.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn documents_of_schema_1_are_read_for_ever() {
    for text in [RUN, COMPARE] {
        let document = Document::parse(text.as_bytes()).unwrap();
        let again = serde_json::to_value(&document).unwrap();
        let kept: Value = serde_json::from_str(text).unwrap();
        assert_eq!(without_nulls(&again), without_nulls(&kept));
    }
}

/// A field that comes later is absent from the documents of today.
#[test]
fn missing_fields_are_nothing_and_unknown_ones_are_passed_over() {
    let text = r#"{"schema": "aquifer-bench/1", "kind": "run", "later": 1, "header": {"later": {}},
                   "phases": [{"name": "a", "later": [1], "rounds": [{"round": 1}]}]}"#;
    let Document::Run(run) = Document::parse(text.as_bytes()).unwrap() else { panic!("not a run") };
    assert_eq!((run.phases[0].rounds[0].round, run.phases[0].rounds[0].cpu_us_per_operation), (1, None));
    super::table(&Document::Run(run));
}

#[test]
fn every_field_is_described_and_nothing_else_is() {
    let mut found = BTreeMap::new();
    for (name, text) in [("run", RUN), ("compare", COMPARE)] {
        let document = Document::parse(text.as_bytes()).unwrap();
        fields(&serde_json::to_value(&document).unwrap(), name, &mut found);
    }
    let described = described();
    for (path, names) in &found {
        let page = described.get(path).unwrap_or_else(|| panic!("{path} has no section: {names:?}"));
        assert_eq!(page, names, "of {path}");
    }
    let only: Vec<_> = described.keys().filter(|path| !found.contains_key(*path)).collect();
    assert_eq!(only, ["rows[].arms[].rounds[].service"], "described, and in no document");
}

#[test]
fn every_metric_is_described_with_its_direction() {
    let metrics = PAGE.split("\n# Metrics").nth(1).unwrap().split("\n# ").next().unwrap();
    let rows: Vec<Vec<&str>> = metrics
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let expected = METRICS.iter().map(|metric| {
        let better = match metric.better {
            Better::Higher => "more",
            Better::Lower => "less",
            Better::Neither => "",
        };
        (format!("`{}`", metric.name), better)
    });
    let found = rows.iter().map(|row| (row[1].to_owned(), row[3]));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
