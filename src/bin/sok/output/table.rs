//! Tables as text, and bars.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Rows under a header, in aligned columns, without frames; each line ends with a newline.
pub(crate) fn table(header: &[impl ToString], rows: &[Vec<String>]) -> String {
    lines(&aligned(header, rows))
}

/// The same; cells are split over several lines if it would be wider than `width`.
pub(crate) fn folded(
    header: &[impl ToString],
    rows: &[Vec<String>],
    width: Option<usize>,
) -> String {
    let mut table = aligned(header, rows);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    lines(&table)
}

/// A table of figures that is not wider than `width`, and the columns that were omitted for that:
/// those of `least`, in that order.
pub(crate) fn fitting<'a>(
    header: &[&'a str],
    rows: &[Vec<String>],
    least: &[&str],
    width: Option<usize>,
) -> (String, Vec<&'a str>) {
    let columns = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        2 + cells
            .max()
            .unwrap_or_default()
            .max(header[at].chars().count())
    };
    let mut kept: Vec<usize> = (0..header.len()).collect();
    let mut left_out = Vec::new();
    for name in least {
        let wide: usize = kept.iter().map(|at| columns(*at)).sum();
        if width.is_none_or(|width| wide <= width + 2) {
            break;
        }
        kept.retain(|at| header[*at] != *name);
        left_out.extend(header.iter().filter(|head| *head == name));
    }
    let header: Vec<&str> = kept.iter().map(|at| header[*at]).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| kept.iter().map(|at| row[*at].clone()).collect())
        .collect();
    (figures(&header, &rows), left_out)
}

/// The same for figures: all columns but the first are aligned to the right.
fn figures(header: &[impl ToString], rows: &[Vec<String>]) -> String {
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
const BAR: usize = 40;

/// A bar in proportion to the longest one.
pub(crate) fn bar(value: f64, longest: f64) -> String {
    let share = if longest > 0.0 { value / longest } else { 0.0 };
    bar_of(share, BAR)
}

/// A share of a bar of `width`, in steps of an eighth of a character.
pub(crate) fn bar_of(share: f64, width: usize) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let eighths = (share * (width * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_until_a_table_fits() {
        let header = ["family", "count", "p50", "max"];
        let rows = [vec![
            "unix".into(),
            "100".into(),
            "4us".into(),
            "1.25ms".into(),
        ]];
        let fitting = |width| {
            let (text, left_out) = fitting(&header, &rows, &["count", "max"], width);
            let head: Vec<String> = text.lines().map(str::to_owned).collect();
            (head[0].split_whitespace().count(), head[0].len(), left_out)
        };
        assert_eq!(fitting(None), (4, 26, vec![]));
        assert_eq!(fitting(Some(26)), (4, 26, vec![]));
        assert_eq!(fitting(Some(25)), (3, 19, vec!["count"]));
        assert_eq!(fitting(Some(18)), (2, 11, vec!["count", "max"]));
        // The other columns stay.
        assert_eq!(fitting(Some(5)), (2, 11, vec!["count", "max"]));
    }

    #[test]
    fn the_longest_bar_is_full_and_the_others_in_proportion() {
        assert_eq!(bar(8.0, 8.0), "█".repeat(BAR));
        assert_eq!(bar(4.0, 8.0), "█".repeat(BAR / 2));
        assert_eq!(bar(0.0, 8.0), "");
        assert_eq!(bar(1.0, 0.0), "");
        assert_eq!(bar(1.0, 320.0), "▏");
    }
}
