//! Where clips are encoded for codecs that are not encoded at load: one thread, which is there once it was needed.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use crate::audio::clip::Clip;
use crate::sdp::negotiate::Codec;

/// Encodes clips one after another, off the media threads and off the signalling task.
#[derive(Debug, Default)]
pub struct Studio {
    work: Option<Sender<(Arc<Clip>, Codec)>>,
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
fn open() -> std::io::Result<Sender<(Arc<Clip>, Codec)>> {
    let (work, waiting) = mpsc::channel::<(Arc<Clip>, Codec)>();
    std::thread::Builder::new()
        .name("prompts".into())
        .spawn(move || {
            while let Ok((clip, codec)) = waiting.recv() {
                clip.encode(codec);
            }
        })?;
    Ok(work)
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
}
