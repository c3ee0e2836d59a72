//! A document as tables for people: first where and how it was measured, then the numbers.

mod comparison;
mod run;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::facts::facts;
use super::metric::whole;
use super::{Document, Header, Summary};
use crate::cli::human_bytes;
use crate::measure::spread::Spread;
use crate::report::{count, number};

/// The whole document.
pub(crate) fn table(document: &Document) -> String {
    let (body, notes) = match document {
        Document::Run(run) => (run::tables(run), &run.notes),
        Document::Compare(comparison) => (comparison::tables(comparison), &comparison.notes),
    };
    let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    printable(format!("{}{body}{notes}", head(document.header())).trim_end())
}

/// Without what a terminal would obey: names come from outside.
pub(crate) fn printable(text: &str) -> String {
    text.replace(|character: char| character.is_control() && character != '\n', "\u{fffd}")
}

/// The first lines: machine, kernel, device, versions, commit, noise.
fn head(header: &Header) -> String {
    facts(header).into_iter().map(|(name, text)| format!("{name:<9} {text}\n")).collect()
}

/// An empty table with its header; all columns but so many first ones hold numbers.
fn new_table(header: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The median of a metric, written by one of the functions below; a dash when it was not measured.
pub(crate) fn median(summary: &Summary, name: &str, text: fn(f64) -> String) -> String {
    summary.get(name).map_or_else(|| "–".to_owned(), |spread| text(spread.median))
}

pub(crate) fn counted(found: f64) -> String {
    count(found)
}

pub(crate) fn numbered(found: f64) -> String {
    number(found)
}

/// Two digits, or more where the number is small.
pub(crate) fn factor(found: f64) -> String {
    format!("{found:.2}")
}

pub(crate) fn bytes(found: f64) -> String {
    human_bytes(whole(found))
}

pub(crate) fn dollars(found: f64) -> String {
    format!("{found:.4}")
}

/// A ratio with where it lies.
fn ratio(spread: Spread) -> String {
    crate::report::share(spread)
}
