//! Sends a file to each client.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::net::{Peer, Stream};
use crate::service::{Service, Traffic};

/// The largest piece of one `sendfile(2)`: between two pieces other connections have their turn.
const PIECE: usize = 1 << 20;
const COPY_BUFFER: usize = 64 * 1024;

/// Sends a file, ends, and waits for the peer to end too, so that nothing on the way is lost.
#[derive(Debug, Clone)]
pub struct SendFile {
    path: PathBuf,
}

impl SendFile {
    /// Sends the file at `path`, which is opened anew for each connection.
    ///
    /// # Errors
    /// What opening it reports now, before any client comes.
    pub fn new(path: PathBuf) -> Result<Self> {
        let service = Self { path };
        let file = service.open()?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(service.failed("open", io::ErrorKind::IsADirectory.into()));
        }
        Ok(service)
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| self.failed("open", error))
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        let error = Error::new(operation, self.path.display(), source);
        match error.kind() {
            // It is the file that is missing, not a server.
            Kind::NobodyThere => error.with_kind(Kind::Other),
            _ => error,
        }
    }
}

impl Service for SendFile {
    async fn serve(&self, stream: Stream, peer: &Peer) -> Result<Traffic> {
        let mut traffic = Traffic::default();
        let broken = |operation, source| Error::new(operation, peer, source);
        let mut file = self.open()?;
        loop {
            match stream.send_file(file.as_fd(), PIECE).await {
                Ok(0) => break,
                Ok(count) => traffic.sent += count as u64,
                // A pipe or a device: what sendfile cannot map is copied.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    file = self.copy(file, &stream, peer, &mut traffic).await?;
                    break;
                }
                Err(error) => return Err(broken("send", error)),
            }
        }
        drop(file);
        stream.finish().map_err(|error| broken("shutdown", error))?;
        let mut rest = vec![0; 4096];
        loop {
            match stream
                .receive(&mut rest)
                .await
                .map_err(|error| broken("receive", error))?
            {
                0 => return Ok(traffic),
                count => traffic.received += count as u64,
            }
        }
    }
}

impl SendFile {
    /// Copies what is left of a file that blocks, off the runtime's threads.
    async fn copy(
        &self,
        mut file: File,
        stream: &Stream,
        peer: &Peer,
        traffic: &mut Traffic,
    ) -> Result<File> {
        let mut buffer = vec![0; COPY_BUFFER];
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let count = file.read(&mut buffer);
                (file, buffer, count)
            });
            let count;
            (file, buffer, count) = read
                .await
                .map_err(|error| self.failed("read", error.into()))?;
            let count = count.map_err(|error| self.failed("read", error))?;
            if count == 0 {
                return Ok(file);
            }
            let sent = stream.send_all(&buffer[..count]).await;
            sent.map_err(|error| Error::new("send", peer, error))?;
            traffic.sent += count as u64;
        }
    }
}
