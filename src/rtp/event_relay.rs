//! Telephone events passed on between two streams whose clocks or voices differ (RFC 4733 §2.5): every press gets a
//! timestamp of the listener's stream, and durations are counted in its clock.
//!
//! Where voice is relayed packet by packet and both clocks agree, an event's packets go the way of the voice instead, and
//! none of this is needed.

use crate::ledger::clock::Mono;

use super::outgoing::{Outgoing, Stamp};
use super::telephone_event::TelephoneEvent;

/// The press being passed on to one listener.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct EventRelay {
    press: Option<Press>,
    /// Presses so far.
    count: u64,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Press {
    /// Whose it is: the leg, the stream, the timestamp there.
    of: (u64, u32, u32),
    /// The timestamp that it has here.
    timestamp: u32,
    /// How long it lasted by the last packet, in our clock.
    duration: u16,
}

/// What tells a packet of an event from others.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct From {
    /// The leg.
    pub leg: u64,
    /// Its SSRC.
    pub ssrc: u32,
    /// The event's timestamp.
    pub timestamp: u32,
    /// The clock of timestamp and duration, in hertz.
    pub clock_rate: u32,
}

impl EventRelay {
    /// The stamp and the payload for a packet of an event, in a clock of `clock_rate` hertz; `None` for one that belongs to
    /// an earlier press than the last.
    pub fn pass(
        &mut self,
        now: Mono,
        from: From,
        event: TelephoneEvent,
        clock_rate: u32,
        outgoing: &mut Outgoing,
    ) -> Option<(Stamp, [u8; 4])> {
        let of = (from.leg, from.ssrc, from.timestamp);
        let duration = scaled(event.duration, from.clock_rate, clock_rate);
        let event = TelephoneEvent { duration, ..event };
        let stamp = match &mut self.press {
            Some(press) if press.of == of => {
                // What came late must not shorten it.
                press.duration = press.duration.max(duration);
                outgoing.again(now, press.timestamp, u32::from(press.duration))
            }
            Some(press)
                if (press.of.0, press.of.1) == (from.leg, from.ssrc)
                    && from.timestamp.wrapping_sub(press.of.2) > u32::MAX / 2 =>
            {
                return None;
            }
            _ => {
                self.count += 1;
                let stamp = outgoing.make(now, PRESSES | self.count, u32::from(duration));
                self.press = Some(Press {
                    of,
                    timestamp: stamp.timestamp,
                    duration,
                });
                stamp
            }
        };
        Some((stamp, event.to_bytes()))
    }
}

/// A duration in another clock. One that no longer fits stays as long as can be said: the listener hears the press go on.
fn scaled(duration: u16, from: u32, to: u32) -> u16 {
    if from == to || from == 0 {
        return duration;
    }
    let scaled = u64::from(duration) * u64::from(to) / u64::from(from);
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

/// Tells presses that are passed on from all else that is made for a stream.
const PRESSES: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::telephone_event::{KeyReceiver, KeySender, KeyStep};

    fn ms(n: u64) -> Mono {
        Mono::from_micros(n * 1000)
    }

    fn event(duration: u16, end: bool) -> TelephoneEvent {
        TelephoneEvent {
            event: 5,
            end,
            volume: 10,
            duration,
        }
    }

    fn from(timestamp: u32, clock_rate: u32) -> From {
        From {
            leg: 1,
            ssrc: 7,
            timestamp,
            clock_rate,
        }
    }

    #[test]
    fn durations_and_timestamps_are_those_of_the_listeners_clock() {
        let mut relay = EventRelay::default();
        let mut out = Outgoing::new(9, 0, 1000);
        let mut pass = |at, stamp, duration, end| {
            let passed = relay.pass(
                ms(at),
                from(stamp, 48_000),
                event(duration, end),
                8000,
                &mut out,
            );
            passed.map(|(stamp, bytes)| {
                let event = TelephoneEvent::parse(&bytes).unwrap();
                (
                    stamp.sequence,
                    stamp.timestamp,
                    stamp.marker,
                    event.duration,
                    event.end,
                )
            })
        };
        assert_eq!(
            pass(0, 50_000, 960, false),
            Some((1, 1000, true, 160, false))
        );
        assert_eq!(
            pass(20, 50_000, 1920, false),
            Some((2, 1000, false, 320, false))
        );
        assert_eq!(
            pass(40, 50_000, 2880, true),
            Some((3, 1000, false, 480, true))
        );
        assert_eq!(
            pass(41, 50_000, 2880, true),
            Some((4, 1000, false, 480, true))
        );
        // The next press begins where the last ended, or later.
        let next = pass(140, 60_000, 960, false).unwrap();
        assert!(next.2 && next.1 >= 1480, "{next:?}");
        assert_eq!(pass(141, 50_000, 2880, true), None);
    }

    #[test]
    fn voice_between_the_packets_of_a_press_does_not_double_it() {
        let mut relay = EventRelay::default();
        let mut out = Outgoing::new(9, 0, 0);
        let mut receiver = KeyReceiver::default();
        let mut told = Vec::new();
        let mut sender = KeySender::default();
        assert!(sender.press('5') && sender.press('5'));
        let (mut at, mut began) = (0u64, 0u32);
        while let Some(step) = sender.tick() {
            at += 20;
            out.make(ms(at - 1), 1, 160);
            let event = match step {
                KeyStep::Start(event) => {
                    began = (at * 48) as u32;
                    event
                }
                KeyStep::Update(event) => event,
                KeyStep::Pause => continue,
            };
            let event = TelephoneEvent {
                duration: event.duration * 6,
                ..event
            };
            let (stamp, bytes) = relay
                .pass(ms(at), from(began, 48_000), event, 8000, &mut out)
                .unwrap();
            let event = TelephoneEvent::parse(&bytes).unwrap();
            told.extend(receiver.receive(stamp.ssrc, stamp.timestamp, event));
        }
        assert_eq!(told, ['5', '5']);
    }

    #[test]
    fn what_does_not_fit_stays_as_long_as_can_be_said() {
        assert_eq!(scaled(160, 8000, 48_000), 960);
        assert_eq!(scaled(20_000, 8000, 48_000), u16::MAX);
        assert_eq!(scaled(65_535, 48_000, 8000), 10_922);
        assert_eq!(scaled(5, 0, 8000), 5);
    }
}
