//! What the run says while it works, all of it on the standard error: one line a step, and a bar below them when a
//! person watches (not when the output goes to a file or a pipe).

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
        if self.watched {
            self.bar.suspend(|| eprintln!("{line}"));
        } else {
            eprintln!("{line}");
        }
    }

    /// Starts a bar of this many events.
    pub(crate) fn start(&mut self, what: &'static str, total: u64) {
        self.finish();
        if self.watched {
            let template =
                "{prefix:<12}[{wide_bar}] {percent:>3} % {human_pos}/{human_len} {per_sec} {eta} left";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            self.bar.set_style(style.progress_chars("=> "));
            self.bar.set_prefix(what);
        }
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
