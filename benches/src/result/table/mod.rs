//! A document as tables for people: first where and how it was measured, then the numbers.

mod grid;
mod comparison;
mod run;

use super::document::Document;
use super::facts::facts;
use super::header::Header;

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
