//! Waits for send room on sockets registered only for reading.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{self, Arc, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::Interest;
use tokio::runtime::{self, Handle};
use tokio::sync::Mutex;

use super::registration::registered;
use super::socket::Socket;

/// Maximum events per epoll_wait(2).
const EVENTS: usize = 64;

/// A socket's wait for send room, used once a send would block.
#[derive(Debug, Default)]
pub(super) struct Room(OnceLock<Box<Wait>>);

impl Room {
    /// Polls a call that returns `WouldBlock` while `socket` has no room; wakes only the last
    /// caller.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        socket: &Socket,
        mut send: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if self.0.get().is_some_and(|wait| wait.goes_on(cx.waker())) {
            return Poll::Pending;
        }
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
        self.made()?.begin(socket, cx.waker())?;
        Poll::Pending
    }

    /// Makes a call that returns `WouldBlock` while `socket` has no room. Of several tasks one
    /// waits for room, the others for their turn.
    pub(super) async fn wait<T>(
        &self,
        socket: &Socket,
        mut send: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let _turn = self.made()?.turn.lock().await;
        poll_fn(|cx| self.poll(cx, socket, &mut send)).await
    }

    fn made(&self) -> io::Result<&Wait> {
        match self.0.get() {
            Some(wait) => Ok(wait),
            None => {
                let wait = Box::new(Wait::new(Waiters::here()?));
                Ok(self.0.get_or_init(|| wait))
            }
        }
    }
}

/// The wait of one socket.
#[derive(Debug)]
struct Wait {
    waiting: Arc<Waiters>,
    number: u64,
    is_known: AtomicBool,
    turn: Mutex<()>,
}

impl Wait {
    fn new(waiting: Arc<Waiters>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            waiting,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            is_known: AtomicBool::new(false),
            turn: Mutex::new(()),
        }
    }

    /// Whether the socket still waits; if so, `waker` will be woken.
    fn goes_on(&self, waker: &Waker) -> bool {
        let mut wakers = self.waiting.wakers();
        let Some(waits) = wakers.get_mut(&self.number) else {
            return false;
        };
        let other = match waits.will_wake(waker) {
            true => None,
            false => Some(std::mem::replace(waits, waker.clone())),
        };
        // A waker may be the last owner of its task: drop it without the lock.
        drop(wakers);
        drop(other);
        true
    }

    /// Waits once for room, including room since the last send.
    fn begin(&self, socket: &Socket, waker: &Waker) -> io::Result<()> {
        if self.waiting.has_ended.load(Ordering::Relaxed) {
            return Err(io::Error::other("the runtime of this stream has ended"));
        }
        let _none = self.waiting.wakers().insert(self.number, waker.clone());
        let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT;
        let event = EpollEvent::new(flags, self.number);
        let epoll = &self.waiting.epoll;
        let again = |mut event| epoll.modify(socket, &mut event);
        let begun = match self.is_known.swap(true, Ordering::Relaxed) {
            true => again(event),
            false => match epoll.add(socket, event) {
                // Already added, by an earlier registration.
                Err(nix::Error::EEXIST) => again(event),
                added => added,
            },
        };
        if begun.is_err() {
            self.end();
        }
        Ok(begun?)
    }

    fn end(&self) {
        let waker = self.waiting.wakers().remove(&self.number);
        // Without the lock: it may be the last owner of its task.
        drop(waker);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // The kernel deregisters the socket when it is closed.
        self.end();
    }
}

/// The sockets of a runtime that wait for room.
///
/// The interest of a registration with the runtime cannot be changed, and a socket cannot be
/// registered twice. So all of them wait in one separate epoll instance, which is registered with
/// the runtime; see `epoll(7)`.
#[derive(Debug)]
pub(super) struct Waiters {
    epoll: Epoll,
    wakers: sync::Mutex<BTreeMap<u64, Waker>>,
    has_ended: AtomicBool,
}

/// One for each runtime that has needed one.
static RUNTIMES: sync::Mutex<Vec<(runtime::Id, Weak<Waiters>)>> = sync::Mutex::new(Vec::new());

impl Waiters {
    /// Those of the current runtime.
    pub(super) fn here() -> io::Result<Arc<Self>> {
        let runtime = Handle::current();
        let mut all = locked(&RUNTIMES);
        let found = all.iter().find(|(id, _)| *id == runtime.id());
        if let Some(waiting) = found.and_then(|(_, waiting)| waiting.upgrade()) {
            return Ok(waiting);
        }
        let waiting = Arc::new(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            wakers: sync::Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        let registered = registered(RegisteredWaiters(Arc::clone(&waiting)), Interest::READABLE)?;
        all.retain(|(_, waiting)| waiting.strong_count() > 0);
        all.push((runtime.id(), Arc::downgrade(&waiting)));
        drop(all);
        runtime.spawn(async move {
            // Ends with the runtime.
            while let Ok(mut ready) = registered.readable().await {
                if registered.get_ref().0.wake() < EVENTS {
                    ready.clear_ready();
                }
            }
        });
        Ok(waiting)
    }

    /// Wakes those that have room; returns how many.
    fn wake(&self) -> usize {
        let mut events = [EpollEvent::empty(); EVENTS];
        // It does not wait, so no signal interrupts it.
        let count = self
            .epoll
            .wait(&mut events, EpollTimeout::ZERO)
            .unwrap_or(0);
        for event in &events[..count] {
            let waker = self.wakers().remove(&event.data());
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        count
    }

    fn wakers(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        locked(&self.wakers)
    }
}

/// The epoll instance as the runtime registers it.
struct RegisteredWaiters(Arc<Waiters>);

impl Drop for RegisteredWaiters {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
        let wakers = std::mem::take(&mut *self.0.wakers());
        wakers.into_values().for_each(Waker::wake);
    }
}

impl AsRawFd for RegisteredWaiters {
    fn as_raw_fd(&self) -> RawFd {
        self.0.epoll.0.as_raw_fd()
    }
}

fn locked<T>(mutex: &sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::net::Stream;

    const MUCH: usize = 4 << 20;

    fn runtime() -> io::Result<Runtime> {
        Builder::new_current_thread().enable_all().build()
    }

    /// Sends more than there is room for while the other end receives.
    async fn pass(from: &Stream, to: &Stream) -> io::Result<()> {
        let bytes = vec![0; MUCH];
        let receive = async {
            let (mut buffer, mut left) = (vec![0; 1 << 16], MUCH);
            while left > 0 {
                left -= to.receive(&mut buffer).await?.count();
            }
            Ok(())
        };
        let (sent, received): (_, io::Result<()>) = tokio::join!(from.send_all(&bytes), receive);
        sent.and(received)
    }

    #[test]
    fn each_runtime_of_a_thread_wakes_its_own_streams() -> io::Result<()> {
        for _ in 0..3 {
            runtime()?.block_on(async {
                let (one, other) = Stream::pair()?;
                pass(&one, &other).await?;
                pass(&other, &one).await
            })?;
        }
        Ok(())
    }

    #[test]
    fn a_stream_that_waits_for_room_can_move_to_another_runtime() -> io::Result<()> {
        let (old, new) = (runtime()?, runtime()?);
        let (one, other) = old.block_on(async {
            let (one, other) = Stream::pair()?;
            // It waits, and nothing wakes it.
            let waits = poll_fn(|cx| {
                while let Poll::Ready(sent) = one.poll_send(cx, &[0; 1 << 16]) {
                    sent?;
                }
                Poll::Ready(io::Result::Ok(()))
            });
            waits.await?;
            io::Result::Ok((one, other))
        })?;
        let taken = {
            let mut buffer = vec![0; MUCH];
            old.block_on(other.receive(&mut buffer))?.count()
        };
        assert!(taken > 0);
        let (one, other) = {
            let _entered = new.enter();
            (one.into_current_runtime()?, other.into_current_runtime()?)
        };
        drop(old);
        new.block_on(async {
            // Earlier bytes come first.
            let more = async {
                let mut buffer = vec![0; MUCH];
                while !other.receive(&mut buffer).await?.is_end() {}
                Ok(())
            };
            let all = async {
                one.send_all(&vec![0; MUCH]).await?;
                one.shutdown(std::net::Shutdown::Write)
            };
            let (sent, received): (io::Result<()>, io::Result<()>) = tokio::join!(all, more);
            sent.and(received)
        })
    }

    #[test]
    fn a_stream_whose_runtime_has_ended_says_so() -> io::Result<()> {
        let runtime = runtime()?;
        let (one, _other) = runtime.block_on(async { Stream::pair() })?;
        let waits = |one: &Stream| {
            let mut cx = Context::from_waker(Waker::noop());
            loop {
                match one.poll_send(&mut cx, &[0; 1 << 16]) {
                    Poll::Ready(Ok(_)) => {}
                    other => return other,
                }
            }
        };
        {
            let _entered = runtime.enter();
            assert!(waits(&one).is_pending());
        }
        drop(runtime);
        assert!(matches!(waits(&one), Poll::Ready(Err(_))));
        Ok(())
    }
}
