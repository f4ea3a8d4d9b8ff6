//! Raw peers: plain blocking sockets of any family, independent of the library.
//!
//! Each of their calls has a time limit of [`LIMIT`], so that a hang is an error.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use sok::address::SocketType;

use super::place::Nobody;
use super::{Form, Kind, LIMIT, Place};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct RawListener {
    socket: Socket,
    address: String,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct RawStream(Socket);

impl RawListener {
    /// Listens on a fresh address of `place`.
    pub(crate) fn bind(place: &Place) -> Self {
        Self::with_backlog(place, 128)
    }

    /// Listens on a free address.
    pub(crate) fn of(nobody: Nobody) -> Self {
        let Nobody { address, keep } = nobody;
        let socket = keep.unwrap_or_else(|| bound(&address));
        socket.listen(128).unwrap();
        Self { socket, address }
    }

    /// The same with this backlog.
    pub(crate) fn with_backlog(place: &Place, backlog: i32) -> Self {
        let word = place.word();
        let socket = bound(&word);
        socket.listen(backlog).unwrap();
        let address = if place.is_network() {
            name_of(&socket)
        } else {
            word
        };
        Self { socket, address }
    }

    /// The address to connect to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn accept(&self) -> RawStream {
        let (socket, _) = self.socket.accept().expect("a client connects");
        RawStream(limited(socket))
    }
}

impl RawStream {
    /// Connects to an address in full form.
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        let socket = open(address);
        socket.connect(&encode(address))?;
        Ok(Self(socket))
    }

    /// The same from a socket bound to `own`.
    pub(crate) fn connect_from(own: &str, address: &str) -> Self {
        let socket = bound(own);
        let connected = socket.connect(&encode(address));
        connected.unwrap_or_else(|error| panic!("connect {address}: {error}"));
        Self(socket)
    }

    /// Connects to a socket file as soon as it appears; runs `checked` while it does not.
    pub(crate) fn connect_at_first_sight(address: &str, checked: impl Fn()) -> io::Result<Self> {
        let name = encode(address);
        let socket = open(address);
        loop {
            // Many attempts for one check, so that none comes late.
            for _ in 0..1000 {
                match socket.connect(&name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    connected => return connected.map(|()| Self(socket)),
                }
            }
            checked();
        }
    }

    /// The socket, for its options.
    pub(crate) const fn socket(&self) -> &Socket {
        &self.0
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the peer takes the bytes");
    }

    /// Half-closes the connection.
    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Exactly `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("the bytes come");
        bytes
    }

    /// One line with its newline; less at end of file.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && self.0.read(&mut byte).expect("a line comes") > 0 {
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    /// All bytes until end of file.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.try_rest().expect("the peer ends well")
    }

    /// All bytes until end of file, or the error.
    pub(crate) fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).map(|_| bytes)
    }

    /// Waits until the peer has closed or reset the connection, and returns the bytes before that.
    pub(crate) fn cut(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert!(Self::is_broken(&error), "no end came: {error}"),
        }
        bytes
    }

    /// The same connection, for another thread.
    pub(crate) fn twin(&self) -> Self {
        Self(self.0.try_clone().unwrap())
    }

    /// Sends `bytes` and half-closes while it reads to end of file.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        thread::scope(|scope| {
            let mut sending = self.twin();
            scope.spawn(move || {
                sending.send(bytes);
                sending.finish();
            });
            self.rest()
        })
    }

    /// The same for a short request, or the error.
    pub(crate) fn try_exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(bytes)?;
        // It may have been reset.
        let _ = self.0.shutdown(Shutdown::Write);
        self.try_rest()
    }

    /// Closes the connection with a reset, if the family has one.
    pub(crate) fn reset(self) {
        self.0.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Whether the error means that the peer broke the connection.
    pub(crate) fn is_broken(error: &io::Error) -> bool {
        use io::ErrorKind as E;
        matches!(
            error.kind(),
            E::ConnectionReset | E::BrokenPipe | E::ConnectionAborted
        )
    }
}

impl Read for RawStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for RawStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket bound to `address`, not listening yet.
pub(super) fn bound(address: &str) -> Socket {
    let socket = open(address);
    // Two sockets that both reuse addresses can bind the same one, if only one listens.
    socket.set_reuse_address(true).unwrap();
    socket
        .bind(&encode(address))
        .unwrap_or_else(|error| panic!("bind {address}: {error}"));
    socket
}

/// The address of a bound network socket.
pub(super) fn name_of(socket: &Socket) -> String {
    let name = socket.local_addr().unwrap();
    let name = name.as_socket().expect("a network socket");
    let kind = match name {
        SocketAddr::V4(_) => Kind::Inet,
        SocketAddr::V6(_) => Kind::Inet6,
    };
    let socket_type = match socket.r#type().unwrap() {
        Type::DGRAM => SocketType::Datagram,
        _ => SocketType::Stream,
    };
    format!("{}:{name}", kind.with_type(socket_type).prefix())
}

/// A socket of the family and type of an address.
pub(super) fn open(address: &str) -> Socket {
    let (prefix, _) = address.split_once(':').unwrap();
    let form = Form::all().into_iter().find(|form| form.prefix() == prefix);
    let form = form.unwrap_or_else(|| panic!("an address in full form, not {address}"));
    let socket_type = match form.socket_type {
        SocketType::Stream => Type::STREAM,
        SocketType::SeqPacket => Type::SEQPACKET,
        _ => Type::DGRAM,
    };
    let domain = Domain::from(i32::from(encode(address).family()));
    limited(Socket::new(domain, socket_type, None).unwrap())
}

/// The kernel's form of an address, parsed here independently of the library under test.
pub(super) fn encode(address: &str) -> SockAddr {
    let (prefix, rest) = address.split_once(':').unwrap();
    match (prefix.starts_with("unix"), rest.strip_prefix('@')) {
        (true, Some(name)) => SockAddr::unix(format!("\0{name}")).unwrap(),
        (true, None) => SockAddr::unix(rest).unwrap(),
        _ => SockAddr::from(rest.parse::<SocketAddr>().unwrap()),
    }
}

pub(super) fn limited(socket: Socket) -> Socket {
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.set_write_timeout(Some(LIMIT)).unwrap();
    socket
}
