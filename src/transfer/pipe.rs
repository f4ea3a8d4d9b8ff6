//! The pipes for spliced streams, and the pool of empty ones.

use std::cell::RefCell;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::memory::KeptBytes;
use crate::net::DescriptorBudget;

/// The preferred size of a pipe: TCP delivers large pieces.
const ROOM: usize = 1024 * 1024;
/// The preferred size if there are more than [`FEW`]: an ordinary user has 64 MiB for all pipes
/// (`pipe-user-pages-soft`, pipe(7)).
const ROOM_OF_MANY: usize = 256 * 1024;
const FEW: u64 = 32;
/// The minimum size of a pipe: splicing smaller pieces is slower than copying.
const ROOM_MIN: usize = 64 * 1024;
/// The descriptors of a pipe.
const DESCRIPTORS: u64 = 2;
/// The number of empty pipes that a thread keeps: two for each of a few busy connections.
const POOL_MAX: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe, and the number of bytes in it.
#[derive(Debug)]
pub(super) struct Pipe {
    exit: PipeReader,
    entry: OwnedFd,
    room: usize,
    held: usize,
    _budget: DescriptorBudget,
}

impl Pipe {
    /// An empty pipe from the pool, or a new one.
    ///
    /// # Errors
    /// Errors of `pipe2(2)` when descriptors or pipe pages run out; `EPERM` if there are pages only
    /// for a small pipe.
    pub(super) fn take() -> io::Result<Self> {
        if let Some(pipe) = POOL.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let budget = DescriptorBudget::take(DESCRIPTORS)?;
        let (exit, entry) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let is_one_of_few = DescriptorBudget::taken() <= FEW * DESCRIPTORS;
        let rooms = if is_one_of_few {
            &[ROOM, ROOM_OF_MANY][..]
        } else {
            &[ROOM_OF_MANY]
        };
        // On EPERM, the pipe keeps the size it has; the real size is read back.
        let _ = rooms.iter().any(|room| {
            let wanted = i32::try_from(*room).unwrap_or(i32::MAX);
            fcntl(&entry, FcntlArg::F_SETPIPE_SZ(wanted)).is_ok()
        });
        let room = fcntl(&entry, FcntlArg::F_GETPIPE_SZ)?;
        let room = usize::try_from(room).unwrap_or_default();
        if room < ROOM_MIN {
            return Err(nix::Error::EPERM.into());
        }
        Ok(Self {
            exit: exit.into(),
            entry,
            room,
            held: 0,
            _budget: budget,
        })
    }

    /// Returns an empty pipe to the pool, or closes one that still holds bytes.
    pub(super) fn give_back(self) {
        if self.held == 0 {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < POOL_MAX {
                    pool.push(self);
                }
            });
        }
    }

    pub(super) fn entry(&self) -> BorrowedFd<'_> {
        self.entry.as_fd()
    }

    pub(super) fn exit(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    pub(super) const fn filled(&mut self, count: usize) {
        self.held += count;
    }

    /// Appends its bytes to `bytes`.
    ///
    /// # Errors
    /// Errors of `read(2)`, and `UnexpectedEof` if it held less.
    pub(super) fn take_out(&mut self, bytes: &mut KeptBytes) -> io::Result<()> {
        let mut piece = [0; 4096];
        while self.held > 0 {
            let most = piece.len().min(self.held);
            match (&self.exit).read(&mut piece[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    bytes.push(&piece[..count], self.held)?;
                    self.held -= count;
                }
            }
        }
        Ok(())
    }

    pub(super) const fn drained(&mut self, count: usize) {
        self.held -= count;
    }
}
