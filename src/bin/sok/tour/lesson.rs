//! The lessons: their order, titles and explanations.

/// A lesson of the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// One message, and its reply.
    OneMessage,
    /// Many messages on one connection, and the ways it ends.
    CommunicationLoop,
    /// Many clients, one after another.
    ConnectionLoop,
    /// Connections that wait to be accepted.
    Backlog,
    /// A server that restarts on the same address.
    AddressAgain,
    /// Where a message begins and ends.
    NoMessages,
    /// Many clients at the same time.
    ManyAtOnce,
    /// The families side by side.
    WhatDiffers,
    /// Messages without a connection.
    NoConnection,
}

impl Lesson {
    /// All lessons, in their order.
    pub(crate) const ALL: [Self; 9] = [
        Self::OneMessage,
        Self::CommunicationLoop,
        Self::ConnectionLoop,
        Self::Backlog,
        Self::AddressAgain,
        Self::NoMessages,
        Self::ManyAtOnce,
        Self::WhatDiffers,
        Self::NoConnection,
    ];

    /// Its number, from 1 up.
    #[must_use]
    pub(crate) const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The lesson with a number.
    #[must_use]
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|lesson| lesson.number() == number)
    }

    /// Its title.
    #[must_use]
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::OneMessage => "One message",
            Self::CommunicationLoop => "The communication loop",
            Self::ConnectionLoop => "The connection loop",
            Self::Backlog => "The backlog",
            Self::AddressAgain => "Restarting on the same address",
            Self::NoMessages => "A stream has no messages",
            Self::ManyAtOnce => "Many clients at once",
            Self::WhatDiffers => "What differs",
            Self::NoConnection => "A datagram has no connection",
        }
    }

    /// The explanation, wrapped into lines.
    #[must_use]
    pub(crate) const fn teaches(self) -> &'static str {
        match self {
            Self::OneMessage => {
                "\
A server creates a socket, binds it to an address and listens; for port 0 the
kernel chooses a free port. A client creates a socket and connects to that address.
The server accepts, which returns a second socket for this client. From then on
both ends are equal: one sends and the other receives. The calls are the same on
every family; only the address differs."
            }
            Self::CommunicationLoop => {
                "\
To answer more than one message, a server receives and sends in a loop. The peer
ends the loop: a receive of 0 bytes means end of file. If a program is killed, the
kernel closes its sockets, and the peer gets end of file too. If the program had
unread data, the peer gets an error instead, a reset. The error ends only this
conversation; the server must go on."
            }
            Self::ConnectionLoop => {
                "\
To serve more than one client, a server accepts in a loop and holds a
conversation with each client. However one ends, the server accepts the next. If
it serves one client at a time, the next one waits. That client is already
connected and can send: the kernel queues the connection until the server
accepts it."
            }
            Self::Backlog => {
                "\
Connections wait in a queue until they are accepted, and listen(2) limits its
length: the backlog. Linux queues one more than that. Here 7 clients connect to a
server with a backlog of 5 that serves one at a time, and then an eighth. It must
wait for room in the queue: on AF_UNIX a non-blocking connect fails at once
(EAGAIN); on TCP the kernel drops the SYN, and the client's kernel retransmits it."
            }
            Self::AddressAgain => {
                "\
When a server restarts, its address may still be in use, although the old server
is dead: connect reports that no server is listening, bind that the address is in
use. A connection that the server closed first holds the port for a minute, unless
both servers set SO_REUSEADDR before they bind. A stale socket file holds its path
for ever, until it is removed or replaced."
            }
            Self::NoMessages => {
                "\
A stream is a sequence of bytes and nothing more: it does not record where one
send ended and the next began. A program that takes each receive for a message
works until two messages arrive together, or one arrives in pieces. The solution
is framing: a delimiter after each message, or its length before it. Two other
types of socket do have messages, each receive returns one: SOCK_SEQPACKET with
connections, which only AF_UNIX has here, and SOCK_DGRAM without (UDP)."
            }
            Self::ManyAtOnce => {
                "\
The same two loops serve many clients at once if each conversation is a separate
task: while one waits for its client, the others go on. The 7 clients of lesson 4
connect again, and none of them waits."
            }
            Self::WhatDiffers => {
                "\
The calls and the loops are the same on every family. These things differ: the
address, who may connect to it, what the server learns about its client, what is
left of the name after the socket is closed, the round-trip time, and the reach."
            }
            Self::NoConnection => {
                "\
A datagram socket does not listen, and accepts nothing. The server binds it, and
each datagram comes with the name of its sender: one socket serves all clients.
Nothing shows when a client begins, or ends. The sender needs a name to get an
answer; on AF_UNIX it binds one, or lets the kernel choose. A datagram may find
its receiver full: on AF_UNIX the sender waits; UDP drops it without an error."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lesson;

    #[test]
    fn lessons_are_numbered_from_1_in_order() {
        let numbers: Vec<u8> = Lesson::ALL.iter().map(|lesson| lesson.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for lesson in Lesson::ALL {
            assert_eq!(Lesson::numbered(lesson.number()), Some(lesson));
        }
        assert_eq!(Lesson::numbered(0), None);
        assert_eq!(Lesson::numbered(10), None);
    }
}
