//! `sok serve` as a process.

use std::ops::{Deref, DerefMut};

use nix::sys::signal::Signal;

use super::{Log, Place, Process};

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

    /// Relays from a fresh address of `place` to `target`.
    pub(crate) fn relay(place: &Place, target: &str, options: &[&str]) -> Self {
        let word = place.word();
        let mut arguments = vec!["relay", &word, target];
        arguments.extend(options);
        Self::of(Process::sok(&arguments))
    }

    /// Serves the address of `word`.
    pub(crate) fn at(word: &str, options: &[&str]) -> Self {
        let mut arguments = vec!["serve", word];
        arguments.extend(options);
        Self::of(Process::sok(&arguments))
    }

    /// A process that becomes a server; waits for the ready line.
    pub(crate) fn of(process: Process) -> Self {
        let address = Self::address_of(&process);
        Self { process, address }
    }

    /// The address of a server that `process` has become or started, once it listens.
    pub(crate) fn address_of(process: &Process) -> String {
        Self::address_in(process.stderr())
    }

    /// The same with its standard error.
    pub(crate) fn address_in(stderr: &Log) -> String {
        let said = stderr.wait_until("listening on ADDRESS", |text| ready_line(text).is_some());
        ready_line(&said).unwrap()
    }

    /// Its address in full form, with the real port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The path of its socket file.
    pub(crate) fn path(&self) -> &str {
        let (prefix, path) = self.address.split_once(':').unwrap();
        assert!(
            prefix.starts_with("unix"),
            "{} is a socket file",
            self.address
        );
        path
    }

    /// The port, as text.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    /// The process, to wait for its end.
    pub(crate) fn into_process(self) -> Process {
        self.process
    }

    /// Sends SIGTERM.
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

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The address of the first complete ready line, which may be JSON.
fn ready_line(text: &str) -> Option<String> {
    let whole = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    whole.into_iter().find_map(|line| {
        if let Some(address) = line.strip_prefix("listening on ") {
            return address.split(" (").next().map(str::to_owned);
        }
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        (event["event"] == "listening").then(|| event["address"].as_str().unwrap().to_owned())
    })
}
