//! Formats text for a terminal: colours, and lines that fit.

use anstyle::{AnsiColor, Style};

use super::standard;

/// The styles of the parts of a text; all plain without colours.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Styles {
    pub(crate) title: Style,
    pub(crate) call: Style,
    pub(crate) held: Style,
    pub(crate) failed: Style,
}

impl Styles {
    /// Those for the standard output.
    pub(crate) fn of_output() -> Self {
        Self::coloured(standard::shows_colours())
    }

    /// Those for standard error.
    pub(crate) fn of_errors() -> Self {
        Self::coloured(standard::shows_coloured_errors())
    }

    fn coloured(is_coloured: bool) -> Self {
        match is_coloured {
            true => Self {
                title: Style::new().bold(),
                call: AnsiColor::Cyan.on_default(),
                held: AnsiColor::Green.on_default(),
                failed: AnsiColor::Red.on_default().bold(),
            },
            false => Self::default(),
        }
    }

    /// The text of an error, whose end may be a hint.
    pub(crate) fn error(self, text: &str, hint: Option<&str>) -> String {
        let Self { failed, call, .. } = self;
        let (cause, hint) = match hint.and_then(|hint| Some((text.strip_suffix(hint)?, hint))) {
            Some((cause, hint)) => (cause, format!("{call}{hint}{call:#}")),
            None => (text, String::new()),
        };
        format!("{failed}sok:{failed:#} {cause}{hint}")
    }

    /// A table with its head, and its verdicts `yes` and `no` after the first column, which has these
    /// `columns`.
    pub(crate) fn table(self, text: &str, columns: usize) -> String {
        let styled = |(number, line): (usize, &str)| {
            if number == 0 {
                return self.head(line);
            }
            let at = line
                .char_indices()
                .nth(columns)
                .map_or(line.len(), |(at, _)| at);
            let (name, cells) = line.split_at(at);
            let cells = cells.split(' ').map(|word| {
                let style = match word {
                    "yes" => self.held,
                    "no" => self.failed,
                    _ => return word.to_owned(),
                };
                format!("{style}{word}{style:#}")
            });
            format!("{name}{}\n", cells.collect::<Vec<_>>().join(" "))
        };
        text.lines().enumerate().map(styled).collect()
    }

    /// The head of a table.
    pub(crate) fn head(self, line: &str) -> String {
        format!("{0}{line}{0:#}\n", self.title)
    }
}

/// Wraps the words of `text` into lines of at most `width` columns, unless a word is longer; the
/// first line starts with `first`, the others with `rest`.
pub(crate) fn wrapped(text: &str, width: usize, first: &str, rest: &str) -> String {
    let columns = |text: &str| text.chars().count();
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && columns(&line) + 1 + columns(word) > width {
            lines += &line;
            lines.push('\n');
            rest.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}

/// `first` and `text` on one line, if it fits into `width`; otherwise [`wrapped`].
pub(crate) fn fitted(text: &str, width: Option<usize>, first: &str, rest: &str) -> String {
    let line = format!("{first}{text}\n");
    match width {
        Some(width) if line.chars().count() > width + 1 => wrapped(text, width, first, rest),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_bold_head_and_coloured_verdicts_but_no_coloured_names() {
        let text = "     unix  inet\nno   yes   no\n";
        assert_eq!(Styles::default().table(text, 3), text);
        let wanted = "\u{1b}[1m     unix  inet\u{1b}[0m\n\
            no   \u{1b}[32myes\u{1b}[0m   \u{1b}[1m\u{1b}[31mno\u{1b}[0m\n";
        assert_eq!(Styles::coloured(true).table(text, 3), wanted);
    }

    #[test]
    fn words_are_wrapped_between_words() {
        let text = "one two\nthree four";
        assert_eq!(
            wrapped(text, 11, "> ", "  "),
            "> one two\n  three\n  four\n"
        );
        assert_eq!(wrapped(text, 80, "", ""), "one two three four\n");
        assert_eq!(wrapped("a longest b", 3, "", ""), "a\nlongest\nb\n");
    }

    #[test]
    fn a_line_that_fits_keeps_its_blanks() {
        assert_eq!(fitted("a  b", Some(4), "", ""), "a  b\n");
        assert_eq!(fitted("a  b", None, "", ""), "a  b\n");
        assert_eq!(fitted("a  b", Some(3), "", "- "), "a b\n");
        assert_eq!(fitted("a  b", Some(2), "", "- "), "a\n- b\n");
    }
}
