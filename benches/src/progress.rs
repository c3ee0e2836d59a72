//! What the run says while it works, all of it on the standard error: one line a step, and a bar below them when a
//! person watches (not when the output goes to a file or a pipe).

use std::io::{IsTerminal, Write};

use aquifer_remote::masked;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::report::count;

/// Prints a line on the standard error, without secrets. A closed one is no reason to end the run.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", masked(line));
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    watched: bool,
}

impl Progress {
    /// Nothing to show yet.
    pub(crate) fn new() -> Self {
        let watched = std::io::stderr().is_terminal();
        Self { bar: ProgressBar::hidden(), watched }
    }

    /// One line that stays: a step's number and name, and what happens in it.
    pub(crate) fn step(&self, name: &str, text: &str) {
        let line = format!("{name:<12}{text}");
        self.bar.suspend(|| say(&line));
    }

    /// Starts to count events, how many there are is not known.
    pub(crate) fn start_counting(&mut self, what: &'static str) {
        let style = ProgressStyle::with_template("{prefix:<12}{human_pos} events");
        self.show(ProgressBar::with_draw_target(None, self.target()), style.ok(), what);
    }

    /// Starts a bar of this many events.
    pub(crate) fn start(&mut self, what: &'static str, total: u64) {
        self.start_at(what, 0, total);
    }

    /// Starts a bar of this many events, of which some are done already.
    pub(crate) fn start_at(&mut self, what: &'static str, done: u64, total: u64) {
        let template = "{prefix:<12}[{wide_bar}] {percent:>3} % {human_pos}/{human_len} {rate} {eta} left";
        let style = ProgressStyle::with_template(template)
            .map(|style| style.with_key("rate", rate).progress_chars("=> "));
        let bar = ProgressBar::with_draw_target(Some(total), self.target()).with_position(done);
        self.show(bar, style.ok(), what);
        // What lay behind the start has not been done in no time.
        self.bar.reset_eta();
    }

    fn show(&mut self, bar: ProgressBar, style: Option<ProgressStyle>, what: &'static str) {
        self.finish();
        self.bar = bar;
        if let Some(style) = style {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(what);
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.watched { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() }
    }

    /// The bar's position.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Moves the bar.
    pub(crate) fn add(&self, done: u64) {
        self.bar.inc(done);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}

/// The bar's events per second, without fractions.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // A bar that lacks a number is no reason to end the run.
    let _ = write!(out, "{}/s", count(state.per_sec()));
}
