//! REFER from phones, and from trunks that may: who asks, whom he names, and what is done about it (RFC 3515, RFC 3891, RFC 5057).

use super::core::Core;
use super::reasons;
use crate::call;
use crate::call::input::{Command as CallCommand, Input};
use crate::call::output::Seat;
use crate::dialplan::plan::May;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::cause::Direction;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::endpoint::SessionId;
use crate::sip::endpoint::command::{Command, Headers};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::replaces::Replaces;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::wire::{Message, Name as HeaderName};

/// Who asks, on which leg of which call.
struct Asker {
    session: SessionId,
    leg: LegId,
    call: CallId,
    who: Who,
}

#[derive(PartialEq, Eq)]
enum Who {
    Operator(Name),
    Trunk(Name),
}

/// Why a REFER is refused. None of the statuses ends the dialog (RFC 5057 §5.1): 404 or 481 would.
struct Refused(u16, String);

impl Core {
    pub(super) fn on_refer(&mut self, now: Now, session: SessionId, message: &Message) {
        let outcome = self
            .asker(session)
            .and_then(|asker| Ok((asker, Target::read(message)?)));
        match outcome {
            Ok((asker, target)) => match target.replaces {
                Some(replaces) => self.refer_to_dialog(now, &asker, &replaces),
                None => self.refer_to_user(now, &asker, &target.user),
            },
            Err(Refused(code, sentence)) => {
                let headers = reasons::refusal(code, None, &sentence, &self.plan.server.domain);
                self.answer_refer(now, session, code, headers);
            }
        }
    }

    fn asker(&self, session: SessionId) -> Result<Asker, Refused> {
        let leg = LegId::from_u128(session.0);
        let nobody = || Refused(603, "There is nobody to be passed on".to_owned());
        let place = self.legs.get(&leg).ok_or_else(nobody)?;
        let running = self.calls.get(&place.call).ok_or_else(nobody)?;
        let who = match (&place.trunk, running.call.operator_on(leg)) {
            (Some(trunk), _) => {
                let may = self.plan.trunks.get(trunk.as_str());
                if !may.is_some_and(|trunk| trunk.transfer) {
                    let sentence = format!(
                        "The trunk {trunk} may not pass calls on: it takes trunks.{trunk}.transfer = true"
                    );
                    return Err(Refused(403, sentence));
                }
                Who::Trunk(trunk.clone())
            }
            (None, Some(operator)) => {
                if !self.may(operator).transfer {
                    let sentence = format!(
                        "{operator} may not pass calls on: add \"transfer\" to operators.{operator}.may"
                    );
                    return Err(Refused(403, sentence));
                }
                Who::Operator(operator.clone())
            }
            (None, None) => return Err(nobody()),
        };
        if !running.call.can_refer(leg) {
            return Err(nobody());
        }
        Ok(Asker {
            session,
            leg,
            call: place.call,
            who,
        })
    }

    /// What an operator of the plan in force may do.
    pub(super) fn may(&self, operator: &Name) -> May {
        let nothing = May {
            transfer: false,
            pick_up: false,
            park: false,
        };
        let known = self.plan.operators.get(operator.as_str());
        known.map_or(nothing, |operator| operator.may)
    }

    fn answer_refer(&mut self, now: Now, session: SessionId, code: u16, headers: Headers) {
        let answer = Command::AnswerRefer {
            session,
            code,
            headers,
        };
        self.endpoint.handle_command(now, answer);
    }

    /// Takes a REFER; what comes of it is told by notices.
    fn take_refer(&mut self, now: Now, asker: &Asker) {
        self.answer_refer(now, asker.session, 202, Headers::new());
    }

    fn notice(&mut self, now: Now, asker: &Asker, code: u16) {
        let notice = Command::ReferNotice {
            session: asker.session,
            code,
            phrase: String::new(),
        };
        self.endpoint.handle_command(now, notice);
    }

    /// Blind: to whom the asker may call.
    fn refer_to_user(&mut self, now: Now, asker: &Asker, user: &str) {
        let (entry, _) = match &asker.who {
            Who::Operator(operator) => self.may_dial(now, operator, user),
            Who::Trunk(trunk) => routing::from_trunk(&self.plan, trunk, user, user, None),
        };
        let by = asker.leg;
        let command = match entry {
            Entry::NotAllowed { why } => {
                let headers = reasons::refusal(403, None, &why, &self.plan.server.domain);
                return self.answer_refer(now, asker.session, 403, headers);
            }
            Entry::Unknown | Entry::PickUp(_) | Entry::Supervise(..) => {
                self.take_refer(now, asker);
                return self.notice(now, asker, 404);
            }
            Entry::Slot(slot) => {
                self.take_refer(now, asker);
                match self.free_slot(slot) {
                    Some(slot) => CallCommand::Park { by, slot },
                    None => return self.notice(now, asker, 486),
                }
            }
            to => {
                self.take_refer(now, asker);
                if let Who::Operator(operator) = &asker.who {
                    self.note_dialled(asker.call, operator, &to);
                }
                CallCommand::Refer { by, to }
            }
        };
        self.give(now, asker.call, Input::Command(command));
    }

    /// Attended: whom the asker talks with here, and whom he talks with there, are joined; or, while it still rings there, whom he talks with here
    /// goes there in his stead.
    fn refer_to_dialog(&mut self, now: Now, asker: &Asker, replaces: &Replaces) {
        self.take_refer(now, asker);
        let (call_id, to, from) = (&replaces.call_id, &replaces.to_tag, &replaces.from_tag);
        let found = self.endpoint.find_dialog(call_id, to, from);
        let there = found.and_then(|found| {
            let leg = LegId::from_u128(found.session.0);
            Some((leg, self.legs.get(&leg)?.call))
        });
        let Some((leg, call)) = there else {
            return self.notice(now, asker, 481);
        };
        if !self.is_his(&asker.who, leg, call) {
            return self.notice(now, asker, 403);
        }
        if call == asker.call {
            return self.notice(now, asker, 400);
        }
        match (self.other(asker.call, asker.leg), self.other(call, leg)) {
            (Some(here), Some(there)) => {
                let (keep, seat, from, moved) = if self.rank(asker.call) <= self.rank(call) {
                    (asker.call, asker.leg, call, there)
                } else {
                    (call, leg, asker.call, here)
                };
                self.notice(now, asker, 200);
                let hand_over = CallCommand::HandOver {
                    leg: moved,
                    into: keep,
                    seat: Seat::Of(seat),
                };
                self.give(now, from, Input::Command(hand_over));
            }
            _ => self.refer_to_ringing(now, asker, call),
        }
    }

    /// What the asker rings is given up and rung for whom he passes on.
    fn refer_to_ringing(&mut self, now: Now, asker: &Asker, call: CallId) {
        let Who::Operator(operator) = &asker.who else {
            return self.notice(now, asker, 480);
        };
        let dialled = self
            .calls
            .get(&call)
            .and_then(|running| running.call.record().number.clone());
        let dialled = dialled.as_deref().unwrap_or_default();
        // First: the call that is given up counts against the limits too.
        self.give(now, call, Input::Command(CallCommand::Hangup));
        let (to, _) = self.may_dial(now, operator, dialled);
        self.note_dialled(asker.call, operator, &to);
        let by = asker.leg;
        self.give(
            now,
            asker.call,
            Input::Command(CallCommand::Refer { by, to }),
        );
    }

    fn other(&self, call: CallId, leg: LegId) -> Option<LegId> {
        self.calls.get(&call)?.call.other_than(leg)
    }

    fn is_his(&self, who: &Who, leg: LegId, call: CallId) -> bool {
        match who {
            Who::Operator(operator) => {
                let running = self.calls.get(&call);
                running.and_then(|running| running.call.operator_on(leg)) == Some(operator)
            }
            Who::Trunk(trunk) => {
                self.legs.get(&leg).and_then(|place| place.trunk.as_ref()) == Some(trunk)
            }
        }
    }

    /// Which of two calls goes on when they become one: that of the outside party, and its recording.
    fn rank(&self, call: CallId) -> u8 {
        let running = self.calls.get(&call);
        match running.map(|running| running.call.record().direction) {
            Some(Direction::Inbound) => 0,
            Some(Direction::Outbound) => 1,
            Some(Direction::Internal) | None => 2,
        }
    }

    /// What a 3xx means for the leg that got it: what its Contact names, for whoever the leg belongs to. `None`: it is not obeyed.
    pub(super) fn redirection(
        &mut self,
        now: Now,
        session: SessionId,
        message: Option<&Message>,
    ) -> Option<(String, Entry)> {
        let leg = LegId::from_u128(session.0);
        let id = self.legs.get(&leg)?.call;
        let target = self.calls.get(&id)?.call.target(leg)?.clone();
        let contacts = message?.headers(HeaderName::Contact);
        let users: Vec<String> = contacts
            .filter_map(|line| NameAddr::parse_list(line).ok())
            .flatten()
            .filter_map(|contact| Some(contact.uri.user()?.into_owned()))
            .take(MOST_CONTACTS)
            .collect();
        let mut first = None;
        for user in users {
            let (entry, dialled) = match &target {
                call::output::Target::Phone { operator, .. } => self.may_dial(now, operator, &user),
                call::output::Target::Trunk { trunk, .. } => {
                    let obeys = self.plan.trunks.get(trunk.as_str())?.redirect;
                    if !obeys {
                        return None;
                    }
                    routing::from_redirect(&self.plan, trunk, &user)
                }
            };
            if !matches!(entry, Entry::NotAllowed { .. } | Entry::Unknown) {
                if let call::output::Target::Phone { operator, .. } = &target {
                    self.note_dialled(id, operator, &entry);
                }
                return Some((dialled, entry));
            }
            first.get_or_insert((dialled, entry));
        }
        first
    }
}

/// Whom a REFER names.
struct Target {
    user: String,
    replaces: Option<Replaces>,
}

impl Target {
    fn read(message: &Message) -> Result<Target, Refused> {
        let refused = |sentence: &str| Refused(400, sentence.to_owned());
        let value = message.header(HeaderName::ReferTo).unwrap_or_default();
        let address = NameAddr::parse(value).map_err(|_| refused("Refer-To cannot be read"))?;
        let uri: &Uri = &address.uri;
        if uri.scheme() == Scheme::Other {
            return Err(refused("Refer-To takes a sip, sips or tel URI"));
        }
        let method = uri.param("method").unwrap_or("INVITE");
        if !method.eq_ignore_ascii_case("INVITE") {
            return Err(refused("Only INVITE can be asked for"));
        }
        let replaces = match uri.header("Replaces") {
            Some(value) => {
                Some(Replaces::parse(&value).ok_or_else(|| refused("Replaces cannot be read"))?)
            }
            None => None,
        };
        let user = uri.user().map(|user| user.into_owned()).unwrap_or_default();
        if user.is_empty() && replaces.is_none() {
            return Err(refused("Refer-To names nobody"));
        }
        Ok(Target { user, replaces })
    }
}

/// Of the Contacts of a 3xx, so many are looked at.
const MOST_CONTACTS: usize = 5;
