//! Datagrams of many peers on one socket: `recvfrom(2)` and `sendto(2)`.
//!
//! A socket that is bound to every address of the host also needs to know which of them a datagram
//! was sent to: the answer must come from there, as a connected peer takes no other
//! (`IP_PKTINFO` in `ip(7)`).

use std::hash::{Hash, Hasher};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage,
    recvfrom, recvmmsg, sendmsg, sendto,
};
use rustix::net::{self, RecvFlags};

use super::call_trace::{CallTrace, uninterrupted};
use super::family;
use super::peer::Credentials;
use super::received::Received;
use super::rights::{passing, receive_rights};
use super::sockaddr::{SenderName, decode_accepted, decode_sender};
use super::socket::Socket;
use crate::address::{Address, SocketName};

/// The two ends of a datagram, as the receiver sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The name of the sender; an unbound AF_UNIX socket has none.
    peer: Option<SenderName>,
    /// The address of this host, where the socket is bound to all of them.
    own: Option<OwnIp>,
    /// The user who sent it, if datagrams come with that.
    user: Option<u32>,
}

/// An IP address of this host, and the interface of one that is valid on a link only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OwnIp {
    ip: IpAddr,
    interface: u32,
}

impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // What is missing needs no mark: either all ends of a socket have it, or few.
        self.peer.inspect(|peer| peer.hash(state));
        self.own.inspect(|own| own.hash(state));
    }
}

impl Ends {
    /// Those of a socket that has one address.
    const fn of(peer: Option<SenderName>) -> Self {
        let (own, user) = (None, None);
        Self { peer, own, user }
    }

    /// Whether the sender has a name to answer to.
    pub(super) const fn has_name(&self) -> bool {
        self.peer.is_some()
    }

    /// The name of the sender.
    pub(super) fn peer_name(&self, socket: &Socket) -> SocketName {
        decode_sender(socket.family(), self.peer.as_ref())
    }

    /// The address of the sender, for a report.
    pub(super) fn peer_shown(&self, socket: &Socket) -> String {
        let address = socket.typed(self.peer_name(socket));
        address.map_or_else(|_| String::new(), |address| address.to_string())
    }

    /// Whether the sender has the address that the datagram was sent to: it is `bound`, or another one
    /// of this host with that port.
    pub(super) fn are_the_same(&self, bound: &Address) -> bool {
        let Some((bound, port)) = bound.as_ip() else {
            return false;
        };
        let own = self.own.map_or(bound, |own| own.ip);
        let Some(SenderName::Any(peer)) = &self.peer else {
            return false;
        };
        let v4 = peer.as_sockaddr_in().map(|v4| (v4.ip().into(), v4.port()));
        let v6 = || peer.as_sockaddr_in6().map(|v6| (v6.ip().into(), v6.port()));
        v4.or_else(v6) == Some((own, port))
    }

    /// The address that the datagram was sent to, if `bound` is every address of the host.
    pub(super) fn own_address(&self, bound: &Address) -> Option<Address> {
        let own = self.own?;
        bound.with_ip(own.ip)
    }
}

impl Socket {
    /// A datagram, cut if the buffer is too small, and its sender.
    pub(super) fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Ends)> {
        let watch = CallTrace::start(self.family(), "recvfrom");
        let size = buffer.len();
        let received = uninterrupted(|| {
            let (count, peer) = recvfrom(self.as_raw_fd(), buffer)?;
            let peer = peer.map(SenderName::Any);
            Ok((count, Ends::of(peer)))
        });
        let arguments = || match &received {
            Ok((_, ends)) => format!("{}, {size}, {}", self.as_raw_fd(), ends.peer_name(self)),
            Err(_) => format!("{}, {size}", self.as_raw_fd()),
        };
        watch.done(&received, arguments, |(count, _)| count.to_string());
        received
    }

    /// Sends one datagram back, with descriptors if there are any.
    ///
    /// # Errors
    /// What `sendto(2)` reports, and `NotConnected` for a peer without a name.
    pub(super) fn send_back(
        &self,
        bytes: &[u8],
        files: &[OwnedFd],
        ends: &Ends,
    ) -> io::Result<usize> {
        let peer = ends.peer.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let flags = self.send_flags();
        let arguments = || format!("{}, {}", bytes.len(), ends.peer_shown(self));
        if !files.is_empty() {
            let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
            let control = [ControlMessage::ScmRights(&numbers)];
            let send = || self.send_with(bytes, &control, peer).map_err(passing);
            let arguments = || format!("{}, SCM_RIGHTS {}", arguments(), files.len());
            return self.watched("sendmsg", arguments, send);
        }
        let Some(own) = ends.own else {
            let send = || {
                let peer: &dyn SockaddrLike = match peer {
                    SenderName::Any(peer) => peer,
                    SenderName::Unix(peer) => peer,
                };
                Ok(sendto(self.as_raw_fd(), bytes, peer, flags)?)
            };
            return self.watched("sendto", arguments, send);
        };
        let send = || {
            let sent = match own.ip {
                IpAddr::V4(ip) => {
                    let source = in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: in_addr {
                            s_addr: u32::from_ne_bytes(ip.octets()),
                        },
                        ipi_addr: in_addr { s_addr: 0 },
                    };
                    let control = [ControlMessage::Ipv4PacketInfo(&source)];
                    self.send_with(bytes, &control, peer)
                }
                IpAddr::V6(ip) => {
                    let source = in6_pktinfo {
                        ipi6_addr: in6_addr {
                            s6_addr: ip.octets(),
                        },
                        ipi6_ifindex: own.interface,
                    };
                    let control = [ControlMessage::Ipv6PacketInfo(&source)];
                    self.send_with(bytes, &control, peer)
                }
            };
            Ok(sent?)
        };
        self.watched("sendmsg", arguments, send)
    }

    /// Receives one datagram of any peer; the trace shows of which.
    ///
    /// # Errors
    /// What `recvfrom(2)` reports, and `InvalidData` for one that does not fit into `buffer`.
    pub(super) fn receive_of_any(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let room = buffer.len();
        let watch = CallTrace::start(self.family(), "recvfrom");
        // With MSG_TRUNC, the length is that of the datagram, also if it was cut.
        let flags = RecvFlags::TRUNC | self.flags();
        let received = uninterrupted(|| Ok(net::recvfrom(self, &mut *buffer, flags)?));
        let arguments = || {
            let name = received.as_ref().ok().and_then(|(_, _, name)| name.clone());
            let name = decode_accepted(self.inner(), name).and_then(|name| self.typed(name));
            let peer = name.map_or_else(|_| String::new(), |peer| format!(", {peer}"));
            format!("{}, {room}{peer}", self.as_raw_fd())
        };
        watch.done(&received, arguments, |(_, length, _)| length.to_string());
        Received::message(received?.1, room)
    }

    /// `sendmsg(2)` to `peer`.
    fn send_with(
        &self,
        bytes: &[u8],
        control: &[ControlMessage<'_>],
        peer: &SenderName,
    ) -> nix::Result<usize> {
        let (data, flags) = ([IoSlice::new(bytes)], self.send_flags());
        match peer {
            SenderName::Any(peer) => sendmsg(self.as_raw_fd(), &data, control, flags, Some(peer)),
            SenderName::Unix(peer) => sendmsg(self.as_raw_fd(), &data, control, flags, Some(peer)),
        }
    }
}

/// Buffers for the datagrams of one receive.
#[derive(Debug)]
pub(super) struct Batch {
    buffers: Vec<Vec<u8>>,
    /// The size of a buffer.
    room: usize,
    /// The datagrams of the last receive: how much of each buffer is used, and the ends.
    received: Vec<(usize, Ends)>,
    /// Whether the socket is bound to every address of the host.
    is_everywhere: bool,
    /// The descriptors that came with the only datagram of the last receive, or why they were lost;
    /// `None` if the kernel closes descriptors.
    files: Option<io::Result<Vec<OwnedFd>>>,
    /// Whether each datagram comes with its sender's credentials.
    takes_credentials: bool,
    /// Those of the only datagram of the last receive.
    credentials: Option<Credentials>,
}

impl Batch {
    /// Buffers of `room` bytes, which take memory only for what is received; `takes_files` if
    /// descriptors that come with a datagram are kept, `takes_credentials` if the credentials are.
    pub(super) fn new(
        room: usize,
        is_everywhere: bool,
        takes_files: bool,
        takes_credentials: bool,
    ) -> Self {
        Self {
            takes_credentials,
            credentials: None,
            files: takes_files.then(|| Ok(Vec::new())),
            buffers: Vec::new(),
            room,
            received: Vec::new(),
            is_everywhere,
        }
    }

    /// The size of a buffer.
    pub(super) const fn room(&self) -> usize {
        self.room
    }

    /// The datagrams of the last receive; one of `room` bytes may have been cut.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (&[u8], Ends)> {
        let each = self.buffers.iter().zip(&self.received);
        each.map(|(buffer, (count, ends))| (&buffer[..*count], *ends))
    }

    /// The credentials of the only datagram of the last receive, if they come.
    pub(super) const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// Takes the descriptors that came with the only datagram of the last receive.
    ///
    /// # Errors
    /// If some were lost.
    pub(super) fn take_files(&mut self) -> io::Result<Vec<OwnedFd>> {
        match &mut self.files {
            Some(files) => std::mem::replace(files, Ok(Vec::new())),
            None => Ok(Vec::new()),
        }
    }

    /// Receives up to `most` datagrams; returns whether the socket was emptied.
    ///
    /// # Errors
    /// What `recvfrom(2)` reports; then nothing was received.
    pub(super) fn receive(&mut self, socket: &Socket, most: usize) -> io::Result<bool> {
        self.received.clear();
        let names_every = family::of(socket.family()).names_every_sender();
        let most = match names_every {
            true => most,
            false => 1,
        };
        while self.buffers.len() < most {
            self.buffers.push(vec![0; self.room]);
        }
        // recvfrom(2) of `nix` has no flags, which a shared socket needs.
        let has_flags = !socket.flags().is_empty();
        let is_one = most == 1 && !self.is_everywhere && !(has_flags && names_every);
        let has_more = self.files.is_some() || self.takes_credentials || has_flags;
        let call = match is_one {
            true if has_more => "recvmsg",
            true => "recvfrom",
            false => "recvmmsg",
        };
        let watch = CallTrace::start(socket.family(), call);
        let done = match is_one {
            true if has_more => self.receive_passing(socket).map(|()| false),
            true => self.receive_one(socket).map(|()| false),
            false => self
                .receive_several(socket, most)
                .map(|()| self.received.len() < most),
        };
        let senders = || {
            let each = self.received.iter();
            let names: Vec<String> = each.map(|(_, ends)| ends.peer_shown(socket)).collect();
            format!("{}, {}, {}", socket.as_raw_fd(), self.room, names.join(" "))
        };
        let counts = |_: &bool| {
            let counts = self.received.iter().map(|(count, _)| count.to_string());
            counts.collect::<Vec<_>>().join(" ")
        };
        watch.done(&done, senders, counts);
        done
    }

    fn receive_one(&mut self, socket: &Socket) -> io::Result<()> {
        let buffer = &mut self.buffers[0];
        let (count, peer) = uninterrupted(|| Ok(recvfrom(socket.as_raw_fd(), buffer)?))?;
        let peer = peer.map(SenderName::Any);
        self.received.push((count, Ends::of(peer)));
        Ok(())
    }

    fn receive_passing(&mut self, socket: &Socket) -> io::Result<()> {
        let (buffer, mut files) = (&mut self.buffers[0], Vec::new());
        let takes_files = self.files.is_some();
        let received = uninterrupted(|| {
            let files = takes_files.then_some(&mut files);
            receive_rights(socket.inner(), buffer, socket.flags(), files)
        })?;
        let peer = received.sender.and_then(SenderName::of_unix);
        if takes_files {
            self.files = Some(received.lost.map_or(Ok(files), Err));
        }
        let ends = Ends {
            user: received.credentials.map(|process| process.uid),
            ..Ends::of(peer)
        };
        self.credentials = received.credentials;
        self.received.push((received.length, ends));
        Ok(())
    }

    fn receive_several(&mut self, socket: &Socket, most: usize) -> io::Result<()> {
        let space = self.is_everywhere.then(|| cmsg_space!(in6_pktinfo));
        // A used one would keep the lengths of the names that it was used for.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, space);
        let mut slices: Vec<_> = self.buffers[..most]
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        for message in recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)? {
            let own = match self.is_everywhere {
                // The datagrams are received: without it, the answer comes from the usual address.
                true => message
                    .cmsgs()
                    .ok()
                    .and_then(|mut all| all.find_map(|control| own_ip(&control))),
                false => None,
            };
            let peer = message.address.map(SenderName::Any);
            self.received.push((
                message.bytes,
                Ends {
                    own,
                    ..Ends::of(peer)
                },
            ));
        }
        Ok(())
    }
}

/// The address of this host that a datagram was sent to.
fn own_ip(control: &ControlMessageOwned) -> Option<OwnIp> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            // For a datagram to a group, it is the address of the interface.
            let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
            Some(OwnIp {
                ip: ip.into(),
                interface: 0,
            })
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = match ip.is_unicast_link_local() {
                true => info.ipi6_ifindex,
                false => 0,
            };
            // A group is no address to send from.
            (!ip.is_multicast()).then_some(OwnIp {
                ip: ip.into(),
                interface,
            })
        }
        _ => None,
    }
}
