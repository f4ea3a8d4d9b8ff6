//! Tables of text: columns without frames.

use comfy_table::{ContentArrangement, Table, presets};

/// Lays out `rows` under `header`, a column as wide as its widest cell.
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header)
        .add_rows(rows);
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
