//! Which codecs a call's legs are offered and answered with, so that packets pass as they are wherever two legs can speak alike.

use super::leg::{Leg, LegState};
use super::state::State;
use crate::dialplan::plan::CodecName;
use crate::ledger::id::{LegId, Name};
use crate::sdp::negotiate::{Codec, Negotiation};
use crate::sdp::preference::{Other, to_offer};

impl State {
    /// What the guest may be answered with, in the order of whoever he came from: his trunk or, an operator, himself.
    pub(crate) fn guest_codecs(&self) -> Vec<Codec> {
        let guest = self.guest_leg().map(|leg| &leg.record);
        match guest.and_then(|guest| guest.trunk.as_ref()) {
            Some(trunk) => self.codecs_of_trunk(trunk),
            None => self.codecs_of_operator(guest.and_then(|guest| guest.operator.as_ref())),
        }
    }

    /// What a leg over a trunk is offered.
    pub(crate) fn trunk_codecs(&self, trunk: &Name) -> Vec<Codec> {
        self.towards_guest(&self.codecs_of_trunk(trunk))
    }

    /// What an operator's phone is offered.
    pub(crate) fn phone_codecs(&self, operator: Option<&Name>) -> Vec<Codec> {
        self.towards_guest(&self.codecs_of_operator(operator))
    }

    /// A dialled leg has agreed: a guest who has not been answered yet is going to be answered with the same codec, if he
    /// offered it.
    pub(crate) fn follow_codec(&mut self, dialled: LegId) {
        let agreed = self.leg(dialled).and_then(|leg| leg.negotiation.as_ref());
        let Some(codec) = agreed.and_then(Negotiation::agreed).map(|one| one.codec) else {
            return;
        };
        let Some(guest) = self.guest.filter(|guest| *guest != dialled) else {
            return;
        };
        let Some(leg) = self.leg_mut(guest).filter(|leg| is_open(leg)) else {
            return;
        };
        let answer = leg.negotiation.as_mut();
        if let Some((sdp, _)) = answer.and_then(|answer| answer.answer_with(codec)) {
            leg.sdp = Some(sdp);
        }
    }

    fn towards_guest(&self, ours: &[Codec]) -> Vec<Codec> {
        let Some(leg) = self.guest_leg() else {
            return to_offer(ours, Other::Unknown);
        };
        let Some(negotiation) = leg.negotiation.as_ref() else {
            return to_offer(ours, Other::Unknown);
        };
        let open: Vec<Codec> = negotiation.choices().collect();
        match negotiation.agreed() {
            Some(_) if is_open(leg) && !open.is_empty() => to_offer(ours, Other::Open(&open)),
            Some(agreed) => to_offer(ours, Other::Speaks(agreed.codec)),
            None => to_offer(ours, Other::Unknown),
        }
    }

    fn codecs_of_trunk(&self, trunk: &Name) -> Vec<Codec> {
        let trunk = self.plan.trunks.get(trunk);
        codecs(trunk.map_or(&[], |trunk| &trunk.codecs), &Codec::TELEPHONE)
    }

    fn codecs_of_operator(&self, operator: Option<&Name>) -> Vec<Codec> {
        let operator = operator.and_then(|name| self.plan.operators.get(name));
        codecs(
            operator.map_or(&[], |operator| &operator.codecs),
            &Codec::PHONE,
        )
    }
}

/// Whether the leg's answer is made and has not been sent.
fn is_open(leg: &Leg) -> bool {
    matches!(leg.state, LegState::Unanswered { .. }) && !leg.agreed && !leg.awaits_answer
}

fn codecs(named: &[CodecName], otherwise: &[Codec]) -> Vec<Codec> {
    if named.is_empty() {
        return otherwise.to_vec();
    }
    let named = named.iter().map(|name| match name {
        CodecName::Pcmu => Codec::Pcmu,
        CodecName::Pcma => Codec::Pcma,
        CodecName::G722 => Codec::G722,
        CodecName::Opus => Codec::Opus,
    });
    named.collect()
}
