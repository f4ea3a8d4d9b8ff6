//! The output of a process, collected while it runs.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::LIMIT;

/// The output of a process so far, to wait on.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    closed: bool,
}

impl Log {
    /// Reads `source` on a thread until end of file.
    pub(crate) fn of(mut source: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::new(Shared {
            written: Mutex::default(),
            changed: Condvar::new(),
        }));
        let shared = Arc::clone(&log.0);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = source.read(&mut buffer).unwrap_or(0);
                let mut written = shared.written.lock().unwrap();
                written.bytes.extend_from_slice(&buffer[..count]);
                written.closed = count == 0;
                shared.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        log
    }

    /// The output so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.written.lock().unwrap().bytes.clone()
    }

    /// The output so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits for `pattern`, and returns the output so far.
    pub(crate) fn wait_for(&self, pattern: &str) -> String {
        self.wait_for_count(pattern, 1)
    }

    /// Waits until `pattern` occurs `count` times.
    pub(crate) fn wait_for_count(&self, pattern: &str, count: usize) -> String {
        let wanted = format!("{count} times {pattern:?}");
        self.wait_until(&wanted, |text| text.matches(pattern).count() >= count)
    }

    /// Waits until there are `count` bytes.
    pub(crate) fn wait_for_bytes(&self, count: usize) -> Vec<u8> {
        self.wait(&format!("{count} bytes"), |written| {
            written.bytes.len() >= count
        })
    }

    /// Waits until the text satisfies a condition.
    pub(crate) fn wait_until(&self, wanted: &str, holds: impl Fn(&str) -> bool) -> String {
        let bytes = self.wait(wanted, |written| {
            holds(&String::from_utf8_lossy(&written.bytes))
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for end of file, and returns the output.
    pub(crate) fn wait_closed(&self) -> Vec<u8> {
        self.wait("the end", |written| written.closed)
    }

    fn wait(&self, wanted: &str, holds: impl Fn(&Written) -> bool) -> Vec<u8> {
        let written = self.0.written.lock().unwrap();
        let unmet = |written: &mut Written| !holds(written) && !written.closed;
        let (written, _) = self
            .0
            .changed
            .wait_timeout_while(written, LIMIT, unmet)
            .unwrap();
        let (bytes, met, closed) = (written.bytes.clone(), holds(&written), written.closed);
        // Do not panic while holding the lock, which the reading thread needs.
        drop(written);
        assert!(
            met,
            "no {wanted} came{}; at the end came:\n{}",
            if closed {
                ", and the output has ended"
            } else {
                " in time"
            },
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..])
        );
        bytes
    }
}
