//! `sok serve` as a process.

use std::ops::Deref;

use nix::sys::signal::Signal;

use super::{Place, Process};

/// A server that clients can connect to.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    address: String,
}

impl Server {
    /// Serves a fresh address of `place`.
    pub(crate) fn start(place: &Place, options: &[&str]) -> Self {
        Self::at(&place.word(), options)
    }

    /// Serves the address that `word` means.
    pub(crate) fn at(word: &str, options: &[&str]) -> Self {
        let mut arguments = vec!["serve", word];
        arguments.extend(options);
        Self::of(Process::sok(&arguments))
    }

    /// A process that becomes a server; waits until it says that it listens.
    pub(crate) fn of(process: Process) -> Self {
        let said = process
            .stderr()
            .wait_until("listening on ADDRESS", |text| ready_line(text).is_some());
        let address = ready_line(&said).unwrap().to_owned();
        Self { process, address }
    }

    /// Where it listens, in full form, with the real port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The path of its socket file.
    pub(crate) fn path(&self) -> &str {
        self.address.strip_prefix("unix:").expect("a socket file")
    }

    /// The port, as text.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    /// Asks it to stop (SIGTERM).
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The address of the first whole ready line.
fn ready_line(text: &str) -> Option<&str> {
    let line = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .find_map(|line| line.strip_prefix("listening on "))?;
    line.split(" (").next()
}
