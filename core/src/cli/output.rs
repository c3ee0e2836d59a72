//! What commands print: tables for people, JSON with stable field names for programs.

use super::failure::Failure;
use aquifer_remote::masked;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Prints a line on the standard error, without secrets. A closed one is no reason to end.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", masked(line));
}

/// Writes bytes as they are to the standard output.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| match source.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Local { doing: "cannot write to the standard output", source },
    })
}

/// Prints text and an end of line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints a document of several lines.
pub(super) fn json(document: &impl Serialize) -> Result<(), Failure> {
    line(&masked(&serde_json::to_string_pretty(document).map_err(not_json)?))
}

/// One line, without its end.
pub(super) fn json_line(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Failure {
    Failure::Local { doing: "cannot make JSON", source: error.into() }
}

/// Two columns: what, and what it is.
pub(super) fn facts(facts: &[(&str, String)]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    for (what, fact) in facts {
        table.add_row([(*what).to_owned(), fact.clone()]);
    }
    // Names of objects come from the store.
    line(&masked(&table.to_string()))
}

/// A table with a head. The first `numbers` columns are numbers.
pub(super) fn table(
    head: &[&str],
    numbers: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Names of objects come from the store.
    line(&masked(&table.to_string()))
}
