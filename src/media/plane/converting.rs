//! Which codec is needed where: what a leg must hear through a transcoder, and in which codec its clip must be.

use std::sync::Arc;

use super::Plane;
use super::placing::HeardBy;
use crate::audio::clip::Clip;
use crate::audio::voice::Decoder;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::media::command::Order;
use crate::media::load::Effort;
use crate::media::transcode::{Recipe, Transcoder};
use crate::sdp::negotiate::{Agreed, Codec};

/// What is known of a leg's sound.
#[derive(Debug, Default)]
pub struct Sound {
    agreed: Option<Agreed>,
    /// What it was last told to hear through.
    recipe: Option<Recipe>,
    /// In which codec keys are listened for, through a decoder.
    listened_to: Option<Codec>,
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
        self.listen_for_tones(leg, &agreed);
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

    /// A leg that tells keys by tones only, in a codec that no table decodes, is listened to through a decoder.
    fn listen_for_tones(&mut self, leg: LegId, agreed: &Agreed) {
        let codec = agreed.codec;
        let is_needed =
            agreed.telephone_event.is_none() && matches!(codec, Codec::G722 | Codec::Opus);
        let wanted = is_needed.then_some(codec);
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        if place.sound.listened_to == wanted {
            return;
        }
        place.sound.listened_to = wanted;
        let decoder = match wanted.map(|codec| Decoder::new(codec, 8_000)).transpose() {
            Ok(decoder) => decoder.map(Box::new),
            Err(error) => {
                tracing::error!(%leg, %error, "keys are not heard: no decoder");
                None
            }
        };
        self.order(leg, Order::Listen(decoder));
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
