//! The `device` command: numbers of every shape through every backend, refusals, and nothing left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::Stdio;

use crate::common::{Ended, Place};

/// Runs `device` with these flags after those that make it small; the report.
fn report(
    place: &Place,
    command_of: impl FnOnce(&mut std::process::Command),
    flags: &[&str],
) -> serde_json::Value {
    let json = place.path("report.json");
    let small = ["device", "--size-bytes", "16MiB", "--json", json.to_str().unwrap()];
    let mut command = place.command(&[&small[..], flags].concat());
    command_of(&mut command);
    Ended::new(&command.output().unwrap()).good();
    assert_eq!(place.left_behind(), Vec::<PathBuf>::new());
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

fn without_fio(command: &mut std::process::Command) {
    command.env("PATH", "/nonexistent");
}

/// Backends that the report says were left out, by name.
fn left_out(report: &serde_json::Value) -> Vec<&str> {
    let notes = report["notes"].as_array().unwrap().iter().filter_map(|note| note.as_str());
    notes.filter_map(|note| note.split_once(" is not measured").map(|(name, _)| name)).collect()
}

/// Numbers that cannot be otherwise.
fn check(result: &serde_json::Value) {
    let median = |name: &str| result[name]["median"].as_f64().unwrap();
    assert!(median("iops") > 0.0 && median("cpu_us_per_operation") > 0.0, "{result:#}");
    assert!(median("p50_us") > 0.0 && median("p50_us") <= median("p99_us"), "{result:#}");
    assert!(median("p99_us") <= median("p99_9_us"), "{result:#}");
    let bytes_per_s = median("iops") * result["block_bytes"].as_f64().unwrap();
    assert!((median("bytes_per_s") / bytes_per_s - 1.0).abs() < 1e-6, "{result:#}");
}

#[test]
fn every_shape_is_measured_through_every_backend() {
    let place = Place::new();
    let report = report(&place, without_fio, &["--seconds", "0.05", "--rounds", "1"]);
    assert_eq!((&report["schema"], &report["command"]), (&1.into(), &"device".into()));
    assert_eq!(report["file_bytes"], 16 << 20);
    let results = report["results"].as_array().unwrap();
    let left_out = left_out(&report);
    let choices = aquifer_io::BackendChoice::NAMES;
    let backends: Vec<&str> = choices
        .into_iter()
        .filter(|name| !["auto", "simulated"].contains(name) && !left_out.contains(name))
        .collect();
    assert!(backends.contains(&"threads"));
    for backend in backends {
        let own: Vec<_> = results.iter().filter(|result| result["engine"] == backend).collect();
        assert_eq!(own.len(), 13, "{backend}: {own:#?}");
        own.into_iter().for_each(check);
        let idle = report["idle"].as_array().unwrap().iter().find(|idle| idle["engine"] == backend).unwrap();
        assert!(idle["seconds"].as_f64().unwrap() >= 0.2 && idle["core_percent"].is_number(), "{idle:#}");
    }
}

/// Passes without fio, and where it may not use io_uring.
#[test]
fn profiles_with_several_jobs_and_with_writes_run_in_fio() {
    let place = Place::new();
    let report = report(&place, |_| {}, &["--seconds", "0.2", "--rounds", "1", "--only", "write"]);
    let results = report["results"].as_array().unwrap();
    let of_fio: Vec<_> = results.iter().filter(|result| result["engine"] == "fio").collect();
    if of_fio.is_empty() {
        return;
    }
    assert_eq!(of_fio.len(), 4, "{report:#}");
    of_fio.into_iter().for_each(check);
    for result in results {
        assert_eq!(result["share_of_fio"].is_object(), result["engine"] != "fio", "{result:#}");
    }
}

#[test]
fn rounds_and_shapes_are_chosen() {
    let place = Place::new();
    let flags = ["--seconds", "0.2", "--rounds", "2", "--only", "random-read-4k depth-32"];
    let report = report(&place, |_| {}, &flags);
    for result in report["results"].as_array().unwrap() {
        assert_eq!((&result["depth"], &result["profile"]), (&32.into(), &"random-read-4k".into()));
        let rounds = result["rounds"].as_array().unwrap();
        let numbers: Vec<_> = rounds.iter().map(|round| round["round"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2]);
        assert!(rounds.iter().all(|round| round["noisy"].is_boolean() && round["others_cores"].is_number()));
    }
}

#[test]
fn without_fio_it_says_how_to_install_it_and_goes_on() {
    let place = Place::new();
    let flags = ["--seconds", "0.05", "--rounds", "1", "--only", "random-read-4k depth-8"];
    let report = report(&place, without_fio, &flags);
    assert!(report["fio"].is_null());
    assert!(report["notes"].to_string().contains("apt-get install fio"), "{report:#}");
    let results = report["results"].as_array().unwrap();
    assert!(!results.is_empty());
    assert!(results.iter().all(|result| result["engine"] != "fio" && result["share_of_fio"].is_null()));
}

#[test]
fn a_fio_that_fails_costs_its_own_numbers_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let fio = place.path("fio");
    std::fs::write(
        &fio,
        "#!/bin/sh\ncase $1 in --version) echo fio-0;; *) echo 'fio: no engine' >&2; exit 1;; esac\n",
    )
    .unwrap();
    std::fs::set_permissions(&fio, std::fs::Permissions::from_mode(0o755)).unwrap();
    let folder = fio.parent().unwrap().to_owned();
    let flags = ["--seconds", "0.05", "--rounds", "1", "--only", "random-read-4k depth-8"];
    let report = report(
        &place,
        |command| {
            command.env("PATH", folder);
        },
        &flags,
    );
    assert!(report["notes"].to_string().contains("(fio: no engine)"), "{report:#}");
    assert!(!report["results"].as_array().unwrap().is_empty());
}

#[test]
fn what_cannot_be_is_refused_before_it_begins() {
    let place = Place::new();
    place.run(&["device", "--size-bytes", "1000TiB"]).failed(3, "no room in");
    place.run(&["device", "--size-bytes", "1MiB"]).failed(2, "at least 16 MiB");
    place.run(&["device", "--dir", "/nonexistent"]).failed(3, "/nonexistent");
    place.run(&["device", "--only", "tape"]).failed(2, "there are random-read-4k depth-1");
    place
        .run(&["device", "--json", "/nonexistent/report.json"])
        .failed(3, "cannot write /nonexistent/report.json");
    assert_eq!(place.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn the_test_file_is_in_the_folder_asked_for() {
    let place = Place::new();
    let folder = place.path("other");
    std::fs::create_dir(&folder).unwrap();
    let dir = folder.to_str().unwrap();
    let flags = ["--seconds", "0.05", "--rounds", "1", "--only", "log-write", "--dir", dir];
    assert_eq!(report(&place, |_| {}, &flags)["dir"], dir);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

/// At each step: while the file is made, while fio measures, while a backend does, while one idles.
#[test]
fn ctrl_c_ends_it_and_removes_its_file() {
    for (step, seconds, with_fio) in
        [("test file", "60", true), ("round", "60", true), ("round", "60", false), ("idle", "0.3", false)]
    {
        let place = Place::new();
        let flags = ["device", "--size-bytes", "64MiB", "--seconds", seconds, "--rounds", "1"];
        let only = ["--only", "random-read-4k depth-1"];
        let mut command = place.command(&[&flags[..], &only].concat());
        if !with_fio {
            without_fio(&mut command);
        }
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(step) {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before {step}");
        }
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{step}: {rest}");
        assert!(rest.ends_with("interrupted\n"), "{rest}");
        assert_eq!(place.left_behind(), Vec::<PathBuf>::new(), "{step}");
    }
}
