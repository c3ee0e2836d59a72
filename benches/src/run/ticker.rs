//! The line of progress, once a second, on the standard error: in place when a person watches, a line each else.
//!
//! ```text
//! readrandom 2/3   4 s   183,201 ops/s   avg 181,004   p50 201 µs   p99 1.2 ms   memory 81 % SSD 19 % DFS 0 %   1 s left
//! ```

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::live::Second;
use crate::load::rng::whole_part;
use crate::numbers::count;
use crate::progress::say;
use crate::result::Hits;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ticker {
    quiet: bool,
    watched: bool,
    bar: ProgressBar,
    label: String,
    operations: u64,
}

impl Ticker {
    /// One that says nothing at all, or what there is to say.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            watched: std::io::stderr().is_terminal(),
            bar: ProgressBar::hidden(),
            label: String::new(),
            operations: 0,
        }
    }

    /// What runs next.
    pub(crate) fn begin(&mut self, label: &str) {
        self.clear();
        label.clone_into(&mut self.label);
        self.operations = 0;
        if !self.quiet && self.watched {
            self.bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                self.bar.set_style(style);
            }
            self.bar.set_message(format!("{label}   warming up"));
        }
    }

    /// One line that stays.
    pub(crate) fn step(&self, name: &str, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| say(&format!("{name:<12}{text}")));
        }
    }

    /// A second of the measurement is over; `share` of it is done.
    pub(crate) fn second(
        &mut self,
        number: u64,
        second: Option<&Second>,
        hits: Option<Hits>,
        elapsed: Duration,
        share: f64,
    ) {
        if self.quiet {
            return;
        }
        self.operations += second.map_or(0, |second| second.operations);
        let line = line(&self.label, number, second, self.operations, hits, elapsed, share);
        if self.watched {
            self.bar.set_message(line);
            self.bar.tick();
        } else {
            say(&line);
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}

fn line(
    label: &str,
    number: u64,
    second: Option<&Second>,
    operations: u64,
    hits: Option<Hits>,
    elapsed: Duration,
    share: f64,
) -> String {
    let (now, p50, p99) = second
        .map_or((0, 0.0, 0.0), |second| (second.operations, second.latency.p50_us, second.latency.p99_us));
    let average = operations as f64 / number.max(1) as f64;
    let left = if share > 0.0 { elapsed.as_secs_f64() * (1.0 - share).max(0.0) / share } else { 0.0 };
    let hits = hits.map_or_else(String::new, |hits| {
        let percent = |share: f64| share * 100.0;
        let (memory, ssd, remote) = (percent(hits.memory), percent(hits.ssd), percent(hits.remote));
        format!("   memory {memory:.0} % SSD {ssd:.0} % DFS {remote:.0} %")
    });
    format!(
        "{label}   {number} s   {} ops/s   avg {}   p50 {}   p99 {}{hits}   {:.0} s left",
        count(now),
        count(whole_part(average)),
        time(p50),
        time(p99),
        left.ceil(),
    )
}

/// A latency with a unit that fits.
pub(crate) fn time(us: f64) -> String {
    if us < 1e3 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Latencies;

    #[test]
    fn a_line_says_what_a_person_asks() {
        let mut latencies = Latencies::new();
        latencies.record_many(Duration::from_micros(250), 2000);
        let second = Second { index: 3, operations: 2000, latency: latencies.summary() };
        let hits = Hits { memory: 0.81, ssd: 0.19, remote: 0.0, absent: 0.0 };
        let text = line("x 1/3", 4, Some(&second), 6000, Some(hits), Duration::from_secs(4), 0.8);
        assert_eq!(
            text,
            "x 1/3   4 s   2,000 ops/s   avg 1,500   p50 250 µs   p99 250 µs   memory 81 % SSD 19 % DFS 0 %   1 s left"
        );
        assert!(line("x", 1, None, 0, None, Duration::from_secs(1), 0.0).contains("0 ops/s"));
    }
}
