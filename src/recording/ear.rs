//! What a recording makes of one leg's payloads: samples at the file's rate.

use crate::audio::g711;
use crate::sdp::negotiate::Codec;

/// A leg's decoder.
#[derive(Debug)]
pub struct Ear {
    rate_hz: u32,
}

impl Ear {
    /// For a file of this rate.
    pub fn new(rate_hz: u32) -> Ear {
        Ear { rate_hz }
    }

    /// Decodes a payload; its samples replace what is in `samples`. `is_fresh`: the source begins here.
    pub fn hear(&mut self, codec: Codec, is_fresh: bool, payload: &[u8], samples: &mut Vec<i16>) {
        samples.clear();
        let decode: fn(u8) -> i16 = match codec {
            Codec::Pcmu => g711::ulaw_decode,
            Codec::Pcma => g711::alaw_decode,
            _ => return,
        };
        let _later = (self.rate_hz, is_fresh);
        samples.extend(payload.iter().map(|&code| decode(code)));
    }
}
