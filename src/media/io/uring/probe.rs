//! Whether io_uring works here: a datagram is sent and received through a small ring.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::Uring;
use crate::media::counters::Counters;
use crate::media::io::Told;
use crate::media::io::epoll::Bell;

/// Why io_uring is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the kernel or the container forbids it ({0})")]
    Forbidden(io::Error),
    #[error("the kernel is too old for it ({0}; Linux 6.1 is needed)")]
    TooOld(io::Error),
    #[error("{0}")]
    Failed(io::Error),
    #[error("a datagram sent through it did not come back")]
    Deaf,
}

/// Sends a datagram from a socket on loopback to itself.
pub fn probe() -> Result<(), Unusable> {
    let bell = Bell::new().map_err(Unusable::Failed)?;
    let mut uring = Uring::new(1, bell.as_raw_fd()).map_err(why)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Unusable::Failed)?;
    let to = socket.local_addr().map_err(Unusable::Failed)?;
    let counters = Counters::default();
    uring.begin().map_err(why)?;
    uring.attach(TOKEN, &socket).map_err(why)?;
    uring.send(TOKEN, socket.as_raw_fd(), HELLO, to, &counters);
    let until = Instant::now() + PATIENCE;
    let mut room = [0; 64];
    while Instant::now() < until {
        uring
            .wait(Duration::from_millis(10), &counters)
            .map_err(why)?;
        while let Some(told) = uring.next(&mut room) {
            if let Told::Datagram { length, from, .. } = told
                && from == to
                && room.get(..length) == Some(HELLO)
            {
                return Ok(());
            }
        }
    }
    Err(Unusable::Deaf)
}

fn why(error: io::Error) -> Unusable {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Unusable::Forbidden(error),
        Some(libc::ENOSYS | libc::EINVAL) => Unusable::TooOld(error),
        _ if error.kind() == io::ErrorKind::Unsupported => Unusable::TooOld(error),
        _ => Unusable::Failed(error),
    }
}

const TOKEN: u64 = 0;
const HELLO: &[u8] = b"vats";
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_words() {
        let of = |code| why(io::Error::from_raw_os_error(code)).to_string();
        assert!(of(libc::EPERM).contains("forbids"));
        assert!(of(libc::ENOSYS).contains("too old"));
        assert!(of(libc::EINVAL).contains("too old"));
        assert!(of(libc::ENOMEM).contains("memory"));
    }
}
