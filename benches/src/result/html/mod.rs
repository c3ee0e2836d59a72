//! A document as a page: one file that asks the network for nothing, made from the same numbers as the JSON.
//!
//! All text from outside is escaped by the template; a policy in the page forbids whatever it does not bring along.

mod plot;
mod plots;
mod run;
mod comparison;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::cells::Grid;
use super::facts::{facts, settings_text};
use super::{Document, Header, Metric, Settings, Summary};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("tips.js");

/// What the page may load: nothing but itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let (title, body, notes) = match document {
        Document::Run(run) => ("Benchmark run", run::body(run), &run.notes),
        Document::Compare(comparison) => {
            ("Benchmark comparison", comparison::body(comparison), &comparison.notes)
        }
    };
    let header = document.header();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                link rel="icon" href="data:,";
                title { "Aquifer: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Aquifer " span class="light" { (title) } }
                    (chips(header))
                    (facts_list(header))
                    @for note in notes { p class="note" { (note) } }
                    (body)
                }
                footer { "aquifer-bench " (header.version_text()) }
                div id="tip" role="status" hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// What must not be overlooked.
fn chips(header: &Header) -> Markup {
    html! {
        p class="chips" {
            @if header.partial { span class="chip bad" { "PARTIAL" } }
            @let noise = match header.noise.word() { "NOISY" => "bad", "quiet" => "good", _ => "unknown" };
            span class=(format!("chip {noise}")) { "noise: " (header.noise.word()) }
            @if header.build.profile == "debug" { span class="chip bad" { "debug build" } }
            @if header.dirty == Some(true) { span class="chip unknown" { "changed sources" } }
        }
    }
}

fn facts_list(header: &Header) -> Markup {
    html! {
        dl class="facts" {
            @for (name, text) in facts(header) {
                dt { (name) }
                dd { @if name == "command" { code { (text) } } @else { (text) } }
            }
        }
    }
}

/// Settings that differ from those of the head.
fn settings_line(settings: &Settings) -> Markup {
    html! { @if !settings.is_empty() { p class="settings" { (settings_text(settings)) } } }
}

/// A table that scrolls in a box of its own; the first columns, so many, hold names.
fn table(header: &[&str], names: usize, rows: &[Vec<String>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="table" {
            table {
                thead { tr { @for (index, cell) in header.iter().enumerate() { th scope="col" class=[(index < names).then_some("name")] { (cell) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index < names { th scope="row" { (cell) } }
                                @else { td class=[verdict_class(cell)] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn grid_table(grid: &Grid, names: usize) -> Markup {
    table(&grid.header, names, &grid.rows)
}

fn verdict_class(cell: &str) -> Option<&'static str> {
    match cell {
        cell if cell.starts_with("reached") => Some("good-text"),
        cell if cell.starts_with("MISSED") => Some("bad-text"),
        _ => None,
    }
}

/// Every metric, folded away.
fn all_metrics(title: &str, summary: &Summary, text: impl Fn(&str, f64) -> String) -> Markup {
    let row = |(name, spread): (&String, &crate::measure::spread::Spread)| {
        let numbers = [spread.median, spread.min, spread.max].map(|number| text(name, number));
        std::iter::once(Metric::title(name)).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = summary.iter().map(row).collect();
    html! {
        details { summary { (title) } (table(&["metric", "median", "min", "max"], 1, &rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Header, Phase, Row, RunResult};
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> & \u{202e}";

    /// How often markup stands in a page that only hostile text could have brought in.
    fn hostile(document: &Document) -> usize {
        let page = page(document);
        assert!(page.contains("&lt;script&gt;alert(1)"), "the text itself is shown");
        page.matches("<script>alert").count() + page.matches("<img").count() + page.matches("\"'>").count()
    }

    #[test]
    fn text_from_outside_is_shown_and_does_nothing() {
        let name = || HOSTILE.to_owned();
        let mut header =
            Header { command_line: vec![name()], partial_reason: Some(name()), ..Header::default() };
        header.machine.cpu = name();
        header.settings.insert(name(), name().into());
        header.versions.insert(name(), name());
        header.partial = true;
        let mut run = RunResult::begin(header.clone());
        run.notes.push(name());
        run.phases.push(full_phase(name));
        assert_eq!(hostile(&Document::Run(run)), 0);
        let mut comparison = Comparison::begin(header, Some(name()));
        comparison.rows.push(full_row(name));
        assert_eq!(hostile(&Document::Compare(comparison)), 0);
    }

    /// The phase of the kept document that has everything, each of its texts replaced.
    fn full_phase(text: fn() -> String) -> Phase {
        let document = Document::parse(include_bytes!("../../../tests/data/run-schema-1.json")).unwrap();
        let Document::Run(mut run) = document else { panic!("not a run") };
        let mut phase = run.phases.remove(2);
        for own in
            [&mut phase.name, &mut phase.what, &mut phase.workload.name, &mut phase.workload.operations]
        {
            *own = text();
        }
        phase.notes.push(text());
        phase.ceilings.iter_mut().for_each(|ceiling| (ceiling.what, ceiling.unit) = (text(), text()));
        phase.settings.insert(text(), text().into());
        phase.summary.insert(text(), crate::measure::spread::Spread::default());
        for round in &mut phase.rounds {
            round.values.insert(text(), 1.0);
        }
        phase
    }

    fn full_row(text: fn() -> String) -> Row {
        let document = Document::parse(include_bytes!("../../../tests/data/compare-schema-1.json")).unwrap();
        let Document::Compare(mut comparison) = document else { panic!("not a comparison") };
        let mut row = comparison.rows.remove(0);
        (row.name, row.what) = (text(), text());
        row.notes.push(text());
        for arm in &mut row.arms {
            (arm.name, arm.version) = (format!("{}{}", arm.name, text()), text());
            arm.notes.push(text());
        }
        row.goals.iter_mut().for_each(|goal| goal.metric = text());
        row
    }

    #[test]
    fn an_empty_document_is_a_page_too() {
        let page = page(&Document::Run(RunResult::begin(Header::default())));
        assert!(page.contains("Nothing was measured") && page.ends_with("</html>"));
    }
}
