//! The lessons: their order, and what each teaches.

/// A lesson of the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// One message, and its reply.
    OneMessage,
    /// Many messages on one connection, and how it ends.
    CommunicationLoop,
    /// Many clients, one after another.
    ConnectionLoop,
    /// Those who wait to be accepted.
    Backlog,
    /// A server that is started again.
    AddressAgain,
    /// Where a message begins and ends.
    NoMessages,
    /// Many clients at the same time.
    ManyAtOnce,
    /// The families side by side.
    WhatDiffers,
}

impl Lesson {
    /// All lessons, in their order.
    pub(crate) const ALL: [Self; 8] = [
        Self::OneMessage,
        Self::CommunicationLoop,
        Self::ConnectionLoop,
        Self::Backlog,
        Self::AddressAgain,
        Self::NoMessages,
        Self::ManyAtOnce,
        Self::WhatDiffers,
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
            Self::AddressAgain => "The address again",
            Self::NoMessages => "A stream has no messages",
            Self::ManyAtOnce => "Many at once",
            Self::WhatDiffers => "What differs",
        }
    }

    /// What it teaches, in lines.
    #[must_use]
    pub(crate) const fn teaches(self) -> &'static str {
        match self {
            Self::OneMessage => {
                "\
A server makes a socket, binds it to an address and listens; of a port 0 the
kernel makes a free one. A client makes a socket and connects to that address. The
server accepts, which gives it a second socket, for this one client. From then on
the two ends are alike: what one sends, the other receives. The calls are the same
on every family; the address differs."
            }
            Self::CommunicationLoop => {
                "\
To talk more than once, a server receives and answers in a loop. The peer ends
it: a receive of 0 bytes says that it has left. A program that is killed leaves in
the same way, as the kernel closes its sockets, unless something lay there that it
had not read: then its peer gets an error, a reset. The error ends that one
conversation; a server must not die of it."
            }
            Self::ConnectionLoop => {
                "\
To serve more than one client, a server accepts in a loop, and holds a
conversation with each. However that ends, the next one is accepted. A server that
serves one at a time lets the next one wait, which is already connected and may
already send: the kernel keeps the connection until the server accepts it."
            }
            Self::Backlog => {
                "\
Those who wait to be accepted stand in a queue, and listen(2) says how long it
may grow: the backlog. Linux admits one more than that. Here 7 clients come to a
server with a backlog of 5 that serves one at a time, and then one more. That one
has to wait until there is room: on AF_UNIX a connect that may not block says so
at once (EAGAIN); of TCP the SYN is dropped, which the client's kernel sends again."
            }
            Self::AddressAgain => {
                "\
A server that is started again may find its address held by its predecessor,
which is dead: a client is told that nobody is there, and a bind that the address
is in use. A port is held for a minute by a connection that the server closed
first, unless both servers have set SO_REUSEADDR before they bind. A socket file
is held for ever, unless somebody removes the dead one or takes its place."
            }
            Self::NoMessages => {
                "\
A stream is bytes in their order and nothing else: where one send ended and the
next began, nobody keeps. A program that takes a receive for a message works until
two of them arrive together, or one arrives in pieces. The cure is a frame around
each message: a delimiter after it, or its length before it."
            }
            Self::ManyAtOnce => {
                "\
The same two loops serve many clients at once when each conversation is a task
of its own: while one waits for its client to speak, the others go on. The 7
clients of the backlog's lesson come again, and nobody waits."
            }
            Self::WhatDiffers => {
                "\
The calls and the loops were the same on every family. This is what was not: the
address, who may connect to it, what the server learns of its client, what is left
of the name when the socket is closed, what a round trip costs, how far it reaches."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lesson;

    #[test]
    fn the_numbers_are_those_of_the_order() {
        let numbers: Vec<u8> = Lesson::ALL.iter().map(|lesson| lesson.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        for lesson in Lesson::ALL {
            assert_eq!(Lesson::numbered(lesson.number()), Some(lesson));
        }
        assert_eq!(Lesson::numbered(0), None);
        assert_eq!(Lesson::numbered(9), None);
    }
}
