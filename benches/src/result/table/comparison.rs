//! The tables of a comparison.

use std::fmt::Write;

use super::grid::grid_table;
use crate::result::cells::{Grid, arms, goals};
use crate::result::comparison::{Comparison, Row};

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds. Ratio: the first arm by the other, round by round, then the median of the rounds (min–max).
Goals are held against the median. CPU: of the arm's whole process. Written: bytes to the SSD and to the DFS in one round.
";

/// Everything below the head.
pub(super) fn tables(comparison: &Comparison) -> String {
    if comparison.rows.is_empty() {
        return "Nothing was compared.\n".to_owned();
    }
    let mut text =
        format!("{}\n{}\n{LEGEND}", by_row(&comparison.rows, arms, 2), by_row(&comparison.rows, goals, 2));
    for row in &comparison.rows {
        for note in row.notes.iter().chain(row.arms.iter().flat_map(|arm| &arm.notes)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "note: {}: {note}", row.name);
        }
    }
    text
}

/// The grids of all rows below each other, each row's name in front of its first line.
fn by_row(rows: &[Row], of: fn(&Row) -> Grid, names: usize) -> comfy_table::Table {
    let mut all = Grid { header: Vec::new(), rows: Vec::new() };
    for row in rows {
        let grid = of(row);
        all.header = std::iter::once("row").chain(grid.header).collect();
        for (index, cells) in grid.rows.into_iter().enumerate() {
            let name = if index == 0 { row.name.clone() } else { String::new() };
            all.rows.push(std::iter::once(name).chain(cells).collect());
        }
    }
    grid_table(&all, names)
}
