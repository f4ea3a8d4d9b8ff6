//! The bare relay: moves bytes from one socket to another without a copy.

use std::net::Shutdown;

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe;
use socket2::Socket;

use crate::{Result, address};

const ROOM: usize = 1 << 20;

/// Serves one client after the other, and one direction after the other, by blocking calls.
pub fn relay(near: &str, far: &str) -> Result<()> {
    let listener = address::listen(near)?;
    loop {
        let (client, _) = listener.accept()?;
        let target = address::connect_plain(far)?;
        // A broken connection shows at the ends: the digests differ.
        let _ = pass(&client, &target).and_then(|()| pass(&target, &client));
    }
}

fn pass(from: &Socket, to: &Socket) -> Result<()> {
    let (exit, entry) = pipe()?;
    fcntl(&entry, FcntlArg::F_SETPIPE_SZ(i32::try_from(ROOM)?))?;
    loop {
        let mut held = splice(from, None, &entry, None, ROOM, SpliceFFlags::SPLICE_F_MOVE)?;
        if held == 0 {
            return Ok(to.shutdown(Shutdown::Write)?);
        }
        while held > 0 {
            held -= splice(&exit, None, to, None, held, SpliceFFlags::SPLICE_F_MOVE)?;
        }
    }
}
