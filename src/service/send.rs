//! Sends a file to each client.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{AccessFlags, access};

use super::{broken, counting};
use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, MessageFormat, Service, Stop};
use crate::memory::MemoryLimit;
use crate::net::{LONGEST_MESSAGE, PipeReader, Stream, is_refused, with_length};
use crate::offload::offload;
use crate::transfer::{MessageReader, PipeEvent, PipeTransfer, discard_rest};

/// The maximum size of one `sendfile(2)`, so that other connections get their turn.
const PIECE: usize = 1 << 20;
const COPY_BUFFER: usize = 64 * 1024;

/// Sends a file, half-closes, and waits for the peer to end too, so that no data is lost.
///
/// On a socket that keeps messages apart, each message in the file is sent as one; a last line
/// without a newline is one too. Without a framing, the whole file is one message, even if it is
/// empty.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendFile {
    path: PathBuf,
    stop: Stop,
    memory: MemoryLimit,
    /// The frames of the messages in the file, if the socket keeps messages apart.
    pub format: MessageFormat,
}

/// The kind of file at the path.
enum Opened {
    /// Reading it waits for a writer.
    Fifo(OwnedFd),
    File(File),
}

impl SendFile {
    /// Sends the file at `path`, which is opened again for each connection. A FIFO may have no
    /// writer yet: a client that waits for one is dropped when it has closed the connection, if the
    /// family reports that, and at a `stop`.
    ///
    /// # Errors
    /// Errors of the open, before any client connects.
    pub fn new(path: PathBuf, stop: Stop, memory: MemoryLimit) -> Result<Self> {
        let service = Self {
            path,
            stop,
            memory,
            format: MessageFormat::default(),
        };
        if fs::metadata(&service.path).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(service.failed("open", io::ErrorKind::IsADirectory.into()));
        }
        // Opening a FIFO would let its writer continue.
        if fs::metadata(&service.path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            let readable = access(&service.path, AccessFlags::R_OK);
            readable.map_err(|errno| service.failed("open", errno.into()))?;
        } else {
            service.open()?;
        }
        Ok(service)
    }

    /// Opens the current file at the path without waiting, neither for the writer of a FIFO nor for
    /// a device.
    fn open(&self) -> Result<Opened> {
        let flags = OFlag::O_NONBLOCK;
        let open = || {
            let mut options = File::options();
            let file = options
                .read(true)
                .custom_flags(flags.bits())
                .open(&self.path)?;
            let kind = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT;
            if kind == SFlag::S_IFIFO {
                return Ok(Opened::Fifo(file.into()));
            }
            // Reads from a device block, on a separate thread.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
            Ok(Opened::File(file))
        };
        open().map_err(|error| self.failed("open", error))
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        let error = Error::new(operation, self.path.display(), source)
            .with_hint("give --send a readable file");
        match error.kind() {
            // The file is missing, not a server.
            ErrorKind::NoServer => error.with_kind(ErrorKind::Other),
            _ => error,
        }
    }
}

impl Service for SendFile {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        stream.reset_on_drop();
        match self.open()? {
            Opened::Fifo(fifo) => self.send_fifo(fifo, &stream, connection).await?,
            Opened::File(file) if stream.keeps_messages() => {
                self.send_messages(file, &stream, connection).await?;
            }
            Opened::File(file) => self.send_file(file, &stream, connection).await?,
        }
        if !stream.has_connection() {
            // Its peer does not learn of an end: what has arrived asked for the file, and its next
            // datagram begins a session, and gets the file again.
            let mut request = vec![0; self.format.max_message.min(LONGEST_MESSAGE)];
            while let Ok(received) = stream.try_receive(&mut request)
                && !received.is_end()
            {
                connection.count_received(received.count());
            }
            return Ok(());
        }
        stream
            .shutdown(Shutdown::Write)
            .map_err(|error| broken("shutdown", connection, error))?;
        let received = |count| connection.count_received(count);
        discard_rest(&stream, self.format.max_message, received)
            .await
            .map_err(|error| broken("receive", connection, error))?;
        stream.close_on_drop();
        Ok(())
    }
}

impl SendFile {
    async fn send_file(&self, file: File, stream: &Stream, connection: &Connection) -> Result<()> {
        loop {
            match stream.send_file(file.as_fd(), PIECE).await {
                Ok(0) => return Ok(()),
                Ok(count) => connection.count_sent(count),
                // A device, which sendfile does not support, or a sandbox that refuses it.
                Err(error) if is_refused(&error) => {
                    return self.copy(file, stream, connection).await;
                }
                Err(error) => return Err(Error::new("send", connection.peer(), error)),
            }
        }
    }

    /// Sends the data of a FIFO. Before its writer opens it, a client gets nothing.
    async fn send_fifo(
        &self,
        fifo: OwnedFd,
        stream: &Stream,
        connection: &Connection,
    ) -> Result<()> {
        let failed = |operation, cause| {
            let error = Error::because(operation, connection.peer(), ErrorKind::Broken, cause);
            Err(error)
        };
        let fifo = PipeReader::of_fifo(fifo).map_err(|error| self.failed("open", error))?;
        let mut transfer = PipeTransfer::new(stream, None, fifo, self.format, &self.memory);
        let passed = counting(connection);
        let mut is_draining = false;
        while !transfer.output_ended() {
            tokio::select! {
                event = transfer.next(passed) => match event {
                    PipeEvent::PeerEnded | PipeEvent::OutputEnded => {}
                    PipeEvent::Broken(operation, error) => {
                        return Err(broken(operation, connection, error));
                    }
                },
                gone = stream.peer_closed(), if transfer.peer_ended() => {
                    gone.map_err(|error| Error::new("receive", connection.peer(), error))?;
                    return failed("send", match stream.ends_when_idle() {
                        true => "the session ended before the end of the pipe's data",
                        false => "the client has closed the connection",
                    });
                }
                () = self.stop.requested(), if !is_draining => {
                    if connection.traffic().sent == 0 {
                        return failed("send", "stopped before any data came through the pipe");
                    }
                    is_draining = true;
                }
            }
        }
        Ok(())
    }

    /// Copies the rest of a file that blocks, outside the threads of the runtime.
    async fn copy(&self, file: File, stream: &Stream, connection: &Connection) -> Result<()> {
        let mut source = BlockingFile::new(file);
        loop {
            let bytes = source.read(self).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            let sent = stream.send_all(bytes).await;
            sent.map_err(|error| broken("send", connection, error))?;
            connection.count_sent(bytes.len());
        }
    }

    /// Sends each message of a file.
    async fn send_messages(
        &self,
        file: File,
        stream: &Stream,
        connection: &Connection,
    ) -> Result<()> {
        let failed = |error| broken("send", connection, error);
        let send = async |message: &[u8]| {
            let sent = stream.send_all(message).await;
            sent.map_err(|error| failed(with_length(error, message.len())))?;
            connection.count_sent(message.len());
            Ok(())
        };
        let mut source = BlockingFile::new(file);
        let mut reader = MessageReader::new(self.format, &self.memory);
        loop {
            let mut bytes = source.read(self).await?;
            if bytes.is_empty() {
                return match reader.last().map_err(failed)? {
                    Some(message) => send(message).await,
                    None => Ok(()),
                };
            }
            while let Some(message) = reader.next(&mut bytes).map_err(failed)? {
                send(message).await?;
            }
        }
    }
}

/// A file. Reads that may block long are made outside the threads of the runtime; those of a regular
/// file are not, as a thread and its buffer for each of many peers would cost more.
struct BlockingFile {
    /// None during a read.
    file: Option<File>,
    is_regular: bool,
    buffer: Vec<u8>,
}

impl BlockingFile {
    fn new(file: File) -> Self {
        let size = file.metadata().ok().filter(fs::Metadata::is_file);
        let size = size.map(|file| usize::try_from(file.len()).unwrap_or(COPY_BUFFER));
        let is_regular = size.is_some();
        Self {
            file: Some(file),
            is_regular,
            // One byte more, so that the end is seen at once.
            buffer: vec![0; size.map_or(COPY_BUFFER, |size| (size + 1).min(COPY_BUFFER))],
        }
    }

    /// The next bytes, none at end of file.
    async fn read(&mut self, service: &SendFile) -> Result<&[u8]> {
        let Some(mut file) = self.file.take() else {
            return Ok(&[]);
        };
        if self.is_regular {
            let count = file.read(&mut self.buffer);
            self.file = Some(file);
            let count = count.map_err(|error| service.failed("read", error))?;
            return Ok(&self.buffer[..count]);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = offload("read", service.path.display(), move || {
            let count = file.read(&mut buffer);
            (file, buffer, count)
        });
        let (file, buffer, count) = read.await?;
        let count = count.map_err(|error| service.failed("read", error))?;
        self.file = Some(file);
        self.buffer = buffer;
        Ok(&self.buffer[..count])
    }
}
