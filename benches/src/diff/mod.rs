//! The `diff` command: one result against another, number by number, with a verdict only beyond the noise.
//!
//! ```text
//! OLD, NEW ─> circumstances   machine, kernel, settings, commits that differ: said first
//!          ─> pairs           phases (run) or arms of rows (compare) with the same name
//!          ─> verdicts        each metric over the quiet rounds of both
//! ```

mod circumstances;
mod pairs;
mod verdict;
mod text;

use crate::cli::DiffArgs;
use crate::failure::Failure;
use crate::output::show;
use crate::result::{Document, read_document};
use circumstances::circumstances;
use pairs::pairs;
use verdict::{Change, Verdict};

/// Two results side by side.
#[derive(Debug)]
struct Difference {
    /// What is not the same on both sides: name, old, new.
    circumstances: Vec<(String, String, String)>,
    /// Lines that a reader must know before the numbers.
    warnings: Vec<String>,
    phases: Vec<PhaseChange>,
    only_old: Vec<String>,
    only_new: Vec<String>,
}

/// One phase, or one arm of a row, on both sides.
#[derive(Debug)]
struct PhaseChange {
    name: String,
    changes: Vec<Change>,
}

/// Runs the command.
pub(crate) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let (old, new) = (read_document(&args.old)?, read_document(&args.new)?);
    let difference = Difference::of(&old, &new)?;
    let names = [&args.old, &args.new].map(|path| path.display().to_string());
    show(&text::text(&difference, &names, [old.header(), new.header()], args.all), false)?;
    match difference.count(Verdict::is_worse) {
        worse if worse > 0 && args.fail_on_regression => Err(Failure::Regression(worse)),
        _ => Ok(()),
    }
}

impl Difference {
    fn of(old: &Document, new: &Document) -> Result<Self, Failure> {
        let paired = pairs(old, new).map_err(Failure::Usage)?;
        let mut found = Self {
            circumstances: circumstances(old.header(), new.header()),
            warnings: warnings(old, new),
            phases: Vec::new(),
            only_old: paired.only_old,
            only_new: paired.only_new,
        };
        for pair in paired.both {
            if let Some((old, new)) = &pair.other_work {
                let name = format!("workload of {}", pair.name);
                found.circumstances.push((name, old.clone(), new.clone()));
            }
            let changes = verdict::changes(pair.old, pair.new);
            found.phases.push(PhaseChange { name: pair.name, changes });
        }
        Ok(found)
    }

    fn count(&self, is: impl Fn(Verdict) -> bool) -> u64 {
        let changes = self.phases.iter().flat_map(|phase| &phase.changes);
        changes.filter(|change| is(change.verdict)).count() as u64
    }
}

fn warnings(old: &Document, new: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    for (side, document) in [("old", old), ("new", new)] {
        let header = document.header();
        if header.partial {
            let reason = header.partial_reason.as_deref().unwrap_or("it ended early");
            warnings.push(format!("the {side} result is partial: {reason}"));
        }
        if header.build.profile == "debug" {
            warnings.push(format!("the {side} result is of a debug build: its numbers mean little"));
        }
        if header.noise.noisy {
            warnings.push(format!("the {side} result is {}", header.noise.text()));
        }
    }
    warnings
}
