//! A document as tables for people: first where and how it was measured, then the numbers.

mod comparison;
mod run;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::cells::Grid;
use super::facts::facts;
use super::{Document, Header};

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

/// A table of these cells.
fn grid_table(grid: &Grid, names: usize) -> Table {
    let mut table = new_table(&grid.header, names);
    grid.rows.iter().for_each(|row| {
        table.add_row(row);
    });
    table
}
