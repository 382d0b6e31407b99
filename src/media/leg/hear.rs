//! What a leg hears of another's packets, or of its own: relayed under the leg's own SSRC, sequence and timestamps, in its
//! own codec.

use std::net::SocketAddr;

use super::{Accepted, Leg, Scratch, Sound, sendable, write};
use crate::audio::{g711, opus};
use crate::ledger::clock::Mono;
use crate::media::counters::Reason;
use crate::media::transcode::{Frame, Transcoder};
use crate::rtp::outgoing::{Outgoing, Source};
use crate::rtp::packet::Packet;
use crate::rtp::telephone_event::TelephoneEvent;
use crate::sdp::negotiate::{Agreed, Codec};

impl Leg {
    /// Hands `send` converted packets that waited for one before them, if the stream has paused behind them.
    pub(super) fn hear_what_waits(
        &mut self,
        now: Mono,
        scratch: &mut Scratch,
        send: &mut impl FnMut(&mut [u8], usize, SocketAddr),
    ) {
        let Some(transcoder) = self.transcoder.as_deref_mut() else {
            return;
        };
        let agreed = self.agreed.as_ref();
        let to = agreed.and_then(|agreed| sendable(agreed, &self.latch));
        let is_free = self.player.is_none() && !self.keys_out.is_active();
        let payload_type = agreed.map_or(0, |agreed| agreed.send_payload_type);
        let source = Source::Converted(transcoder.number(), transcoder.ssrc());
        let outgoing = &mut self.outgoing;
        transcoder.release(Some(now), |frame| {
            let Some(to) = to.filter(|_| is_free) else {
                return;
            };
            let datagram = &mut scratch.datagram;
            let written = pass_frame(now, outgoing, source, payload_type, frame, datagram);
            if let Some(length) = written {
                send(datagram, length, to);
            }
        });
    }

    /// Hands `send` what this leg hears of another's packet (or of its own, as an echo): a datagram, or several or none
    /// where packets are converted; each with the room behind it.
    pub fn hear(
        &mut self,
        now: Mono,
        accepted: &Accepted<'_>,
        scratch: &mut Scratch,
        mut send: impl FnMut(&mut [u8], usize, SocketAddr),
    ) -> Result<(), Reason> {
        let agreed = self.agreed.as_ref().ok_or(Reason::NotAgreed)?;
        let to = sendable(agreed, &self.latch).ok_or(Reason::Held)?;
        if self.player.is_some() || self.keys_out.is_active() {
            return Err(Reason::Overridden);
        }
        let outgoing = &mut self.outgoing;
        let transcoder = self.transcoder.as_deref_mut();
        // What is left over from another agreement converts nothing any more.
        let transcoder = transcoder.filter(|one| one.recipe().to == agreed.codec);
        let Accepted { packet, sound, .. } = accepted;
        let source = Source::Relayed(accepted.leg.as_u128() as u64, packet.ssrc);
        let Scratch { datagram, payload } = scratch;
        let (payload_type, payload, lasts) = match (*sound, transcoder) {
            (Sound::Voice(codec), Some(transcoder)) if codec == transcoder.recipe().from => {
                let source = Source::Converted(transcoder.number(), packet.ssrc);
                let payload_type = agreed.send_payload_type;
                return transcoder.take(now, packet, |frame| {
                    let written = pass_frame(now, outgoing, source, payload_type, frame, datagram);
                    if let Some(length) = written {
                        send(datagram, length, to);
                    }
                });
            }
            (Sound::Other, transcoder) => {
                match transcoder {
                    Some(transcoder) => transcoder.skip(packet),
                    None => outgoing.skip(source, packet.sequence),
                }
                return Err(Reason::UnknownPayload);
            }
            (Sound::Voice(codec), _) => (
                agreed.send_payload_type,
                in_law(codec, agreed.codec, packet.payload, payload).ok_or(Reason::NotConverted)?,
                lasts(codec, packet.payload),
            ),
            (Sound::Event(event, clock_rate), Some(transcoder)) => {
                let source = Source::Converted(transcoder.number(), packet.ssrc);
                let payload_type = agreed.send_payload_type;
                transcoder.release(None, |frame| {
                    let written = pass_frame(now, outgoing, source, payload_type, frame, datagram);
                    if let Some(length) = written {
                        send(datagram, length, to);
                    }
                });
                let length = pass_event(
                    now, agreed, outgoing, transcoder, packet, event, clock_rate, datagram,
                )?;
                send(datagram, length, to);
                return Ok(());
            }
            (Sound::Event(event, clock_rate), None) => {
                let Some((number, _)) = agreed.telephone_event else {
                    outgoing.skip(source, packet.sequence);
                    return Err(Reason::NoEvents);
                };
                let lasts = in_clock(event.duration, clock_rate, outgoing.clock_rate());
                let event = in_listeners_clock(event, clock_rate, agreed);
                let room = payload.first_chunk_mut().ok_or(Reason::Malformed)?;
                *room = event.to_bytes();
                (number, room.as_slice(), lasts)
            }
        };
        let stamp = outgoing.relay(
            now,
            source,
            packet.sequence,
            packet.timestamp,
            packet.marker,
            lasts,
        );
        let stamp = stamp.ok_or(Reason::Late)?;
        let length = write(stamp, payload_type, payload, datagram).ok_or(Reason::Malformed)?;
        send(datagram, length, to);
        Ok(())
    }
}

/// Makes a datagram of a converted packet: its length.
fn pass_frame(
    now: Mono,
    outgoing: &mut Outgoing,
    source: Source,
    payload_type: u8,
    frame: Frame<'_>,
    datagram: &mut [u8],
) -> Option<usize> {
    let Frame {
        sequence,
        timestamp,
        marker,
        ticks,
        payload,
    } = frame;
    let stamp = outgoing.relay(now, source, sequence, timestamp, marker, ticks)?;
    write(stamp, payload_type, payload, datagram)
}

/// A telephone event among converted voice: with its place in the converted stream, and the listener's number and clock.
#[allow(
    clippy::too_many_arguments,
    reason = "parts of one leg, borrowed apart"
)]
fn pass_event(
    now: Mono,
    agreed: &Agreed,
    outgoing: &mut Outgoing,
    transcoder: &mut Transcoder,
    packet: &Packet<'_>,
    event: TelephoneEvent,
    clock_rate: u32,
    datagram: &mut [u8],
) -> Result<usize, Reason> {
    let Some((number, _)) = agreed.telephone_event else {
        transcoder.skip(packet);
        return Err(Reason::NoEvents);
    };
    let source = Source::Converted(transcoder.number(), packet.ssrc);
    let (sequence, timestamp) = transcoder.pass(packet).ok_or(Reason::Late)?;
    let lasts = in_clock(event.duration, clock_rate, outgoing.clock_rate());
    let stamp = outgoing
        .relay(now, source, sequence, timestamp, packet.marker, lasts)
        .ok_or(Reason::Late)?;
    let event = in_listeners_clock(event, clock_rate, agreed);
    write(stamp, number, &event.to_bytes(), datagram).ok_or(Reason::Malformed)
}

/// The event with its duration in the clock that the listener agreed on. What has no room there stands still at the most.
fn in_listeners_clock(event: TelephoneEvent, clock_rate: u32, agreed: &Agreed) -> TelephoneEvent {
    let duration = in_clock(event.duration, clock_rate, agreed.event_clock_rate);
    TelephoneEvent {
        duration: u16::try_from(duration).unwrap_or(u16::MAX),
        ..event
    }
}

fn in_clock(duration: u16, from: u32, to: u32) -> u32 {
    (u64::from(duration) * u64::from(to) / u64::from(from.max(1))) as u32
}

/// What a packet of voice lasts in its codec's clock.
fn lasts(codec: Codec, payload: &[u8]) -> u32 {
    match codec {
        Codec::Opus => opus::packet_ticks(payload).unwrap_or(960),
        // A byte each 1/8000 s, of G.722 too.
        Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len() as u32,
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
