//! Tables of cells, for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::result::cells::Grid;

/// An empty table with its header; all columns but so many first ones hold numbers.
pub(super) fn new_table(header: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table of these cells.
pub(super) fn grid_table(grid: &Grid, names: usize) -> Table {
    let mut table = new_table(&grid.header, names);
    grid.rows.iter().for_each(|row| {
        table.add_row(row);
    });
    table
}
