//! A program that gives up an exchange of the library keeps nothing of it: no thread, no socket.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, gettid};
use sok::client::{ConnectPlan, ExchangeOptions, connect, exchange};
use sok::loops::Connection;
use sok::net::{ListenOptions, Listener, Peer, Stream};
use sok::{ErrorKind, Result};
use tokio::runtime::Builder;
use tokio::sync::mpsc as async_mpsc;

use crate::support::{LIMIT, Place};

/// An input or output that says which thread uses it.
struct Watched<T> {
    name: &'static str,
    inner: T,
    used: async_mpsc::UnboundedSender<(&'static str, Pid)>,
}

impl<T> Watched<T> {
    fn used(&self) {
        // The test may have seen enough.
        let _ = self.used.send((self.name, gettid()));
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.used();
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.used();
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: AsFd> AsFd for Watched<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.used();
        self.inner.as_fd()
    }
}

/// What blocks in each call until its other end is dropped.
struct Stuck {
    file: File,
    blocks: async_mpsc::UnboundedSender<()>,
    released: mpsc::Receiver<()>,
}

/// Its other end.
struct Release {
    blocking: async_mpsc::UnboundedReceiver<()>,
    _release: mpsc::Sender<()>,
}

impl Stuck {
    fn new() -> (Self, Release) {
        let (blocks, blocking) = async_mpsc::unbounded_channel();
        let (release, released) = mpsc::channel();
        // It is always ready.
        let null = File::options().read(true).write(true).open("/dev/null");
        let stuck = Self {
            file: null.unwrap(),
            blocks,
            released,
        };
        let release = Release {
            blocking,
            _release: release,
        };
        (stuck, release)
    }

    fn block(&self) {
        self.blocks.send(()).unwrap();
        // That there is no other end any more.
        let _ = self.released.recv();
    }
}

impl Read for Stuck {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.block();
        Ok(0)
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stuck {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// An exchange with a server that has said one byte, which is written.
struct Begun {
    exchanging: Pin<Box<dyn Future<Output = Result<()>>>>,
    server: Stream,
    /// The threads of the input and of the output.
    threads: BTreeMap<&'static str, Pid>,
    /// What the kernel calls the socket.
    socket: PathBuf,
}

impl Begun {
    async fn new(
        place: &Place,
        input: impl Read + AsFd + Send + 'static,
        output: impl Write + AsFd + Send + 'static,
        options: ExchangeOptions,
    ) -> Self {
        let word = place.word().parse().unwrap();
        let listener = Listener::bind(&word, &ListenOptions::default()).unwrap();
        let target = listener.local_addr().clone().into();
        let (client, address) = connect(&target, &ConnectPlan::default()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.send_all(b"!").await.unwrap();
        let socket = file_of(client.as_fd());
        let (used, mut uses) = async_mpsc::unbounded_channel();
        let input = Watched {
            name: "input",
            inner: input,
            used: used.clone(),
        };
        let output = Watched {
            name: "output",
            inner: output,
            used,
        };
        let connection = Arc::new(Connection::new(1, Peer::new(address)));
        let mut exchanging: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { exchange(client, &connection, input, output, options).await });
        let mut threads = BTreeMap::new();
        while threads.len() < 2 {
            tokio::select! {
                ended = &mut exchanging => panic!("it has ended: {ended:?}"),
                Some((name, thread)) = uses.recv() => threads.insert(name, thread),
            };
        }
        Self {
            exchanging,
            server,
            threads,
            socket,
        }
    }

    /// What remains when nothing is: neither a thread nor the socket.
    async fn assert_nothing_left(self) {
        drop(self.exchanging);
        while self
            .server
            .receive(&mut [0; 4096])
            .await
            .is_ok_and(|received| received.count() > 0)
        {}
        self.threads.into_values().for_each(wait_for_end);
        assert!(!is_open(&self.socket), "{} is open", self.socket.display());
    }
}

/// Asserts that the peer of a given up exchange does not take it for a good end, if the family can tell.
async fn assert_is_cut(server: &Stream) {
    let end = server.receive(&mut [0]).await;
    match server.family().facts().has_reset {
        true => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset),
        false => assert!(end.unwrap().is_end()),
    }
}

/// What the kernel calls an open file.
fn file_of(file: BorrowedFd<'_>) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// Whether this process has it open.
fn is_open(file: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let mut files = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    files.any(|open| open == file)
}

fn is_running(thread: Pid) -> bool {
    Path::new(&format!("/proc/self/task/{thread}")).exists()
}

/// Waits until a thread has ended; no event reports that.
fn wait_for_end(running: Pid) {
    let end = Instant::now() + LIMIT;
    while is_running(running) {
        assert!(Instant::now() < end, "thread {running} goes on");
        thread::yield_now();
    }
}

/// An input on which nothing comes, as long as its other end is held.
fn silent() -> (PipeReader, io::PipeWriter) {
    io::pipe().unwrap()
}

fn nowhere() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

/// Runs it on one thread; a hang is a failure.
fn run(body: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, body).await });
    done.expect("it waits for ever");
}

families!(a_dropped_exchange_frees_everything, |place| {
    for keep_sending in [false, true] {
        run(async {
            let (input, _held) = silent();
            let mut options = ExchangeOptions::default();
            options.keep_sending = keep_sending;
            let begun = Begun::new(place, input, nowhere(), options).await;
            begun.assert_nothing_left().await;
        });
    }
});

families!(a_timed_out_exchange_frees_everything, |place| {
    run(async {
        let (input, _held) = silent();
        let mut options = ExchangeOptions::default();
        options.idle_timeout = Some(Duration::from_millis(50));
        let mut begun = Begun::new(place, input, nowhere(), options).await;
        let ended = begun.exchanging.await.map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::TimedOut));
        begun.exchanging = Box::pin(async { Ok(()) });
        begun.assert_nothing_left().await;
    });
});

families!(
    an_exchange_whose_output_is_closed_frees_everything,
    |place| {
        run(async {
            let ((input, _held), (reader, output)) = (silent(), silent());
            let mut begun = Begun::new(place, input, output, ExchangeOptions::default()).await;
            drop(reader);
            begun.server.send_all(b"!").await.unwrap();
            let ended = begun.exchanging.await.map_err(|error| error.kind());
            assert_eq!(ended, Err(ErrorKind::OutputClosed));
            begun.exchanging = Box::pin(async { Ok(()) });
            begun.assert_nothing_left().await;
        });
    }
);

/// An output that panics.
struct Panics(File);

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("the output panics, as it should");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Panics {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

families!(an_output_that_panics_ends_its_exchange, |place| {
    run(async {
        let ((input, _held), output) = (silent(), Panics(nowhere()));
        let mut begun = Begun::new(place, input, output, ExchangeOptions::default()).await;
        begun.server.send_all(b"!").await.unwrap();
        let ended = begun.exchanging.await.map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::Other));
        begun.exchanging = Box::pin(async { Ok(()) });
        begun.assert_nothing_left().await;
    });
});

families!(a_blocked_send_ends_with_its_exchange, |place| {
    run(async {
        let input = File::open("/dev/zero").unwrap();
        let begun = Begun::new(place, input, nowhere(), ExchangeOptions::default()).await;
        begun.assert_nothing_left().await;
    });
});

families!(an_input_that_blocks_holds_no_socket, |place| {
    run(async {
        let (input, mut release) = Stuck::new();
        let begun = Begun::new(place, input, nowhere(), ExchangeOptions::default()).await;
        release.blocking.recv().await.unwrap();
        let (threads, socket) = (begun.threads, begun.socket);
        drop(begun.exchanging);
        assert_is_cut(&begun.server).await;
        wait_for_end(threads["output"]);
        assert!(!is_open(&socket));
        assert!(is_running(threads["input"]));
        drop(release);
        wait_for_end(threads["input"]);
    });
});

families!(an_output_that_blocks_holds_no_socket, |place| {
    run(async {
        let ((input, _held), (output, mut release)) = (silent(), Stuck::new());
        let begun = Begun::new(place, input, output, ExchangeOptions::default()).await;
        release.blocking.recv().await.unwrap();
        let (threads, socket) = (begun.threads, begun.socket);
        drop(begun.exchanging);
        assert_is_cut(&begun.server).await;
        wait_for_end(threads["input"]);
        assert!(!is_open(&socket));
        assert!(is_running(threads["output"]));
        drop(release);
        wait_for_end(threads["output"]);
    });
});
