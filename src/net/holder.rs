//! Which process listens on an AF_UNIX name, or receives datagrams there, found without a connection
//! to its server: `sock_diag(7)`, `proc(5)`.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use nix::sys::stat::{major, minor};

use super::socket::kernel_type;
use crate::address::{Address, SocketType, UnixName};

/// The local addresses at which a socket of this host listens, or receives datagrams, as far as
/// `sock_diag(7)` reports them. A path is as its server bound it, which may have been in another folder.
#[must_use]
pub fn local_servers() -> Vec<Address> {
    let named = |one: Listening| {
        let name = match one.name.split_first() {
            Some((&0, name)) if !name.is_empty() => UnixName::abstract_name(name),
            _ => {
                let end = one.name.iter().position(|byte| *byte == 0);
                UnixName::path(&one.name[..end.unwrap_or(one.name.len())])
            }
        };
        Address::from(name.ok()?).with_type(one.socket_type).ok()
    };
    let all = listening().unwrap_or_default();
    all.into_iter().filter_map(named).collect()
}

/// The visible processes that hold the socket that listens on a local address, or receives datagrams
/// there; none for an address of another family.
#[must_use]
pub fn processes_at(address: &Address) -> Vec<i32> {
    let Some(name) = address.as_unix() else {
        return Vec::new();
    };
    let is_it: &dyn Fn(&Listening) -> bool = match name {
        UnixName::Path(path) => {
            let Ok(file) = fs::symlink_metadata(path) else {
                return Vec::new();
            };
            &move |one| one.file.as_ref().is_some_and(|id| *id == file_id(&file))
        }
        // The kernel puts a NUL before it. Each type has its own names.
        UnixName::Abstract(name) => &move |one| {
            let is_of_type = one.socket_type == address.socket_type();
            is_of_type && one.name.split_first() == Some((&0, name.as_slice()))
        },
        UnixName::Unnamed => return Vec::new(),
    };
    let all = listening().unwrap_or_default();
    let inodes: Vec<u64> = all
        .iter()
        .filter(|one| is_it(one))
        .map(|one| one.inode)
        .collect();
    processes_with(&inodes)
}

/// The processes that have one of these sockets open, by inode number, among those whose files are
/// visible.
#[must_use]
pub fn processes_with(inodes: &[u64]) -> Vec<i32> {
    let names: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let holds = |pid: i32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"));
        files.into_iter().flatten().flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            names.iter().any(|name| target.as_os_str() == name.as_str())
        })
    };
    if names.is_empty() {
        return Vec::new();
    }
    let processes = fs::read_dir("/proc");
    let mut pids: Vec<i32> = processes
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds(*pid))
        .collect();
    pids.sort_unstable();
    pids
}

/// A file as sock_diag reports it: inode number, truncated to 32 bits, and device.
type FileId = (u32, u32);

#[allow(clippy::cast_possible_truncation)]
fn file_id(file: &Metadata) -> FileId {
    // The kernel's encoding of a device number, MKDEV of linux/kdev_t.h.
    let device = (major(file.dev()) << 20) | minor(file.dev());
    (file.ino() as u32, device as u32)
}

/// An AF_UNIX socket that listens, or receives datagrams.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listening {
    socket_type: SocketType,
    inode: u64,
    name: Vec<u8>,
    file: Option<FileId>,
}

// linux/sock_diag.h, linux/unix_diag.h, net/tcp_states.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const UDIAG_SHOW_NAME: u32 = 1;
const UDIAG_SHOW_VFS: u32 = 2;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
/// A datagram socket that a client has connected to is in the state of a connected one.
const ESTABLISHED: u8 = 1;
/// Any other datagram socket.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// The sizes of `nlmsghdr` of `netlink(7)`, `unix_diag_req` and `unix_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 24;
const MESSAGE: usize = 16;

/// All listening sockets in a dump of `sock_diag(7)`.
fn listening() -> io::Result<Vec<Listening>> {
    let (family, kind) = (AddressFamily::Netlink, SockType::Datagram);
    let asked = socket(
        family,
        kind,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    send(asked.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = recv(asked.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // Entries before an error are valid.
        if !read_answer(&buffer[..count], &mut all) {
            return Ok(all);
        }
    }
}

/// Collects the listening sockets of one part of the dump; returns whether more follow.
fn read_answer(answer: &[u8], all: &mut Vec<Listening>) -> bool {
    let mut rest = answer;
    while let Some((kind, body)) = next_part(&mut rest, HEADER, message_header) {
        if kind != SOCK_DIAG_BY_FAMILY {
            // The end of the dump, or an error.
            return false;
        }
        all.extend(listening_of(body));
    }
    !answer.is_empty()
}

fn request() -> Vec<u8> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    let size = HEADER + REQUEST;
    let mut request = Vec::with_capacity(size);
    // Length, type, flags, sequence number, port.
    request.extend(u32::try_from(size).unwrap_or_default().to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    request.extend([0; 8]);
    // Family, protocol, padding, states, inode, what to show, cookie.
    request.extend([u8::try_from(libc::AF_UNIX).unwrap_or_default(), 0, 0, 0]);
    let states = [ESTABLISHED, CLOSE, LISTEN].map(|state| 1_u32 << state);
    request.extend(states.iter().sum::<u32>().to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    request.extend((UDIAG_SHOW_NAME | UDIAG_SHOW_VFS).to_ne_bytes());
    request.extend([0; 8]);
    request
}

/// The length and the type of a message.
fn message_header(bytes: &[u8]) -> Option<(usize, u16)> {
    Some((usize::try_from(u32_at(bytes, 0)?).ok()?, u16_at(bytes, 4)?))
}

/// The length and the type of an attribute.
fn attribute_header(bytes: &[u8]) -> Option<(usize, u16)> {
    Some((u16_at(bytes, 0)?.into(), u16_at(bytes, 2)?))
}

/// Takes the next element, aligned to 4 bytes: its type and body.
fn next_part<'a>(
    rest: &mut &'a [u8],
    header: usize,
    read: fn(&[u8]) -> Option<(usize, u16)>,
) -> Option<(u16, &'a [u8])> {
    let (length, kind) = read(rest)?;
    let body = rest.get(header..length)?;
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body))
}

/// Parses one message about a socket.
fn listening_of(message: &[u8]) -> Option<Listening> {
    // Family, type, state, padding, inode, cookie, and attributes.
    let number = i32::from(*message.get(1)?);
    let socket_type = SocketType::ALL
        .into_iter()
        .find(|known| i32::from(kernel_type(*known)) == number)?;
    if socket_type.has_connection() && *message.get(2)? != LISTEN {
        return None;
    }
    let inode = u32_at(message, 4)?.into();
    let mut one = Listening {
        socket_type,
        inode,
        ..Listening::default()
    };
    let mut rest = message.get(MESSAGE..)?;
    while let Some((kind, value)) = next_part(&mut rest, 4, attribute_header) {
        match kind {
            UNIX_DIAG_NAME => value.clone_into(&mut one.name),
            UNIX_DIAG_VFS => one.file = u32_at(value, 0).zip(u32_at(value, 4)),
            _ => {}
        }
    }
    Some(one)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(field.try_into().ok()?))
}

/// Parses an answer of the kernel: see [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(answer: &[u8]) {
    let mut all = Vec::new();
    read_answer(answer, &mut all);
    let names: usize = all.iter().map(|one| one.name.len()).sum();
    assert!(names + all.len() * (HEADER + MESSAGE) <= answer.len());
}
