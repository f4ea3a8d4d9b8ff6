//! Tables as text.

use comfy_table::{ContentArrangement, Table, presets};

/// Rows under a header, in columns that line up, without frames; each line ends in a newline.
pub(crate) fn table(header: &[impl ToString], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(ToString::to_string))
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
