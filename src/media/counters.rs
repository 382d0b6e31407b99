//! What the media plane counts. Each worker writes its own counters and anyone may read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a packet was not passed on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Reason {
    /// RTCP, STUN or anything else that is not RTP.
    NotRtp,
    /// RTP that contradicts itself.
    Malformed,
    /// Nothing has been agreed on with the leg yet.
    NotAgreed,
    /// From an address that is not the leg's far side.
    ForeignSource,
    /// The direction agreed on is not to be received.
    NotWanted,
    /// A payload type that was not agreed on.
    UnknownPayload,
    /// Nobody hears the leg.
    Unheard,
    /// The listener is on hold or has no address.
    Held,
    /// The listener hears a clip or a key instead.
    Overridden,
    /// The listener has not agreed on telephone-event.
    NoEvents,
    /// Too late to be put in order.
    Late,
    /// The socket refused it.
    SendFailed,
    /// The socket could not be read.
    ReceiveFailed,
    /// Protected audio was agreed on, and its tag is wrong or missing.
    Forged,
    /// Protected, and it came before or is too old to tell; or it would be sent a second time.
    Replayed,
    /// In another codec than the listener's, with nothing to convert it.
    NotConverted,
    /// Protected with a key that has reached the end of its lifetime.
    KeyUsedUp,
}

impl Reason {
    /// All reasons, with the names that metrics use.
    pub const ALL: [(Reason, &'static str); REASONS] = [
        (Reason::NotRtp, "not_rtp"),
        (Reason::Malformed, "malformed"),
        (Reason::NotAgreed, "not_agreed"),
        (Reason::ForeignSource, "foreign_source"),
        (Reason::NotWanted, "not_wanted"),
        (Reason::UnknownPayload, "unknown_payload"),
        (Reason::Unheard, "unheard"),
        (Reason::Held, "held"),
        (Reason::Overridden, "overridden"),
        (Reason::NoEvents, "no_events"),
        (Reason::Late, "late"),
        (Reason::SendFailed, "send_failed"),
        (Reason::ReceiveFailed, "receive_failed"),
        (Reason::Forged, "forged"),
        (Reason::Replayed, "replayed"),
        (Reason::NotConverted, "not_converted"),
        (Reason::KeyUsedUp, "key_used_up"),
    ];
}

/// A counter with one writer: adding is a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more. Only the counter's one writer may call this.
    pub fn count(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One less: it was counted too early. Only the counter's one writer may call this.
    pub fn take_back(&self) {
        self.0.store(
            self.0.load(Ordering::Relaxed).saturating_sub(1),
            Ordering::Relaxed,
        );
    }

    /// So far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: Counter,
    /// Packets sent.
    pub sent: Counter,
    /// Packets dropped, by reason.
    pub dropped: [Counter; REASONS],
    /// RTCP reports received and understood.
    pub reports_received: Counter,
    /// RTCP reports sent.
    pub reports_sent: Counter,
    /// Times that a leg was told to stay bad.
    pub poor: Counter,
    /// Reports lost, or commands put off, because the ring to the signalling task was full.
    pub ring_full: Counter,
    /// Beats of 20 ms left out because the thread could not run in time.
    pub beats_missed: Counter,
}

impl Counters {
    /// One packet was dropped.
    pub fn drop(&self, reason: Reason) {
        // The index is one of the enum's own.
        self.dropped[reason as usize].count();
    }
}

/// What the plane has and what it did, all workers together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Legs with a media port.
    pub legs: usize,
    /// Bridges with at least one leg.
    pub bridges: usize,
    /// Bridges that are mixed.
    pub rooms: usize,
    /// Open RTP sockets; for a moment after a leg is closed its socket is still on its way back.
    pub open_sockets: usize,
    /// Ports that are free.
    pub free_ports: usize,
    /// Datagrams received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets dropped, in the order of [`Reason::ALL`].
    pub dropped: [u64; REASONS],
    /// RTCP reports received and understood.
    pub reports_received: u64,
    /// RTCP reports sent.
    pub reports_sent: u64,
    /// Times that a leg was told to stay bad.
    pub poor: u64,
    /// Reports lost or commands put off because a ring was full.
    pub ring_full: u64,
    /// Beats of 20 ms left out because a thread could not run in time.
    pub beats_missed: u64,
}

impl Census {
    /// Packets dropped for one reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Adds a worker's counters.
    pub fn add(&mut self, counters: &Counters) {
        self.received += counters.received.value();
        self.sent += counters.sent.value();
        for (sum, counter) in self.dropped.iter_mut().zip(&counters.dropped) {
            *sum += counter.value();
        }
        self.reports_received += counters.reports_received.value();
        self.reports_sent += counters.reports_sent.value();
        self.poor += counters.poor.value();
        self.ring_full += counters.ring_full.value();
        self.beats_missed += counters.beats_missed.value();
    }
}

/// How many reasons there are.
const REASONS: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let counters = Counters::default();
        for (n, (reason, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, n);
            counters.drop(*reason);
        }
        let mut census = Census::default();
        census.add(&counters);
        census.add(&counters);
        assert!(Reason::ALL.iter().all(|(r, _)| census.dropped(*r) == 2));
    }
}
