//! Who asked how the legs of a running call sound, until their workers have told. Nobody waits meanwhile.

use tokio::sync::oneshot;

use super::quality::quality_of;
use crate::ledger::id::LegId;
use crate::ledger::quality::LegMedia;
use crate::media::Plane;
use crate::rtp::quality::{Sounding, Summary};

/// Those who wait for an answer.
#[derive(Debug, Default)]
pub struct Listening(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    awaited: Vec<LegId>,
    told: Vec<(LegId, LegMedia)>,
    reply: oneshot::Sender<Vec<(LegId, LegMedia)>>,
}

impl Listening {
    /// Asks about these legs.
    pub(super) fn ask(
        &mut self,
        plane: &mut Plane,
        legs: &[LegId],
        reply: oneshot::Sender<Vec<(LegId, LegMedia)>>,
    ) {
        let awaited: Vec<LegId> = legs
            .iter()
            .copied()
            .filter(|leg| plane.measure(*leg))
            .collect();
        self.0.push(Listener {
            awaited,
            told: Vec::with_capacity(legs.len()),
            reply,
        });
        self.answer();
    }

    /// Takes what the workers told, and answers those who have all that they asked for.
    pub(super) fn hear(&mut self, plane: &mut Plane) {
        while let Some((leg, sounding)) = plane.poll_sounding() {
            let media = media_of(plane, leg, &sounding);
            // One who asked first is told first; each ask has its own answer.
            let waiting = |listener: &&mut Listener| listener.awaited.contains(&leg);
            if let Some(listener) = self.0.iter_mut().find(waiting) {
                listener.awaited.retain(|awaited| *awaited != leg);
                listener.told.push((leg, media));
            }
        }
        self.answer();
    }

    fn answer(&mut self) {
        for listener in self
            .0
            .extract_if(.., |one| one.awaited.is_empty() || one.reply.is_closed())
        {
            // Who gave up waiting needs no answer.
            let _ = listener.reply.send(listener.told);
        }
    }
}

fn media_of(plane: &Plane, leg: LegId, sounding: &Sounding) -> LegMedia {
    let heard = |summary: Summary| {
        let is_something = summary.received > 0 || summary.sent > 0;
        is_something.then(|| quality_of(summary))
    };
    LegMedia {
        codec: plane.codec_of(leg).map(|codec| codec.encoding()),
        io: plane.backend().as_str(),
        quality: heard(sounding.overall),
        lately: heard(sounding.latest),
    }
}
