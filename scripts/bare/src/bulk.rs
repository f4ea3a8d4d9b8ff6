//! A sink and a source of many bytes, which tell whether the bytes are right.

use std::io::{self, Read, Write};

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

/// A digest of what `input` has until its end, or until it fails.
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
        let (digest, done) = digest_of(&socket);
        drop(socket);
        let ended = done.map_or_else(|error| error.to_string(), |()| "end".to_owned());
        say(&format!("{} {ended}", digest.finish()))?;
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
