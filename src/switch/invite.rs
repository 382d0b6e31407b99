//! A new INVITE: who is calling, what was dialled, and the call that comes of it.

use std::sync::Arc;

use super::core::Core;
use super::reasons;
use crate::call::{Arrival, Call, Source};
use crate::dialplan::routing::{self, Entry};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::endpoint::command::Command;
use crate::sip::endpoint::{Flow, SessionId};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::session::takes_reliable;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name as HeaderName};
use crate::trunk::caller_id::{self, Calling};
use crate::trunk::dialled::Dialled;
use crate::trunk::identify::{self, Origin};

/// Max-Forwards of a request that carries none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

impl Core {
    pub(super) fn on_invite(
        &mut self,
        now: Now,
        session: SessionId,
        flow: Flow,
        message: &Message,
    ) {
        let source = match self.trunk_of(flow, message) {
            Some(trunk) => {
                self.vouch_for_trunk(now, flow);
                Source::Trunk(trunk)
            }
            None => match self.authenticate(now, flow, message) {
                Ok(operator) => {
                    self.vouch(now, flow, now.mono + self.plan.server.max_call);
                    Source::Operator(operator)
                }
                Err(headers) => {
                    self.endpoint
                        .handle_command(now, Command::Challenge { session, headers });
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
            self.endpoint.handle_command(
                now,
                Command::Reject {
                    session,
                    code: 483,
                    headers,
                },
            );
            return;
        }
        let replaced = match self.replaced(&source, message) {
            Ok(replaced) => replaced,
            Err((code, sentence)) => {
                let headers = reasons::refusal(code, None, sentence, &self.plan.server.domain);
                let reject = Command::Reject {
                    session,
                    code,
                    headers,
                };
                self.endpoint.handle_command(now, reject);
                return;
            }
        };
        if !self.take_session(now, session, flow, message, &source) {
            return;
        }
        let call = CallId::new(now.wall, &mut self.entropy);
        let mut arrival = self.arrival(now, call, session, flow, message, source);
        arrival.join = replaced.or_else(|| self.seat_of(&arrival.entry));
        if let (Source::Operator(operator), None) = (&arrival.source, arrival.refuse) {
            self.note_outbound(call, operator, &arrival.entry);
        }
        let trunk = match &arrival.source {
            Source::Trunk(trunk) => Some(trunk.clone()),
            Source::Operator(_) => None,
        };
        let first = (arrival.leg, trunk);
        let entropy = self.entropy.split();
        let started = Call::incoming(now, Arc::clone(&self.plan), arrival, entropy);
        self.start_call(now, call, started, Some(first));
    }

    /// The trunk that a request comes from (DESIGN.md section 5, "Who is calling"). Where a trunk's `accept` networks hold
    /// phones too, a caller whose From names an operator is challenged as a phone.
    fn trunk_of(&self, flow: Flow, message: &Message) -> Option<Name> {
        let request_user = Uri::parse(message.request_uri()).ok();
        let request_user = request_user.as_ref().and_then(Uri::user);
        let origin = Origin {
            source: flow.remote,
            transport: flow.transport,
            request_user: request_user.as_deref(),
            certificate: self.connections.names(flow.connection),
        };
        if self.claims_to_be_a_phone(message) {
            return identify::identify_peer(self.known_trunks(), origin);
        }
        identify::identify(self.known_trunks(), origin)
    }

    fn claims_to_be_a_phone(&self, message: &Message) -> bool {
        let from = message
            .header(HeaderName::From)
            .and_then(|value| NameAddr::parse(value).ok());
        from.and_then(|from| {
            from.uri
                .user()
                .map(|user| self.plan.operators.contains_key(&*user))
        })
        .unwrap_or(false)
    }

    fn arrival(
        &mut self,
        now: Now,
        call: CallId,
        session: SessionId,
        flow: Flow,
        message: &Message,
        source: Source,
    ) -> Arrival {
        let plan = Arc::clone(&self.plan);
        let dialled = Dialled::read(message);
        let reliable = takes_reliable(message, &self.usage_of(&source));
        let (entry, text, calling, refuse) = match &source {
            Source::Trunk(trunk) => {
                let called = dialled.p_called_party_id.as_deref();
                let (entry, text) =
                    routing::from_trunk(&plan, trunk, &dialled.request_uri, &dialled.to, called);
                let calling = match plan.trunks.get(trunk.as_str()) {
                    Some(trunk) => caller_id::from_trunk(message, trunk),
                    None => Calling::default(),
                };
                let full = (!self.has_line(trunk)).then_some(Cause::TrunkCapacity);
                (entry, text, calling, full)
            }
            Source::Operator(operator) => {
                let (entry, text) = self.outside(now, operator, &dialled.request_uri);
                let known = plan.operators.get(operator.as_str());
                let calling = Calling {
                    number: Some(operator.to_string()),
                    display_name: known.map(|operator| operator.name.clone()),
                };
                (entry, text, calling, None)
            }
        };
        Arrival {
            call,
            leg: LegId::from_u128(session.0),
            source,
            caller: calling.number,
            display_name: calling.display_name,
            dialled: text,
            entry,
            offer: message.body_of("application/sdp"),
            max_forwards: max_forwards(message),
            sip_call_id: message.call_id().to_owned(),
            peer: flow.remote.ip(),
            join: None,
            reliable,
            refuse: if self.drain.is_some() {
                Some(Cause::Overload)
            } else {
                self.refuse_for_overload(now).or(refuse)
            },
        }
    }

    /// Whether the operator may be connected to what he dialled, for calls that begin at the API.
    pub(super) fn entry_for(
        &mut self,
        now: Now,
        operator: &Name,
        to: &str,
    ) -> Result<(Entry, String), String> {
        let (entry, dialled) = self.outside(now, operator, to);
        match entry {
            Entry::Outbound { .. } | Entry::Operator(_) => Ok((entry, dialled)),
            Entry::NotAllowed { why } => Err(why),
            _ => Err(format!(
                "{to} is neither an outside number that {operator} may dial nor a colleague; see [outbound.*] in the configuration"
            )),
        }
    }
}

fn max_forwards(message: &Message) -> u8 {
    message
        .header(HeaderName::MaxForwards)
        .and_then(|value| value.trim().parse::<u32>().ok())
        .map_or(MAX_FORWARDS, |hops| u8::try_from(hops).unwrap_or(u8::MAX))
}
