//! `run --suite cache`: what the cache is to reach, row by row, each beside its ceiling in the same rounds.
//!
//! ```text
//! load, or --reuse ─> get-ssd, get-ssd-alone ─> get-memory ─> neighbours ─> zipf-remote ─> ssd-writes ─> restart
//!                      engine | fio              with | without  burst | GET   gets | replay    rounds        children
//! ```
//! All rows take the one loaded store. In each round the arms of a row take turns in going first. The result is a comparison, as that of `compare`:
//! ours is the first arm, the ceiling the other.

mod row_name;
mod stage;
mod zipf;
mod restart;
mod restart_child;
mod neighbours;
mod from_ssd;
mod from_memory;
mod churn;

use crate::failure::Failure;
use crate::interrupt;
use crate::progress::say;
use crate::result::{Comparison, Document, Header, Noise, Outputs, Row};
pub(crate) use restart_child::serve as serve_restart;
use row_name::ROWS;
pub(crate) use row_name::RowName;
use stage::Stage;

use super::spec::Spec;

/// See the module. What was measured is shown and written however it ends.
pub(super) fn run(spec: &Spec, outputs: &Outputs, header: Header) -> Result<(), Failure> {
    let rows = &spec.args.rows;
    let wanted: Vec<RowName> =
        ROWS.iter().map(|(row, ..)| *row).filter(|row| rows.is_empty() || rows.contains(row)).collect();
    let mut comparison = Comparison::begin(header, rows.is_empty().then(|| "cache".to_owned()));
    if cfg!(debug_assertions) {
        comparison.notes.push(super::DEBUG_WARNING.to_owned());
    }
    let mut recordings = Vec::new();
    let measured = Stage::new(spec, outputs.wants_recordings()).and_then(|mut stage| {
        let measured = measure(&mut stage, &wanted, &mut comparison.rows);
        recordings = std::mem::take(&mut stage.recordings);
        measured
    });
    if let Err(failure) = &measured {
        if comparison.rows.is_empty() {
            return measured;
        }
        comparison.header.partial = true;
        comparison.header.partial_reason = Some(failure.to_string());
    }
    comparison.finish();
    let wrong = comparison.answers_wrong();
    outputs.publish(&Document::Compare(comparison), &recordings)?;
    measured?;
    if wrong == 0 { Ok(()) } else { Err(Failure::WrongAnswers(wrong)) }
}

fn measure(stage: &mut Stage<'_>, wanted: &[RowName], rows: &mut Vec<Row>) -> Result<(), Failure> {
    let wants = |row| wanted.contains(&row);
    if wants(RowName::Restart) {
        restart::check_room(stage)?;
    }
    if wanted.iter().any(|row| *row != RowName::Restart) {
        stage.load()?;
    }
    if wants(RowName::GetSsd) || wants(RowName::GetSsdAlone) {
        from_ssd::measure(stage, wants(RowName::GetSsd), wants(RowName::GetSsdAlone), rows)?;
    }
    for row in wanted {
        let measured = match row {
            RowName::GetSsd | RowName::GetSsdAlone => continue,
            RowName::GetMemory => from_memory::measure(stage),
            RowName::Neighbours => neighbours::measure(stage),
            RowName::ZipfRemote => zipf::measure(stage),
            RowName::SsdWrites => churn::measure(stage),
            RowName::Restart => restart::measure(stage),
        };
        rows.push(told(measured?));
        interrupt::check()?;
    }
    stage.close()
}

/// Says how a row came out as soon as it is known.
fn told(mut row: Row) -> Row {
    row.finish();
    for goal in &row.goals {
        let against = if goal.is_of_itself() { String::new() } else { format!(" of {}", goal.against) };
        let (found, wanted) = (goal.found_text(), goal.text());
        let (title, verdict) = (crate::result::Metric::title(&goal.metric), goal.verdict(row.noise.noisy));
        say(&format!("{:<16}{title}{against}: {found}, goal {wanted}: {verdict}", row.name));
    }
    debug_assert!(row.noise == Noise::worst(row.arms.iter().map(|arm| Noise::of(&arm.rounds))));
    row
}

/// What follows the flags in the help.
pub(super) fn help() -> String {
    let lines = ROWS.iter().map(|(_, name, what)| format!("  {name:<16}{what}"));
    lines.collect::<Vec<_>>().join("\n")
}
