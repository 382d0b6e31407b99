//! What all hear who say nothing, encoded once for all of them who speak one codec.

use crate::audio::voice::{Encoder, VoiceError};
use crate::sdp::codec::Codec;

/// One codec's encoder of what a room sounds like to those who only listen. Made by the signalling task.
#[derive(Debug)]
pub struct Broadcast {
    encoder: Encoder,
    payload: Box<[u8]>,
    /// Of this beat, once it was asked for.
    made: Option<usize>,
    /// Nobody asked for the last one.
    is_idle: bool,
}

impl Broadcast {
    /// For a room that works at `rate_hz`.
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Broadcast, VoiceError> {
        Ok(Broadcast {
            encoder: Encoder::new(codec, rate_hz)?,
            payload: vec![0; MOST_BYTES].into_boxed_slice(),
            made: None,
            is_idle: true,
        })
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// The rate of what it encodes, in hertz.
    pub fn rate_hz(&self) -> u32 {
        self.encoder.rate_hz()
    }

    /// The encoder, for one that goes on by itself.
    pub fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// A new beat.
    pub fn begin(&mut self) {
        self.is_idle = self.made.take().is_none();
    }

    /// A listener is about to ask whom this encoder made packets for: the first one is not to hear that another goes on.
    pub fn take_over(&mut self, from: &Encoder) {
        if self.is_idle && self.made.is_none() {
            self.encoder.follow(from);
        }
    }

    /// The packet of this beat, encoded from `whole` by the first who asks.
    pub fn packet(&mut self, whole: &[i16]) -> &[u8] {
        let length = match self.made {
            Some(length) => length,
            None => self.encoder.encode(whole, &mut self.payload),
        };
        self.made = Some(length);
        self.payload.get(..length).unwrap_or_default()
    }
}

/// The length of its packets, in milliseconds: a beat.
pub const PACKET_MS: u32 = 20;
/// The longest packet of Opus.
const MOST_BYTES: usize = 1_275;
