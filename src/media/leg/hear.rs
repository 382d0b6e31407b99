//! What a leg hears of another's packets, or of its own: relayed under the leg's own SSRC, sequence and timestamps.

use std::net::SocketAddr;

use super::{Accepted, Leg, Scratch, Sound, sendable, write};
use crate::audio::g711;
use crate::ledger::clock::Mono;
use crate::media::counters::Reason;
use crate::rtp::outgoing::Source;
use crate::sdp::negotiate::Codec;

impl Leg {
    /// Makes what this leg hears of another's packet (or of its own, as an echo): length of the datagram in `scratch`,
    /// and where to send it.
    pub fn hear(
        &mut self,
        now: Mono,
        accepted: &Accepted<'_>,
        scratch: &mut Scratch,
    ) -> Result<(usize, SocketAddr), Reason> {
        let agreed = self.agreed.as_ref().ok_or(Reason::NotAgreed)?;
        let to = sendable(agreed, &self.latch).ok_or(Reason::Held)?;
        if self.player.is_some() || self.keys_out.is_active() {
            return Err(Reason::Overridden);
        }
        let Accepted { packet, sound, .. } = accepted;
        let source = Source::Relayed(accepted.leg.as_u128() as u64, packet.ssrc);
        let Scratch { datagram, payload } = scratch;
        let (payload_type, payload, samples) = match *sound {
            Sound::Event(duration) => match agreed.telephone_event {
                Some((send, _)) => (send, packet.payload, u32::from(duration)),
                None => {
                    self.outgoing.skip(source, packet.sequence);
                    return Err(Reason::NoEvents);
                }
            },
            Sound::Other => {
                self.outgoing.skip(source, packet.sequence);
                return Err(Reason::UnknownPayload);
            }
            Sound::Voice(codec) => (
                agreed.send_payload_type,
                in_law(codec, agreed.codec, packet.payload, payload).ok_or(Reason::NotAgreed)?,
                packet.payload.len() as u32,
            ),
        };
        let stamp = self
            .outgoing
            .relay(
                now,
                source,
                packet.sequence,
                packet.timestamp,
                packet.marker,
                samples,
            )
            .ok_or(Reason::Late)?;
        write(stamp, payload_type, payload, datagram)
            .map(|length| (length, to))
            .ok_or(Reason::Malformed)
    }
}

/// The payload in the wanted law: untouched, or converted into `room`; `None` where no table leads.
fn in_law<'a>(from: Codec, to: Codec, payload: &'a [u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let table = match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => &g711::ULAW_TO_ALAW,
        (Codec::Pcma, Codec::Pcmu) => &g711::ALAW_TO_ULAW,
        _ if from == to => return Some(payload),
        _ => return None,
    };
    let length = payload.len().min(room.len());
    let (room, _) = room.split_at_mut(length);
    for (converted, code) in room.iter_mut().zip(payload) {
        *converted = table[usize::from(*code)];
    }
    Some(room)
}
