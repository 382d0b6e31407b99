//! Opus for telephony (RFC 6716, RFC 7587): one channel, 8, 16 or 48 kHz on our side whatever the packets carry. The coding
//! is libopus's; here are its settings and sizes that fit calls. Nothing is allocated after making.

use audiopus::coder::{Decoder as Decoding, Encoder as Encoding, GenericCtl};
use audiopus::packet::Packet;
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate};

/// What libopus would not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpusError {
    /// Opus is not coded at this rate.
    #[error("Opus is not coded at {0} Hz")]
    Rate(u32),
    /// Its own words.
    #[error("libopus: {0}")]
    Library(String),
}

/// How an encoder works.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Effort, 0 to 10: quality for processor time.
    pub complexity: u8,
    /// Bits per second; `None`: what suits the rate.
    pub bitrate: Option<u32>,
    /// Whether each packet carries a coarse copy of the one before, for when that is lost.
    pub fec: bool,
    /// Whether silence is sent as hardly anything.
    pub dtx: bool,
    /// How many packets in a hundred are expected to be lost; the share of the bits that error correction gets.
    pub loss_percent: u8,
    /// Whether all packets are of one size.
    pub constant_bitrate: bool,
}

impl Default for Tuning {
    /// A call over the internet.
    fn default() -> Tuning {
        Tuning {
            complexity: 5,
            bitrate: None,
            fec: true,
            dtx: false,
            loss_percent: 5,
            constant_bitrate: false,
        }
    }
}

/// Encodes one channel.
#[derive(Debug)]
pub struct Encoder {
    inner: Encoding,
}

/// Decodes to one channel; packets with two are mixed.
#[derive(Debug)]
pub struct Decoder {
    inner: Decoding,
}

impl Encoder {
    /// For sound at 8,000, 16,000 or 48,000 Hz.
    pub fn new(rate_hz: u32, tuning: Tuning) -> Result<Encoder, OpusError> {
        let rate = rate_of(rate_hz)?;
        let mut inner = Encoding::new(rate, Channels::Mono, Application::Voip).map_err(said)?;
        let bitrate = tuning.bitrate.unwrap_or(usual_bitrate(rate_hz));
        let bitrate = i32::try_from(bitrate).unwrap_or(i32::MAX);
        inner
            .set_bitrate(Bitrate::BitsPerSecond(bitrate))
            .map_err(said)?;
        inner
            .set_complexity(tuning.complexity.min(10))
            .map_err(said)?;
        inner.set_inband_fec(tuning.fec).map_err(said)?;
        inner
            .set_packet_loss_perc(tuning.loss_percent.min(100))
            .map_err(said)?;
        inner.set_dtx(tuning.dtx).map_err(said)?;
        inner.set_vbr(!tuning.constant_bitrate).map_err(said)?;
        Ok(Encoder { inner })
    }

    /// Encodes a whole frame of 2.5, 5, 10, 20, 40 or 60 ms; returns the packet's length.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, OpusError> {
        self.inner.encode(samples, out).map_err(said)
    }

    /// Changes the effort, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        self.inner.set_complexity(complexity.min(10)).map_err(said)
    }

    /// Forgets what came before.
    pub fn reset(&mut self) -> Result<(), OpusError> {
        self.inner.reset_state().map_err(said)
    }
}

impl Decoder {
    /// To sound at 8,000, 16,000 or 48,000 Hz.
    pub fn new(rate_hz: u32) -> Result<Decoder, OpusError> {
        let inner = Decoding::new(rate_of(rate_hz)?, Channels::Mono).map_err(said)?;
        Ok(Decoder { inner })
    }

    /// Decodes a packet; returns the samples written. `out` needs room for all of it: at most 120 ms.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, OpusError> {
        self.run(Some(payload), out, false)
    }

    /// Decodes what `next` says about the packet lost before it, as long as `out` is (its length in time must be that of
    /// the lost packet); conceals where it says nothing.
    pub fn decode_fec(&mut self, next: &[u8], out: &mut [i16]) -> Result<usize, OpusError> {
        self.run(Some(next), out, true)
    }

    /// Makes up `out` for a packet of that length that was lost.
    pub fn conceal(&mut self, out: &mut [i16]) -> Result<usize, OpusError> {
        self.run(None, out, false)
    }

    /// Forgets what came before.
    pub fn reset(&mut self) -> Result<(), OpusError> {
        self.inner.reset_state().map_err(said)
    }

    fn run(
        &mut self,
        payload: Option<&[u8]>,
        out: &mut [i16],
        fec: bool,
    ) -> Result<usize, OpusError> {
        let packet = payload.map(Packet::try_from).transpose().map_err(said)?;
        let room = MutSignals::try_from(out).map_err(said)?;
        self.inner.decode(packet, room, fec).map_err(said)
    }
}

/// How many samples at 48 kHz a packet carries, read from its first bytes (RFC 6716 §3.1); `None`: it is no Opus packet.
pub fn packet_ticks(payload: &[u8]) -> Option<u32> {
    let (&toc, rest) = payload.split_first()?;
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms.
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*rest.first()? & 63),
    };
    let ticks = frame * frames;
    (1..=MOST_TICKS).contains(&ticks).then_some(ticks)
}

/// Bits per second that are enough for speech at a rate.
pub const fn usual_bitrate(rate_hz: u32) -> u32 {
    match rate_hz {
        8_000 => 20_000,
        16_000 => 28_000,
        _ => 36_000,
    }
}

fn rate_of(rate_hz: u32) -> Result<SampleRate, OpusError> {
    match rate_hz {
        8_000 => Ok(SampleRate::Hz8000),
        16_000 => Ok(SampleRate::Hz16000),
        48_000 => Ok(SampleRate::Hz48000),
        other => Err(OpusError::Rate(other)),
    }
}

/// Only reached where something is wrong: a packet that cannot be decoded costs this sentence.
fn said(error: audiopus::Error) -> OpusError {
    OpusError::Library(error.to_string())
}

/// 120 ms at 48 kHz.
const MOST_TICKS: u32 = 5_760;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_tells_its_length() {
        for milliseconds in [10usize, 20, 40, 60] {
            for rate in [8_000, 16_000, 48_000] {
                let mut encoder = Encoder::new(rate, Tuning::default()).unwrap();
                let samples = vec![0; rate as usize / 1000 * milliseconds];
                let mut bytes = [0; 1_000];
                let length = encoder.encode(&samples, &mut bytes).unwrap();
                assert_eq!(
                    packet_ticks(&bytes[..length]),
                    Some(48 * milliseconds as u32),
                    "{milliseconds} ms at {rate} Hz"
                );
            }
        }
        assert_eq!(packet_ticks(&[]), None);
        assert_eq!(packet_ticks(&[0x03]), None);
        assert_eq!(packet_ticks(&[0xfb, 63]), None, "63 frames of 20 ms");
        assert_eq!(packet_ticks(&[0xfb, 0]), None);
        assert_eq!(packet_ticks(&[0xfb, 6]), Some(5_760));
    }

    #[test]
    fn silence_costs_hardly_anything_with_dtx() {
        let mut encoder = Encoder::new(
            16_000,
            Tuning {
                dtx: true,
                ..Tuning::default()
            },
        )
        .unwrap();
        let mut bytes = [0; 1_000];
        let lengths: Vec<usize> = (0..100)
            .map(|_| encoder.encode(&[0; 320], &mut bytes).unwrap())
            .collect();
        assert!(lengths[60..].iter().filter(|&&length| length <= 2).count() > 30);
    }
}
