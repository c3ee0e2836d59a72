//! A run that is killed at any moment and resumed ends in the state of an undisturbed run.
//!
//! The moments are chosen by a seed: a line of the program's progress, and then up to a few milliseconds more. They
//! fall before the store exists, between and in checkpoints, around the crash on purpose, and into verification.
//! `AQUIFER_KILL_ROWS=all` takes all real events, `AQUIFER_KILL_ROUNDS` another number of rounds, `AQUIFER_KILL_SEED`
//! other moments (`scripts/kill-resume.sh`).

use crate::common;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Ended, Place};

struct Setting {
    rows: usize,
    rounds: u64,
    seed: u64,
    checkpoint_every: &'static str,
}

impl Setting {
    fn read() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let (rounds, seed) = (number("AQUIFER_KILL_ROUNDS"), number("AQUIFER_KILL_SEED"));
        let (rounds, seed) = (rounds.unwrap_or(20), seed.unwrap_or(2013));
        match std::env::var("AQUIFER_KILL_ROWS").as_deref() {
            Ok("all") => Self { rows: 400_000, rounds, seed, checkpoint_every: "20000" },
            _ => Self { rows: 20_000, rounds, seed, checkpoint_every: "1000" },
        }
    }
}

/// splitmix64: the same moments for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

struct Round<'p> {
    place: &'p Place,
    flags: Vec<String>,
}

impl<'p> Round<'p> {
    fn new(place: &'p Place, name: &str, input: &str, checkpoint_every: &str) -> Self {
        let path = |what: &str| place.path(&format!("{name}-{what}")).to_str().unwrap().to_owned();
        let store = format!("file://{}", path("store"));
        let flags = [
            ("--input", input.to_owned()),
            ("--store", store),
            ("--local-dir", path("local")),
            ("--disk-bytes", "64MiB".to_owned()),
            ("--memory-bytes", "32MiB".to_owned()),
            ("--shards", "2".to_owned()),
            ("--checkpoint-every", checkpoint_every.to_owned()),
            ("--state-out", path("state.csv")),
        ];
        Self { place, flags: flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect() }
    }

    fn flags(&self, more: &[&'static str]) -> Vec<&str> {
        self.flags.iter().map(String::as_str).chain(more.iter().copied()).collect()
    }

    fn state(&self) -> String {
        std::fs::read_to_string(self.flags.last().unwrap()).unwrap()
    }

    /// Kills a run after this many lines of its progress and some time. The last line seen.
    fn kill_after(&self, lines: u64, delay: Duration) -> String {
        let mut child = self.place.command(&self.flags(&[]));
        let mut child = child.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            if stderr.read_line(&mut line).unwrap() == 0 {
                break;
            }
        }
        let seen = aquifer_io::now();
        while seen.elapsed() < delay {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        line.trim_end().to_owned()
    }

    fn remove(&self) {
        for flag in ["--store", "--local-dir"] {
            let at = self.flags.iter().position(|found| found == flag).unwrap();
            let path = self.flags[at + 1].trim_start_matches("file://");
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

#[test]
fn a_killed_run_resumes_to_the_state_of_an_undisturbed_one() {
    let setting = Setting::read();
    let place = Place::new();
    let input = place.events(setting.rows);
    let undisturbed = Round::new(&place, "undisturbed", &input, setting.checkpoint_every);
    let began = aquifer_io::now();
    let ended = place.run(&undisturbed.flags(&[])).good();
    let took = began.elapsed();
    let expected = undisturbed.state();
    assert_eq!(expected, common::flights_state(&input));
    let lines = ended.stderr.lines().count() as u64;
    // Between two lines passes about this time; longer delays reach past the next line.
    let gap_us = u64::try_from(took.as_micros()).unwrap() / lines;
    println!("{lines} lines in {took:?}, seed {}", setting.seed);

    let mut chance = Chance(setting.seed);
    for round in 0..setting.rounds {
        let run = Round::new(&place, &format!("round-{round}"), &input, setting.checkpoint_every);
        let (after, delay_us) = (chance.below(lines), chance.below(gap_us.max(1)));
        let line = run.kill_after(after, Duration::from_micros(delay_us));
        let moment = format!("round {round}: killed {delay_us} µs after line {after} {line:?}");
        let ended = Ended::new(&place.command(&run.flags(&["--resume"])).output().unwrap());
        assert_eq!(ended.code, Some(0), "{moment}\n{}", ended.stderr);
        assert!(run.state() == expected, "{moment}: another final state\n{}", ended.stderr);
        let from = ended.stderr.lines().find(|line| line.starts_with("open")).unwrap_or_default();
        println!("{moment}; resumed: {from}");
        run.remove();
    }
}
