//! How legs sound: what the media plane tells goes into the journal, for legs whose call is over too.

use std::collections::VecDeque;
use std::time::Duration;

use super::core::Core;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{CallId, LegId};
use crate::ledger::journal::Entry;
use crate::ledger::quality::{Hundredths, LegQuality};
use crate::rtp::quality::Summary;

/// Legs whose port is being closed, with their calls: what was measured is told afterwards.
#[derive(Debug, Default)]
pub(super) struct Closing(VecDeque<(Mono, LegId, CallId)>);

impl Closing {
    /// The leg's port is to be closed.
    pub(super) fn note(&mut self, now: Mono, leg: LegId, call: CallId) {
        while self
            .0
            .front()
            .is_some_and(|(at, ..)| now.since(*at) > LONGEST)
        {
            self.0.pop_front();
        }
        self.0.push_back((now, leg, call));
    }

    /// The call that a closed leg was of; told once.
    fn take(&mut self, leg: LegId) -> Option<CallId> {
        // They are told nearly in the order in which they were closed.
        let at = self.0.iter().position(|(_, closed, _)| *closed == leg)?;
        self.0.remove(at).map(|(_, _, call)| call)
    }
}

impl Core {
    /// A leg's port is closed.
    pub(super) fn leg_measured(&mut self, leg: LegId, summary: Summary) {
        let Some(call) = self.closing.take(leg) else {
            return;
        };
        if summary.received > 0 || summary.sent > 0 {
            let quality = Box::new(quality_of(summary));
            if let Some(mos) = quality.mos {
                self.opinions.note(mos);
            }
            self.journal(Entry::LegMeasured(call, leg, quality));
        }
    }

    /// The legs of a running call; none if it is not running.
    pub fn legs_of(&self, call: CallId) -> &[LegId] {
        let running = self.calls.get(&call);
        running.map_or(&[], |running| &running.legs)
    }

    /// A leg has been bad for a while.
    pub(super) fn leg_is_poor(&mut self, now: Now, leg: LegId, summary: Summary) {
        let Some(place) = self.legs.get(&leg) else {
            return;
        };
        let entry = Entry::MediaPoor {
            tenant: self.tenant.clone(),
            call: place.call,
            leg,
            quality: Box::new(quality_of(summary)),
            at: now.wall,
        };
        self.journal(entry);
    }
}

pub(super) fn quality_of(summary: Summary) -> LegQuality {
    let percent = |share: f64| Hundredths::of(share * 100.0);
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    LegQuality {
        mos: summary.mos.map(Hundredths::of),
        loss: percent(summary.lost_in),
        loss_out: summary.lost_out.map(percent),
        jitter_ms: millis(summary.jitter),
        rtt_ms: summary.round_trip.map(millis),
        packets_in: summary.received,
        packets_out: summary.sent,
        srtp: summary.suite.map(|suite| suite.as_str().to_owned()),
    }
}

/// After so long nothing more is told of a closed leg.
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_leg_finds_its_call_once_and_is_forgotten_in_time() {
        let at = |seconds: u64| Mono::from_micros(seconds * 1_000_000);
        let (leg, call) = (LegId::from_u128, CallId::from_u128);
        let mut closing = Closing::default();
        closing.note(at(0), leg(1), call(10));
        closing.note(at(20), leg(2), call(20));
        closing.note(at(20), leg(3), call(20));
        assert_eq!(closing.take(leg(3)), Some(call(20)));
        assert_eq!(closing.take(leg(3)), None);
        closing.note(at(31), leg(4), call(30));
        assert_eq!(closing.take(leg(1)), None);
        assert_eq!(closing.take(leg(2)), Some(call(20)));
    }
}
