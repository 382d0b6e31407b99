//! Messages coming in: which transaction, dialog or session they are for, and what is refused before any of these.

use bytes::Bytes;

use super::core::{self, Refusal};
use super::event::{Event, Flow, RequestId, SessionId};
use super::{Endpoint, admit};
use crate::ledger::clock::Now;
use crate::ledger::id::LegId;
use crate::sip::dialog::LocalTag;
use crate::sip::session::Session;
use crate::sip::transaction::ServerId;
use crate::sip::transaction::layer::Received;
use crate::sip::wire::{Message, Method, Name};

/// Messages that were dropped, by reason.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Drops {
    /// Not SIP at all.
    pub unreadable: u64,
    /// Responses, ACKs and requests without Via that have a defect.
    pub malformed: u64,
    /// Responses to nothing we asked.
    pub stray_responses: u64,
    /// ACKs to nothing we answered.
    pub stray_acks: u64,
}

impl Drops {
    /// Why the latest of the messages was dropped that were counted after `before`; `None`: there is none.
    pub fn since(&self, before: Drops) -> Option<&'static str> {
        let reasons = [
            (self.unreadable, before.unreadable, "it is no SIP"),
            (
                self.malformed,
                before.malformed,
                "it is malformed and cannot be answered",
            ),
            (
                self.stray_responses,
                before.stray_responses,
                "it answers nothing that was asked",
            ),
            (
                self.stray_acks,
                before.stray_acks,
                "it acknowledges nothing that was answered",
            ),
        ];
        let grown = reasons.into_iter().find(|(now, before, _)| now > before);
        grown.map(|(_, _, reason)| reason)
    }
}

impl Endpoint {
    pub(super) fn receive(&mut self, now: Now, flow: Flow, bytes: Bytes) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            // A keep-alive (RFC 5626 §3.5.1) needs no answer over UDP.
            return;
        }
        let Ok(message) = Message::parse(bytes) else {
            self.drops.unreadable += 1;
            return;
        };
        if message.is_request() {
            self.receive_request(now, flow, &message);
        } else if message.defect().is_some() || message.headers(Name::Via).nth(1).is_some() {
            // More than one Via: meant for somebody behind us, who does not exist (RFC 3261 §8.1.3.3).
            self.drops.malformed += 1;
        } else if !self.core.layer.receive_response(now.mono, message) {
            self.drops.stray_responses += 1;
        }
    }

    fn receive_request(&mut self, now: Now, flow: Flow, request: &Message) {
        if let Some((code, sentence)) = request.defect() {
            // Without Via no response finds its way.
            if request.method() == Method::Ack || request.header(Name::Via).is_none() {
                self.drops.malformed += 1;
                return;
            }
            // Without a transaction: nothing of it can be relied on.
            let refusal = match code {
                405 | 501 => Refusal::with(code, sentence, Name::Allow, core::ALLOW),
                _ => Refusal::new(code, sentence),
            };
            let response = self.core.refusal(request, &flow, None, &refusal);
            self.core.layer.send(flow, response);
            return;
        }
        match self.core.layer.receive_request(now.mono, flow, request) {
            Received::Absorbed => {}
            Received::Ack => self.receive_ack(now, request),
            Received::Cancel { server, invite } => self.receive_cancel(now, server, invite),
            Received::New { server, merged } => {
                self.receive_new(now, flow, server, merged, request)
            }
        }
    }

    /// Refuses a request of which only the head could be read.
    pub(super) fn refuse_broken(&mut self, flow: Flow, head: Bytes, code: u16, sentence: &str) {
        let readable = Message::parse(head).ok().filter(|message| {
            message.is_request()
                && message.method() != Method::Ack
                && message.header(Name::Via).is_some()
        });
        let Some(request) = readable else {
            self.drops.unreadable += 1;
            return;
        };
        let response = self
            .core
            .refusal(&request, &flow, None, &Refusal::new(code, sentence));
        self.core.layer.send(flow, response);
    }

    fn receive_ack(&mut self, now: Now, ack: &Message) {
        match self.session_of(ack) {
            Some(session) => {
                self.with_session(session, |session, core| session.acked(core, now.mono, ack));
            }
            None => self.drops.stray_acks += 1,
        }
    }

    fn receive_cancel(&mut self, now: Now, server: ServerId, invite: Option<ServerId>) {
        let Some(invite) = invite else {
            self.core.refuse(now.mono, server, None, &NOTHING_TO_CANCEL);
            return;
        };
        let session = self.core.layer.session_of(invite);
        let tag = session
            .and_then(|id| self.sessions.get(&id))
            .map(|session| session.local_tag);
        match tag {
            Some(tag) => self.core.accept(now.mono, server, &tag),
            None => {
                let tag = self.core.entropy.token();
                self.core.accept(now.mono, server, &tag);
            }
        }
        if let Some(session) = session {
            self.with_session(session, |session, core| {
                session.cancelled(core, now.mono, invite)
            });
        }
    }

    fn receive_new(
        &mut self,
        now: Now,
        flow: Flow,
        server: ServerId,
        merged: bool,
        request: &Message,
    ) {
        if let Some(refusal) = admit::inspect(request) {
            return self.turn_away(now, server, request, &refusal);
        }
        let inside = request.to_tag().is_some() && request.method() != Method::Register;
        let session = if inside {
            self.session_of(request)
        } else {
            None
        };
        // A subscription's dialog is known to whoever answered its first SUBSCRIBE.
        let elsewhere = request.method() == Method::Subscribe;
        if inside && session.is_none() && !elsewhere {
            return self.core.refuse(now.mono, server, None, &NO_DIALOG);
        }
        if merged {
            return self.turn_away(now, server, request, &MERGED);
        }
        if !inside && request.method() == Method::Invite && self.core.layer.is_loop(request) {
            return self.core.refuse(now.mono, server, None, &LOOP);
        }
        if let Some(tags) = admit::unsupported(request) {
            let refusal = Refusal::with(
                420,
                "An extension is required that is not supported here",
                Name::Unsupported,
                &tags,
            );
            return self.turn_away(now, server, request, &refusal);
        }
        if let Some(session) = session {
            self.with_session(session, |session, core| {
                session.receive(core, now.mono, server, request)
            });
            return;
        }
        if admit::is_exhausted(request) {
            return self.turn_away(now, server, request, &TOO_MANY_HOPS);
        }
        match request.method() {
            Method::Invite => self.receive_invite(now, flow, server, request),
            Method::Bye | Method::Info | Method::Update | Method::Prack => {
                self.core.refuse(now.mono, server, None, &NO_DIALOG);
            }
            _ => self.core.report(Event::Request {
                id: RequestId(server.0),
                flow,
                message: request.clone(),
            }),
        }
    }

    /// Refuses a request that is in no dialog. REGISTERs, of which anybody may send many, leave nothing behind: one that is repeated is refused again.
    fn turn_away(&mut self, now: Now, server: ServerId, request: &Message, refusal: &Refusal<'_>) {
        self.core.refuse(now.mono, server, None, refusal);
        if request.method() == Method::Register {
            self.core.layer.forget(server);
        }
    }

    fn receive_invite(&mut self, now: Now, flow: Flow, server: ServerId, invite: &Message) {
        if let Some(refusal) = admit::body_problem(invite) {
            return self.core.refuse(now.mono, server, None, &refusal);
        }
        let id = self.new_session_id(now);
        let session = Session::ring(&mut self.core, now.mono, id, server, flow, invite);
        self.add_session(session);
    }

    /// The session in whose dialog a request is.
    pub(super) fn session_of(&self, request: &Message) -> Option<SessionId> {
        let tag = LocalTag::parse(request.to_tag()?)?;
        let id = self.tags.get(&tag)?;
        self.sessions.get(id)?.owns(request).then_some(*id)
    }

    pub(super) fn new_session_id(&mut self, now: Now) -> SessionId {
        SessionId(LegId::new(now.wall, &mut self.core.entropy).as_u128())
    }
}

const NO_DIALOG: Refusal<'_> = Refusal::new(481, "There is no such dialog");
const NOTHING_TO_CANCEL: Refusal<'_> = Refusal::new(481, "There is no INVITE to cancel");
const MERGED: Refusal<'_> = Refusal::new(482, "The same request came another way already");
const LOOP: Refusal<'_> = Refusal::new(
    482,
    "This request was sent from here and came back unchanged",
);
const TOO_MANY_HOPS: Refusal<'_> = Refusal::new(483, "Max-Forwards is used up");
