//! Keys heard as tones in what a leg sends, where telephone-event was not agreed on.

use crate::audio::dtmf_detect::ToneListener;
use crate::audio::g711;
use crate::rtp::packet::Packet;
use crate::sdp::codec::Codec;

/// A leg's listener, and what it has heard up to.
#[derive(Debug, Default)]
pub struct Tones {
    listener: ToneListener,
    /// The stream and the timestamp that comes next.
    next: Option<(u32, u32)>,
}

impl Tones {
    /// Hears a packet of voice; a key that it completes. G.711 only: a table decodes it, and other codecs are used by far
    /// sides that know telephone-event.
    pub fn hear(&mut self, packet: &Packet<'_>, codec: Codec) -> Option<char> {
        let table = match codec {
            Codec::Pcmu => &g711::ULAW_TO_LINEAR,
            Codec::Pcma => &g711::ALAW_TO_LINEAR,
            Codec::G722 | Codec::Opus => return None,
        };
        let expected = match self.next {
            Some((ssrc, next)) if ssrc == packet.ssrc => Some(next),
            _ => None,
        };
        let ahead = expected.map_or(0, |next| packet.timestamp.wrapping_sub(next));
        if ahead > u32::MAX / 2 {
            // Late: what came after it was heard.
            return None;
        }
        if expected.is_none() || ahead > LOST {
            self.listener.interrupt();
        }
        let length = packet.payload.len() as u32;
        self.next = Some((packet.ssrc, packet.timestamp.wrapping_add(length)));
        let samples = packet.payload.iter();
        self.listener
            .hear(samples.map(|code| table[usize::from(*code)]))
    }
}

/// Samples that may be missing within a press: two packets. More is a pause that a far side does not send.
const LOST: u32 = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone;

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
    fn other_codecs_are_not_listened_to() {
        let mut tones = Tones::default();
        for payload in packets(&[697.0, 1209.0]) {
            assert_eq!(tones.hear(&packet(0, &payload), Codec::G722), None);
        }
    }
}
