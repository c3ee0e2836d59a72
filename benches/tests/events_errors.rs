//! Faults from outside: each is one clear line and its exit code, and leaves nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::common::{Dfs, Ended, Place};

fn file(place: &Place, name: &str, bytes: &[u8]) -> String {
    std::fs::write(place.path(name), bytes).unwrap();
    place.path(name).to_str().unwrap().to_owned()
}

#[test]
fn flags_that_make_no_sense() {
    let place = Place::new();
    place.run(&["--checkpoint-every", "0"]).failed(2, "--checkpoint-every");
    place.run(&["--memory-bytes", "lots"]).failed(2, "256MiB");
    place.run(&["--memory-bytes", "1KiB"]).failed(2, "raise it or use fewer shards");
    place.run(&["--key", "carrier"]).failed(2, "--value");
    place.run(&["--resume"]).failed(2, "name it with --store URL or --dfs-dir DIR");
    place.run(&["--nonsense"]).failed(2, "--nonsense");
    place.run(&["--store", "gopher://x/y"]).failed(3, "gopher");
    assert!(place.run(&["--help"]).good().stdout.contains("Exit codes"));
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn inputs_that_cannot_be_read_to_their_end() {
    let place = Place::new();
    let good = "shop,price\na,1\nb,2\n";
    for (name, text, message) in [
        ("empty.csv", "", "empty.csv: the file is empty"),
        ("header.csv", "shop,price\n", "header.csv: no event follows the header"),
        ("column.csv", "shop,cost\na,1\n", "column.csv, line 1, column price: the header has no such column"),
        (
            "twice.csv",
            "shop,price,shop\n",
            "twice.csv, line 1, column shop: the header names this column twice",
        ),
        ("number.csv", "shop,price\na,1\nb,2x\n", "number.csv, line 3, column price: not a decimal number"),
        ("ragged.csv", "shop,price\na,1\nb\n", "ragged.csv, line 3: the row has 1 fields, the header 2"),
    ] {
        let input = file(&place, name, text.as_bytes());
        place.run(&["--input", &input, "--key", "shop", "--value", "price"]).failed(3, message);
    }
    let mut broken = zstd::encode_all(good.as_bytes(), 1).unwrap();
    broken.truncate(broken.len() - 2);
    let input = file(&place, "broken.csv.zst", &broken);
    place.run(&["--input", &input, "--key", "shop", "--value", "price"]).failed(3, "broken zstd frame");
    place.run(&["--input", "/nonexistent.csv"]).failed(3, "/nonexistent.csv: cannot open the input");
    let input = file(&place, "good.csv", good.as_bytes());
    place.run(&["--input", &input]).failed(2, "--key COLUMN --value COLUMN; its columns are shop, price");
    let flights =
        "tail_number,destination,scheduled_departure_s,arrival_delay_min,distance_mi\nN1,JFK,,1,1\n";
    let input = file(&place, "flights.csv", flights.as_bytes());
    place.run(&["--input", &input]).failed(3, "line 2, column scheduled_departure_s: a time is needed");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn outputs_that_cannot_be_written_are_found_out_before_the_run() {
    let place = Place::new();
    let ended = place.run(&["--state-out", "/proc/state.csv"]).failed(3, "cannot write /proc/state.csv");
    assert!(!ended.stderr.contains("DFS"), "{}", ended.stderr);
    place.run(&["--json", "/nonexistent/report.json"]).failed(3, "cannot write /nonexistent/report.json");
    let folder = place.path("tmp");
    place.run(&["--json", folder.to_str().unwrap()]).failed(3, "directory");
}

#[test]
fn folders_that_cannot_be_used() {
    let place = Place::new();
    let input = place.events(100);
    let occupied = file(&place, "file", b"");
    place.run(&["--input", &input, "--local-dir", &occupied]).failed(3, &occupied);
    place.run(&["--input", &input, "--dfs-dir", &occupied]).failed(3, &occupied);
    place.run(&["--input", &input, "--dfs-dir", "/proc/dfs"]).failed(3, "/proc/dfs");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_dead_server_is_an_error_and_no_wait_for_ever() {
    let place = Place::new();
    let input = place.events(100);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = place.command(&["--input", &input, "--store", "s3://bucket/prefix"]);
    command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")).env("AWS_ALLOW_HTTP", "true");
    command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", "top-secret-word");
    let ended = Ended::new(&command.output().unwrap()).failed(3, &format!("127.0.0.1:{port}"));
    assert!(!ended.stderr.contains("top-secret-word"), "{}", ended.stderr);
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn the_server_alone_serves_whoever_has_its_variables() {
    let place = Place::new();
    let mut dfs = Dfs::start(&place, &[]);
    let variables = dfs.variables();
    let endpoint = &variables.iter().find(|(name, _)| name == "AWS_ENDPOINT").unwrap().1;
    let address = endpoint.strip_prefix("http://").unwrap();
    let flags =
        ["dfs", "--dir", place.path("other").to_str().unwrap(), "--listen", address].map(str::to_owned);
    place.run(&flags.each_ref().map(String::as_str)).failed(3, address);

    let input = place.events(500);
    let run = |resume: &[&str]| {
        let flags =
            [&["--input", &input, "--store", "s3://test-bucket/a/b", "--memory-bytes", "32MiB"], resume];
        let mut command = place.command(&flags.concat());
        command.envs(variables.iter().cloned());
        Ended::new(&command.output().unwrap())
    };
    run(&[]).good();
    run(&[]).failed(2, "s3://test-bucket/a/b");
    run(&["--resume"]).good();
    assert_eq!(dfs.signal("-TERM"), Some(0), "SIGTERM ends it in order");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn ctrl_c_ends_a_run_and_removes_its_folders() {
    let place = Place::new();
    let mut child = place.command(&[]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("open") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it opened the store");
    }
    assert!(!place.left_behind().is_empty());
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.ends_with("interrupted\n"), "{rest}");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_killed_run_left_is_swept_by_the_next() {
    let place = Place::new();
    let mut child = place.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("DFS") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it had a folder");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.left_behind().len(), 1);
    let input = place.events(100);
    place.run(&["--input", &input, "--memory-bytes", "32MiB"]).good();
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
    std::io::stderr().flush().unwrap();
}
