//! The formats of a dump.

use std::io::Write;

/// The format of a piece of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DumpStyle {
    /// Sixteen bytes a line, in hexadecimal and as text.
    Hex,
    /// Line by line, with escapes for characters that are not printable.
    Text,
}

impl DumpStyle {
    /// Appends `bytes` to `text`, each line after an `arrow` for the direction.
    pub(super) fn write(self, text: &mut Vec<u8>, arrow: char, bytes: &[u8]) {
        match self {
            Self::Hex => hex(text, arrow, bytes),
            Self::Text => escaped(text, arrow, bytes),
        }
    }
}

/// `> 00000000  68 65 6c 6c 6f …  hello`
fn hex(text: &mut Vec<u8>, arrow: char, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (line, bytes) in bytes.chunks(16).enumerate() {
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{arrow} {:08x}  ", line * 16);
        for byte in bytes {
            let (high, low) = (byte >> 4, byte & 15);
            text.extend([DIGITS[usize::from(high)], DIGITS[usize::from(low)], b' ']);
        }
        text.extend(std::iter::repeat_n(b' ', 3 * (16 - bytes.len()) + 1));
        text.extend(bytes.iter().map(|byte| match byte {
            b' '..=b'~' => *byte,
            _ => b'.',
        }));
        text.push(b'\n');
    }
}

fn escaped(text: &mut Vec<u8>, arrow: char, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let _ = writeln!(text, "{arrow} {}", line.escape_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_shows_offset_bytes_and_text() {
        let mut text = Vec::new();
        hex(&mut text, '>', b"hello, world\r\n\x00\xffmore");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "> 00000000  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 0d 0a 00 ff  hello, world....\n\
             > 00000010  6d 6f 72 65                                      more\n"
        );
    }

    #[test]
    fn text_shows_lines_with_escapes_for_unprintable_characters() {
        let mut text = Vec::new();
        escaped(&mut text, '<', b"one\r\ntwo\x00");
        assert_eq!(String::from_utf8_lossy(&text), "< one\\r\\n\n< two\\x00\n");
    }
}
