//! A new INVITE: who is calling, what was dialled, and the call that comes of it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::core::Core;
use super::reasons;
use crate::call::{Arrival, Call, Source};
use crate::dialplan::number::E164;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::endpoint::command::Command;
use crate::sip::endpoint::{Flow, SessionId};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name as HeaderName};
use crate::trunk::{caller_id, dialled, identify};

/// Max-Forwards of a request that carries none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

impl Core {
    pub(super) fn on_invite(&mut self, now: Now, session: SessionId, flow: Flow, message: &Message) {
        let source = match self.trunk_of(flow.remote, message) {
            Some(trunk) => Source::Trunk(trunk),
            None => match self.authenticate(now, message) {
                Ok(operator) => Source::Operator(operator),
                Err(headers) => {
                    self.endpoint.handle_command(now, Command::Reject { session, code: 401, headers });
                    return;
                }
            },
        };
        if max_forwards(message) == 0 {
            let headers = reasons::refusal(
                483,
                None,
                "Max-Forwards is used up: the call goes round in circles",
                &self.plan.server.domain,
            );
            self.endpoint.handle_command(now, Command::Reject { session, code: 483, headers });
            return;
        }
        let call = CallId::new(now.wall, &mut self.entropy);
        let arrival = self.arrival(call, session, flow, message, source);
        let trunk = match &arrival.source {
            Source::Trunk(trunk) => Some(trunk.clone()),
            Source::Operator(_) => None,
        };
        let leg = arrival.leg;
        let entropy = self.entropy.split();
        let started = Call::incoming(now, Arc::clone(&self.plan), arrival, entropy);
        self.place_first_leg(leg, call, trunk);
        self.start_call(now, call, started);
    }

    /// The trunk that a request comes from (DESIGN.md section 5, "Who is calling").
    fn trunk_of(&self, source: SocketAddr, message: &Message) -> Option<Name> {
        let user = Uri::parse(message.request_uri()).ok().and_then(|uri| uri.user().map(|user| user.into_owned()));
        let peers = self.trunks.identities();
        let found = identify::identify(&self.plan, &peers, source, user.as_deref())?;
        if found.by == identify::By::Accept && self.claims_to_be_a_phone(message) {
            return None;
        }
        Some(found.trunk)
    }

    /// Whether From names an operator: where phones and a trunk share a network, such a caller is challenged as a phone.
    fn claims_to_be_a_phone(&self, message: &Message) -> bool {
        from_user(message).is_some_and(|user| self.plan.operators.contains_key(user.as_str()))
    }

    fn arrival(&mut self, call: CallId, session: SessionId, flow: Flow, message: &Message, source: Source) -> Arrival {
        let plan = Arc::clone(&self.plan);
        let request_user = uri_user(message.request_uri());
        let (entry, dialled, caller, display_name, refuse) = match &source {
            Source::Trunk(trunk) => {
                let to = header_user(message, HeaderName::To);
                let called = message.header(HeaderName::PCalledPartyId).map(|_| header_user(message, HeaderName::PCalledPartyId));
                let candidates = dialled::candidates(&plan, trunk, &request_user, &to, called.as_deref());
                let (entry, text) = routing::from_trunk(
                    &plan,
                    trunk,
                    candidates.request_uri,
                    candidates.to,
                    candidates.p_called_party_id,
                );
                let caller = caller_id::caller(&plan, trunk, message);
                let refuse = if self.drain.is_some() {
                    Some(Cause::Overload)
                } else if !self.has_line(trunk) {
                    Some(Cause::TrunkCapacity)
                } else {
                    None
                };
                (entry, text, caller, display_name(message), refuse)
            }
            Source::Operator(operator) => {
                let (entry, text) = routing::from_operator(&plan, operator, &request_user);
                let shown = plan.operators.get(operator.as_str()).map(|operator| operator.name.clone());
                let refuse = self.drain.is_some().then_some(Cause::Overload);
                (entry, text, Some(operator.to_string()), shown, refuse)
            }
        };
        Arrival {
            call,
            leg: LegId::from_u128(session.0),
            source,
            caller,
            display_name,
            dialled,
            entry,
            offer: message.body_of("application/sdp"),
            max_forwards: max_forwards(message),
            sip_call_id: message.call_id().to_owned(),
            peer: flow.remote.ip(),
            refuse,
        }
    }

    /// Whether the operator may be connected to what he dialled, for calls that begin at the API.
    pub(super) fn entry_for(&self, operator: &Name, to: &str) -> Result<(Entry, String), String> {
        let (entry, dialled) = routing::from_operator(&self.plan, operator, to);
        match entry {
            Entry::Outbound { .. } | Entry::Operator(_) => Ok((entry, dialled)),
            Entry::NotAllowed { why } => Err(why),
            _ => Err(format!(
                "{to} is neither an outside number that {operator} may dial nor a colleague; see [outbound.*] in the configuration"
            )),
        }
    }

    /// A number of ours or an outside one, as an admin or the API writes it.
    pub(super) fn read_number(&self, text: &str) -> Option<E164> {
        E164::read(text, self.plan.server.country)
    }
}

fn max_forwards(message: &Message) -> u8 {
    message
        .header(HeaderName::MaxForwards)
        .and_then(|value| value.trim().parse::<u32>().ok())
        .map_or(MAX_FORWARDS, |hops| u8::try_from(hops).unwrap_or(u8::MAX))
}

fn uri_user(uri: &str) -> String {
    Uri::parse(uri).ok().and_then(|uri| uri.user().map(|user| user.into_owned())).unwrap_or_default()
}

fn header_user(message: &Message, name: HeaderName) -> String {
    let address = message.header(name).and_then(|value| NameAddr::parse(value).ok());
    address.and_then(|address| address.uri.user().map(|user| user.into_owned())).unwrap_or_default()
}

fn from_user(message: &Message) -> Option<String> {
    let user = header_user(message, HeaderName::From);
    (!user.is_empty()).then_some(user)
}

fn display_name(message: &Message) -> Option<String> {
    let from = message.header(HeaderName::From).and_then(|value| NameAddr::parse(value).ok())?;
    from.display.filter(|display| !display.is_empty())
}
