//! What is sent to a leg on the beat: clips, and keys in line.

use std::net::SocketAddr;

use super::{BEAT_LENGTH, Finished, Leg, Scratch, sendable, write};
use crate::ledger::clock::Mono;
use crate::media::player::Player;
use crate::rtp::telephone_event::{KeyStep, TelephoneEvent};

impl Leg {
    /// 20 ms have passed: hands each datagram to `send`, as the first bytes of some room. Nothing happens before the leg is agreed on. A leg on hold is
    /// sent nothing, but its clip goes on.
    pub fn beat(
        &mut self,
        now: Mono,
        scratch: &mut Scratch,
        mut send: impl FnMut(&mut [u8], usize, SocketAddr),
    ) -> Option<Finished> {
        self.hear_what_waits(now, scratch, &mut send);
        let agreed = self.agreed.as_ref()?;
        let to = sendable(agreed, &self.latch);
        if let Some(step) = self.keys_out.tick() {
            let event_type = agreed.telephone_event.map(|(send, _)| send);
            let event_clock = agreed.event_clock_rate;
            if let (Some(to), Some(event_type)) = (to, event_type)
                && let Some(length) = self.make_key(now, step, event_type, event_clock, scratch)
            {
                send(scratch.room(), length, to);
            }
            return None;
        }
        let (codec, payload_type) = (agreed.codec, agreed.send_payload_type);
        let frame = self.frame_length();
        self.due += BEAT_LENGTH;
        while self.due >= frame {
            let player = self.player.as_mut()?;
            if !player.is_over() {
                let Some(length) = player.fill(codec, frame as usize, &mut scratch.payload) else {
                    // It is still being encoded: it begins, or goes on, when that is done.
                    self.due = frame.saturating_sub(BEAT_LENGTH);
                    return None;
                };
                self.due -= frame;
                let number = player.number();
                if let Some(to) = to {
                    let payload = scratch.payload.get(..length)?;
                    let lasts = frame * (codec.clock_rate() / 8_000);
                    let stamp = self.outgoing.make(now, number, lasts);
                    let length = write(stamp, payload_type, payload, &mut scratch.datagram)?;
                    send(scratch.room(), length, to);
                }
            }
            if self.player.as_ref().is_some_and(Player::is_over) {
                let (clip, token) = self.player.take()?.into_parts();
                return Some(Finished { token, clip });
            }
        }
        None
    }

    fn make_key(
        &mut self,
        now: Mono,
        step: KeyStep,
        payload_type: u8,
        event_clock: u32,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        // Keys are made in the clock of the telephone network; both others are multiples of it.
        let lasts = |event: TelephoneEvent, clock: u32| u32::from(event.duration) * (clock / 8_000);
        let clock = self.outgoing.clock_rate();
        let (stamp, event) = match step {
            KeyStep::Start(event) => {
                self.played += 1;
                let stamp = self.outgoing.make(now, self.played, lasts(event, clock));
                (stamp, event)
            }
            KeyStep::Update(event) => (self.outgoing.repeat(now, lasts(event, clock)), event),
            KeyStep::Pause => return None,
        };
        let event = TelephoneEvent {
            duration: u16::try_from(lasts(event, event_clock)).unwrap_or(u16::MAX),
            ..event
        };
        write(
            stamp,
            payload_type,
            &event.to_bytes(),
            &mut scratch.datagram,
        )
    }
}
