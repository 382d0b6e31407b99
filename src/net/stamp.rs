//! When the kernel received a datagram (SO_TIMESTAMPNS): how long it has waited in its socket, which no clock of ours can tell.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, Socket};

/// A datagram that was read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Its bytes.
    pub length: usize,
    /// From where.
    pub remote: SocketAddr,
    /// How long it was in the socket; zero without a stamp.
    pub waited: Duration,
}

/// Asks the kernel to stamp what this socket receives from now on.
///
/// # Errors
/// It does not.
pub fn begin(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the value is an int that lives during the call, of the length given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads one datagram, of which what does not fit into `buffer` is lost.
///
/// # Errors
/// There is none (`WouldBlock`), or an ICMP error to something that was sent.
pub fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut remote = empty_address();
    let mut control = [MaybeUninit::new(0); CONTROL];
    // SAFETY: `recvmsg` only writes initialised bytes into the buffer, which stays initialised therefore.
    let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    let mut parts = [MaybeUninitSlice::new(buffer)];
    let mut header = MsgHdrMut::new()
        .with_addr(&mut remote)
        .with_buffers(&mut parts)
        .with_control(&mut control);
    let length = socket.recvmsg(&mut header, 0)?;
    let control_length = header.control_len().min(CONTROL);
    // SAFETY: all of it was initialised above, whatever the kernel wrote over it.
    let control = control.map(|byte| unsafe { byte.assume_init() });
    let remote = remote
        .as_socket()
        .ok_or_else(|| io::Error::other("a datagram from no IP address"))?;
    let stamp = control.get(..control_length).and_then(stamp_in);
    Ok(Received {
        length,
        remote,
        waited: stamp.map_or(Duration::ZERO, since),
    })
}

fn empty_address() -> SockAddr {
    SockAddr::from(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], 0)))
}

/// The stamp in the control messages, as the time since the Unix epoch.
fn stamp_in(mut control: &[u8]) -> Option<Duration> {
    let word = |bytes: &[u8], at: usize| -> Option<i32> {
        Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let long = |bytes: &[u8], at: usize| -> Option<u64> {
        Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    };
    // cmsghdr on Linux with 64 bits: the length with this head, the level, the type; then the message, each aligned to eight bytes.
    loop {
        let length = usize::try_from(long(control, 0)?).ok()?;
        let (level, kind) = (word(control, 8)?, word(control, 12)?);
        if length < HEAD {
            return None;
        }
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            let nanos = u32::try_from(long(control, HEAD + 8)?).ok()?;
            let nanos = Some(nanos).filter(|nanos| *nanos < 1_000_000_000)?;
            return Some(Duration::new(long(control, HEAD)?, nanos));
        }
        control = control.get(length.next_multiple_of(8)..)?;
    }
}

/// The time since a stamp; none if the wall clock was set back meanwhile, and no more than is believable if it was set on.
fn since(stamp: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let waited = now.unwrap_or_default().saturating_sub(stamp);
    if waited > BELIEVABLE {
        Duration::ZERO
    } else {
        waited
    }
}

const CONTROL: usize = 64;
const HEAD: usize = 16;
/// A full socket is read within this time even by a busy process: a longer one is a clock that was set.
const BELIEVABLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(level: i32, kind: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEAD + body.len()) as u64).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn the_stamp_is_found_behind_others() {
        let mut body = 7u64.to_ne_bytes().to_vec();
        body.extend(5u64.to_ne_bytes());
        let stamp = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &body);
        assert_eq!(stamp_in(&stamp), Some(Duration::new(7, 5)));
        let mut behind = message(0, 8, &[1, 2, 3]);
        behind.extend(&stamp);
        assert_eq!(stamp_in(&behind), Some(Duration::new(7, 5)));
        assert_eq!(stamp_in(&message(0, 8, &[1])), None);
        assert_eq!(stamp_in(&stamp[..20]), None);
    }

    #[test]
    fn clocks_that_jump_say_nothing() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(since(now - hour), Duration::ZERO);
        assert_eq!(since(now + hour), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(control in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = stamp_in(&control);
        }
    }
}
