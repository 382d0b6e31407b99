//! Passing a party on (RFC 3515 as it looks from inside a call): whoever does it waits, silent, until the party is taken elsewhere, and gets
//! the party back when nobody takes it.

use super::conversation::Conversation;
use super::leg::Instead;
use super::output::{EndReason, LegAct};
use super::{Call, First};
use crate::desk::request::Request;
use crate::destination::{Ending, Next, Parked, Stage};
use crate::dialplan::plan::Destination;
use crate::dialplan::routing::Entry;
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name};

/// Somebody who has passed his party on and waits for what comes of it.
#[derive(Debug)]
pub(crate) struct Passing {
    /// His leg.
    pub(crate) by: LegId,
    /// He was the call's guest.
    was_guest: bool,
    /// Where the guest goes back to when his phone vanishes.
    back: Option<Destination>,
    /// He was told that somebody rings.
    told_ringing: bool,
}

impl Call {
    /// Whether the party that this leg talks with can be passed on by it now.
    pub fn can_refer(&self, by: LegId) -> bool {
        self.state.passing.is_none() && self.other_than(by).is_some()
    }

    /// Whom a leg talks with.
    pub fn other_than(&self, leg: LegId) -> Option<LegId> {
        let Stage::Talking(conversation) = &self.stage else {
            return None;
        };
        let (guest, person) = (self.state.guest?, conversation.person);
        let is_up = |leg| self.state.leg(leg).is_some_and(|leg| leg.is_connected());
        let other = match leg {
            leg if leg == guest => person,
            leg if leg == person => guest,
            _ => return None,
        };
        (is_up(leg) && is_up(other)).then_some(other)
    }

    /// The operator whose leg this is.
    pub fn operator_on(&self, leg: LegId) -> Option<&Name> {
        self.state.leg(leg)?.record.operator.as_ref()
    }

    /// Whether phones ring, or the caller waits for one: the call can be picked up.
    pub fn is_seeking(&self) -> bool {
        matches!(
            self.stage,
            Stage::Hunt(_) | Stage::Operator(_) | Stage::Forward(_)
        ) && self.state.guest.is_some()
    }

    /// The slot that the call is parked in.
    pub fn parked(&self) -> Option<&str> {
        match &self.stage {
            Stage::Parked(parked) => Some(parked.slot()),
            _ => None,
        }
    }

    /// The far side of `by` is sent where an entry leads.
    pub(super) fn refer(&mut self, now: Now, by: LegId, to: Entry) {
        let first = match self.first_of(now, to) {
            Ok(first) => first,
            Err((cause, _)) => return self.refuse_passing(by, cause.sip_status()),
        };
        if !self.set_out(now, by) {
            return self.refuse_passing(by, NOBODY_THERE);
        }
        self.begin(now, Some(first));
    }

    /// The far side of `by` is parked.
    pub(super) fn park(&mut self, now: Now, by: LegId, slot: String) {
        let parker = self.operator_on(by).cloned();
        if !self.set_out(now, by) {
            return self.refuse_passing(by, NOBODY_THERE);
        }
        self.stage = Parked::enter(&mut self.state, now, slot, parker);
        self.state.changed();
        self.passed_on(now);
    }

    fn refuse_passing(&mut self, by: LegId, code: u16) {
        self.tell(by, code, String::new());
    }

    fn tell(&mut self, by: LegId, code: u16, phrase: String) {
        self.state.act(by, LegAct::ReferNotice { code, phrase });
    }

    /// Takes the conversation apart: the party becomes the guest, `by` waits.
    fn set_out(&mut self, now: Now, by: LegId) -> bool {
        if !self.can_refer(by) {
            return false;
        }
        let Some(party) = self.other_than(by) else {
            return false;
        };
        let Stage::Talking(conversation) = std::mem::replace(&mut self.stage, Stage::Nowhere)
        else {
            return false;
        };
        let who = self.operator_on(by).map(Name::to_string);
        let state = &mut self.state;
        let text = format!(
            "{} passes the call on",
            who.as_deref().unwrap_or("The far side")
        );
        state.note(now, text);
        state.referred_by = who;
        state.passing = Some(Passing {
            by,
            was_guest: state.guest == Some(by),
            back: conversation.back,
            told_ringing: false,
        });
        state.guest = Some(party);
        state.stop_playing(by);
        state.leave_bridge(by);
        state.detach(by);
        state.stop_guest();
        state.leave_guest_bridge();
        true
    }

    /// A phone rings for the party.
    pub(super) fn passing_rings(&mut self) {
        let Some(passing) = &mut self.state.passing else {
            return;
        };
        if std::mem::replace(&mut passing.told_ringing, true) {
            return;
        }
        let by = passing.by;
        self.tell(by, 180, String::new());
    }

    /// The party is taken: whoever passed it on is out of the call.
    pub(super) fn passed_on(&mut self, now: Now) {
        if let Some(gone) = self.state.told_later.take() {
            self.tell(gone, 200, String::new());
        }
        let Some(passing) = self.state.passing.take() else {
            return;
        };
        self.state.referred_by = None;
        let phrase = self
            .parked()
            .map(|slot| format!("Parked at {slot}"))
            .unwrap_or_default();
        self.tell(passing.by, 200, phrase);
        self.release_operator(passing.by);
        self.state.end(now, passing.by, EndReason::Normal);
    }

    /// Whether the party goes back to whoever passed it on, instead of on to `otherwise`.
    pub(super) fn is_passing(&self) -> bool {
        self.state.passing.is_some()
    }

    /// Nobody took the party: it talks again with whoever passed it on. The stage has been left.
    pub(super) fn give_back(&mut self, now: Now, cause: Option<Cause>, ending: Option<&Ending>) {
        let Some(passing) = self.state.passing.take() else {
            return;
        };
        let far = ending.and_then(|ending| ending.far.clone());
        let (code, phrase) = match (far, cause) {
            (Some((code, phrase)), _) => (code, phrase),
            (None, Some(cause)) => (cause.sip_status(), String::new()),
            (None, None) => (DECLINE, String::new()),
        };
        self.tell(passing.by, code, phrase);
        let state = &mut self.state;
        state.referred_by = None;
        state.note(
            now,
            format!("Nobody took the call ({code}): it goes back to who passed it on"),
        );
        let Some(party) = state.guest else { return };
        let person = if passing.was_guest {
            state.guest = Some(passing.by);
            party
        } else {
            passing.by
        };
        state.stop_playing(party);
        state.join(now, person);
        state.record_conversation(now, person);
        state.refresh_hold();
        state.changed();
        self.stage = Stage::Talking(Conversation {
            person,
            back: passing.back,
        });
    }

    /// Whoever passed the party on has hung up: the party stays where it is. `true`: the leg was his.
    pub(super) fn passer_gone(&mut self, now: Now, leg: LegId) -> bool {
        if self.state.passing.as_ref().is_none_or(|one| one.by != leg) {
            return false;
        }
        self.state.passing = None;
        self.state.told_later = Some(leg);
        self.release_operator(leg);
        self.state.drop_leg(now, leg, None, None);
        true
    }

    /// The call ends while a party is being passed on.
    pub(super) fn passing_over(&mut self) {
        if let Some(passing) = self.state.passing.take() {
            self.tell(passing.by, 487, String::new());
        }
        if let Some(gone) = self.state.told_later.take() {
            self.tell(gone, 487, String::new());
        }
    }

    /// A phone, or a trunk that may, sends the call elsewhere (RFC 3261 §8.1.3.4). `dialled` is what its Contact names, `to` what that means for
    /// whoever it belongs to.
    pub(super) fn redirected(&mut self, now: Now, leg: LegId, dialled: String, to: Entry) {
        let is_round = self.state.redirects.contains(&dialled);
        let may = !is_round && self.state.redirects.len() < MOST_REDIRECTS;
        let text = format!("Sent on to {dialled} by the phone");
        self.state.note(now, text);
        if !may {
            let reason = "It is sent on in a circle, or too often".to_owned();
            return self.leg_refused(now, leg, 480, reason, true);
        }
        self.state.redirects.push(dialled);
        match to {
            Entry::Outbound {
                number,
                trunks,
                caller_id,
            } => {
                let instead = Instead {
                    number: number.as_str().to_owned(),
                    shown: caller_id.map(|number| number.as_str().to_owned()),
                    trunks: trunks.into(),
                };
                if !self.state.dial_instead(leg, instead) {
                    self.leg_refused(now, leg, 480, "No trunk".to_owned(), true);
                }
            }
            Entry::NotAllowed { why } => self.leg_refused(now, leg, 480, why, true),
            entry => {
                let to = match self.first_of(now, entry) {
                    Ok(First::Go(to)) => Some(to),
                    _ => None,
                };
                // In a hunt the colleague has his own turn.
                match (to, &self.stage) {
                    (Some(to), Stage::Operator(_)) => {
                        self.state.drop_leg(now, leg, None, Some(302));
                        self.advance(now, Next::Go { to, failed: None });
                    }
                    _ => {
                        let reason = "It is sent on where nobody is rung".to_owned();
                        self.leg_refused(now, leg, 480, reason, true);
                    }
                }
            }
        }
    }

    /// Lets go of the operator whose leg this is.
    pub(super) fn release_operator(&mut self, leg: LegId) {
        if let Some(operator) = self.operator_on(leg).cloned() {
            let call = self.state.id;
            self.state.ask(Request::Release { call, operator });
        }
    }
}

/// How often one call is sent on.
const MOST_REDIRECTS: usize = 5;
const NOBODY_THERE: u16 = 480;
const DECLINE: u16 = 603;
