//! One leg's media as a state machine without socket or clock: whose packet is this, what does it carry, what goes out
//! to the listener, what comes next from a clip or a key in line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::counters::Reason;
use super::player::Player;
use crate::audio::clip::Clip;
use crate::audio::g711;
use crate::call::media::PlayMode;
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::LegId;
use crate::rtp::latch::Latch;
use crate::rtp::outgoing::{Outgoing, Source, Stamp};
use crate::rtp::packet::{Packet, PacketError};
use crate::rtp::telephone_event::{KeyReceiver, KeySender, KeyStep, TelephoneEvent};
use crate::sdp::negotiate::{Agreed, Codec, Direction};

/// One leg's media.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
    agreed: Option<Agreed>,
    latch: Latch,
    keys_in: KeyReceiver,
    keys_out: KeySender,
    outgoing: Outgoing,
    player: Option<Player>,
    /// Clips played so far.
    played: u64,
    /// Samples due from the player.
    due: u32,
    is_ready: bool,
    last_heard: Mono,
    told_silent: bool,
}

/// A packet that belongs to a leg.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Accepted<'a> {
    /// The leg that it came from.
    pub leg: LegId,
    /// The packet.
    pub packet: Packet<'a>,
    /// What it carries.
    pub sound: Sound,
    /// Whether it is the leg's first.
    pub first: bool,
    /// The key, if it tells one not told yet.
    pub key: Option<char>,
}

/// What a packet carries.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sound {
    /// Voice.
    Voice(Codec),
    /// A telephone event lasting so many samples by now.
    Event(u16),
}

/// A clip that was played to its end.
#[derive(Debug)]
pub struct Finished {
    /// The token that it was started with.
    pub token: u64,
    /// The clip.
    pub clip: Arc<Clip>,
}

/// Room for making packets, so that none is allocated per packet.
#[derive(Debug)]
pub struct Scratch {
    datagram: [u8; ROOM],
    payload: [u8; ROOM],
}

impl Scratch {
    /// Empty room.
    pub fn new() -> Scratch {
        Scratch {
            datagram: [0; ROOM],
            payload: [0; ROOM],
        }
    }

    /// The first bytes of the datagram made last.
    pub fn datagram(&self, length: usize) -> &[u8] {
        self.datagram.get(..length).unwrap_or_default()
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

impl Leg {
    /// A leg with nothing agreed on yet. SSRC and first numbers are random (RFC 3550 §5.1).
    pub fn new(id: LegId, now: Mono, entropy: &mut Entropy) -> Leg {
        let sequence = (entropy.u32() >> 16) as u16;
        Leg {
            id,
            agreed: None,
            latch: Latch::default(),
            keys_in: KeyReceiver::default(),
            keys_out: KeySender::default(),
            outgoing: Outgoing::new(entropy.u32(), sequence, entropy.u32()),
            player: None,
            played: 0,
            due: 0,
            is_ready: false,
            last_heard: now,
            told_silent: false,
        }
    }

    /// The leg.
    pub fn id(&self) -> LegId {
        self.id
    }

    /// Send and expect media as agreed.
    pub fn agree(&mut self, now: Mono, agreed: Agreed) {
        let both_ways = self.is_both_ways();
        self.latch.signalled(agreed.remote);
        self.agreed = Some(agreed);
        if !both_ways {
            self.last_heard = now;
            self.told_silent = false;
        }
    }

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
        let Some(sound) = sound_of(agreed, &packet)? else {
            // Comfort noise and the like is a sign of life, but teaches no address.
            if self.latch.is_source(from) {
                self.last_heard = now;
                self.told_silent = false;
            }
            return Err(Reason::UnknownPayload);
        };
        if !self.latch.accepts(from) {
            return Err(Reason::ForeignSource);
        }
        self.last_heard = now;
        self.told_silent = false;
        if !matches!(agreed.direction, Direction::SendRecv | Direction::RecvOnly) {
            return Err(Reason::NotWanted);
        }
        let first = !self.is_ready;
        self.is_ready = true;
        let key = match sound {
            Sound::Voice(_) => None,
            Sound::Event(_) => TelephoneEvent::parse(packet.payload)
                .and_then(|event| self.keys_in.receive(packet.ssrc, packet.timestamp, event)),
        };
        Ok(Accepted {
            leg: self.id,
            packet,
            sound,
            first,
            key,
        })
    }

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
            Sound::Voice(codec) => (
                agreed.send_payload_type,
                in_law(codec, agreed.codec, packet.payload, payload),
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

    /// Plays a clip from the next beat on, or from when the leg is agreed on; gives back the clip that it replaces.
    pub fn play(&mut self, clip: Arc<Clip>, mode: PlayMode, token: u64) -> Option<Arc<Clip>> {
        self.played += 1;
        // The first beat brings a whole frame, however long frames are.
        self.due = self.frame_samples().saturating_sub(BEAT_SAMPLES);
        self.player
            .replace(Player::new(clip, mode, token, self.played))
            .map(|player| player.into_parts().0)
    }

    /// Stops playing; gives back the clip.
    pub fn stop_playing(&mut self) -> Option<Arc<Clip>> {
        self.player.take().map(|player| player.into_parts().0)
    }

    /// Puts a key in line to be sent; `false` when it is no key or the line is full.
    pub fn press(&mut self, key: char) -> bool {
        self.keys_out.press(key)
    }

    /// Whether the leg wants beats.
    pub fn wants_beats(&self) -> bool {
        self.player.is_some() || self.keys_out.is_active()
    }

    /// 20 ms have passed: hands each datagram to `send`. Nothing happens before the leg is agreed on. A leg on hold is
    /// sent nothing, but its clip goes on.
    pub fn beat(
        &mut self,
        now: Mono,
        scratch: &mut Scratch,
        mut send: impl FnMut(&[u8], SocketAddr),
    ) -> Option<Finished> {
        let agreed = self.agreed.as_ref()?;
        let to = sendable(agreed, &self.latch);
        if let Some(step) = self.keys_out.tick() {
            let event_type = agreed.telephone_event.map(|(send, _)| send);
            if let (Some(to), Some(event_type)) = (to, event_type)
                && let Some(length) = self.make_key(now, step, event_type, scratch)
            {
                send(scratch.datagram(length), to);
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
                    send(scratch.datagram(length), to);
                }
            }
            if self.player.as_ref().is_some_and(Player::is_over) {
                let (clip, token) = self.player.take()?.into_parts();
                return Some(Finished { token, clip });
            }
        }
        None
    }

    /// Whether it is time to tell that the far side fell silent: once per silence, only while both sides should send.
    pub fn fell_silent(&mut self, now: Mono) -> bool {
        let silent =
            self.is_both_ways() && !self.told_silent && now.since(self.last_heard) >= SILENCE;
        self.told_silent |= silent;
        silent
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

    fn is_both_ways(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| {
            agreed.direction == Direction::SendRecv && agreed.remote.is_some()
        })
    }

    /// Samples per packet that the far side wants, as far as that is sensible.
    fn frame_samples(&self) -> u32 {
        let millis = self.agreed.as_ref().map_or(20, |a| a.packet_time_ms);
        millis.clamp(10, 120) * (CLOCK_RATE / 1000)
    }
}

fn sound_of(agreed: &Agreed, packet: &Packet<'_>) -> Result<Option<Sound>, Reason> {
    let payload_type = packet.payload_type;
    // Phones that chose a number of their own often use it in both directions.
    if let Some((send, receive)) = agreed.telephone_event
        && (payload_type == receive
            || (payload_type == send && payload_type != agreed.receive_payload_type))
    {
        let event = TelephoneEvent::parse(packet.payload).ok_or(Reason::Malformed)?;
        return Ok(Some(Sound::Event(event.duration)));
    }
    Ok(if payload_type == agreed.receive_payload_type {
        Some(Sound::Voice(agreed.codec))
    } else {
        // Both were offered, and a static number says which it is (RFC 3551 §6).
        match payload_type {
            0 => Some(Sound::Voice(Codec::Pcmu)),
            8 => Some(Sound::Voice(Codec::Pcma)),
            _ => None,
        }
    })
}

fn sendable(agreed: &Agreed, latch: &Latch) -> Option<SocketAddr> {
    if agreed.is_held() {
        None
    } else {
        latch.target()
    }
}

/// The payload in the wanted law: untouched, or converted into `room`.
fn in_law<'a>(from: Codec, to: Codec, payload: &'a [u8], room: &'a mut [u8]) -> &'a [u8] {
    let table = match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => &g711::ULAW_TO_ALAW,
        (Codec::Pcma, Codec::Pcmu) => &g711::ALAW_TO_ULAW,
        (Codec::Pcmu, Codec::Pcmu) | (Codec::Pcma, Codec::Pcma) => return payload,
    };
    let length = payload.len().min(room.len());
    let (room, _) = room.split_at_mut(length);
    for (converted, code) in room.iter_mut().zip(payload) {
        *converted = table[usize::from(*code)];
    }
    room
}

fn write(stamp: Stamp, payload_type: u8, payload: &[u8], target: &mut [u8]) -> Option<usize> {
    Packet {
        payload_type,
        marker: stamp.marker,
        sequence: stamp.sequence,
        timestamp: stamp.timestamp,
        ssrc: stamp.ssrc,
        payload,
    }
    .write_into(target)
}

/// The length of a beat.
pub const BEAT: Duration = Duration::from_millis(20);
/// Room for any datagram that is taken, and for its header once more.
pub const ROOM: usize = crate::rtp::packet::MAX_DATAGRAM + 100;
/// Samples in a beat.
const BEAT_SAMPLES: u32 = 160;
/// The RTP clock rate of G.711 in hertz, and its sample rate.
const CLOCK_RATE: u32 = 8000;
/// Without a packet for this long a far side that should send is told as silent.
const SILENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
