//! Datagrams on their way into the ring: a fixed number of letters, used in turn, so that the kernel reads from memory
//! that stays where it is.

use std::net::SocketAddr;

use socket2::SockAddr;

/// The letters.
pub struct Outbox {
    letters: Box<[Letter]>,
    next: usize,
    /// Put and not submitted.
    waiting: usize,
}

struct Letter {
    to: SockAddr,
    bytes: [u8; ROOM],
}

/// Where a letter lies: for an entry of the ring.
#[derive(Copy, Clone, Debug)]
pub struct Lies {
    /// Its bytes.
    pub bytes: *const u8,
    /// How many.
    pub length: u32,
    /// Where it goes.
    pub address: *const libc::sockaddr,
    /// The length of that.
    pub address_length: libc::socklen_t,
}

impl Outbox {
    /// Empty letters.
    pub fn new() -> Outbox {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let letters = std::iter::repeat_with(|| Letter {
            to: SockAddr::from(nowhere),
            bytes: [0; ROOM],
        });
        Outbox {
            letters: letters.take(LETTERS).collect(),
            next: 0,
            waiting: 0,
        }
    }

    /// Whether the next letter is still to be submitted.
    pub fn is_full(&self) -> bool {
        self.waiting >= self.letters.len()
    }

    /// Copies a datagram into the next letter; `None` when it is full, or the datagram too long.
    pub fn put(&mut self, datagram: &[u8], to: SocketAddr) -> Option<Lies> {
        if self.is_full() {
            return None;
        }
        let letter = self.letters.get_mut(self.next)?;
        letter
            .bytes
            .get_mut(..datagram.len())?
            .copy_from_slice(datagram);
        letter.to = SockAddr::from(to);
        self.next = (self.next + 1) % LETTERS;
        self.waiting += 1;
        Some(Lies {
            bytes: letter.bytes.as_ptr(),
            length: datagram.len() as u32,
            address: letter.to.as_ptr().cast(),
            address_length: letter.to.len(),
        })
    }

    /// All were submitted.
    pub fn submitted(&mut self) {
        self.waiting = 0;
    }
}

/// Letters: what a round may send before it must submit.
const LETTERS: usize = 256;
const ROOM: usize = crate::rtp::packet::MAX_DATAGRAM + 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_used_in_turn_and_not_before_they_went() {
        let mut outbox = Outbox::new();
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let first = outbox.put(b"abc", to).unwrap();
        assert_eq!(first.length, 3);
        assert!(outbox.put(&[0; ROOM + 1], to).is_none());
        for _ in 1..LETTERS {
            assert!(outbox.put(b"x", to).is_some());
        }
        assert!(outbox.is_full() && outbox.put(b"x", to).is_none());
        outbox.submitted();
        let again = outbox.put(b"y", to).unwrap();
        assert_eq!(again.bytes, first.bytes);
        // SAFETY: the letter lies in `outbox`, which lives.
        assert_eq!(unsafe { *again.bytes }, b'y');
    }
}
