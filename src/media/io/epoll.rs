//! Waiting with epoll: a set of sockets, a bell that other threads ring, a metronome. Linux only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A set of descriptors, each under a token, waited on together. Level-triggered: what is not read is told again.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Box<[libc::epoll_event]>,
    told: usize,
}

impl Poller {
    /// An empty set that tells up to `batch` tokens at once.
    pub fn new(batch: usize) -> io::Result<Poller> {
        // SAFETY: no pointers; the result is checked.
        let epoll = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC))? };
        Ok(Poller {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; batch.max(1)].into_boxed_slice(),
            told: 0,
        })
    }

    /// Adds a descriptor to be told under `token` when it can be read.
    pub fn add(&self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: both descriptors are open for the length of the call, `event` lives through it.
        checked(unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor.as_raw_fd(),
                &mut event,
            )
        })?;
        Ok(())
    }

    /// Takes a descriptor out.
    pub fn remove(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: both descriptors are open for the length of the call; no event is needed (Linux 2.6.9).
        checked(unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                descriptor.as_raw_fd(),
                std::ptr::null_mut(),
            )
        })?;
        Ok(())
    }

    /// Waits until something can be read or `timeout` (whole milliseconds) has passed; how many tokens there are.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        self.told = 0;
        // SAFETY: the kernel writes at most `room` events into the slice of that length.
        let told = checked(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                room,
                millis,
            )
        });
        self.told = match told {
            Ok(told) => usize::try_from(told).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(self.told)
    }

    /// A token told by the last `wait`.
    pub fn token(&self, index: usize) -> Option<u64> {
        // By value: the structure is packed.
        self.events
            .get(..self.told)?
            .get(index)
            .map(|event| event.u64)
    }
}

/// A bell: rung by any thread, told by a poller (or tokio) until cleared.
#[derive(Debug)]
pub struct Bell(File);

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Bell> {
        // SAFETY: no pointers; the result is checked.
        let descriptor =
            unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))? };
        Ok(Bell(File::from(descriptor)))
    }

    /// Rings. Never blocks.
    pub fn ring(&self) {
        // The one possible failure is a counter of 2^64 - 1 rings, and then it rings already.
        let _full = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Silences; `WouldBlock` when it had not been rung.
    pub fn clear(&self) -> io::Result<()> {
        (&self.0).read_exact(&mut [0; 8])
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A metronome: once started, told by a poller every period without drift.
#[derive(Debug)]
pub struct Metronome(File);

impl Metronome {
    /// A stopped metronome.
    pub fn new() -> io::Result<Metronome> {
        // SAFETY: no pointers; the result is checked.
        let descriptor = unsafe {
            owned(libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            ))?
        };
        Ok(Metronome(File::from(descriptor)))
    }

    /// Beats in `first` from now, and every `period` after that.
    pub fn start(&self, first: Duration, period: Duration) -> io::Result<()> {
        // A first beat of zero would stop it.
        self.set(first.max(Duration::from_nanos(1)), period)
    }

    /// Stops.
    pub fn stop(&self) -> io::Result<()> {
        self.set(Duration::ZERO, Duration::ZERO)
    }

    /// Takes note of the beats so far; `WouldBlock` when there were none.
    pub fn clear(&self) -> io::Result<()> {
        (&self.0).read_exact(&mut [0; 8])
    }

    fn set(&self, first: Duration, period: Duration) -> io::Result<()> {
        let time = libc::itimerspec {
            it_interval: timespec(period),
            it_value: timespec(first),
        };
        // SAFETY: `time` lives through the call, the old value is not asked for.
        checked(unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &time, std::ptr::null_mut())
        })?;
        Ok(())
    }
}

impl AsFd for Metronome {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos() as i32),
    }
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
/// A result that is not negative must be a descriptor that nobody else owns.
unsafe fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let descriptor = checked(result)?;
    // SAFETY: the caller promises it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn tells_sockets_bells_and_beats_by_token() {
        let mut poller = Poller::new(8).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bell = Bell::new().unwrap();
        let metronome = Metronome::new().unwrap();
        poller.add(socket.as_fd(), 1).unwrap();
        poller.add(bell.as_fd(), 2).unwrap();
        poller.add(metronome.as_fd(), 3).unwrap();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), 0);
        assert_eq!(poller.token(0), None);

        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(poller.wait(SHORT).unwrap(), 1);
        assert_eq!(poller.token(0), Some(1));
        socket.recv(&mut [0; 8]).unwrap();

        bell.ring();
        bell.ring();
        assert_eq!(poller.wait(SHORT).unwrap(), 1);
        assert_eq!(poller.token(0), Some(2));
        bell.clear().unwrap();
        assert_eq!(bell.clear().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        metronome.start(Duration::ZERO, SHORT).unwrap();
        assert_eq!(poller.wait(SHORT).unwrap(), 1);
        assert_eq!(poller.token(0), Some(3));
        metronome.clear().unwrap();
        metronome.stop().unwrap();
        assert_eq!(poller.wait(SHORT * 2).unwrap(), 0);

        poller.remove(socket.as_fd()).unwrap();
        assert!(poller.remove(socket.as_fd()).is_err());
    }

    #[test]
    fn the_metronome_does_not_drift() {
        let mut poller = Poller::new(1).unwrap();
        let metronome = Metronome::new().unwrap();
        poller.add(metronome.as_fd(), 3).unwrap();
        let start = Instant::now();
        let period = Duration::from_millis(5);
        metronome.start(period, period).unwrap();
        for _ in 0..20 {
            assert_eq!(poller.wait(Duration::from_secs(1)).unwrap(), 1);
            metronome.clear().unwrap();
        }
        assert!(start.elapsed() >= period * 20);
    }
}
