//! All timers of a call: one enum and one small table. The call's next timeout is the table's minimum.

use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;

/// What a call may wait for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// The longest call has been reached (`server.max_call`).
    MaxCall,
    /// The hunt's wait limit.
    Wait,
    /// No key came after the prompt or the last key.
    Key,
    /// The voicemail message has reached its longest.
    Message,
    /// The caller in a hunt's line has heard nothing yet: he gets ring-back although no phone rings.
    Comfort,
    /// The parked call has waited long enough.
    Park,
    /// The leg has rung long enough.
    Ring(LegId),
    /// An operator's phone that holds the others is asked whether it is still there: no media would tell.
    Held,
    /// The leg that was given up can no longer answer (RFC 3261 §9.1: 64 × T1 after CANCEL).
    Linger(LegId),
}

impl Timer {
    /// Whether it belongs to the destination that the call is in, and ends with it.
    const fn is_of_destination(self) -> bool {
        matches!(
            self,
            Timer::Wait | Timer::Key | Timer::Message | Timer::Comfort | Timer::Park
        )
    }
}

/// The timers that run. A call has few: a vector is the fastest table.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<(Timer, Mono)>);

impl Timers {
    /// Starts or restarts a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Mono) {
        self.stop(timer);
        self.0.push((timer, at));
    }

    /// Stops a timer, if it runs.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0.retain(|(running, _)| *running != timer);
    }

    /// Stops what belongs to the destination that is being left.
    pub(crate) fn stop_destination(&mut self) {
        self.0.retain(|(running, _)| !running.is_of_destination());
    }

    /// Stops what belongs to a leg.
    pub(crate) fn stop_leg(&mut self, leg: LegId) {
        self.stop(Timer::Ring(leg));
        self.stop(Timer::Linger(leg));
    }

    /// Stops everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Mono> {
        self.0.iter().map(|(_, at)| *at).min()
    }

    /// Takes out the earliest timer that is due at `now`.
    pub(crate) fn expire(&mut self, now: Mono) -> Option<Timer> {
        let (place, _) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (_, at))| *at <= now)
            .min_by_key(|(_, (_, at))| *at)?;
        Some(self.0.remove(place).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_each_once() {
        let at = Mono::from_micros;
        let mut timers = Timers::default();
        timers.set(Timer::Wait, at(30));
        timers.set(Timer::Key, at(10));
        timers.set(Timer::Wait, at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expire(at(9)), None);
        assert_eq!(timers.expire(at(25)), Some(Timer::Key));
        assert_eq!(timers.expire(at(25)), Some(Timer::Wait));
        assert_eq!(timers.expire(at(25)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn leaving_a_destination_keeps_the_calls_own_timers() {
        let mut timers = Timers::default();
        timers.set(Timer::MaxCall, Mono::from_micros(9));
        timers.set(Timer::Comfort, Mono::from_micros(1));
        timers.stop_destination();
        assert_eq!(timers.next(), Some(Mono::from_micros(9)));
    }
}
