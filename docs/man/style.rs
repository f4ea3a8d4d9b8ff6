//! Text in the style of man pages: options and references in bold, values in italics.

/// A line of plain text.
pub fn line(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    let escaped = escaped.replace('^', "\\(ha").replace('~', "\\(ti");
    let text = marked(&escaped);
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// What clap_mangen renders, with values without brackets, and marked words in the texts.
pub fn dressed(text: &str) -> String {
    let mut dressed = String::new();
    let mut has_values = false;
    let mut rows = text.lines();
    while let Some(row) = rows.next() {
        if row == ".TP" {
            dressed += if has_values { ".RE\n.TP\n" } else { ".TP\n" };
            has_values = false;
            dressed += &(header(rows.next().unwrap_or_default()) + "\n");
            continue;
        }
        // Each value of an option is an entry in its text.
        if is_value(row) {
            dressed += if has_values { ".TP\n" } else { ".RS\n.TP\n" };
            has_values = true;
        }
        dressed += &(marked(row).replace("See below", "See NOTES") + "\n");
    }
    dressed + if has_values { ".RE\n" } else { "" }
}

/// An option and its value, or an argument: without the brackets, which the synopsis has, and without the
/// default, which is no part of what is typed.
fn header(row: &str) -> String {
    let row = row.split(" [default: ").next().unwrap_or(row);
    let row = row.replace(">...\\fR", "\\fR...");
    let row = row.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR");
    match row.starts_with(['[', '<']) {
        true => row.replace(['[', ']', '<', '>'], ""),
        false => row,
    }
}

fn is_value(row: &str) -> bool {
    let code = row.strip_prefix('`').and_then(|row| row.strip_suffix('`'));
    code.is_some_and(|code| !code.contains([' ', '`']))
}

/// Marks options, code in backquotes, and references to pages, in text that is escaped.
fn marked(text: &str) -> String {
    let mut marked = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            marked += &format!("\\fB{part}\\fR");
            continue;
        }
        for (place, word) in part.split(' ').enumerate() {
            marked += if place > 0 { " " } else { "" };
            marked += &word_marked(word);
        }
    }
    marked
}

fn word_marked(word: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '\\' | '-' | '_');
    // An apostrophe is one character, written as several.
    let begin = match word.strip_prefix("\\(aq") {
        Some(rest) => word.len() - rest.len(),
        None => word.find(is_name).unwrap_or(0),
    };
    let (before, rest) = word.split_at(begin);
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let end = rest.find("\\(aq").map_or(end, |at| at.min(end));
    let (name, after) = rest.split_at(end);
    if name.starts_with("\\-\\-") && name.len() > 4 {
        return format!("{before}\\fB{name}\\fR{after}");
    }
    let is_page = after.len() >= 3
        && after.starts_with('(')
        && after[1..2].chars().all(|c| c.is_ascii_digit())
        && after[2..].starts_with(')');
    match is_page && !name.is_empty() {
        true => format!("{before}\\fB{name}\\fR{after}"),
        false => word.to_owned(),
    }
}

/// The usage of clap, such as `Usage: sok call [OPTIONS] <ADDRESS>`.
pub fn synopsis(usage: &str) -> String {
    let mut text = String::new();
    for row in usage.trim_start_matches("Usage: ").lines() {
        let is_typed = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        let words: Vec<&str> = row.split_whitespace().collect();
        let typed = words.iter().take_while(|word| is_typed(word)).count();
        let (typed, others) = words.split_at(typed);
        text += &format!(".B {}\n", typed.join(" "));
        for word in others {
            let value = word.replace('-', "\\-").replace(['<', '>'], "");
            let name = |c: char| c.is_ascii_uppercase();
            let shown = match (value.find(name), value.rfind(name)) {
                (Some(first), Some(last)) => {
                    let (before, after) = (&value[..first], &value[last + 1..]);
                    format!("{before}\\fI{}\\fR{after}", &value[first..=last])
                }
                _ => value,
            };
            // Dots at the end of a line would be the end of a sentence.
            let dots = if shown.ends_with('.') { "\\&" } else { "" };
            text += &(shown + dots + "\n");
        }
    }
    text
}
