//! What is said of a row when it has come out.

use crate::progress::say;
use crate::result::{Metric, Noise, Row};

/// Says how a row came out as soon as it is known.
pub(super) fn told(mut row: Row) -> Row {
    row.finish();
    for goal in &row.goals {
        let against = if goal.is_of_itself() { String::new() } else { format!(" of {}", goal.against) };
        let (found, wanted) = (goal.found_text(), goal.text());
        let (title, verdict) = (Metric::title(&goal.metric), goal.verdict(row.noise.noisy));
        say(&format!("{:<16}{title}{against}: {found}, goal {wanted}: {verdict}", row.name));
    }
    debug_assert!(row.noise == Noise::worst(row.arms.iter().map(|arm| Noise::of(&arm.rounds))));
    row
}
