//! `aquifer-bench run` under faults from outside: a clear line, its exit code, nothing left behind, and what was measured by then.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::common::{Dfs, Ended, Place};

/// Flags of a run that would go on for long, in short rounds.
const LONG: [&str; 12] = [
    "run",
    "--keys",
    "4000",
    "--seconds",
    "0.2",
    "--warmup",
    "0",
    "--rounds",
    "1000",
    "--memory-bytes",
    "16MiB",
    "--disk-bytes=0",
];

#[test]
fn flags_that_make_no_sense() {
    let place = Place::new();
    let kept = place.path("kept");
    for (flags, text) in [
        (&["readrandmo"][..], "readrandom, readmissing"),
        (&["--ops", "fetch:1"], "\"fetch\" is no operation"),
        (&["--distribution", "zipf"], "zipf:0.99"),
        (&["--rate", "fast"], "operations a second, or max"),
        (&["--memory-bytes", "1KiB"], "raise it or use fewer shards"),
        (&["--reuse", "/nonexistent"], "so no loaded store"),
        (&["--keep", kept.to_str().unwrap(), "fillseq"], "leave --keep and --reuse out"),
        (&["--phases", "moon"], "possible values: memory"),
    ] {
        place.run(&[&["run"], flags].concat()).failed(2, text);
    }
    place.run(&["run", "--json", "/nonexistent/x.json"]).failed(3, "cannot write /nonexistent/x.json");
    place.run(&["run", "--dir", "/nonexistent"]).failed(3, "cannot make a temporary folder in /nonexistent");
    place.run(&["run", "--store", "gopher://x/y"]).failed(3, "gopher");
    assert!(!kept.exists());
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_disk_that_is_too_small_is_found_out_before_the_run() {
    let place = Place::new();
    let ended = place.run(&["run", "--keys", "1000000000000"]).failed(3, "the run needs about");
    assert!(ended.stderr.contains("use fewer --keys"), "{}", ended.stderr);
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_dead_server_is_an_error_and_no_wait_for_ever() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = place.command(&["run", "--keys", "100", "--store", "s3://bucket/prefix"]);
    command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")).env("AWS_ALLOW_HTTP", "true");
    command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", "top-secret-word");
    let ended = Ended::new(&command.output().unwrap()).failed(3, &format!("127.0.0.1:{port}"));
    assert!(!ended.stderr.contains("top-secret-word"), "{}", ended.stderr);
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

/// Reads what a run says until a round is over.
fn after_a_round(child: &mut Child) -> BufReader<std::process::ChildStderr> {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("round ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before its first round");
    }
    stderr
}

/// How it ended, and its JSON.
fn ended(
    place: &Place,
    mut child: Child,
    mut stderr: BufReader<std::process::ChildStderr>,
) -> (Ended, serde_json::Value) {
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let ended = Ended { code: child.wait().unwrap().code(), stdout, stderr: said };
    let json =
        std::fs::read(place.path("result.json")).unwrap_or_else(|_| panic!("no JSON: {}", ended.stderr));
    (ended, serde_json::from_slice(&json).unwrap())
}

fn start(mut command: std::process::Command) -> Child {
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_says_that_it_is_partial() {
    let place = Place::new();
    let json = place.path("result.json");
    let mut child = start(place.command(&[&LONG[..], &["--json", json.to_str().unwrap()]].concat()));
    let stderr = after_a_round(&mut child);
    assert!(!place.left_behind().is_empty());
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let (ended, document) = ended(&place, child, stderr);
    let ended = ended.failed(130, "interrupted");
    assert!(ended.stdout.contains("readrandom"), "the table is shown: {}", ended.stdout);
    assert_eq!(document["header"]["partial"], true);
    assert_eq!(document["header"]["partial_reason"], "interrupted");
    assert!(!document["phases"][0]["rounds"].as_array().unwrap().is_empty());
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn ctrl_c_while_loading_leaves_no_kept_store() {
    let place = Place::new();
    let kept = place.path("kept");
    // Enough to be loading for seconds, and no more than a small disk has room for.
    let flags = ["run", "--keys", "5000000", "--seconds", "1", "--keep", kept.to_str().unwrap()];
    let mut child = start(place.command(&flags));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut line, mut before) = (String::new(), String::new());
    while !line.starts_with("load ") {
        before.push_str(&line);
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it loaded: {before}");
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(!kept.exists(), "{said}");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_store_that_dies_in_the_middle_is_an_error_with_what_was_measured() {
    let place = Place::new();
    let mut dfs = Dfs::start(&place, &[]);
    let json = place.path("result.json");
    let flags = ["updaterandom", "--store", "s3://test-bucket/a", "--json", json.to_str().unwrap()];
    let mut command = place.command(&[&LONG[..], &flags].concat());
    command.envs(dfs.variables());
    let mut child = start(command);
    let stderr = after_a_round(&mut child);
    dfs.signal("-KILL");
    let (ended, document) = ended(&place, child, stderr);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(document["header"]["partial"], true);
    assert!(!document["phases"][0]["rounds"].as_array().unwrap().is_empty());
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_store_of_the_user_is_left_as_it_was() {
    let place = Place::new();
    let dfs = Dfs::start(&place, &[]);
    let mut command = place.command(&[
        "run",
        "--keys",
        "1000",
        "--seconds",
        "0.1",
        "--rounds",
        "1",
        "--store",
        "s3://test-bucket/a/b",
    ]);
    command.envs(dfs.variables());
    Ended::new(&command.output().unwrap()).good();
    let mut check = place.command(&["check", "--read-only", "--store", "s3://test-bucket/a/b"]);
    check.envs(dfs.variables());
    let found = Ended::new(&check.output().unwrap()).good();
    assert!(found.stdout.contains(" 0 objects"), "{} {}", found.stdout, found.stderr);
}
