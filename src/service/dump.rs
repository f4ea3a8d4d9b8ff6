//! Dumps the traffic of relayed connections.

mod style;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

pub use self::style::DumpStyle;
use crate::error::Result;
use crate::offload::no_thread;
use crate::transfer::Side;

/// The maximum of traffic that waits to be written; beyond it, traffic is left out until half of it
/// has been written.
pub const DUMP_QUEUE: usize = 16 << 20;
/// The memory of a piece in addition to its bytes.
const PIECE_SIZE: usize = size_of::<Item>();
/// The time that the end of a dump waits for the rest to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// The output of a dump. A write may block: it runs on a separate thread.
pub trait DumpSink: Write + Send + 'static {
    /// Reopens the output, since its file may have been renamed.
    ///
    /// # Errors
    /// Errors of the open; then the old file stays open.
    fn reopen(&mut self) -> io::Result<()>;
}

/// Writes each piece of traffic with its time, its connection and its direction: `>` from the
/// client to the target, `<` back.
///
/// A separate thread writes, so that a slow reader does not delay the traffic. Up to [`DUMP_QUEUE`]
/// bytes wait for it; a line in the dump says how much was left out there, and
/// [`finish`](Self::finish) reports the total.
pub struct Dump {
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// The maximum of waiting bytes.
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// The waiting bytes, in the queue or with the thread.
    waiting: Amount,
    /// Whether the queue was full and is not yet half empty.
    is_full: bool,
    left_out: Amount,
    is_ending: bool,
    has_ended: bool,
}

enum Item {
    Piece(Piece),
    LeftOut(Amount),
    Reopen,
}

struct Piece {
    time: SystemTime,
    connection: u64,
    from: Side,
    bytes: Box<[u8]>,
}

#[derive(Default, Clone, Copy)]
struct Amount {
    pieces: usize,
    bytes: usize,
}

impl Amount {
    const fn add(&mut self, bytes: usize) {
        self.pieces += 1;
        self.bytes += bytes;
    }

    const fn remove(&mut self, bytes: usize) {
        self.pieces -= 1;
        self.bytes -= bytes;
    }

    /// The memory of this many pieces.
    const fn memory(self) -> usize {
        self.bytes + self.pieces * PIECE_SIZE
    }
}

impl Dump {
    /// A dump to `sink`; messages use its name.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(style: DumpStyle, name: String, sink: impl DumpSink) -> Result<Self> {
        Self::with_room(DUMP_QUEUE, style, name, sink)
    }

    fn with_room(room: usize, style: DumpStyle, name: String, sink: impl DumpSink) -> Result<Self> {
        let shared = Arc::new(Shared {
            room,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Writer {
            style,
            name: name.clone(),
            sink,
            text: Vec::new(),
            is_cut: false,
            has_failed: false,
        };
        let queue = Arc::clone(&shared);
        let started = thread::Builder::new()
            .name("dump".to_owned())
            .spawn(move || writer.run(&queue));
        started.map_err(|error| no_thread("dump", &name, error))?;
        Ok(Self { name, shared })
    }

    /// Dumps bytes received from `from` on a connection.
    pub fn show(&self, connection: u64, from: Side, bytes: &[u8]) {
        let mut state = self.shared.lock();
        let was_full = state.is_full;
        let room = if was_full {
            self.shared.room / 2
        } else {
            self.shared.room
        };
        state.is_full = state.waiting.memory() + bytes.len() > room;
        if state.is_full {
            state.left_out.add(bytes.len());
            match state.queue.back_mut() {
                Some(Item::LeftOut(amount)) => amount.add(bytes.len()),
                _ => {
                    let mut amount = Amount::default();
                    amount.add(bytes.len());
                    state.queue.push_back(Item::LeftOut(amount));
                }
            }
        } else {
            state.waiting.add(bytes.len());
            state.queue.push_back(Item::Piece(Piece {
                time: SystemTime::now(),
                connection,
                from,
                bytes: bytes.into(),
            }));
        }
        let fills = state.is_full && !was_full;
        drop(state);
        self.shared.changed.notify_all();
        if fills {
            warn!(dump = %self.name, "the reader of the dump is too slow; traffic is left out");
        }
    }

    /// Reopens the sink after the traffic dumped so far.
    pub fn reopen(&self) {
        self.shared.lock().queue.push_back(Item::Reopen);
        self.shared.changed.notify_all();
    }

    /// Waits, for a limited time, until everything is written, and reports what was not.
    pub fn finish(&self) {
        let mut state = self.shared.lock();
        state.is_ending = true;
        self.shared.changed.notify_all();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, FLUSH, |state| !state.has_ended)
            .unwrap_or_else(PoisonError::into_inner);
        let pieces = state.left_out.pieces + state.waiting.pieces;
        let bytes = state.left_out.bytes + state.waiting.bytes;
        drop(state);
        if pieces > 0 {
            warn!(dump = %self.name, pieces, bytes, "the dump is incomplete; this was left out");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All waiting pieces; `None` at the end.
    fn take(&self) -> Option<VecDeque<Item>> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.is_ending;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.queue.is_empty() {
            state.has_ended = true;
            self.changed.notify_all();
            return None;
        }
        Some(std::mem::take(&mut state.queue))
    }
}

/// The state of the dump's thread.
struct Writer<S> {
    style: DumpStyle,
    name: String,
    sink: S,
    text: Vec<u8>,
    /// Whether the last text was written partially.
    is_cut: bool,
    /// Whether the last text was not written.
    has_failed: bool,
}

impl<S: DumpSink> Writer<S> {
    fn run(mut self, shared: &Shared) {
        while let Some(items) = shared.take() {
            for item in items {
                match item {
                    Item::Piece(piece) => {
                        let is_written = self.show(&piece);
                        let mut state = shared.lock();
                        state.waiting.remove(piece.bytes.len());
                        if !is_written {
                            state.left_out.add(piece.bytes.len());
                        }
                        drop(state);
                        shared.changed.notify_all();
                    }
                    Item::LeftOut(Amount { pieces, bytes }) => {
                        self.text.clear();
                        let time = humantime::format_rfc3339_micros(SystemTime::now());
                        // Writing to a Vec cannot fail.
                        let _ =
                            writeln!(self.text, "{time} left out pieces={pieces} bytes={bytes}");
                        self.write();
                    }
                    Item::Reopen => match self.sink.reopen() {
                        Ok(()) => {
                            self.is_cut = false;
                            info!(dump = %self.name, "reopened");
                        }
                        Err(error) => warn!(dump = %self.name, %error, "cannot reopen the dump"),
                    },
                }
            }
        }
    }

    fn show(&mut self, piece: &Piece) -> bool {
        let Piece {
            time,
            connection,
            from,
            bytes,
        } = piece;
        let arrow = match from {
            Side::Near => '>',
            Side::Far => '<',
        };
        let (time, count) = (humantime::format_rfc3339_micros(*time), bytes.len());
        self.text.clear();
        let _ = writeln!(
            self.text,
            "{time} connection={connection} {arrow} {count} bytes"
        );
        self.style.write(&mut self.text, arrow, bytes);
        self.write()
    }

    /// Writes the text, or reports the error: once, and again after a successful write.
    fn write(&mut self) -> bool {
        let written = self.try_write();
        let failed_before = std::mem::replace(&mut self.has_failed, written.is_err());
        if let Err(error) = &written
            && !failed_before
        {
            warn!(dump = %self.name, %error, "cannot write the dump; traffic is left out");
        }
        written.is_ok()
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.is_cut {
            self.text.insert(0, b'\n');
        }
        let mut rest = self.text.as_slice();
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.is_cut = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.name;
        f.debug_struct("Dump")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// The written text; each write waits for permission.
    struct Gated {
        leave: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.leave.recv();
            self.written
                .lock()
                .expect("the lock is not poisoned")
                .extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl DumpSink for Gated {
        fn reopen(&mut self) -> io::Result<()> {
            self.written
                .lock()
                .expect("the lock is not poisoned")
                .extend(b"(reopened)");
            Ok(())
        }
    }

    #[test]
    fn traffic_that_a_full_queue_leaves_out_is_counted_in_place() -> Result<()> {
        let (gate, leave) = channel();
        let written = Arc::default();
        let sink = Gated {
            leave,
            written: Arc::clone(&written),
        };
        // Room for four of these pieces, and again for one when two are left.
        let piece = [b'x'; 1000];
        let room = 4 * (piece.len() + PIECE_SIZE);
        let dump = Dump::with_room(room, DumpStyle::Text, "test".to_owned(), sink)?;
        let show = |from, count| (0..count).for_each(|_| dump.show(1, from, &piece));
        show(Side::Near, 7);
        dump.reopen();
        let waits_for = |pieces| {
            let state = dump.shared.lock();
            let more = |state: &mut State| state.waiting.pieces > pieces;
            drop(dump.shared.changed.wait_while(state, more));
        };
        (0..2).for_each(|_| gate.send(()).expect("the thread runs"));
        waits_for(2);
        show(Side::Far, 1);
        (0..2).for_each(|_| gate.send(()).expect("the thread runs"));
        waits_for(0);
        show(Side::Far, 1);
        drop(gate);
        dump.finish();
        let text = String::from_utf8_lossy(&written.lock().expect("the lock is not poisoned"))
            .into_owned();
        // The thread takes waiting pieces at any moment, which splits the traffic that is left out;
        // adjacent gaps count as one.
        let mut seen: Vec<String> = Vec::new();
        let mut left_out = 0;
        for line in text.lines() {
            let line = line.split_once(' ').map_or(line, |(_, line)| line);
            if let Some(amount) = line.strip_prefix("left out pieces=") {
                let (pieces, bytes) = amount.split_once(" bytes=").expect("both counts are there");
                let pieces: usize = pieces.parse().expect("a number");
                assert_eq!(bytes, (pieces * piece.len()).to_string());
                left_out += pieces;
                continue;
            }
            if left_out > 0 {
                seen.push(format!("left out {}", std::mem::take(&mut left_out)));
            }
            seen.push(line.trim_end_matches('x').to_owned());
        }
        let piece = |arrow| [format!("connection=1 {arrow} 1000 bytes"), String::new()];
        let mut expected = [piece('>'), piece('>'), piece('>'), piece('>')].concat();
        expected.push("left out 4".to_owned());
        expected.extend(piece('<'));
        assert_eq!(seen, expected);
        assert!(text.contains("(reopened)"), "{text}");
        assert_eq!(dump.shared.lock().left_out.pieces, 4);
        Ok(())
    }
}
