//! Messages come out of a stream as they went in, wherever it is cut.

use proptest::collection::vec;
use proptest::prelude::*;
use sok::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};

const LIMIT: usize = 40;

fn any_framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::Line),
        Just(Framing::Null),
        Just(Framing::Length)
    ]
}

/// Messages that the framing can hold.
fn any_messages() -> impl Strategy<Value = (Framing, Vec<Vec<u8>>)> {
    (any_framing(), vec(vec(any::<u8>(), 0..=LIMIT), 0..20)).prop_map(|(framing, mut all)| {
        if let Some(delimiter) = framing.delimiter().first() {
            all.iter_mut()
                .for_each(|message| message.retain(|byte| byte != delimiter));
        }
        (framing, all)
    })
}

fn framed(format: MessageFormat, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(message);
        Some(())
    };
    format.enclose(&mut out, write).unwrap();
    out
}

/// Cuts `stream` into pieces of the given sizes, the last one its rest.
fn pieces<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    for size in sizes {
        let (piece, rest) = stream.split_at(stream.len().min(*size));
        all.push(piece);
        stream = rest;
    }
    all.push(stream);
    all
}

/// All the messages of `decoder` and `received`. Whenever `stops` returns true, the decoder keeps the
/// rest, and the messages are taken from there.
fn take_all(
    decoder: &mut MessageDecoder,
    mut received: &[u8],
    stops: &mut impl Iterator<Item = bool>,
    got: &mut Vec<Vec<u8>>,
) -> std::io::Result<()> {
    while let Some(message) = decoder.next_message(&mut received)? {
        got.push(message.to_vec());
        if stops.next() == Some(true) {
            decoder.keep(&mut received)?;
        }
    }
    assert!(received.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn messages_come_whole_and_in_order_however_they_are_cut(
        (framing, messages) in any_messages(),
        end in any::<proptest::sample::Index>(),
        sizes in vec(1..60_usize, 0..60),
        stops in vec(any::<bool>(), 80),
    ) {
        let format = MessageFormat { framing, max_message: LIMIT };
        let frames: Vec<Vec<u8>> = messages.iter().map(|message| framed(format, message)).collect();
        // The peer may end anywhere.
        let mut stream = frames.concat();
        stream.truncate(end.index(stream.len() + 1));
        let (mut whole, mut length) = (0, 0);
        while let Some(frame) = frames.get(whole).filter(|frame| length + frame.len() <= stream.len()) {
            length += frame.len();
            whole += 1;
        }
        let memory = MemoryLimit::default();
        let mut decoder = MessageDecoder::new(format, memory.clone());
        let (mut got, mut stops) = (Vec::new(), stops.into_iter());
        for piece in pieces(&stream, &sizes) {
            take_all(&mut decoder, piece, &mut stops, &mut got).unwrap();
        }
        prop_assert_eq!(&got[..], &messages[..whole]);
        prop_assert_eq!(decoder.finish().is_ok(), length == stream.len());
        prop_assert_eq!(memory.taken() == 0, length == stream.len());
        let header = stream[length..].len() - decoder.unfinished().len();
        let header_max = if framing == Framing::Length { 4 } else { 0 };
        prop_assert!(header <= header_max);
        drop(decoder);
        prop_assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn a_message_above_the_limit_is_refused_however_it_is_cut(
        (framing, messages) in any_messages(),
        beyond in 1..100_usize,
        sizes in vec(1..60_usize, 0..60),
    ) {
        let format = MessageFormat { framing, max_message: LIMIT };
        let mut stream: Vec<u8> = messages.iter().flat_map(|message| framed(format, message)).collect();
        stream.extend(framed(format, &vec![b'x'; LIMIT + beyond]));
        let memory = MemoryLimit::default();
        let mut decoder = MessageDecoder::new(format, memory.clone());
        let mut got = Vec::new();
        let ended = pieces(&stream, &sizes)
            .into_iter()
            .try_for_each(|piece| take_all(&mut decoder, piece, &mut std::iter::empty(), &mut got));
        prop_assert_eq!(ended.map_err(|error| error.kind()), Err(std::io::ErrorKind::InvalidData));
        prop_assert_eq!(got, messages);
        // No more of it is kept than a message may have.
        prop_assert!(memory.taken() <= LIMIT + 60, "{}", memory.taken());
    }

    #[test]
    fn no_bytes_make_the_reader_of_frames_panic(
        framing in prop_oneof![any_framing(), Just(Framing::Chunk)],
        stream in vec(prop_oneof![Just(0_u8), Just(b'\n'), any::<u8>()], 0..300),
        sizes in vec(1..60_usize, 0..60),
    ) {
        let memory = MemoryLimit::default();
        let mut decoder = MessageDecoder::new(MessageFormat { framing, max_message: LIMIT }, memory.clone());
        for mut piece in pieces(&stream, &sizes) {
            while let Ok(Some(message)) = decoder.next_message(&mut piece) {
                prop_assert!(framing == Framing::Chunk || message.len() <= LIMIT);
            }
            prop_assert!(memory.taken() <= LIMIT + 60, "{}", memory.taken());
        }
        let _ = (decoder.finish(), decoder.unfinished());
    }
}
