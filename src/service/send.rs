//! Sends a file to each client.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::{AccessFlags, access};

use crate::error::{Error, Kind, Result};
use crate::loops::{Connection, Service};
use crate::net::{Stream, is_refused};
use crate::offload::offload;

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
        if fs::metadata(&service.path).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(service.failed("open", io::ErrorKind::IsADirectory.into()));
        }
        if service.is_named_pipe() {
            let readable = access(&service.path, AccessFlags::R_OK);
            readable.map_err(|errno| service.failed("open", errno.into()))?;
        } else {
            service.open()?;
        }
        Ok(service)
    }

    /// Whether opening the file waits for its writer, who is there for a client, not for us.
    fn is_named_pipe(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| self.failed("open", error))
    }

    /// Opens the file off the runtime's threads if that may wait.
    async fn open_or_wait(&self) -> Result<File> {
        if !self.is_named_pipe() {
            return self.open();
        }
        let service = self.clone();
        offload("open", self.path.display(), move || service.open()).await?
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        let error = Error::new(operation, self.path.display(), source)
            .with_hint("give --send a file that can be read");
        match error.kind() {
            // It is the file that is missing, not a server.
            Kind::NobodyThere => error.with_kind(Kind::Other),
            _ => error,
        }
    }
}

impl Service for SendFile {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let broken = |operation, source| Error::new(operation, connection.peer(), source);
        stream.reset_unless_done();
        let mut file = self.open_or_wait().await?;
        loop {
            match stream.send_file(file.as_fd(), PIECE).await {
                Ok(0) => break,
                Ok(count) => connection.count_sent(count),
                // A device, which sendfile cannot map, or a sandbox that refuses it.
                Err(error) if is_refused(&error) => {
                    file = self.copy(file, &stream, connection).await?;
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
                0 => break,
                count => connection.count_received(count),
            }
        }
        stream.done();
        Ok(())
    }
}

impl SendFile {
    /// Copies what is left of a file that blocks, off the runtime's threads.
    async fn copy(&self, mut file: File, stream: &Stream, connection: &Connection) -> Result<File> {
        let mut buffer = vec![0; COPY_BUFFER];
        loop {
            let read = offload("read", self.path.display(), move || {
                let count = file.read(&mut buffer);
                (file, buffer, count)
            });
            let count;
            (file, buffer, count) = read.await?;
            let count = count.map_err(|error| self.failed("read", error))?;
            if count == 0 {
                return Ok(file);
            }
            let sent = stream.send_all(&buffer[..count]).await;
            sent.map_err(|error| Error::new("send", connection.peer(), error))?;
            connection.count_sent(count);
        }
    }
}
