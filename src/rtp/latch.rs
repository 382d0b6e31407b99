//! Which source address a leg's media is taken from, and where it is sent: symmetric RTP (RFC 4961) without letting
//! strangers in.
//!
//! The description's address comes first. Behind a NAT the packets come from elsewhere: that source is learnt only from
//! the first packets after signalling, and the described address still wins if it shows up among them. Another source has
//! to prove itself there: it takes over with its third packet if the one before has fallen silent since its first, so a
//! late packet of an old call, or a stranger who tries all ports, does not get the stream. After that, everything from
//! anywhere else is ignored.

use std::net::SocketAddr;

/// The latch of one leg.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Latch {
    /// What the far side's description says.
    described: Option<SocketAddr>,
    /// Where packets really come from.
    source: Option<SocketAddr>,
    /// How many have come from there, as far as that matters.
    proof: u8,
    /// Another source among the first packets, and how many came from it since the last from `source`.
    rival: Option<(SocketAddr, u8)>,
    /// Accepted packets until the window closes.
    window: u8,
}

impl Latch {
    /// New signalling: the far side's address as described, `None` when it gave none.
    pub fn signalled(&mut self, described: Option<SocketAddr>) {
        if described.is_some() && described != self.described {
            self.source = None;
            self.proof = 0;
        }
        if described.is_some() {
            self.described = described;
        }
        self.rival = None;
        self.window = WINDOW;
    }

    /// Whether a packet from here belongs to the leg.
    pub fn accepts(&mut self, from: SocketAddr) -> bool {
        if self.source == Some(from) {
            self.rival = None;
            self.proof = self.proof.saturating_add(1);
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
            self.learn(from, PROOF);
            self.window = 0;
            return true;
        }
        if self.source.is_none() {
            self.learn(from, 1);
            self.window -= 1;
            return true;
        }
        match &mut self.rival {
            Some((rival, packets)) if *rival == from => *packets += 1,
            rival => *rival = Some((from, 1)),
        }
        let has_proved_itself = self.rival.is_some_and(|(_, packets)| packets >= PROOF);
        if has_proved_itself {
            self.learn(from, PROOF);
            self.window -= 1;
        }
        has_proved_itself
    }

    /// Whether packets have been taken from here.
    pub fn is_source(&self, from: SocketAddr) -> bool {
        self.source == Some(from)
    }

    /// Where to send: to a source that has proved itself, until then to where the description says.
    pub fn target(&self) -> Option<SocketAddr> {
        match self.source {
            Some(source) if self.proof >= PROOF => Some(source),
            source => self.described.or(source),
        }
    }

    fn learn(&mut self, source: SocketAddr, proof: u8) {
        self.source = Some(source);
        self.proof = proof;
        self.rival = None;
    }
}

/// Half a second of packets.
const WINDOW: u8 = 25;
/// Packets that prove a source.
const PROOF: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    fn described() -> Latch {
        let mut latch = Latch::default();
        latch.signalled(Some(at(1)));
        latch
    }

    #[test]
    fn the_described_address_locks_at_once() {
        let mut latch = described();
        assert_eq!(latch.target(), Some(at(1)));
        assert!(latch.accepts(at(1)));
        for _ in 0..100 {
            assert!(!latch.accepts(at(2)));
        }
        assert_eq!(latch.target(), Some(at(1)));
    }

    #[test]
    fn behind_a_nat_the_source_is_learnt_from_the_first_packets() {
        let mut latch = described();
        for n in 0..WINDOW {
            assert_eq!(latch.target(), Some(at(if n < PROOF { 1 } else { 2 })));
            assert!(latch.accepts(at(2)));
            assert!(!latch.accepts(at(3)));
        }
        assert!(!latch.accepts(at(1)));
        for _ in 0..100 {
            assert!(!latch.accepts(at(3)));
        }
    }

    #[test]
    fn the_described_address_wins_among_the_first_packets() {
        let mut latch = described();
        assert!(latch.accepts(at(2)));
        assert!(latch.accepts(at(1)));
        assert!(!latch.accepts(at(2)));
        assert_eq!(latch.target(), Some(at(1)));
    }

    #[test]
    fn a_late_packet_of_an_old_call_does_not_keep_the_far_side_out() {
        let mut latch = described();
        assert!(latch.accepts(at(9)));
        assert_eq!(latch.target(), Some(at(1)));
        let taken: Vec<bool> = (0..5).map(|_| latch.accepts(at(2))).collect();
        assert_eq!(taken, [false, false, true, true, true]);
        assert_eq!(latch.target(), Some(at(2)));
        assert!(!latch.accepts(at(9)));
    }

    #[test]
    fn a_stranger_does_not_outbid_a_far_side_that_goes_on() {
        for bursts in 1..6 {
            let mut latch = described();
            assert!(latch.accepts(at(2)));
            for _ in 0..WINDOW + 10 {
                for _ in 0..bursts.min(PROOF - 1) {
                    assert!(!latch.accepts(at(3)));
                }
                assert!(latch.accepts(at(2)));
            }
            assert_eq!(latch.target(), Some(at(2)));
        }
    }

    #[test]
    fn new_signalling_opens_the_window_again_but_keeps_a_source_that_goes_on() {
        let mut latch = described();
        assert!((0..30).all(|_| latch.accepts(at(2))));
        latch.signalled(Some(at(1)));
        assert_eq!(latch.target(), Some(at(2)));
        assert!(latch.accepts(at(2)));
        assert!(!latch.accepts(at(3)));
        // A source that changed behind the same description, as when a NAT forgot its mapping.
        latch.signalled(Some(at(1)));
        let taken: Vec<bool> = (0..4).map(|_| latch.accepts(at(3))).collect();
        assert_eq!(taken, [false, false, true, true]);
        assert_eq!(latch.target(), Some(at(3)));
        latch.signalled(Some(at(4)));
        assert_eq!(latch.target(), Some(at(4)));
        assert!(latch.accepts(at(4)) && !latch.accepts(at(3)));
    }

    #[test]
    fn hold_without_an_address_forgets_nothing() {
        let mut latch = described();
        assert!(latch.accepts(at(1)));
        latch.signalled(None);
        assert!(latch.accepts(at(1)));
        assert_eq!(latch.target(), Some(at(1)));
    }

    #[test]
    fn without_a_description_the_source_is_all_there_is() {
        let mut latch = Latch::default();
        assert_eq!(latch.target(), None);
        latch.signalled(None);
        assert!(latch.accepts(at(5)));
        assert_eq!(latch.target(), Some(at(5)));
    }
}
