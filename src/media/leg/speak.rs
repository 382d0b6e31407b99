//! What a leg hears of a room: packets made for it alone.

use std::net::SocketAddr;

use super::{Leg, Scratch, sendable, write};
use crate::ledger::clock::Mono;
use crate::sdp::codec::Codec;

impl Leg {
    /// How long the packets of `codec` are that a room makes for this leg, in milliseconds; `None` while it hears something else, or nothing.
    pub fn room_packet_ms(&self, codec: Codec) -> Option<u32> {
        let agreed = self
            .agreed
            .as_ref()
            .filter(|agreed| agreed.codec == codec)?;
        if self.player.is_some() || self.keys_out.is_active() {
            return None;
        }
        sendable(agreed, &self.latch)?;
        Some(match agreed.packet_time_ms {
            // Opus knows no others up to 60.
            wanted if codec == Codec::Opus => match wanted {
                0..20 => 10,
                20..40 => 20,
                40..60 => 40,
                _ => 60,
            },
            wanted => wanted.clamp(10, 60) / 10 * 10,
        })
    }

    /// A number for a new kind of sound that is made for the leg.
    pub fn begin_made(&mut self) -> u64 {
        self.played += 1;
        self.played
    }

    /// Makes a packet of a payload that is there already, as [`Leg::speak`] does.
    pub fn speak_as_is(
        &mut self,
        now: Mono,
        number: u64,
        payload: &[u8],
        ticks: u32,
        scratch: &mut Scratch,
    ) -> Option<(usize, SocketAddr)> {
        let room = scratch.payload_mut().get_mut(..payload.len())?;
        room.copy_from_slice(payload);
        self.speak(now, number, payload.len(), ticks, scratch)
    }

    /// Makes a packet of the first `bytes` of the payload in `scratch`, which lasts `ticks`: its length there, and where to send it.
    pub fn speak(
        &mut self,
        now: Mono,
        number: u64,
        bytes: usize,
        ticks: u32,
        scratch: &mut Scratch,
    ) -> Option<(usize, SocketAddr)> {
        let agreed = self.agreed.as_ref()?;
        let to = sendable(agreed, &self.latch)?;
        let payload_type = agreed.send_payload_type;
        let stamp = self.outgoing.make(now, number, ticks);
        let Scratch { datagram, payload } = scratch;
        let length = write(stamp, payload_type, payload.get(..bytes)?, datagram)?;
        Some((length, to))
    }
}
