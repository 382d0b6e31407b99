//! What a call does with its legs on the signalling side: dial, take answers, give up, end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::leg::{Dialling, Instead, Leg, LegState, Port};
use super::media::MediaAct;
use super::output::{Dial, EndReason, LegAct, Output, Side, Target};
use super::state::State;
use super::timer::Timer;
use crate::dialplan::plan::CallerIdPolicy;
use crate::ledger::cause::Direction;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name};
use crate::ledger::journal::Entry;
use crate::ledger::leg::LegOutcome;
use crate::trunk::diversion::Diverted;

/// A leg that did not come to be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The SIP status.
    pub(crate) code: u16,
    /// The far side's phrase, or our sentence.
    pub(crate) reason: String,
    /// Whether any response came from the far side.
    pub(crate) responded: bool,
    /// Whether it rang.
    pub(crate) rang: bool,
}

impl Failure {
    /// Our ring limit passed.
    pub(crate) fn rang_out(rang: bool) -> Failure {
        Failure {
            code: 480,
            reason: "No answer".into(),
            responded: rang,
            rang: true,
        }
    }

    /// A person said no: busy here, decline, busy or decline everywhere.
    pub(crate) const fn is_decline(&self) -> bool {
        matches!(self.code, 486 | 600..=699)
    }

    /// It rang until somebody's patience ended.
    pub(crate) const fn is_no_answer(&self) -> bool {
        self.rang && matches!(self.code, 408 | 480 | 487)
    }

    fn outcome(&self) -> LegOutcome {
        if self.is_decline() {
            LegOutcome::Declined
        } else if self.is_no_answer() {
            LegOutcome::NoAnswer
        } else {
            LegOutcome::Failed
        }
    }
}

/// How long a leg that was given up may still answer: 64 × T1.
const LINGER: Duration = Duration::from_secs(32);

impl State {
    pub(crate) fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.legs.iter().find(|l| l.id() == leg)
    }

    pub(crate) fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|l| l.id() == leg)
    }

    /// The leg that destinations serve.
    pub(crate) fn guest_leg(&self) -> Option<&Leg> {
        self.guest.and_then(|guest| self.leg(guest))
    }

    /// Whether a phone is being rung.
    pub(crate) fn rings(&self) -> bool {
        self.legs.iter().any(Leg::is_ringing)
    }

    pub(crate) fn act(&mut self, leg: LegId, act: LegAct) {
        self.out.push_back(Output::Leg(leg, act));
    }

    pub(crate) fn media(&mut self, act: MediaAct) {
        self.out.push_back(Output::Media(act));
    }

    /// Asks for the leg's media port.
    pub(crate) fn open(&mut self, leg: LegId) {
        let Some(found) = self.leg_mut(leg) else {
            return;
        };
        found.port = Port::Opening;
        let towards = found.towards;
        self.media(MediaAct::Open { leg, towards });
    }

    /// Begins an outgoing leg: asks for its port, then dials. It rings for `limit` at most.
    pub(crate) fn dial(&mut self, now: Now, dialling: Dialling, limit: Duration) -> LegId {
        let id = LegId::new(now.wall, &mut self.entropy);
        let mut leg = Leg::outgoing(id, dialling);
        leg.towards = self.towards(leg.dialling.as_ref().map(|dialling| &dialling.target));
        self.legs.push(leg);
        self.timers.set(Timer::Ring(id), now.mono + limit);
        self.open(id);
        id
    }

    /// Where a target stands, as far as its text says; unspecified for names, which the switch resolves.
    fn towards(&self, target: Option<&Target>) -> IpAddr {
        let literal = match target {
            Some(Target::Phone { phone, .. }) => match phone.remote() {
                Some(remote) => Some(remote.ip()),
                None => host_of(phone.contact()).parse().ok(),
            },
            Some(Target::Trunk { trunk, .. }) => {
                let peer = self.plan.trunks.get(trunk).and_then(|t| t.peer.as_ref());
                peer.and_then(|peer| peer.host.parse().ok())
            }
            None => None,
        };
        literal.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// A dialled leg's port is open: out goes its INVITE.
    pub(crate) fn send_invite(&mut self, id: LegId, local: SocketAddr) {
        let (call, max_forwards) = (self.id, self.max_forwards);
        let landing_page = self.record.landing_page.clone();
        let referred_by = self.referred_by.clone();
        let diverted = self.diverted();
        let dialling = self.leg(id).and_then(|leg| leg.dialling.clone());
        let prepared = dialling.map(|dialling| {
            let protection = self.protection(&dialling.target);
            let negotiation = self.negotiation(local, &dialling.codecs, protection);
            (dialling, negotiation)
        });
        let asks = self.leaves_the_offer(id);
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        leg.port = Port::Open;
        let Some((dialling, mut negotiation)) = prepared else {
            return;
        };
        leg.asks = asks;
        let sdp = match asks {
            true => Bytes::new(),
            false => negotiation.offer(),
        };
        leg.negotiation = Some(negotiation);
        leg.state = LegState::Ringing;
        let is_phone = matches!(dialling.target, Target::Phone { .. });
        let dial = Dial {
            target: dialling.target,
            caller: dialling.caller,
            display_name: dialling.display_name,
            sdp,
            max_forwards,
            call,
            landing_page: landing_page.filter(|_| is_phone),
            referred_by: referred_by.filter(|_| is_phone),
            diverted: diverted.filter(|_| !is_phone),
        };
        self.act(id, LegAct::Dial(Box::new(dial)));
        self.leg_changed(id);
    }

    /// Whether the trunk that a leg goes out over wants to make the offer itself.
    fn leaves_the_offer(&self, id: LegId) -> bool {
        let dialling = self.leg(id).and_then(|leg| leg.dialling.as_ref());
        match dialling.map(|dialling| &dialling.target) {
            Some(Target::Trunk { trunk, .. }) => {
                let trunk = self.plan.trunks.get(trunk);
                trunk.is_some_and(|trunk| trunk.delayed_offer)
            }
            _ => false,
        }
    }

    /// The leg rings an outside number instead of what it rang so far, for the rest of its time, from a port of its own. `false`: there is no
    /// trunk, or none is left.
    pub(crate) fn dial_instead(&mut self, id: LegId, mut instead: Instead) -> bool {
        let Some(trunk) = instead.trunks.pop_front() else {
            return false;
        };
        let number = instead.number.clone();
        let shown = instead.shown.clone();
        let caller = shown.or_else(|| self.shown_number(&trunk));
        let codecs = self.trunk_codecs(&trunk);
        let target = Target::Trunk {
            trunk: trunk.clone(),
            number,
        };
        let towards = self.towards(Some(&target));
        let Some(leg) = self.leg_mut(id) else {
            return false;
        };
        let Some(dialling) = leg.dialling.as_mut() else {
            return false;
        };
        dialling.instead = Some(instead);
        dialling.target = target;
        dialling.caller = caller;
        dialling.display_name = None;
        dialling.codecs = codecs;
        leg.record.trunk = Some(trunk);
        leg.state = LegState::Preparing;
        leg.rang = false;
        leg.negotiation = None;
        leg.agreed = false;
        leg.towards = towards;
        self.leave_bridge(id);
        self.media(MediaAct::Close { leg: id });
        self.open(id);
        true
    }

    /// The trunk over which the leg rings an outside number instead of its phone does not do it: tries the next one. `false`: none is left.
    pub(crate) fn dial_over_next(&mut self, id: LegId) -> bool {
        let dialling = self.leg_mut(id).and_then(|leg| leg.dialling.as_mut());
        let instead = dialling.and_then(|dialling| dialling.instead.take());
        instead.is_some_and(|instead| self.dial_instead(id, instead))
    }

    /// What a provider is told of an inbound call that goes on to an outside number.
    fn diverted(&self) -> Option<Diverted> {
        let number = self.record.number.as_ref()?;
        let is_ours = self.plan.numbers.contains_key(number.as_str());
        (self.record.direction == Direction::Inbound && is_ours).then(|| Diverted {
            number: number.clone(),
            why: self.failure,
        })
    }

    /// A provisional response: the leg rings. Gives whether it now speaks by early media.
    pub(crate) fn leg_rings(&mut self, now: Now, id: LegId, sdp: Option<&Bytes>) -> bool {
        let Some(leg) = self.leg_mut(id) else {
            return false;
        };
        leg.rang = true;
        leg.record.rung_at.get_or_insert(now.wall);
        let Some(negotiation) = leg.negotiation.as_mut() else {
            return false;
        };
        let speaks = match sdp {
            // Its offer in this response, if it made one, has our answer.
            _ if leg.asks => negotiation.agreed().is_some(),
            Some(sdp) => negotiation.accept_answer(sdp).is_ok(),
            None => false,
        };
        if speaks {
            self.follow_codec(id);
        }
        speaks
    }

    /// A 2xx to an INVITE of ours: takes its answer. `false`: nothing was agreed.
    pub(crate) fn take_answer(&mut self, now: Now, id: LegId, sdp: Option<&Bytes>) -> bool {
        let Some(leg) = self.leg_mut(id) else {
            return false;
        };
        let mut answer = None;
        let agreed = match (leg.negotiation.as_mut(), sdp) {
            (Some(negotiation), Some(offer)) if leg.asks && negotiation.agreed().is_none() => {
                let answered = negotiation.answer(offer);
                let agreed = answered.is_ok();
                answer = match answered {
                    Ok((answer, _)) => Some(answer),
                    // The ACK must answer it all the same.
                    Err(_) => negotiation.decline(offer),
                };
                agreed
            }
            // What a provisional response offered has our answer already.
            (Some(negotiation), _) if leg.asks => negotiation.agreed().is_some(),
            (Some(negotiation), Some(sdp)) => negotiation.accept_answer(sdp).is_ok(),
            // The answer stood in a provisional response.
            (Some(negotiation), None) => negotiation.agreed().is_some(),
            (None, _) => false,
        };
        if !agreed {
            if let Some(sdp) = answer {
                self.act(id, LegAct::AnswerOffer { sdp });
            }
            return false;
        }
        leg.state = LegState::Connected;
        leg.record.rung_at.get_or_insert(now.wall);
        leg.record.connected_at = Some(now.wall);
        leg.record.sip_code = Some(200);
        leg.record.ended_at = None;
        leg.record.outcome = None;
        self.timers.stop_leg(id);
        if let Some(sdp) = answer {
            self.act(id, LegAct::AnswerOffer { sdp });
        }
        self.agree(id);
        self.follow_codec(id);
        true
    }

    /// Gives a leg up that rings. While it may `linger`, its port stays open for a 2xx that crosses our CANCEL.
    pub(crate) fn give_up(&mut self, now: Now, id: LegId, why: GivenUp, linger: bool) {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_ringing()) else {
            return;
        };
        if leg.state == LegState::Preparing {
            self.drop_leg(now, id, Some(LegOutcome::Cancelled), None);
            return;
        }
        leg.state = LegState::GivenUp;
        if leg.rang {
            // What a ringing phone answers to our CANCEL (RFC 3261 §9.2); a 2xx that crosses it is noted over this.
            leg.record.sip_code = Some(487);
        }
        leg.record.ended_at = Some(now.wall);
        leg.record.outcome = Some(match why {
            GivenUp::RangOut => LegOutcome::NoAnswer,
            GivenUp::Elsewhere | GivenUp::Over => LegOutcome::Cancelled,
        });
        let reason = match why {
            GivenUp::Elsewhere => EndReason::AnsweredElsewhere,
            GivenUp::RangOut | GivenUp::Over => EndReason::Normal,
        };
        self.act(id, LegAct::End(reason));
        self.leave_bridge(id);
        self.timers.stop_leg(id);
        if linger {
            self.timers.set(Timer::Linger(id), now.mono + LINGER);
            self.leg_changed(id);
        } else {
            self.drop_leg(now, id, None, None);
        }
    }

    /// Legs that were given up can win no more: their ports are closed.
    pub(crate) fn forget_given_up(&mut self, now: Now) {
        let given_up: Vec<LegId> = self
            .legs
            .iter()
            .filter(|leg| leg.state == LegState::GivenUp)
            .map(Leg::id)
            .collect();
        for id in given_up {
            self.drop_leg(now, id, None, None);
        }
    }

    /// A dialled leg was refused: it is gone.
    pub(crate) fn refused(&mut self, now: Now, id: LegId, failure: &Failure) {
        let code = failure.responded.then_some(failure.code);
        self.drop_leg(now, id, Some(failure.outcome()), code);
    }

    /// Ends a leg that is connected or unanswered, whatever its state.
    pub(crate) fn end(&mut self, now: Now, id: LegId, reason: EndReason) {
        let Some(leg) = self.leg(id) else {
            return;
        };
        match leg.state {
            LegState::Preparing | LegState::Ringing => {
                self.give_up(now, id, GivenUp::Over, false);
                return;
            }
            // `End` was asked for when it was given up.
            LegState::GivenUp => {}
            LegState::Unanswered { .. } | LegState::Connected => {
                self.act(id, LegAct::End(reason));
            }
        }
        self.drop_leg(now, id, None, None);
    }

    /// The leg is gone: closes its port and its row.
    pub(crate) fn drop_leg(
        &mut self,
        now: Now,
        id: LegId,
        outcome: Option<LegOutcome>,
        code: Option<u16>,
    ) {
        self.detach(id);
        let Some(place) = self.legs.iter().position(|leg| leg.id() == id) else {
            return;
        };
        let mut leg = self.legs.remove(place);
        self.timers.stop_leg(id);
        if leg.port != Port::Closed {
            self.media(MediaAct::Close { leg: id });
        }
        leg.record.ended_at.get_or_insert(now.wall);
        let fallback = leg.outcome_at_end();
        let outcome = outcome.or(leg.record.outcome).unwrap_or(fallback);
        leg.record.outcome = Some(outcome);
        leg.record.sip_code = code.or(leg.record.sip_code);
        // At the end of the call all its legs are written together.
        if !self.is_closing {
            self.journal(Entry::LegChanged(self.id, Box::new(leg.record.clone())));
        }
        self.past.push(leg.record);
    }

    /// Who is shown to an operator whose phone rings: the outside party, or the calling colleague.
    pub(crate) fn shown_caller(&self) -> Option<String> {
        // An operator who was passed on, or who calls.
        let guest = self.guest_leg().and_then(|leg| leg.record.operator.clone());
        if let Some(operator) = guest {
            return Some(operator.to_string());
        }
        self.outside_party()
    }

    /// The party that the call is about.
    pub(crate) fn outside_party(&self) -> Option<String> {
        match self.record.direction {
            Direction::Outbound => self.record.party.clone(),
            Direction::Inbound | Direction::Internal => self.record.caller.clone(),
        }
    }

    /// The side of the recording opposite to the guest's.
    pub(crate) fn far_side(&self) -> Side {
        match self.guest_leg().map(|leg| leg.side) {
            Some(Side::Right) => Side::Left,
            Some(Side::Left) | None => Side::Right,
        }
    }

    /// The number shown on a forward over a trunk.
    pub(crate) fn shown_number(&self, trunk: &Name) -> Option<String> {
        let settings = self.plan.trunks.get(trunk);
        let policy = settings.map_or(CallerIdPolicy::Ours, |trunk| trunk.caller_id);
        if policy == CallerIdPolicy::Caller && self.record.direction == Direction::Inbound {
            return self.record.caller.clone();
        }
        let dialled = self.record.number.as_deref();
        if let Some(number) = dialled.filter(|number| self.plan.numbers.contains_key(*number)) {
            return Some(number.to_owned());
        }
        self.any_number(trunk)
    }

    /// A number of ours that may be shown over a trunk: one bound to it, else any; providers refuse calls without one.
    pub(crate) fn any_number(&self, trunk: &Name) -> Option<String> {
        let mut numbers: Vec<_> = self
            .plan
            .numbers
            .values()
            .filter(|number| number.trunk.as_ref().is_none_or(|bound| bound == trunk))
            .collect();
        numbers.sort_by_key(|number| (number.trunk.is_none(), number.number.as_str()));
        numbers
            .first()
            .map(|number| number.number.as_str().to_owned())
    }
}

/// Why a leg that rings is given up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum GivenUp {
    /// Another leg was taken.
    Elsewhere,
    /// Its time passed.
    RangOut,
    /// It is needed no more.
    Over,
}

/// The host of a SIP URI's text, without brackets and port.
fn host_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let end = rest.find([';', '?', '>']).unwrap_or(rest.len());
    let host = rest.get(..end).unwrap_or(rest);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_names_its_host() {
        assert_eq!(host_of("sip:anna@192.0.2.10:5060;ob"), "192.0.2.10");
        assert_eq!(host_of("sip:anna@[2001:db8::1]:5060"), "2001:db8::1");
        assert_eq!(host_of("sip:192.0.2.10"), "192.0.2.10");
        assert_eq!(host_of("nonsense"), "nonsense");
    }
}
