//! Which codec is needed where: what a leg must hear through a transcoder, and in which codec its clip must be.

use std::sync::Arc;

use super::Plane;
use super::placing::HeardBy;
use crate::audio::clip::Clip;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::media::command::Order;
use crate::media::load::Effort;
use crate::media::transcode::{Recipe, Transcoder};
use crate::sdp::negotiate::Agreed;

/// What is known of a leg's sound.
#[derive(Debug, Default)]
pub struct Sound {
    agreed: Option<Agreed>,
    /// What it was last told to hear through.
    recipe: Option<Recipe>,
    /// What it was last told to play.
    clip: Option<Arc<Clip>>,
}

impl Plane {
    /// The leg sends and expects media as agreed, protected first, so that no packet goes out or is believed without it;
    /// whoever it hears and is heard by may need another transcoder, or another seat.
    pub(super) fn agree(&mut self, now: Mono, leg: LegId, mut agreed: Agreed) {
        if !self.prepare_stream(leg, &mut agreed) {
            return;
        }
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        place.codec = Some(agreed.codec);
        place.sound.agreed = Some(agreed.clone());
        let clip = place.sound.clip.clone();
        self.order(leg, Order::Agree(now, agreed));
        self.have_encoded(leg, clip.as_ref());
        let heard_by = self.places.get(&leg).map(|place| place.heard_by());
        if let Some(HeardBy::Leg(listener)) = heard_by {
            self.convert(leg, listener);
        }
        let speaker = self.bridges.of(leg).and_then(|bridge| {
            let members = self.bridges.members(bridge);
            let heard = |one: &LegId| {
                let place = self.places.get(one);
                place.is_some_and(|place| place.heard_by() == HeardBy::Leg(leg))
            };
            members.into_iter().find(heard)
        });
        if let Some(speaker) = speaker {
            self.convert(speaker, leg);
        }
        let bridge = self.bridges.of(leg);
        if let Some(bridge) = bridge.filter(|bridge| self.bridges.needs_room(*bridge)) {
            self.seat_all(bridge);
        }
    }

    /// Makes what `listener` needs to hear `speaker`, unless it has it.
    pub(super) fn convert(&mut self, speaker: LegId, listener: LegId) {
        let of = |leg| {
            let place = self.places.get(&leg);
            place.and_then(|place| place.sound.agreed.as_ref())
        };
        let (Some(from), Some(to)) = (of(speaker), of(listener)) else {
            return;
        };
        let recipe = Recipe::between(from, to);
        let Some(place) = self.places.get_mut(&listener) else {
            return;
        };
        if place.sound.recipe == recipe {
            return;
        }
        place.sound.recipe = recipe;
        self.transcoders += 1;
        // The worker lowers it when it is busy.
        let complexity = Effort::default().complexity();
        let made = recipe.map(|recipe| Transcoder::new(recipe, self.transcoders, complexity));
        let transcoder = match made.transpose() {
            Ok(transcoder) => transcoder.map(Box::new),
            Err(error) => {
                tracing::error!(leg = %listener, %error, "a leg hears nothing: no transcoder");
                None
            }
        };
        self.order(listener, Order::Transcode(transcoder));
    }

    /// The leg plays this from now on, or nothing: sees that it is there in the leg's codec.
    pub(super) fn have_encoded(&mut self, leg: LegId, clip: Option<&Arc<Clip>>) {
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        place.sound.clip = clip.cloned();
        if let Some(clip) = clip {
            self.see_encoded(leg, clip);
        }
    }

    /// Sees that a clip is there in the leg's codec.
    pub(super) fn see_encoded(&mut self, leg: LegId, clip: &Arc<Clip>) {
        let agreed = self
            .places
            .get(&leg)
            .and_then(|place| place.sound.agreed.as_ref());
        if let Some(codec) = agreed.map(|agreed| agreed.codec) {
            self.studio.encode(clip, codec);
        }
    }
}
