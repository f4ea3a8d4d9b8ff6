//! Several processes that accept from one listening socket.

use std::thread;

use crate::support::{Passed, Place, Process, RawMessages, RawStream, Server};

/// The clients that connect at the same time, and how often each does.
const CLIENTS: usize = 4;
const TIMES: usize = 150;
/// The connections that stay open: more than the servers.
const OPEN: usize = 12;

/// A client of any type of socket with a connection.
enum Client {
    Stream(RawStream),
    Messages(RawMessages),
}

impl Client {
    fn connect(place: &Place, address: &str) -> Self {
        match place.keeps_messages() {
            true => Self::Messages(RawMessages::connect(address)),
            false => Self::Stream(RawStream::connect(address)),
        }
    }

    /// Sends a byte, and checks that it comes back.
    fn ask(&mut self) {
        match self {
            Self::Stream(stream) => {
                stream.send(b"x");
                assert_eq!(stream.take(1), b"x");
            }
            Self::Messages(messages) => {
                messages.send(b"x");
                assert_eq!(messages.receive(), b"x");
            }
        }
    }
}

// Two servers and this process accept from one socket. A process that learns of a connection may find
// that another one has it: that must not hold up a server, whose other connections go on.
connections!(a_server_is_not_held_up_by_others_that_accept, |place| {
    for polled in [false, true] {
        let socket = Passed::listening(place).polled(polled);
        let words = ["serve", "fd:3"];
        let start = || Server::of(Process::sok_inheriting(socket.descriptor(), &words));
        let servers = [start(), start()];
        let connect = || Client::connect(place, socket.address());
        let mut open: Vec<Client> = (0..OPEN).map(|_| connect()).collect();
        open.iter_mut().for_each(Client::ask);
        let (form, address) = (place.form(), socket.address().to_owned());
        let own = socket.answer_on_a_thread();
        let clients = (0..CLIENTS).map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                let place = Place::new(form);
                for _ in 0..TIMES {
                    Client::connect(&place, &address).ask();
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            client.join().unwrap();
        }
        // Nobody connects now, and so a server that waits in accept(2) would answer none of them.
        open.iter_mut().for_each(Client::ask);
        assert_eq!(socket.is_polled(), polled);
        drop(open);
        for server in servers {
            server.terminate();
            assert_eq!(server.wait(), 0, "{}", server.said());
        }
        socket.stop_listening();
        assert!(own.join().unwrap() > 0, "this process has accepted some");
    }
});
