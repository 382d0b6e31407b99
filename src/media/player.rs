//! Playing a clip, frame by frame: a copy of bytes that are encoded already.

use std::sync::Arc;

use crate::audio::clip::{Clip, PACKET_MS};
use crate::audio::g711::{ALAW_SILENCE, ULAW_SILENCE};
use crate::call::media::PlayMode;
use crate::sdp::negotiate::Codec;

/// A clip being played.
#[derive(Debug)]
pub struct Player {
    clip: Arc<Clip>,
    mode: PlayMode,
    token: u64,
    /// In eighths of a millisecond: bytes of G.711 and G.722.
    position: usize,
    /// Tells this playing from the one before.
    number: u64,
}

impl Player {
    /// From the beginning.
    pub fn new(clip: Arc<Clip>, mode: PlayMode, token: u64, number: u64) -> Player {
        Player {
            clip,
            mode,
            token,
            position: 0,
            number,
        }
    }

    /// Tells this playing from the one before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The clip and its token, when it is over.
    pub fn into_parts(self) -> (Arc<Clip>, u64) {
        (self.clip, self.token)
    }

    /// Whether all was played; never for a loop.
    pub fn is_over(&self) -> bool {
        self.mode == PlayMode::Once && self.position >= self.clip.pcmu().len()
    }

    /// Writes what comes next, `length` eighths of a millisecond of it, into `room`; gives its bytes. `None` while that part of the
    /// clip is not encoded for this codec. The last frame of `Once` is filled up with silence, a loop goes on from its start.
    pub fn fill(&mut self, codec: Codec, length: usize, room: &mut [u8]) -> Option<usize> {
        let silence = match codec {
            Codec::Pcmu => ULAW_SILENCE,
            Codec::Pcma => ALAW_SILENCE,
            Codec::G722 => G722_SILENCE,
            Codec::Opus => return self.fill_packet(room),
        };
        let frame = room.get_mut(..length)?;
        let (mut filled, mut position) = (0, self.position);
        while filled < frame.len() {
            let rest = self.rest(codec, position)?;
            let length = rest.len().min(frame.len() - filled);
            frame[filled..filled + length].copy_from_slice(&rest[..length]);
            filled += length;
            if length > 0 {
                position += length;
            } else if self.mode == PlayMode::Loop && position > 0 {
                position = 0;
            } else {
                frame[filled..].fill(silence);
                // Should G.722 be shorter than G.711, the rest is not waited for.
                position = position.max(self.clip.pcmu().len());
                break;
            }
        }
        self.position = position;
        Some(frame.len())
    }

    /// The sound from a position on, as far as it lies together; none at its end.
    fn rest(&self, codec: Codec, position: usize) -> Option<&[u8]> {
        let sound = match codec {
            Codec::Pcmu => self.clip.pcmu(),
            Codec::Pcma => self.clip.pcma(),
            Codec::G722 | Codec::Opus => return self.clip.g722(position),
        };
        Some(sound.get(position..).unwrap_or_default())
    }

    /// One packet of Opus.
    fn fill_packet(&mut self, room: &mut [u8]) -> Option<usize> {
        let mut number = self.position / PACKET_LENGTH;
        if number >= self.clip.packets() && self.mode == PlayMode::Loop {
            number = 0;
        }
        let packet = match self.clip.opus(number)? {
            // Nothing encoded is silence: a frame that says nothing (RFC 6716 §3.1, a packet of one byte).
            [] => OPUS_SILENCE,
            packet => packet,
        };
        self.position = (number + 1) * PACKET_LENGTH;
        room.get_mut(..packet.len())?.copy_from_slice(packet);
        Some(packet.len())
    }
}

/// A packet of Opus in eighths of a millisecond.
const PACKET_LENGTH: usize = PACKET_MS as usize * 8;
/// A byte that G.722 decodes to next to nothing.
const G722_SILENCE: u8 = 0xfa;
/// SILK, narrow band, 20 ms, and no frame in it.
const OPUS_SILENCE: &[u8] = &[0x08];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::clip::Encoding;

    const FRAME: usize = 160;

    #[test]
    fn once_ends_with_silence() {
        let clip = Clip::from_samples("x", &[1000; 250]);
        let mut player = Player::new(clip, PlayMode::Once, 5, 0);
        let mut frame = [0; 160];
        player.fill(Codec::Pcmu, FRAME, &mut frame).unwrap();
        assert_eq!(frame, [0xce; 160]);
        assert!(!player.is_over());
        player.fill(Codec::Pcma, FRAME, &mut frame).unwrap();
        assert_eq!(frame[..90], [0xfa; 90]);
        assert_eq!(frame[90..], [ALAW_SILENCE; 70]);
        assert!(player.is_over());
        assert_eq!(player.into_parts().1, 5);
    }

    #[test]
    fn a_loop_joins_its_ends() {
        let clip = Clip::from_samples("x", &(0..100).map(|n| n * 300).collect::<Vec<_>>());
        let sound = clip.pcmu().to_vec();
        let mut player = Player::new(clip, PlayMode::Loop, 0, 0);
        let mut frame = [0; 240];
        player.fill(Codec::Pcmu, 240, &mut frame).unwrap();
        assert!((0..240).all(|n| frame[n] == sound[n % 100]));
        player.fill(Codec::Pcmu, 240, &mut frame).unwrap();
        assert!((0..240).all(|n| frame[n] == sound[(n + 40) % 100]));
        assert!(!player.is_over());
    }

    #[test]
    fn an_empty_clip_is_over_at_once_or_silent_for_ever() {
        let clip = Clip::from_samples("x", &[]);
        assert!(Player::new(Arc::clone(&clip), PlayMode::Once, 0, 0).is_over());
        let mut player = Player::new(clip, PlayMode::Loop, 0, 0);
        let mut frame = [0; 160];
        player.fill(Codec::Pcmu, FRAME, &mut frame).unwrap();
        assert_eq!(frame, [ULAW_SILENCE; 160]);
    }

    #[test]
    fn a_codec_that_is_not_encoded_is_waited_for() {
        let clip = Clip::from_samples("x", &[1000; 250]);
        let mut player = Player::new(Arc::clone(&clip), PlayMode::Once, 0, 0);
        let mut frame = [0; 2_000];
        for codec in [Codec::G722, Codec::Opus] {
            assert_eq!(player.fill(codec, FRAME, &mut frame), None);
        }
        assert!(!player.is_over());
        clip.encode(Codec::G722);
        clip.encode(Codec::Opus);
        assert_eq!(player.fill(Codec::G722, FRAME, &mut frame), Some(FRAME));
        assert_eq!(frame[..FRAME], clip.g722(0).unwrap()[..FRAME]);
        // The codec changes in the middle.
        let last = clip.opus(1).unwrap();
        assert_eq!(
            player.fill(Codec::Opus, FRAME, &mut frame),
            Some(last.len())
        );
        assert_eq!(&frame[..last.len()], last);
        assert!(player.is_over());
    }

    #[test]
    fn packets_go_round_in_a_loop() {
        let clip = Clip::from_samples("x", &[1000; 320]);
        clip.encode(Codec::Opus);
        let mut player = Player::new(Arc::clone(&clip), PlayMode::Loop, 0, 0);
        let mut frame = [0; 2_000];
        for number in [0, 1, 0, 1, 0] {
            let length = player.fill(Codec::Opus, FRAME, &mut frame).unwrap();
            assert_eq!(&frame[..length], clip.opus(number).unwrap());
        }
    }

    #[test]
    fn what_is_encoded_is_played_and_the_rest_is_waited_for() {
        let clip = Clip::from_samples("x", &[1000; 16_000]);
        for (codec, frames) in [(Codec::G722, 33), (Codec::Opus, 50)] {
            let mut encoding = Encoding::new(&clip, codec).unwrap();
            encoding.step();
            let mut player = Player::new(Arc::clone(&clip), PlayMode::Once, 0, 0);
            let mut frame = [0; 1_500];
            // Frames of 30 ms of G.722 lie across the seconds.
            let fill = |player: &mut Player, frame: &mut [u8]| player.fill(codec, 240, frame);
            for _ in 0..frames {
                assert!(fill(&mut player, &mut frame).is_some());
            }
            assert_eq!(fill(&mut player, &mut frame), None);
            encoding.step();
            assert!(fill(&mut player, &mut frame).is_some());
            if codec == Codec::G722 {
                assert_eq!(frame[..80], clip.g722(33 * 240).unwrap()[..80]);
                assert_eq!(frame[80..240], clip.g722(8_000).unwrap()[..160]);
            } else {
                let packet = clip.opus(50).unwrap();
                assert_eq!(&frame[..packet.len()], packet);
            }
        }
    }
}
