//! How a worker waits for its sockets and sends: two backends behind one [`Io`], chosen once at start.
//!
//! [`epoll`] tells which socket can be read, and reads and sends are system calls of their own. [`uring`] hands over whole
//! datagrams and takes whole datagrams; one system call sends all that gathered and waits for more. A worker's loop is
//! the same for both: [`Io::wait`], [`Io::next`] until it is empty, [`Io::send`] meanwhile.

pub mod epoll;
pub mod priority;
pub mod uring;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use self::epoll::{Bell, Metronome, Poller};
use self::uring::Uring;
use super::counters::{Counters, Reason};
use crate::dialplan::media_io::MediaIo;

/// What was found to work.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Backend {
    /// Waiting for sockets that can be read.
    Epoll,
    /// Rings shared with the kernel.
    Uring,
}

/// What a wait brought.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// The bell was rung.
    Rung,
    /// A beat is due; only where [`Io::beats`] was asked for and the wait itself is too coarse.
    Beat,
    /// The socket under this token can be read.
    Readable(u64),
    /// A datagram came to the socket under `token` and lies in the room given: its length, the whole room if it was
    /// larger than that.
    Datagram {
        token: u64,
        length: usize,
        from: SocketAddr,
    },
    /// The socket could not be read.
    Failed,
    /// The last one about a socket that was detached.
    Detached(u64),
}

/// Whether a detached socket is free at once.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Detach {
    /// Nothing more comes from it.
    Done,
    /// What it received before is still told, then [`Told::Detached`].
    Later,
}

/// A worker's sockets. Tokens are a slot in their lower half, and tell apart who had the slot in the upper one.
#[derive(Debug)]
pub enum Io {
    /// See [`epoll`].
    Epoll(Readiness),
    /// See [`uring`].
    Uring(Box<Uring>),
}

/// The epoll backend.
#[derive(Debug)]
pub struct Readiness {
    poller: Poller,
    metronome: Metronome,
    told: usize,
    next: usize,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Epoll => "epoll",
            Backend::Uring => "io_uring",
        })
    }
}

/// Chooses the backend: io_uring is taken only if a datagram goes through it, and what forbids it stands in the log.
pub fn choose(wanted: MediaIo) -> Backend {
    if wanted == MediaIo::Epoll {
        return Backend::Epoll;
    }
    // On a thread of its own: signals that a ring sends to its thread when it ends would interrupt others' system calls.
    let probed = std::thread::spawn(uring::probe).join();
    match probed.unwrap_or(Err(uring::Unusable::Deaf)) {
        Ok(()) => Backend::Uring,
        Err(error) if wanted == MediaIo::Uring => {
            tracing::warn!(%error, "server.media_io: io_uring does not work here; media goes by epoll");
            Backend::Epoll
        }
        Err(error) => {
            tracing::info!(%error, "io_uring does not work here; media goes by epoll");
            Backend::Epoll
        }
    }
}

impl Io {
    /// For up to `slots` sockets, woken by `bell`. All that is ever needed is allocated here.
    pub fn new(backend: Backend, slots: usize, bell: &Bell) -> io::Result<Io> {
        Ok(match backend {
            Backend::Epoll => Io::Epoll(Readiness::new(bell)?),
            Backend::Uring => Io::Uring(Box::new(Uring::new(slots, bell.as_raw_fd())?)),
        })
    }

    /// To be called once, on the thread that will wait.
    pub fn begin(&mut self) -> io::Result<()> {
        match self {
            Io::Epoll(_) => Ok(()),
            Io::Uring(uring) => uring.begin(),
        }
    }

    /// Tells of what comes to `socket` from now on.
    pub fn attach(&mut self, token: u64, socket: &UdpSocket) -> io::Result<()> {
        match self {
            Io::Epoll(readiness) => {
                socket.set_nonblocking(true)?;
                readiness.poller.add(socket.as_fd(), token)
            }
            Io::Uring(uring) => uring.attach(token, socket),
        }
    }

    /// No longer.
    pub fn detach(&mut self, token: u64, socket: &UdpSocket) -> io::Result<Detach> {
        match self {
            Io::Epoll(readiness) => {
                readiness.poller.remove(socket.as_fd())?;
                Ok(Detach::Done)
            }
            Io::Uring(uring) => uring.detach(token),
        }
    }

    /// Beats every `period`, or no longer. Only what waits in whole milliseconds needs it.
    pub fn beats(&mut self, period: Option<Duration>) -> io::Result<()> {
        match (self, period) {
            (Io::Epoll(readiness), Some(period)) => readiness.metronome.start(period, period),
            (Io::Epoll(readiness), None) => readiness.metronome.stop(),
            (Io::Uring(_), _) => Ok(()),
        }
    }

    /// Sends what was gathered, and waits until something is there or `timeout` has passed.
    pub fn wait(&mut self, timeout: Duration, counters: &Counters) -> io::Result<()> {
        match self {
            Io::Epoll(readiness) => readiness.wait(timeout),
            Io::Uring(uring) => uring.wait(timeout, counters),
        }
    }

    /// The ringing was heard: the bell is not told again before it is rung again.
    pub fn silence(&self, bell: &Bell) {
        match self {
            // Not rung after all is as good.
            Io::Epoll(_) => {
                let _silent = bell.clear();
            }
            // Each ringing is told once, silenced or not.
            Io::Uring(_) => {}
        }
    }

    /// The next of what the wait brought; a datagram is copied into `room`.
    pub fn next(&mut self, room: &mut [u8]) -> Option<Told> {
        match self {
            Io::Epoll(readiness) => readiness.next(),
            Io::Uring(uring) => uring.next(room),
        }
    }

    /// Sends a datagram from the socket attached under `token`, now or with the next wait. Never blocks; what the system
    /// refuses is counted.
    pub fn send(
        &mut self,
        token: u64,
        socket: &UdpSocket,
        datagram: &[u8],
        to: SocketAddr,
        counters: &Counters,
    ) {
        match self {
            Io::Epoll(_) => match socket.send_to(datagram, to) {
                Ok(_) => counters.sent.count(),
                Err(_) => counters.drop(Reason::SendFailed),
            },
            Io::Uring(uring) => {
                uring.send(token, socket.as_raw_fd(), datagram, to, counters);
            }
        }
    }
}

impl Readiness {
    fn new(bell: &Bell) -> io::Result<Readiness> {
        let poller = Poller::new(BATCH)?;
        let metronome = Metronome::new()?;
        poller.add(bell.as_fd(), BELL)?;
        poller.add(metronome.as_fd(), BEATS)?;
        Ok(Readiness {
            poller,
            metronome,
            told: 0,
            next: 0,
        })
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.next = 0;
        // Whole milliseconds: rounded down, the last of them would be spent going round.
        self.told = self.poller.wait(timeout + Duration::from_micros(999))?;
        Ok(())
    }

    fn next(&mut self) -> Option<Told> {
        let token = self.poller.token(self.next)?;
        self.next += 1;
        Some(match token {
            BELL => Told::Rung,
            BEATS => {
                let _none = self.metronome.clear();
                Told::Beat
            }
            token => Told::Readable(token),
        })
    }
}

/// Tokens told at once.
const BATCH: usize = 256;
/// The token of the bell. Those of sockets stay below it.
const BELL: u64 = u64::MAX;
/// The token of the metronome.
const BEATS: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests;
