//! What a transfer does with descriptors that come with bytes or messages, see `SCM_RIGHTS` in
//! `unix(7)`.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use crate::address::Family;
use crate::net::{Received, Stream, not_passed};

/// What is done with descriptors that an end sends with its bytes; only AF_UNIX has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Descriptors {
    /// They are passed on with the bytes that they came with. If the family of the other end cannot,
    /// they are an error. While a stream is spliced, which would lose them, the kernel refuses them
    /// with `EPERM`; one that has carried a descriptor is not spliced, and none is if the kernel
    /// cannot refuse them (before Linux 6.16).
    #[default]
    Pass,
    /// The kernel refuses them with `EPERM` if it can; those that come are an error.
    Refuse,
    /// They are closed, and counted. No stream that may have them is spliced.
    Drop,
}

/// Is called with the number of descriptors that came with some bytes and were closed.
pub type Dropped<'a> = &'a (dyn Fn(usize) + Send + Sync);

/// What one direction does with descriptors.
#[derive(Clone, Copy)]
pub(super) struct Rights<'a> {
    rule: Rule,
    dropped: Option<Dropped<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// None come.
    None,
    Pass,
    Refuse,
    Drop,
    /// The other end is of a family without them.
    Foreign(Family),
}

impl<'a> Rights<'a> {
    /// Those that come from `from`.
    pub(super) fn of(
        from: &Stream,
        to: &Stream,
        wanted: Descriptors,
        dropped: Option<Dropped<'a>>,
    ) -> Self {
        let rule = match wanted {
            _ if !from.may_get_descriptors() => Rule::None,
            Descriptors::Drop => Rule::Drop,
            Descriptors::Refuse => {
                from.set_takes_descriptors(false);
                Rule::Refuse
            }
            Descriptors::Pass if to.passes_descriptors() => Rule::Pass,
            Descriptors::Pass => Rule::Foreign(to.family()),
        };
        Self { rule, dropped }
    }

    /// Polls to receive; those that are to be passed on are appended to `files`.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        from: &Stream,
        buffer: &mut [u8],
        files: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<Received>> {
        if self.rule == Rule::None {
            return from.poll_receive(cx, buffer);
        }
        let received = ready!(from.poll_receive_passing(cx, buffer, files))?;
        if !files.is_empty() {
            self.admit(files)?;
        }
        Poll::Ready(Ok(received))
    }

    /// Applies the rule to what came.
    fn admit(&self, files: &mut Vec<OwnedFd>) -> io::Result<()> {
        match self.rule {
            Rule::Pass => Ok(()),
            Rule::None | Rule::Drop => {
                if let Some(dropped) = self.dropped {
                    dropped(files.len());
                }
                files.clear();
                Ok(())
            }
            Rule::Refuse => Err(not_passed("they are refused")),
            Rule::Foreign(family) => {
                let family = family.af_name();
                Err(not_passed(format_args!("{family} has none")))
            }
        }
    }

    /// Before a stream of `from` is spliced, which would lose descriptors: has the kernel refuse
    /// more, and returns the number of bytes that are still to be received; `None` if descriptors
    /// may come later.
    pub(super) fn before_splice(&self, from: &Stream) -> Option<u64> {
        match self.rule {
            Rule::None => Some(0),
            Rule::Drop => None,
            Rule::Pass | Rule::Refuse | Rule::Foreign(_) => from.refuse_more_descriptors(),
        }
    }

    /// After that: descriptors may come again, if they are to be passed on.
    pub(super) fn after_splice(&self, from: &Stream) {
        if self.rule == Rule::Pass {
            from.set_takes_descriptors(true);
        }
    }
}
