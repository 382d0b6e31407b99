//! Playing a clip, frame by frame: a copy of bytes encoded at load.

use std::sync::Arc;

use crate::audio::clip::Clip;
use crate::audio::g711::{ALAW_SILENCE, ULAW_SILENCE};
use crate::call::media::PlayMode;
use crate::sdp::negotiate::Codec;

/// A clip being played.
#[derive(Debug)]
pub struct Player {
    clip: Arc<Clip>,
    mode: PlayMode,
    token: u64,
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

    /// Fills `frame` with what comes next: the last frame of `Once` is filled up with silence, a loop goes on from its start.
    pub fn fill(&mut self, codec: Codec, frame: &mut [u8]) {
        let (sound, silence) = match codec {
            Codec::Pcmu => (self.clip.pcmu(), ULAW_SILENCE),
            _ => (self.clip.pcma(), ALAW_SILENCE),
        };
        let mut filled = 0;
        while filled < frame.len() {
            let rest = sound.get(self.position..).unwrap_or_default();
            let length = rest.len().min(frame.len() - filled);
            frame[filled..filled + length].copy_from_slice(&rest[..length]);
            filled += length;
            self.position += length;
            if self.position < sound.len() {
                continue;
            }
            if self.mode == PlayMode::Once || sound.is_empty() {
                frame[filled..].fill(silence);
                return;
            }
            self.position = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_ends_with_silence() {
        let clip = Clip::from_samples("x", &[1000; 250]);
        let mut player = Player::new(clip, PlayMode::Once, 5, 0);
        let mut frame = [0; 160];
        player.fill(Codec::Pcmu, &mut frame);
        assert_eq!(frame, [0xce; 160]);
        assert!(!player.is_over());
        player.fill(Codec::Pcma, &mut frame);
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
        player.fill(Codec::Pcmu, &mut frame);
        assert!((0..240).all(|n| frame[n] == sound[n % 100]));
        player.fill(Codec::Pcmu, &mut frame);
        assert!((0..240).all(|n| frame[n] == sound[(n + 40) % 100]));
        assert!(!player.is_over());
    }

    #[test]
    fn an_empty_clip_is_over_at_once_or_silent_for_ever() {
        let clip = Clip::from_samples("x", &[]);
        assert!(Player::new(Arc::clone(&clip), PlayMode::Once, 0, 0).is_over());
        let mut player = Player::new(clip, PlayMode::Loop, 0, 0);
        let mut frame = [0; 160];
        player.fill(Codec::Pcmu, &mut frame);
        assert_eq!(frame, [ULAW_SILENCE; 160]);
    }
}
