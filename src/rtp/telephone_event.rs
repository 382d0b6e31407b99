//! Keys as telephone-event (RFC 4733): told exactly once per press, and sent so that one lost packet loses no key.
//!
//! The payload type is agreed on by `sdp`; keys heard as tones are not looked for here.

/// A telephone-event payload (RFC 4733 §2.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TelephoneEvent {
    /// The event code: 0 to 15 are keys.
    pub event: u8,
    /// Whether this is the end of the event.
    pub end: bool,
    /// Power level, 0 to 63, in -dBm0.
    pub volume: u8,
    /// Samples since the event began.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads a payload; `None` when it is too short.
    pub fn parse(payload: &[u8]) -> Option<TelephoneEvent> {
        let [event, flags, high, low, ..] = *payload else {
            return None;
        };
        Some(TelephoneEvent {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        let end = if self.end { 0x80 } else { 0 };
        [self.event, end | (self.volume & 0x3f), high, low]
    }
}

/// The key that an event code stands for (RFC 4733 §3.2).
pub fn key_of_event(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|&key| char::from(key))
}

/// The event code of a key; lower-case letters too.
pub fn event_of_key(key: char) -> Option<u8> {
    let key = u8::try_from(key).ok()?.to_ascii_uppercase();
    let position = KEYS.iter().position(|&known| known == key)?;
    u8::try_from(position).ok()
}

/// Tells presses from the packets of one far side. A press is one RTP timestamp: whichever of its packets comes first
/// tells it, so a lost start or a lost end neither hides nor doubles it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyReceiver {
    last: Option<Press>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Press {
    ssrc: u32,
    timestamp: u32,
    event: u8,
    longest: u16,
    ended: bool,
}

impl KeyReceiver {
    /// Takes an event packet of a stream with a clock of 8 kHz; the key if it belongs to a press not told yet.
    pub fn receive(&mut self, ssrc: u32, timestamp: u32, event: TelephoneEvent) -> Option<char> {
        self.receive_at(8000, ssrc, timestamp, event)
    }

    /// The same in a clock of so many hertz.
    pub fn receive_at(
        &mut self,
        clock_rate: u32,
        ssrc: u32,
        timestamp: u32,
        event: TelephoneEvent,
    ) -> Option<char> {
        let press = Press {
            ssrc,
            timestamp,
            event: event.event,
            longest: event.duration,
            ended: event.end,
        };
        if let Some(last) = self.last.as_mut().filter(|last| last.ssrc == ssrc) {
            let on = timestamp.wrapping_sub(last.timestamp);
            if on == 0 {
                last.longest = last.longest.max(event.duration);
                last.ended |= event.end;
                return None;
            }
            if on > u32::MAX / 2 {
                // A straggler of an earlier press.
                return None;
            }
            if last.is_continued_by(on, event.event, clock_rate / UNHEARD_PART) {
                *last = press;
                return None;
            }
        }
        self.last = Some(press);
        key_of_event(event.event)
    }
}

impl Press {
    /// A key held so long that its duration overflows goes on as a new segment right behind (RFC 4733 §2.5.1.3).
    /// `unheard`: how much of its end may be lost.
    fn is_continued_by(&self, on: u32, event: u8, unheard: u32) -> bool {
        !self.ended
            && self.event == event
            && on >= SEGMENT_AT_LEAST
            && on
                .checked_sub(u32::from(self.longest))
                .is_some_and(|lost| lost <= unheard)
    }
}

/// Sends presses, one packet per 20 ms: four updates, three ends, a pause.
#[derive(Clone, Debug)]
pub struct KeySender {
    waiting: [u8; WAITING],
    first: usize,
    count: usize,
    sending: Option<Sending>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Sending {
    event: u8,
    tick: u8,
}

/// What to send in this 20 ms.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum KeyStep {
    /// The first packet of a press: new timestamp, marker.
    Start(TelephoneEvent),
    /// A further one: same timestamp, no marker.
    Update(TelephoneEvent),
    /// Nothing, the pause between two presses.
    Pause,
}

impl Default for KeySender {
    fn default() -> KeySender {
        KeySender {
            waiting: [0; WAITING],
            first: 0,
            count: 0,
            sending: None,
        }
    }
}

impl KeySender {
    /// Puts a key in line; `false` when it is no key or the line is full.
    pub fn press(&mut self, key: char) -> bool {
        let Some(event) = event_of_key(key) else {
            return false;
        };
        let end = (self.first + self.count) % WAITING;
        match self.waiting.get_mut(end) {
            Some(slot) if self.count < WAITING => {
                *slot = event;
                self.count += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether anything is being sent or waits.
    pub fn is_active(&self) -> bool {
        self.sending.is_some() || self.count > 0
    }

    /// 20 ms have passed: what to send, in a clock of 8 kHz; `None` when there is nothing to do.
    pub fn tick(&mut self) -> Option<KeyStep> {
        let sending = match self.sending {
            Some(sending) => sending,
            None => Sending {
                event: self.take()?,
                tick: 0,
            },
        };
        self.sending = (sending.tick + 1 < TICKS).then_some(Sending {
            tick: sending.tick + 1,
            ..sending
        });
        let number = sending.tick + 1;
        let packet = TelephoneEvent {
            event: sending.event,
            end: number >= DURATION_TICKS,
            volume: VOLUME,
            duration: u16::from(number.min(DURATION_TICKS)) * TICK_SAMPLES,
        };
        Some(match number {
            1 => KeyStep::Start(packet),
            n if n < DURATION_TICKS + ENDS => KeyStep::Update(packet),
            _ => KeyStep::Pause,
        })
    }

    fn take(&mut self) -> Option<u8> {
        if self.count == 0 {
            return None;
        }
        let event = self.waiting.get(self.first).copied();
        self.first = (self.first + 1) % WAITING;
        self.count -= 1;
        event
    }
}

/// Keys by event code.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";
/// Keys that may wait.
const WAITING: usize = 64;
/// A press lasts 100 ms.
const DURATION_TICKS: u8 = 5;
/// The end is sent three times (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// Updates, ends, and a pause of 60 ms.
const TICKS: u8 = DURATION_TICKS - 1 + ENDS + 3;
/// Samples in 20 ms at 8 kHz.
const TICK_SAMPLES: u16 = 160;
/// -10 dBm0, as phones send.
const VOLUME: u8 = 10;
/// A segment is near the longest duration that can be written.
const SEGMENT_AT_LEAST: u32 = 0x8000;
/// How much of a segment's end may be lost, as a part of a second.
const UNHEARD_PART: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The packets of a press as (timestamp, event).
    fn press(key: char, timestamp: u32) -> Vec<(u32, TelephoneEvent)> {
        let mut sender = KeySender::default();
        assert!(sender.press(key));
        let mut packets = Vec::new();
        while let Some(step) = sender.tick() {
            match step {
                KeyStep::Start(event) | KeyStep::Update(event) => packets.push((timestamp, event)),
                KeyStep::Pause => {}
            }
        }
        packets
    }

    #[test]
    fn a_press_is_four_updates_and_three_ends() {
        let packets = press('5', 0);
        let durations: Vec<_> = packets.iter().map(|(_, e)| (e.duration, e.end)).collect();
        assert_eq!(
            durations,
            [
                (160, false),
                (320, false),
                (480, false),
                (640, false),
                (800, true),
                (800, true),
                (800, true)
            ]
        );
        assert!(packets.iter().all(|(_, e)| e.event == 5));
    }

    #[test]
    fn the_line_of_keys_is_bounded_and_in_order() {
        let mut sender = KeySender::default();
        assert!(!sender.press('x'));
        assert!(!sender.press('я'));
        let line: Vec<char> = "0123456789*#ABCD".chars().cycle().take(WAITING).collect();
        assert!(line.iter().all(|&key| sender.press(key)));
        assert!(!sender.press('1'));
        let mut sent = Vec::new();
        while let Some(step) = sender.tick() {
            if let KeyStep::Start(event) = step {
                sent.push(key_of_event(event.event).unwrap());
            }
        }
        assert_eq!(sent, line);
        assert!(!sender.is_active());
    }

    #[test]
    fn a_key_held_for_ten_seconds_is_one_press() {
        let mut receiver = KeyReceiver::default();
        let event = |duration, end| TelephoneEvent {
            event: 1,
            end,
            volume: 10,
            duration,
        };
        assert_eq!(receiver.receive(1, 0, event(160, false)), Some('1'));
        assert_eq!(receiver.receive(1, 0, event(65_440, false)), None);
        assert_eq!(receiver.receive(1, 65_440, event(160, false)), None);
        assert_eq!(receiver.receive(1, 65_440, event(14_560, true)), None);
        assert_eq!(receiver.receive(1, 90_000, event(160, false)), Some('1'));
    }

    #[test]
    fn at_48_khz_a_long_key_has_many_segments() {
        let mut receiver = KeyReceiver::default();
        let event = |duration, end| TelephoneEvent {
            event: 9,
            end,
            volume: 10,
            duration,
        };
        let mut told = Vec::new();
        // Ten seconds: a segment is full after 1.36 s; the last 200 ms of each are lost.
        for segment in 0..7u32 {
            for duration in (960..55_000).step_by(960) {
                let at = segment * 65_280;
                told.extend(receiver.receive_at(48_000, 1, at, event(duration, false)));
            }
        }
        assert_eq!(told, ['9']);
        told.extend(receiver.receive_at(48_000, 1, 700_000, event(960, false)));
        assert_eq!(told, ['9', '9']);
    }

    #[test]
    fn flash_and_other_events_are_no_keys() {
        let mut receiver = KeyReceiver::default();
        let flash = TelephoneEvent::parse(&[16, 10, 0, 160]).unwrap();
        assert_eq!(receiver.receive(1, 0, flash), None);
        assert_eq!(TelephoneEvent::parse(&[1, 2, 3]), None);
        assert_eq!(event_of_key('d'), Some(15));
    }

    proptest! {
        /// Of each press all packets but one may be lost, any repeated: each is told once, in order.
        #[test]
        fn every_press_is_told_exactly_once(
            presses in proptest::collection::vec((0usize..16, 1u8..128, 1usize..3, 1600u32..50_000), 1..20),
            start: u32
        ) {
            let mut receiver = KeyReceiver::default();
            let mut timestamp = start;
            let mut told = Vec::new();
            let mut expected = Vec::new();
            for (key, arrives, times, pause) in presses {
                let key = char::from(KEYS[key]);
                expected.push(key);
                timestamp = timestamp.wrapping_add(pause);
                for (n, (at, event)) in press(key, timestamp).into_iter().enumerate() {
                    if arrives & (1 << n) != 0 {
                        for _ in 0..times {
                            prop_assert_eq!(TelephoneEvent::parse(&event.to_bytes()), Some(event));
                            told.extend(receiver.receive(7, at, event));
                        }
                    }
                }
            }
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn lost_ends_do_not_join_presses(pauses in proptest::collection::vec(1000u32..70_000, 1..20)) {
            let mut receiver = KeyReceiver::default();
            let mut timestamp = 0u32;
            for pause in pauses {
                timestamp = timestamp.wrapping_add(pause);
                let (at, event) = press('7', timestamp)[0];
                prop_assert_eq!(receiver.receive(7, at, event), Some('7'));
            }
        }
    }
}
