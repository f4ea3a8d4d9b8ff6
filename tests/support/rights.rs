//! Descriptors beside bytes and messages (`SCM_RIGHTS`), sent and received without the library.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{Process, RawMessages};

/// The most descriptors that the kernel takes with one message.
const MOST: usize = 253;

/// Files in memory that were never shared, to be sent and compared.
pub(crate) struct Files(Vec<File>);

impl Files {
    pub(crate) const MOST: usize = MOST;

    /// `count` of them, each with its number in it.
    pub(crate) fn new(count: usize) -> Self {
        let file = |number: usize| {
            let file = memfd_create(c"sok", MFdFlags::MFD_CLOEXEC).unwrap();
            let mut file = File::from(file);
            file.write_all(number.to_string().as_bytes()).unwrap();
            file
        };
        Self((0..count).map(file).collect())
    }

    /// Sends them with `bytes` in one message.
    pub(crate) fn send(&self, by: &RawMessages, bytes: &[u8]) -> io::Result<usize> {
        let numbers: Vec<i32> = self.0.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&numbers)];
        let (data, flags) = ([IoSlice::new(bytes)], MsgFlags::MSG_NOSIGNAL);
        let socket = by.socket().as_raw_fd();
        let sent = match by.socket().peer_addr() {
            Ok(_) => sendmsg::<()>(socket, &data, &control, flags, None),
            // A bound datagram socket.
            Err(_) => {
                let peer = by.peer();
                let name = match peer.as_pathname() {
                    Some(path) => UnixAddr::new(path),
                    None => UnixAddr::new_abstract(peer.as_abstract_namespace().unwrap()),
                };
                sendmsg(socket, &data, &control, flags, Some(&name.unwrap()))
            }
        };
        Ok(sent?)
    }

    /// Receives what one call returns: the bytes, and the files that came with them.
    pub(crate) fn receive(by: &RawMessages) -> (Vec<u8>, Vec<File>) {
        let mut bytes = vec![0; 1 << 20];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(by.socket(), &mut data, &mut control, flags).expect("it arrives");
        let mut files: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                files.extend(some);
            }
        }
        bytes.truncate(received.bytes);
        (bytes, files.into_iter().map(File::from).collect())
    }

    /// Checks that `got` are these files in this order: what one side writes, the other reads.
    pub(crate) fn assert_are(&self, got: &[File]) {
        assert_eq!(got.len(), self.0.len());
        for (number, (own, got)) in self.0.iter().zip(got).enumerate() {
            let mut there = String::new();
            let mut got = got.as_fd().try_clone_to_owned().map(File::from).unwrap();
            got.seek(SeekFrom::Start(0)).unwrap();
            got.read_to_string(&mut there).unwrap();
            assert!(
                there.starts_with(&number.to_string()),
                "{number} is {there}"
            );
            got.write_all_at(b"seen", 100).unwrap();
            let mut seen = [0; 4];
            own.read_exact_at(&mut seen, 100).unwrap();
            assert_eq!(&seen, b"seen");
        }
    }
}

/// The number of descriptors that a process has open.
pub(crate) fn open_descriptors(process: &Process) -> usize {
    let listing = std::fs::read_dir(format!("/proc/{}/fd", process.pid()));
    listing.unwrap().count()
}

/// Whether this is Linux 6.16 or later, which has `SO_PASSRIGHTS`.
pub(crate) fn kernel_can_refuse_descriptors() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(16))
}
