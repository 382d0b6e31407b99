//! What is sent to a leg on the beat: clips, and keys in line.

use std::net::SocketAddr;

use super::{BEAT_SAMPLES, Finished, Leg, Scratch, sendable, write};
use crate::ledger::clock::Mono;
use crate::media::player::Player;
use crate::rtp::telephone_event::KeyStep;

impl Leg {
    /// 20 ms have passed: hands each datagram to `send`, as the first bytes of some room. Nothing happens before the leg is agreed on. A leg on hold is
    /// sent nothing, but its clip goes on.
    pub fn beat(
        &mut self,
        now: Mono,
        scratch: &mut Scratch,
        mut send: impl FnMut(&mut [u8], usize, SocketAddr),
    ) -> Option<Finished> {
        let agreed = self.agreed.as_ref()?;
        let to = sendable(agreed, &self.latch);
        if let Some(step) = self.keys_out.tick() {
            let event_type = agreed.telephone_event.map(|(send, _)| send);
            if let (Some(to), Some(event_type)) = (to, event_type)
                && let Some(length) = self.make_key(now, step, event_type, scratch)
            {
                send(scratch.room(), length, to);
            }
            return None;
        }
        let (codec, payload_type) = (agreed.codec, agreed.send_payload_type);
        let frame = self.frame_samples();
        self.due += BEAT_SAMPLES;
        while self.due >= frame {
            let player = self.player.as_mut()?;
            if !player.is_over() {
                self.due -= frame;
                let payload = scratch.payload.get_mut(..frame as usize)?;
                player.fill(codec, payload);
                let number = player.number();
                if let Some(to) = to {
                    let stamp = self.outgoing.make(now, number, frame);
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
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let (stamp, event) = match step {
            KeyStep::Start(event) => {
                self.played += 1;
                let samples = u32::from(event.duration);
                (self.outgoing.make(now, self.played, samples), event)
            }
            KeyStep::Update(event) => (self.outgoing.repeat(now, u32::from(event.duration)), event),
            KeyStep::Pause => return None,
        };
        write(
            stamp,
            payload_type,
            &event.to_bytes(),
            &mut scratch.datagram,
        )
    }
}
