//! Escapes the output of a peer for a terminal.

use std::fmt::Write;

use crate::escape::escape;

/// Escapes what could control the terminal: all control characters except tab, newline and CR LF. A
/// character, or CR LF, may come in parts.
#[derive(Debug, Default)]
pub(super) struct Shown {
    part: Vec<u8>,
}

impl Shown {
    /// The text that is complete with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        self.part.extend_from_slice(bytes);
        let rest = self.part.split_off(whole(&self.part));
        let taken = std::mem::replace(&mut self.part, rest);
        shown(&taken)
    }

    /// The incomplete rest, at end of file.
    pub(super) fn finish(&mut self) -> String {
        shown(&std::mem::take(&mut self.part))
    }
}

/// The number of bytes before an incomplete character or line end.
fn whole(bytes: &[u8]) -> usize {
    if let Some(line) = bytes.strip_suffix(b"\r") {
        return line.len();
    }
    let last = bytes.utf8_chunks().last();
    // Only a truncated invalid sequence may become valid.
    let cut = last.map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => bytes.len() - cut.len(),
        _ => bytes.len(),
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let keeps = |c: char| matches!(c, '\t' | '\n') || !c.is_control();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\r\n") {
            Some(line) => (line, "\r\n"),
            None => (line, ""),
        };
        // Writing to a String never fails.
        let _ = escape(line, keeps, &mut text).and_then(|()| text.write_str(end));
    }
    text
}

/// Escapes input in pieces: see [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(pieces: &[&[u8]]) -> String {
    let mut shown = Shown::default();
    let text: String = pieces.iter().map(|piece| shown.take(piece)).collect();
    text + &shown.finish()
}

#[cfg(test)]
mod tests {
    use super::Shown;

    /// The same bytes at once, one by one, and cut in two at every place.
    fn assert_shown(bytes: &[u8], want: &str) {
        let cuts = (0..=bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
        for pieces in cuts.chain([bytes.chunks(1).collect()]) {
            assert_eq!(super::fuzz(&pieces), want, "{pieces:?}");
        }
    }

    #[test]
    fn text_is_shown_as_it_is_however_it_is_cut() {
        let text = "a\tb\r\nc\n\\x1b 你好 e\u{301} 👩\u{200d}🚀 שלום\r\n";
        assert_shown(text.as_bytes(), text);
    }

    #[test]
    fn control_characters_are_escaped_however_they_are_cut() {
        assert_shown(b"\x1b[2J\x07\x08\x7f\0", r"\x1b[2J\x07\x08\x7f\x00");
        assert_shown(b"\x1b]0;title\x1b\\", r"\x1b]0;title\x1b\");
        // C1, as UTF-8 and as single bytes.
        assert_shown("\u{9b}2J".as_bytes(), r"\xc2\x9b2J");
        assert_shown(b"\x9b2J\xff\xe4\xbd!", r"\x9b2J\xff\xe4\xbd!");
        assert_shown(b"over\rwritten\r\r\n\r", "over\\x0dwritten\\x0d\r\n\\x0d");
        assert_shown(b"cut \xe4\xbd", r"cut \xe4\xbd");
    }

    #[test]
    fn nothing_waits_that_is_whole() {
        let mut shown = Shown::default();
        assert_eq!(shown.take("你".as_bytes()), "你");
        assert_eq!(shown.take(b"a\xe4\xbd"), "a");
        assert_eq!(shown.take(b"\xa0\r"), "\u{4f60}");
        assert_eq!(shown.take(b"\n"), "\r\n");
    }
}
