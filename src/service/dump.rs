//! Shows the traffic of relayed connections, piece by piece.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::warn;

use crate::transfer::End;

/// How a piece of traffic is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpStyle {
    /// Sixteen bytes a line, in hexadecimal and as text.
    Hex,
    /// Line by line, with what is not printable escaped.
    Text,
}

/// Writes each piece of traffic with its time, its connection and its direction: `>` from the
/// client to the target, `<` back.
pub struct Dump {
    style: DumpStyle,
    name: String,
    sink: Mutex<Sink>,
}

struct Sink {
    write: Box<dyn Write + Send>,
    /// Whether the last piece was not written.
    failed: bool,
}

impl Dump {
    /// One that writes to `sink`, piece after piece whole; `name` tells which it is.
    pub fn new(style: DumpStyle, name: String, sink: impl Write + Send + 'static) -> Self {
        let (write, failed) = (Box::new(sink), false);
        Self {
            style,
            name,
            sink: Mutex::new(Sink { write, failed }),
        }
    }

    /// Shows what was received from `from` on a connection.
    pub fn show(&self, connection: u64, from: End, bytes: &[u8]) {
        let arrow = match from {
            End::Near => '>',
            End::Far => '<',
        };
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let mut text = format!(
            "{time} connection={connection} {arrow} {} bytes\n",
            bytes.len()
        );
        match self.style {
            DumpStyle::Hex => hex(&mut text, arrow, bytes),
            DumpStyle::Text => escaped(&mut text, arrow, bytes),
        }
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the connections that are watched. It is told of once, and again
        // after it took something.
        let written = sink.write.write_all(text.as_bytes());
        let failed_before = std::mem::replace(&mut sink.failed, written.is_err());
        drop(sink);
        if let Err(error) = written
            && !failed_before
        {
            warn!(dump = %self.name, %error, "what passes is not all shown");
        }
    }
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump")
            .field("style", &self.style)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// `> 00000000  68 65 6c 6c 6f …  hello`
fn hex(text: &mut String, arrow: char, bytes: &[u8]) {
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        let printable = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let plain: String = bytes.iter().map(printable).collect();
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{arrow} {:08x}  {digits:<48} {plain}", line * 16);
    }
}

fn escaped(text: &mut String, arrow: char, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let _ = writeln!(text, "{arrow} {}", line.escape_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_shows_offset_bytes_and_text() {
        let mut text = String::new();
        hex(&mut text, '>', b"hello, world\r\n\x00\xffmore");
        assert_eq!(
            text,
            "> 00000000  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 0d 0a 00 ff  hello, world....\n\
             > 00000010  6d 6f 72 65                                      more\n"
        );
    }

    #[test]
    fn text_shows_lines_with_what_is_not_printable_escaped() {
        let mut text = String::new();
        escaped(&mut text, '<', b"one\r\ntwo\x00");
        assert_eq!(text, "< one\\r\\n\n< two\\x00\n");
    }
}
