//! One leg's media as a state machine without socket or clock: whose packet is this, what does it carry, what goes out
//! to the listener, what comes next from a clip or a key in line.

mod beat;
mod hear;
mod receive;
mod speak;
mod tones;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::tones::Tones;
use super::player::Player;
use super::transcode::Transcoder;
use crate::audio::clip::Clip;
use crate::audio::voice::Decoder;
use crate::call::media::PlayMode;
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::LegId;
use crate::rtp::latch::Latch;
use crate::rtp::outgoing::{Outgoing, Stamp};
use crate::rtp::packet::Packet;
use crate::rtp::telephone_event::{KeyReceiver, KeySender, TelephoneEvent};
use crate::sdp::negotiate::{Agreed, Codec, Direction};

/// One leg's media.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
    agreed: Option<Agreed>,
    latch: Latch,
    keys_in: KeyReceiver,
    tones: Tones,
    keys_out: KeySender,
    outgoing: Outgoing,
    /// What turns the codec of whom it hears into its own.
    transcoder: Option<Box<Transcoder>>,
    player: Option<Player>,
    /// Clips played so far.
    played: u64,
    /// What is due from the player, in eighths of a millisecond.
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
    /// A telephone event, and the clock that its duration counts in, in hertz.
    Event(TelephoneEvent, u32),
    /// What was not agreed on, such as comfort noise (RFC 3389): heard by nobody, and no loss.
    Other,
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

    /// Room for a payload.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.payload
    }

    /// Where the datagram made last stands, with all the room behind it.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.datagram
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
        // In the lower half, so that no far side guesses a wrong turn of the counter (RFC 3711 §3.3.1, RFC 4568 §6.4).
        let sequence = (entropy.u32() >> 17) as u16;
        Leg {
            id,
            agreed: None,
            latch: Latch::default(),
            keys_in: KeyReceiver::default(),
            tones: Tones::default(),
            keys_out: KeySender::default(),
            outgoing: Outgoing::new(entropy.u32(), sequence, entropy.u32()),
            transcoder: None,
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

    /// Our source's SSRC.
    pub fn ssrc(&self) -> u32 {
        self.outgoing.ssrc()
    }

    /// Where its media goes, held or not.
    pub fn target(&self) -> Option<SocketAddr> {
        self.latch.target()
    }

    /// Send and expect media as agreed.
    pub fn agree(&mut self, now: Mono, agreed: Agreed) {
        let both_ways = self.is_both_ways();
        self.latch.signalled(agreed.remote);
        self.outgoing.set_clock_rate(agreed.codec.clock_rate());
        self.agreed = Some(agreed);
        if !both_ways {
            self.last_heard = now;
            self.told_silent = false;
        }
    }

    /// Plays a clip from the next beat on, or from when the leg is agreed on; gives back the clip that it replaces.
    pub fn play(&mut self, clip: Arc<Clip>, mode: PlayMode, token: u64) -> Option<Arc<Clip>> {
        self.played += 1;
        // The first beat brings a whole frame, however long frames are.
        self.due = self.frame_length().saturating_sub(BEAT_LENGTH);
        self.player
            .replace(Player::new(clip, mode, token, self.played))
            .map(|player| player.into_parts().0)
    }

    /// Stops playing; gives back the clip.
    pub fn stop_playing(&mut self) -> Option<Arc<Clip>> {
        self.player.take().map(|player| player.into_parts().0)
    }

    /// Plays a clip once if nothing else is played; gives it back if so.
    pub fn beep(&mut self, clip: Arc<Clip>) -> Option<Arc<Clip>> {
        if self.player.is_some() {
            return Some(clip);
        }
        self.play(clip, PlayMode::Once, NO_TOKEN)
    }

    /// Hears others through this from now on, or as they are; gives back what it replaces.
    pub fn hear_through(&mut self, transcoder: Option<Box<Transcoder>>) -> Option<Box<Transcoder>> {
        std::mem::replace(&mut self.transcoder, transcoder)
    }

    /// Hears keys in tones through this from now on, where tables do not decode; gives back what it replaces.
    pub fn listen_through(&mut self, decoder: Option<Box<Decoder>>) -> Option<Box<Decoder>> {
        self.tones.decode_by(decoder)
    }

    /// Changes the effort of Opus for what it hears, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.set_complexity(complexity);
        }
    }

    /// Puts a key in line to be sent; `false` when it is no key or the line is full.
    pub fn press(&mut self, key: char) -> bool {
        self.keys_out.press(key)
    }

    /// Whether the leg wants beats.
    pub fn wants_beats(&self) -> bool {
        let waits = |one: &Transcoder| one.is_waiting();
        self.player.is_some()
            || self.keys_out.is_active()
            || self.transcoder.as_deref().is_some_and(waits)
    }

    /// Whether it is time to tell that the far side fell silent: once per silence, only while both sides should send.
    pub fn fell_silent(&mut self, now: Mono) -> bool {
        let silent =
            self.is_both_ways() && !self.told_silent && now.since(self.last_heard) >= SILENCE;
        self.told_silent |= silent;
        silent
    }

    /// Whether both sides send and want to hear.
    pub fn is_both_ways(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| {
            agreed.direction == Direction::SendRecv && agreed.remote.is_some()
        })
    }

    /// What a packet of a clip lasts, in eighths of a millisecond: what the far side wants, as far as that is sensible.
    /// Opus is kept in packets of 20 ms.
    fn frame_length(&self) -> u32 {
        match &self.agreed {
            Some(agreed) if agreed.codec != Codec::Opus => agreed.packet_time_ms.clamp(10, 120) * 8,
            _ => BEAT_LENGTH,
        }
    }
}

fn sendable(agreed: &Agreed, latch: &Latch) -> Option<SocketAddr> {
    if agreed.is_held() {
        None
    } else {
        latch.target()
    }
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

/// Of clips whose end nobody waits for.
const NO_TOKEN: u64 = 0;
/// The length of a beat.
pub const BEAT: Duration = Duration::from_millis(20);
/// Room for any datagram that is taken, and for its header once more.
pub const ROOM: usize = crate::rtp::packet::MAX_DATAGRAM + 100;
/// A beat in eighths of a millisecond: samples at 8 kHz, and bytes of G.711 and G.722.
const BEAT_LENGTH: u32 = 160;
/// Without a packet for this long a far side that should send is told as silent.
const SILENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
