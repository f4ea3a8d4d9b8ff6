//! The functions that `scripts/fuzz` runs: the parsers of untrusted input. Each takes any bytes,
//! and panics if an assertion fails.
//!
//! For the tests and the fuzzer only, not a part of the library: the parsers are private.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::address::{self, SUN_PATH_MAX, UnixName};
use crate::error::ErrorKind;
use crate::escape::{is_part_of_word, is_visible};
use crate::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets, by the names of their programs in `fuzz/` and of their folders of inputs.
pub const TARGETS: [(&str, Target); 8] = [
    ("address", address),
    ("escapes", escapes),
    ("frames", frames),
    ("proc_rows", proc_rows),
    ("proxy_header", proxy_header),
    ("rules", rules),
    ("sock_diag", sock_diag),
    ("terminal", terminal),
];

/// An address: its printed form parses as the same address, and an error is a usage error.
pub fn address(word: &[u8]) {
    match address::Target::parse(OsStr::from_bytes(word)) {
        Ok(target) => {
            let printed = target.to_string();
            assert!(printed.chars().all(is_part_of_word), "{printed:?}");
            let again = address::Target::parse(&printed);
            assert_eq!(again.ok().as_ref(), Some(&target), "{printed:?}");
            for socket_type in address::SocketType::ALL {
                typed(&target, socket_type);
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().chars().all(is_visible), "{error}");
        }
    }
}

/// The name of an address with another type: its printed form parses as the same address too, or
/// the family has no such sockets.
fn typed(target: &address::Target, socket_type: address::SocketType) {
    let Some(address) = target.as_address() else {
        return;
    };
    let has_it = address.family().types().contains(&socket_type);
    match address.clone().with_type(socket_type) {
        Ok(typed) => {
            let printed = typed.to_string();
            assert_eq!(printed.parse().ok(), Some(typed), "{printed:?}");
            assert!(has_it);
        }
        Err(error) => assert!(!has_it && error.kind() == ErrorKind::Usage),
    }
}

/// The name of a local socket: any bytes can be printed on one line, and parsed again.
pub fn escapes(name: &[u8]) {
    let short = &name[..name.len().min(SUN_PATH_MAX)];
    let names = [
        UnixName::abstract_name(short),
        UnixName::path(name),
        UnixName::from_escaped(name),
    ];
    for name in names.into_iter().flatten() {
        let printed = name.to_string();
        assert!(printed.chars().all(is_part_of_word), "{printed:?}");
        assert_eq!(UnixName::from_escaped(printed.as_bytes()), Ok(name));
    }
}

/// Messages in a stream: the first byte chooses the framing, the second the maximum size of a
/// message, the third the number of the cuts that follow; the rest is the stream. However it is
/// cut, it gives the same messages and the same error, and the framed messages are the stream
/// again. No more is kept than has arrived.
pub fn frames(input: &[u8]) {
    let [framing, max_message, cuts, rest @ ..] = input else {
        return;
    };
    let framings = [
        Framing::Chunk,
        Framing::Line,
        Framing::Null,
        Framing::Length,
    ];
    let format = MessageFormat {
        framing: framings[usize::from(*framing) % framings.len()],
        max_message: usize::from(*max_message),
    };
    let (cuts, stream) = rest.split_at(usize::from(*cuts).min(rest.len()));
    let whole = read(format, &[Piece::new(stream, false)]);
    let cut = read(format, &pieces(stream, cuts));

    let frames = framed(format, &whole.messages);
    assert_eq!(frames, framed(format, &cut.messages));
    assert_eq!(whole.failure, cut.failure);
    assert!(stream.starts_with(&frames));
    assert_eq!(whole.failure.is_none(), frames == stream);
    if format.framing != Framing::Chunk {
        assert_eq!(whole.messages, cut.messages);
        let fits = |message: &Vec<u8>| message.len() <= format.max_message;
        assert!(whole.messages.iter().all(fits));
    }
}

/// The data of one receive; with `pauses` it is kept after each message, as while a peer does not
/// read replies.
struct Piece<'a> {
    bytes: &'a [u8],
    pauses: bool,
}

impl<'a> Piece<'a> {
    const fn new(bytes: &'a [u8], pauses: bool) -> Self {
        Self { bytes, pauses }
    }
}

/// The result of a stream.
struct Read {
    messages: Vec<Vec<u8>>,
    failure: Option<String>,
}

fn read(format: MessageFormat, pieces: &[Piece<'_>]) -> Read {
    let mut messages = Vec::new();
    let limit = MemoryLimit::new(usize::MAX);
    let mut decoder = MessageDecoder::new(format, limit.clone());
    let mut take = || {
        let mut come = 0;
        for piece in pieces {
            come += piece.bytes.len();
            let mut received = piece.bytes;
            while let Some(message) = decoder.next_message(&mut received)? {
                messages.push(message.to_vec());
                if piece.pauses {
                    decoder.keep(&mut received)?;
                }
                assert!(limit.taken() <= 2 * come);
            }
            assert!(received.is_empty() && limit.taken() <= 2 * come);
        }
        decoder.finish()
    };
    let failure = take().err().map(|error| error.to_string());
    assert!(failure.is_some() || limit.taken() == 0);
    Read { messages, failure }
}

/// Cuts a stream: the lower bits are the length of a piece, the highest bit pauses.
fn pieces<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (bytes, rest) = stream.split_at(usize::from(cut & 0x7f).min(stream.len()));
        pieces.push(Piece::new(bytes, cut & 0x80 != 0));
        stream = rest;
    }
    pieces.push(Piece::new(stream, false));
    // A receive of 0 bytes is end of file.
    pieces.retain(|piece| !piece.bytes.is_empty());
    pieces
}

fn framed(format: MessageFormat, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = Vec::new();
    for message in messages {
        let enclosed = format.enclose(&mut frames, |out| {
            out.extend_from_slice(message);
            Some(())
        });
        assert!(matches!(enclosed, Ok(Some(()))));
    }
    frames
}

/// The kernel's tables of connections, `/proc/net/tcp` and `/proc/net/tcp6`.
pub fn proc_rows(table: &[u8]) {
    let Ok(table) = std::str::from_utf8(table) else {
        return;
    };
    crate::net::is_ending_at(8082, table);
}

/// The PROXY header at the beginning of a stream.
pub fn proxy_header(stream: &[u8]) {
    crate::net::fuzz_proxy_header(stream);
}

/// A file of rules: it is read or refused, and its list decides as its rules do one after the other.
pub fn rules(text: &[u8]) {
    crate::access::fuzz_rules(text);
}

/// An answer of `sock_diag(7)`.
pub fn sock_diag(answer: &[u8]) {
    crate::net::fuzz_sock_diag(answer);
}

/// Text of a peer for a terminal: the first byte says where to cut. However it is cut, the same is
/// printed, and nothing in it controls the terminal.
pub fn terminal(input: &[u8]) {
    let Some((cut, said)) = input.split_first() else {
        return;
    };
    let (first, second) = said.split_at(usize::from(*cut).min(said.len()));
    let whole = crate::client::fuzz_shown(&[said]);
    assert_eq!(whole, crate::client::fuzz_shown(&[first, second]));
    let single: Vec<&[u8]> = said.chunks(1).collect();
    assert_eq!(whole, crate::client::fuzz_shown(&single));
    let text = whole.replace("\r\n", "").replace(['\t', '\n'], "");
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    use super::TARGETS;

    #[test]
    fn the_kept_inputs_break_no_promise() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in TARGETS {
            let inputs = fs::read_dir(corpus.join(name)).expect(name);
            let mut count = 0;
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                assert!(
                    catch_unwind(|| target(&bytes)).is_ok(),
                    "{}",
                    path.display()
                );
                count += 1;
            }
            assert!(count > 0, "{name} has no inputs");
        }
    }
}
