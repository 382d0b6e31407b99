//! What comes in on a leg's port: whose it is and what it carries.

use std::net::SocketAddr;

use super::{Accepted, Leg, Sound};
use crate::ledger::clock::Mono;
use crate::media::counters::Reason;
use crate::rtp::packet::{Packet, PacketError};
use crate::rtp::telephone_event::TelephoneEvent;
use crate::sdp::negotiate::{Agreed, Codec, Direction};

impl Leg {
    /// Takes a datagram that came on the leg's port.
    pub fn receive<'a>(
        &mut self,
        now: Mono,
        from: SocketAddr,
        datagram: &'a [u8],
    ) -> Result<Accepted<'a>, Reason> {
        let packet = Packet::parse(datagram).map_err(|error| match error {
            PacketError::NotRtp(_) => Reason::NotRtp,
            PacketError::Truncated | PacketError::Padding => Reason::Malformed,
        })?;
        let agreed = self.agreed.as_ref().ok_or(Reason::NotAgreed)?;
        let sound = sound_of(agreed, &packet)?;
        // Comfort noise and the like is a sign of life, but teaches no address.
        let is_ours = match sound {
            Sound::Other => self.latch.is_source(from),
            Sound::Voice(_) | Sound::Event(..) => self.latch.accepts(from),
        };
        if !is_ours {
            return Err(Reason::ForeignSource);
        }
        self.last_heard = now;
        self.told_silent = false;
        if !matches!(agreed.direction, Direction::SendRecv | Direction::RecvOnly) {
            return Err(Reason::NotWanted);
        }
        let first = !self.is_ready && sound != Sound::Other;
        self.is_ready |= first;
        let key = match sound {
            Sound::Voice(codec) if agreed.telephone_event.is_none() => {
                self.tones.hear(&packet, codec)
            }
            Sound::Voice(_) | Sound::Other => None,
            Sound::Event(event, clock_rate) => {
                let Packet {
                    ssrc, timestamp, ..
                } = packet;
                self.keys_in.receive_at(clock_rate, ssrc, timestamp, event)
            }
        };
        Ok(Accepted {
            leg: self.id,
            packet,
            sound,
            first,
            key,
        })
    }
}

fn sound_of(agreed: &Agreed, packet: &Packet<'_>) -> Result<Sound, Reason> {
    let payload_type = packet.payload_type;
    // Phones that chose a number of their own often use it in both directions.
    if let Some((send, receive)) = agreed.telephone_event
        && (payload_type == receive
            || (payload_type == send && payload_type != agreed.receive_payload_type))
    {
        let event = TelephoneEvent::parse(packet.payload).ok_or(Reason::Malformed)?;
        return Ok(Sound::Event(event, agreed.event_clock_rate));
    }
    Ok(if payload_type == agreed.receive_payload_type {
        Sound::Voice(agreed.codec)
    } else {
        // Both were offered, and a static number says which it is (RFC 3551 §6).
        match payload_type {
            0 => Sound::Voice(Codec::Pcmu),
            8 => Sound::Voice(Codec::Pcma),
            _ => Sound::Other,
        }
    })
}
