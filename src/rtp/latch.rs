//! Which source address a leg's media is taken from, and where it is sent: symmetric RTP (RFC 4961) without letting
//! strangers in.
//!
//! The description's address comes first. Behind a NAT the packets come from elsewhere: that source is learnt only from
//! the first packets after signalling, and the described address still wins if it shows up among them. After that,
//! everything from anywhere else is ignored.

use std::net::SocketAddr;

/// The latch of one leg.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Latch {
    /// What the far side's description says.
    described: Option<SocketAddr>,
    /// Where packets really come from.
    source: Option<SocketAddr>,
    /// Whether the source has sent since the last signalling.
    heard: bool,
    /// Accepted packets until the window closes.
    window: u8,
}

impl Latch {
    /// New signalling: the far side's address as described, `None` when it gave none.
    pub fn signalled(&mut self, described: Option<SocketAddr>) {
        if described.is_some() && described != self.described {
            self.source = None;
        }
        if described.is_some() {
            self.described = described;
        }
        self.heard = false;
        self.window = WINDOW;
    }

    /// Whether a packet from here belongs to the leg.
    pub fn accepts(&mut self, from: SocketAddr) -> bool {
        if self.source == Some(from) {
            self.heard = true;
            self.window = self.window.saturating_sub(1);
            if self.described == Some(from) {
                self.window = 0;
            }
            return true;
        }
        if self.window == 0 {
            return false;
        }
        if self.described == Some(from) {
            self.source = Some(from);
            self.heard = true;
            self.window = 0;
            return true;
        }
        if self.heard {
            return false;
        }
        self.source = Some(from);
        self.heard = true;
        self.window -= 1;
        true
    }

    /// Whether packets have been taken from here.
    pub fn is_source(&self, from: SocketAddr) -> bool {
        self.source == Some(from)
    }

    /// Where to send.
    pub fn target(&self) -> Option<SocketAddr> {
        self.source.or(self.described)
    }
}

/// Half a second of packets.
const WINDOW: u8 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    #[test]
    fn the_described_address_locks_at_once() {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        assert_eq!(latch.target(), Some(at(1)));
        assert!(latch.accepts(at(1)));
        assert!(!latch.accepts(at(2)));
        assert_eq!(latch.target(), Some(at(1)));
    }

    #[test]
    fn behind_a_nat_the_source_is_learnt_from_the_first_packets() {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        assert!(latch.accepts(at(2)));
        assert_eq!(latch.target(), Some(at(2)));
        assert!(!latch.accepts(at(3)));
        for _ in 0..WINDOW {
            assert!(latch.accepts(at(2)));
        }
        assert!(!latch.accepts(at(1)));
        assert!(!latch.accepts(at(3)));
    }

    #[test]
    fn the_described_address_wins_among_the_first_packets() {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        assert!(latch.accepts(at(2)));
        assert!(latch.accepts(at(1)));
        assert!(!latch.accepts(at(2)));
        assert_eq!(latch.target(), Some(at(1)));
    }

    #[test]
    fn new_signalling_opens_the_window_again_but_keeps_a_source_that_goes_on() {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        assert!(latch.accepts(at(2)));
        latch.signalled(Some(at(1)));
        assert_eq!(latch.target(), Some(at(2)));
        assert!(latch.accepts(at(2)));
        assert!(!latch.accepts(at(3)));
        latch.signalled(Some(at(1)));
        assert!(latch.accepts(at(3)));
        latch.signalled(Some(at(4)));
        assert_eq!(latch.target(), Some(at(4)));
    }

    #[test]
    fn hold_without_an_address_forgets_nothing() {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        assert!(latch.accepts(at(1)));
        latch.signalled(None);
        assert!(latch.accepts(at(1)));
        assert_eq!(latch.target(), Some(at(1)));
    }
}
