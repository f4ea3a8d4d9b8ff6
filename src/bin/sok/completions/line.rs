//! A command line that bash completes. Bash passes the line as it was typed, and replaces only the part
//! of the last word after its last break character, such as a colon.

/// A command line up to the cursor.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The words before the last one, without quotes.
    pub(crate) words: Vec<String>,
    /// The last word, without quotes.
    pub(crate) word: String,
    /// Whether the last word is the file of a redirection.
    pub(crate) is_redirection: bool,
    /// How much of `word` stays in the line.
    kept: usize,
    /// The quote that is open where the replaced part begins.
    quote: Option<char>,
}

/// A word of the line.
#[derive(Debug, Default)]
struct Word {
    value: String,
    has_begun: bool,
    is_redirection: bool,
}

impl Line {
    /// Reads the line; bash replaces `replaced`, its last part.
    pub(crate) fn read(line: &str, replaced: &str) -> Self {
        let kept = line.strip_suffix(replaced).unwrap_or(line);
        let (mut words, word, _) = split(line);
        let (before, last, quote) = split(kept);
        // The replaced part may be a whole word.
        let kept = match before.len() == words.len() {
            true => last.value.len(),
            false => 0,
        };
        words.retain(|word| !word.is_redirection);
        Self {
            words: words.into_iter().map(|word| word.value).collect(),
            kept: if word.value.is_char_boundary(kept) {
                kept
            } else {
                0
            },
            is_redirection: word.is_redirection,
            word: word.value,
            quote,
        }
    }

    /// The part of `value`, a completion of the last word, that replaces what bash replaces.
    pub(crate) fn replacement(&self, value: &str, is_complete: bool) -> Option<String> {
        let rest = value.get(self.kept..)?;
        let quoted: String = rest
            .chars()
            .map(|c| match (self.quote, c) {
                (Some('\''), '\'') => "'\\''".to_owned(),
                (Some('\''), _) => c.to_string(),
                // History is expanded also after a backslash.
                (Some('"'), '!') => "\"'!'\"".to_owned(),
                (Some('"'), '"' | '\\' | '$' | '`') => format!("\\{c}"),
                (Some('"'), _) => c.to_string(),
                (_, c) if is_plain(c) => c.to_string(),
                (_, c) => format!("\\{c}"),
            })
            .collect();
        // Bash itself closes a quote.
        let end = if is_complete && self.quote.is_none() {
            " "
        } else {
            ""
        };
        Some(quoted + end)
    }
}

/// Whether the character means itself without quotes.
fn is_plain(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "/.:@_-+,=%".contains(c)
}

/// The words before the last, the last, and the quote that is open at the end.
fn split(line: &str) -> (Vec<Word>, Word, Option<char>) {
    let mut words = Vec::new();
    let mut word = Word::default();
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        word.has_begun |= !matches!(c, ' ' | '\t' | '\n' | '<' | '>');
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') if chars.peek().is_some_and(|c| "\"\\$`".contains(*c)) => {
                word.value.extend(chars.next());
            }
            (None, '"' | '\'') => quote = Some(c),
            (None, '\\') => word.value.extend(chars.next()),
            (None, ' ' | '\t' | '\n') => {
                if word.has_begun {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, '<' | '>') => {
                // A number before it is its descriptor.
                if word.has_begun && !word.value.bytes().all(|byte| byte.is_ascii_digit()) {
                    words.push(std::mem::take(&mut word));
                }
                word = Word {
                    is_redirection: true,
                    ..Word::default()
                };
            }
            (_, c) => word.value.push(c),
        }
    }
    (words, word, quote)
}

#[cfg(test)]
mod tests {
    use super::Line;

    fn completed(line: &str, replaced: &str, value: &str) -> Option<String> {
        let read = Line::read(line, replaced);
        assert!(value.starts_with(&read.word), "{read:?}");
        read.replacement(value, true)
    }

    #[test]
    fn only_the_part_that_bash_replaces_is_completed() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(completed("sok ca", "ca", "call"), some("call "));
        assert_eq!(
            completed("sok call unix:@na", "na", "unix:@name"),
            some("name ")
        );
        assert_eq!(completed("sok call ", "", "unix:@n"), some("unix:@n "));
        assert_eq!(
            completed("sok call unix:/a\\ b/c", "/a\\ b/c", "unix:/a b/c d"),
            some("/a\\ b/c\\ d ")
        );
        assert_eq!(
            completed("sok call '/a b", "/a b", "/a b's"),
            some("/a b'\\''s")
        );
        assert_eq!(
            completed("sok call \"/a b", "/a b", "/a b$(x)`!"),
            some("/a b\\$(x)\\`\"'!'\"")
        );
    }

    #[test]
    fn redirections_are_no_words() {
        let read = Line::read("sok call ./s 2>/dev/null < file --ti", "--ti");
        assert_eq!(read.words, ["sok", "call", "./s"]);
        assert_eq!(read.word, "--ti");
        assert!(Line::read("sok call ./s < fi", "fi").is_redirection);
        assert!(Line::read("sok call ./s 2>", "").is_redirection);
    }

    #[test]
    fn any_line_is_read() {
        for line in [
            "",
            "'",
            "\"\\",
            "a\\",
            "< > <",
            "\u{fc}\\\u{fc}",
            "sok \"a'b\" 'c",
        ] {
            for at in (0..=line.len()).filter(|at| line.is_char_boundary(*at)) {
                let read = Line::read(line, &line[at..]);
                let value = read.word.clone() + "\u{fc} x";
                assert!(read.replacement(&value, true).is_some(), "{line:?} {at}");
            }
        }
    }
}
