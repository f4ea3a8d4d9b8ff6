//! Makes untrusted text safe to print: it stays on its line, and contains nothing invisible and
//! nothing that changes the text around it.
//!
//! ```
//! use sok::escape::word;
//!
//! assert_eq!(word("a peer\u{1b}[2J"), r"a\x20peer\x1b[2J");
//! ```

use std::fmt::{self, Write};

/// Writes `bytes` as text; bytes that are not UTF-8, and characters that `keeps` refuses, become
/// `\xNN` for each byte.
pub fn escape(bytes: &[u8], keeps: impl Fn(char) -> bool, text: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match keeps(c) {
                true => text.write_char(c)?,
                false => write_hex(c.encode_utf8(&mut [0; 4]).as_bytes(), text)?,
            }
        }
        write_hex(chunk.invalid(), text)?;
    }
    Ok(())
}

fn write_hex(bytes: &[u8], text: &mut impl Write) -> fmt::Result {
    let mut bytes = bytes.iter();
    bytes.try_for_each(|byte| write!(text, "\\x{byte:02x}"))
}

/// A name as one word: blanks and invisible characters become `\xNN`.
pub fn word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    // Writing to a String cannot fail.
    let _ = escape(name.as_bytes(), is_part_of_word, &mut word);
    word
}

/// Whether a character is visible and not a blank.
pub fn is_part_of_word(c: char) -> bool {
    c != ' ' && is_visible(c)
}

/// Whether a character is visible, or a space: it is not a control character, and does not change
/// the text direction, break the line, look like another blank or show nothing.
pub fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library escapes unprintable characters, and combining marks only at the start.
    let escaped = String::from_iter(['a', c]);
    escaped.escape_debug().nth(1) == Some(c) && !is_blank(c)
}

/// The letters, marks and symbols that show nothing: those of Unicode's
/// `Default_Ignorable_Code_Point`, and the Braille pattern without a dot.
const fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::is_visible;

    #[test]
    fn letters_marks_and_symbols_of_any_script_are_visible() {
        for text in [
            " a~",
            "é",
            "e\u{301}",
            "你好",
            "नमस्ते",
            "สวัสดี",
            "עִבְרִית",
            "→",
            "🦀",
        ] {
            assert!(text.chars().all(is_visible), "{text:?}");
        }
    }

    #[test]
    fn characters_that_control_hide_or_break_the_text_are_not_visible() {
        let controls = ('\0'..' ').chain('\u{7f}'..='\u{9f}');
        let directions = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        let marks = ['\u{200e}', '\u{200f}', '\u{61c}'];
        let no_width = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];
        let breaks = ['\u{2028}', '\u{2029}'];
        let blanks = [
            '\u{a0}', '\u{2003}', '\u{3000}', '\u{3164}', '\u{2800}', '\u{fe0f}',
        ];
        let others = ['\u{ad}', '\u{e0041}', '\u{e000}', '\u{fff9}', '\u{ffff}'];
        let all = controls.chain(directions).chain(marks).chain(no_width);
        for c in all.chain(breaks).chain(blanks).chain(others) {
            assert!(!is_visible(c), "{c:?}");
        }
    }
}
