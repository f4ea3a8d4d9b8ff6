//! A sink and a source of many bytes, which check the bytes.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Instant;

use crate::{Result, address, say};

const BUFFER: usize = 256 * 1024;

/// Fletcher's sums over 64-bit words: it costs far less than to receive the bytes, and sees lost,
/// changed and swapped ones.
#[derive(Default)]
struct Digest {
    length: u64,
    sum: u64,
    sum_of_sums: u64,
    odd: Vec<u8>,
}

impl Digest {
    fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.odd.is_empty() {
            let missing = (8 - self.odd.len()).min(bytes.len());
            self.odd.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.odd.len() < 8 {
                return;
            }
            let word = std::mem::take(&mut self.odd);
            self.words(&word);
        }
        let (words, odd) = bytes.split_at(bytes.len() & !7);
        self.words(words);
        self.odd.extend_from_slice(odd);
    }

    fn words(&mut self, bytes: &[u8]) {
        for word in bytes.as_chunks::<8>().0 {
            self.sum = self.sum.wrapping_add(u64::from_le_bytes(*word));
            self.sum_of_sums = self.sum_of_sums.wrapping_add(self.sum);
        }
    }

    fn finish(mut self) -> String {
        self.odd.resize(8, 0);
        let last = std::mem::take(&mut self.odd);
        self.words(&last);
        format!("{} {:016x}{:016x}", self.length, self.sum, self.sum_of_sums)
    }
}

/// A digest of `input` until end of file, or until it fails.
fn digest_of(mut input: impl Read) -> (Digest, io::Result<()>) {
    let mut digest = Digest::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return (digest, Ok(())),
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) => return (digest, Err(error)),
        }
    }
}

pub fn digest() -> Result<()> {
    let (digest, done) = digest_of(io::stdin().lock());
    done?;
    Ok(say(&digest.finish())?)
}

pub fn feed(file: &str) -> Result<()> {
    let content = std::fs::read(file)?;
    let mut stdout = io::stdout().lock();
    for chunk in content.chunks(BUFFER) {
        stdout.write_all(chunk)?;
    }
    Ok(stdout.flush()?)
}

pub fn sink(text: &str) -> Result<()> {
    let listener = address::listen(text)?;
    loop {
        let (socket, _) = listener.accept()?;
        let began = Instant::now();
        let (digest, done) = digest_of(&socket);
        let took = began.elapsed().as_secs_f64();
        drop(socket);
        let ended = done.map_or_else(|error| error.to_string(), |()| "end".to_owned());
        say(&format!("{} {took:.6} {ended}", digest.finish()))?;
    }
}

/// Pieces of noise, each with its number in front, that cost nothing to make.
struct Pieces {
    noise: Vec<u8>,
    number: u64,
    left: usize,
}

impl Pieces {
    fn new(size: usize) -> Self {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut noise = Vec::with_capacity(BUFFER);
        while noise.len() < BUFFER {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend(state.to_le_bytes());
        }
        Self {
            noise,
            number: 0,
            left: size,
        }
    }

    fn next(&mut self) -> Option<&[u8]> {
        let count = self.left.min(BUFFER);
        self.left -= count;
        self.noise[..8].copy_from_slice(&self.number.to_le_bytes());
        self.number += 1;
        (count > 0).then_some(&self.noise[..count])
    }

    fn digest(mut self) -> String {
        let mut digest = Digest::default();
        while let Some(piece) = self.next() {
            digest.update(piece);
        }
        digest.finish()
    }

    fn send(mut self, mut socket: &socket2::Socket) -> io::Result<()> {
        while let Some(piece) = self.next() {
            socket.write_all(piece)?;
        }
        socket.shutdown(Shutdown::Write)
    }
}

/// Sends, ends, and waits for the end of the other side; prints the digest of what it sent.
pub fn push(text: &str, size: &str) -> Result<()> {
    let size = size.parse()?;
    let digest = Pieces::new(size).digest();
    let mut socket = address::connect_plain(text)?;
    // The digest at the sink would show an error here.
    if Pieces::new(size).send(&socket).is_ok() {
        let _ = socket.read(&mut [0]);
    }
    Ok(say(&digest)?)
}

/// Sends while it receives, and prints whether the same bytes came back.
pub fn exchange(text: &str, size: &str) -> Result<()> {
    let size = size.parse()?;
    let socket = address::connect_plain(text)?;
    let (sent, (back, received)) = thread::scope(|scope| {
        let sending = scope.spawn(|| Pieces::new(size).send(&socket));
        let back = digest_of(&socket);
        (sending.join(), back)
    });
    sent.map_err(|_| "the sending thread failed")??;
    received?;
    match back.finish() == Pieces::new(size).digest() {
        true => Ok(say("same")?),
        false => Err("what came back differs from what was sent".into()),
    }
}

pub fn source(text: &str, file: &str) -> Result<()> {
    let content = std::fs::read(file)?;
    let listener = address::listen(text)?;
    loop {
        let (socket, _) = listener.accept()?;
        let sent = content
            .chunks(BUFFER)
            .try_for_each(|chunk| (&socket).write_all(chunk));
        say(&sent.map_or_else(|error| error.to_string(), |()| "end".to_owned()))?;
    }
}
