//! Two results side by side.

use super::circumstances::circumstances;
use super::pairs::pairs;
use super::verdict::{self, Change, Verdict};
use crate::failure::Failure;
use crate::result::Document;

/// Two results side by side.
#[derive(Debug)]
pub(super) struct Difference {
    /// The circumstances that differ between both sides: name, old value, new value.
    pub(super) circumstances: Vec<(String, String, String)>,
    /// Lines that a reader must know before the numbers.
    pub(super) warnings: Vec<String>,
    pub(super) phases: Vec<PhaseChange>,
    pub(super) only_old: Vec<String>,
    pub(super) only_new: Vec<String>,
}

/// One phase, or one arm of a row, on both sides.
#[derive(Debug)]
pub(super) struct PhaseChange {
    pub(super) name: String,
    pub(super) changes: Vec<Change>,
}

impl Difference {
    pub(super) fn of(old: &Document, new: &Document) -> Result<Self, Failure> {
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

    pub(super) fn count(&self, is: impl Fn(Verdict) -> bool) -> u64 {
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
