//! Tables as text, and bars.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Rows under a header, in columns that line up, without frames; each line ends in a newline.
pub(crate) fn table(header: &[impl ToString], rows: &[Vec<String>]) -> String {
    lines(&aligned(header, rows))
}

/// The same for figures: all columns but the first are aligned to the right.
pub(crate) fn figures(header: &[impl ToString], rows: &[Vec<String>]) -> String {
    let mut table = aligned(header, rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines(&table)
}

fn aligned(header: &[impl ToString], rows: &[Vec<String>]) -> Table {
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
}

fn lines(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// The width of the longest bar.
pub(crate) const BAR: usize = 40;

/// A bar in steps of an eighth of a character.
pub(crate) fn bar(value: f64, longest: f64) -> String {
    let share = if longest > 0.0 { value / longest } else { 0.0 };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let eighths = (share * (BAR * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_full_and_the_others_in_proportion() {
        assert_eq!(bar(8.0, 8.0), "█".repeat(BAR));
        assert_eq!(bar(4.0, 8.0), "█".repeat(BAR / 2));
        assert_eq!(bar(0.0, 8.0), "");
        assert_eq!(bar(1.0, 0.0), "");
        assert_eq!(bar(1.0, 320.0), "▏");
    }
}
