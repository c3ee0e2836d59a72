//! Parts of the page that its sections share: tables, settings, all metrics of one thing.

use maud::{Markup, html};

use crate::measure::spread::Spread;
use crate::result::cells::Grid;
use crate::result::facts::settings_text;
use crate::result::metric::{Metric, Summary};
use crate::result::settings::Settings;

/// Settings that differ from those of the head.
pub(super) fn settings_line(settings: &Settings) -> Markup {
    html! { @if !settings.is_empty() { p class="settings" { (settings_text(settings)) } } }
}

/// A table that scrolls in a box of its own; the first columns, so many, hold names.
pub(super) fn table(header: &[&str], names: usize, rows: &[Vec<String>]) -> Markup {
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

pub(super) fn grid_table(grid: &Grid, names: usize) -> Markup {
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
pub(super) fn all_metrics(title: &str, summary: &Summary, text: impl Fn(&str, f64) -> String) -> Markup {
    let row = |(name, spread): (&String, &Spread)| {
        let numbers = [spread.median, spread.min, spread.max].map(|number| text(name, number));
        std::iter::once(Metric::title(name)).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = summary.iter().map(row).collect();
    html! {
        details { summary { (title) } (table(&["metric", "median", "min", "max"], 1, &rows)) }
    }
}
