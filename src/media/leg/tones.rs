//! Keys heard as tones in what a leg sends, where telephone-event was not agreed on.

use crate::audio::dtmf_detect::ToneListener;
use crate::audio::g711;
use crate::audio::voice::{Decoder, most_samples};
use crate::rtp::packet::Packet;
use crate::sdp::codec::Codec;

/// A leg's listener, and what it has heard up to.
#[derive(Debug, Default)]
pub struct Tones {
    listener: ToneListener,
    /// The stream and the timestamp that comes next.
    next: Option<(u32, u32)>,
    /// For codecs that no table decodes: to 8 kHz. Made by the signalling task for legs that need it.
    decoder: Option<Box<Decoder>>,
}

impl Tones {
    /// Decodes by this from now on; gives back what it replaces.
    pub fn decode_by(&mut self, decoder: Option<Box<Decoder>>) -> Option<Box<Decoder>> {
        self.listener.interrupt();
        self.next = None;
        std::mem::replace(&mut self.decoder, decoder)
    }

    /// Hears a packet of voice; a key that it completes. Nothing is heard in a codec that there is no decoder for.
    pub fn hear(&mut self, packet: &Packet<'_>, codec: Codec) -> Option<char> {
        let expected = match self.next {
            Some((ssrc, next)) if ssrc == packet.ssrc => Some(next),
            _ => None,
        };
        let ahead = expected.map_or(0, |next| packet.timestamp.wrapping_sub(next));
        if ahead > u32::MAX / 2 {
            // Late: what came after it was heard.
            return None;
        }
        if expected.is_none() || ahead > codec.clock_rate() / LOST {
            self.listener.interrupt();
        }
        let by_table = |table: &'static [i16; 256]| {
            let samples = packet.payload.iter();
            samples.map(|code| table[usize::from(*code)])
        };
        let (length, key) = match codec {
            Codec::Pcmu => {
                let samples = by_table(&g711::ULAW_TO_LINEAR);
                (samples.len(), self.listener.hear(samples))
            }
            Codec::Pcma => {
                let samples = by_table(&g711::ALAW_TO_LINEAR);
                (samples.len(), self.listener.hear(samples))
            }
            Codec::G722 | Codec::Opus => {
                let decoder = self.decoder.as_mut().filter(|one| one.codec() == codec)?;
                let mut room = [0i16; most_samples(RATE)];
                let length = decoder.decode(packet.payload, &mut room);
                let samples = room.iter().take(length).copied();
                (length, self.listener.hear(samples))
            }
        };
        let ticks = length as u32 * (codec.clock_rate() / RATE);
        self.next = Some((packet.ssrc, packet.timestamp.wrapping_add(ticks)));
        key
    }
}

/// The rate that is listened at, in hertz.
const RATE: u32 = 8_000;
/// What may be missing within a press, as a part of a second: two packets. More is a pause that a far side does not send.
const LOST: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone;
    use crate::audio::voice::Encoder;

    fn packets(frequencies: &[f64]) -> Vec<Vec<u8>> {
        let sound = tone::tone(frequencies, -6.0, 200);
        let coded: Vec<u8> = sound.into_iter().map(g711::ulaw_encode).collect();
        coded.chunks(160).map(<[u8]>::to_vec).collect()
    }

    fn packet(timestamp: u32, payload: &[u8]) -> Packet<'_> {
        Packet {
            payload_type: 0,
            marker: false,
            sequence: 0,
            timestamp,
            ssrc: 1,
            payload,
        }
    }

    #[test]
    fn a_press_is_one_key_though_packets_are_lost_late_or_doubled() {
        let mut tones = Tones::default();
        let mut told = Vec::new();
        let five = packets(&[770.0, 1336.0]);
        for n in [0, 1, 2, 2, 4, 3, 7, 8, 9] {
            let at = 1000 + 160 * n as u32;
            told.extend(tones.hear(&packet(at, &five[n]), Codec::Pcmu));
        }
        assert_eq!(told, ['5']);
        // After a pause that was not sent it is another press.
        for (n, payload) in five.iter().enumerate() {
            let at = 9000 + 160 * n as u32;
            told.extend(tones.hear(&packet(at, payload), Codec::Pcmu));
        }
        assert_eq!(told, ['5', '5']);
    }

    #[test]
    fn every_codec_is_listened_to_once_it_is_decoded() {
        for codec in Codec::ALL {
            let mut tones = Tones::default();
            let mut encoder = Encoder::new(codec, 8_000).unwrap();
            let mut hear = |tones: &mut Tones, from: u32| {
                let mut told = String::new();
                let mut at = from;
                for key in [[697.0, 1209.0], [852.0, 1336.0], [941.0, 1633.0]] {
                    let mut sound = tone::tone(&key, -12.0, 80);
                    sound.extend([0; 640]);
                    for samples in sound.chunks(160) {
                        let mut bytes = [0; 400];
                        let length = encoder.encode(samples, &mut bytes);
                        told.extend(tones.hear(&packet(at, &bytes[..length]), codec));
                        at = at.wrapping_add(codec.clock_rate() / 50);
                    }
                }
                told
            };
            let by_table = matches!(codec, Codec::Pcmu | Codec::Pcma);
            let told = hear(&mut tones, 0);
            assert_eq!(told, if by_table { "18D" } else { "" }, "{codec}");
            let decoder = Box::new(Decoder::new(codec, 8_000).unwrap());
            assert!(tones.decode_by(Some(decoder)).is_none());
            assert_eq!(hear(&mut tones, 1 << 30), "18D", "{codec}");
            assert!(tones.decode_by(None).is_some());
        }
    }
}
