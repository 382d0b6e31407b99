//! Where clips are encoded for codecs that are not encoded at load: one thread, which is there once it was needed.
//!
//! Clips have their turns, a second of sound each, so that whoever waits hears the first of it at once, and a prompt does not wait
//! for somebody's music: the thread stays ahead of all players by far.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::audio::clip::{Clip, Encoding};
use crate::sdp::negotiate::Codec;

/// A clip, and what it is wanted in.
type Piece = (Arc<Clip>, Codec);

/// Encodes clips off the media threads and off the signalling task.
#[derive(Debug, Default)]
pub struct Studio {
    work: Option<Sender<Piece>>,
}

impl Studio {
    /// Has a clip encoded, unless it is. Where there is no thread to be had it is encoded here and now.
    pub fn encode(&mut self, clip: &Arc<Clip>, codec: Codec) {
        if clip.is_encoded(codec) {
            return;
        }
        if self.work.is_none() {
            match open() {
                Ok(work) => self.work = Some(work),
                Err(error) => tracing::warn!(%error, "no thread for encoding prompts"),
            }
        }
        let piece = (Arc::clone(clip), codec);
        if self
            .work
            .as_ref()
            .is_none_or(|work| work.send(piece).is_err())
        {
            clip.encode(codec);
        }
    }
}

/// The thread ends when the studio is dropped.
fn open() -> std::io::Result<Sender<Piece>> {
    let (work, waiting) = mpsc::channel();
    std::thread::Builder::new()
        .name("prompts".into())
        .spawn(move || encode_all(&waiting))?;
    Ok(work)
}

fn encode_all(waiting: &Receiver<Piece>) {
    let mut turns = VecDeque::new();
    loop {
        if turns.is_empty() {
            match waiting.recv() {
                Ok(piece) => admit(&mut turns, &piece),
                Err(_) => return,
            }
        }
        while let Ok(piece) = waiting.try_recv() {
            admit(&mut turns, &piece);
        }
        if let Some(mut encoding) = turns.pop_front()
            && encoding.step()
        {
            turns.push_back(encoding);
        }
    }
}

/// What comes new has the next turn: somebody begins to hear it.
fn admit(turns: &mut VecDeque<Encoding>, (clip, codec): &Piece) {
    let is_begun = turns.iter().any(|encoding| encoding.is_of(clip, *codec));
    if !is_begun
        && !clip.is_encoded(*codec)
        && let Some(encoding) = Encoding::new(clip, *codec)
    {
        turns.push_front(encoding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clip_is_encoded_meanwhile() {
        let clip = Clip::from_samples("x", &[1000; 1_600]);
        let mut studio = Studio::default();
        studio.encode(&clip, Codec::Pcma);
        assert!(studio.work.is_none());
        studio.encode(&clip, Codec::Opus);
        studio.encode(&clip, Codec::G722);
        for _ in 0..500 {
            if clip.is_encoded(Codec::G722) && clip.is_encoded(Codec::Opus) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not encoded within 5 s");
    }

    #[test]
    fn a_prompt_does_not_wait_for_music_and_nothing_is_done_twice() {
        let music = Clip::from_samples("music", &[1000; 80_000]);
        let prompt = Clip::from_samples("prompt", &[1000; 8_000]);
        let mut turns = VecDeque::new();
        admit(&mut turns, &(Arc::clone(&music), Codec::Opus));
        admit(&mut turns, &(Arc::clone(&prompt), Codec::Opus));
        admit(&mut turns, &(Arc::clone(&music), Codec::Opus));
        assert_eq!(turns.len(), 2);
        assert!(turns[0].is_of(&prompt, Codec::Opus));
        prompt.encode(Codec::G722);
        admit(&mut turns, &(Arc::clone(&prompt), Codec::G722));
        admit(&mut turns, &(prompt, Codec::Pcmu));
        assert_eq!(turns.len(), 2);
    }
}
