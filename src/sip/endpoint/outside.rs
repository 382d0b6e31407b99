//! Our requests outside any session (REGISTER, OPTIONS), and our replies to theirs.

use std::collections::HashMap;

use bytes::Bytes;

use super::command::{Headers, Notify, Request};
use super::core::{self, Core};
use super::event::{Event, RequestId};
use super::flow::{Flow, OurVia, fit};
use crate::ledger::clock::Mono;
use crate::sip::dialog::{LocalTag, contact_value};
use crate::sip::session::credentials::{Challenges, is_challenge};
use crate::sip::transaction::{ClientId, Failure, ServerId, User};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Method, Name, Writer};

/// A request of ours that awaits its final response.
#[derive(Debug)]
pub(super) struct Outside {
    request: Request,
    /// A stream that its server offers.
    large: Option<Flow>,
    client: ClientId,
    call_id: String,
    tag: String,
    cseq: u32,
    challenges: Challenges,
}

impl Outside {
    /// Sends it.
    pub(super) fn start(
        core: &mut Core,
        now: Mono,
        request: Request,
        large: Option<Flow>,
    ) -> Outside {
        let outside = Outside {
            client: ClientId::new(&mut core.entropy),
            call_id: request
                .call_id
                .clone()
                .unwrap_or_else(|| core.entropy.token()),
            tag: core.entropy.token(),
            cseq: request.cseq,
            challenges: Challenges::default(),
            large,
            request,
        };
        outside.send(core, now, &Headers::new());
        outside
    }

    /// Whether it is over with this response, which is then reported.
    pub(super) fn answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        response: &Message,
    ) -> bool {
        let code = response.status();
        if client != self.client || code < 200 {
            return false;
        }
        if is_challenge(code) {
            let lines = self.challenges.answer(
                response,
                self.request.method.as_str(),
                &self.request.uri,
                self.request.credentials.as_ref(),
                &mut core.entropy,
            );
            if let Some(lines) = lines {
                self.client = ClientId::new(&mut core.entropy);
                self.cseq += 1;
                self.send(core, now, &lines);
                return false;
            }
        }
        core.report(Event::Response {
            id: self.request.id,
            code,
            message: Some(response.clone()),
        });
        true
    }

    /// Whether it is over because its transaction failed, which is then reported.
    pub(super) fn failed(&self, core: &mut Core, client: ClientId, how: Failure) -> bool {
        if client != self.client {
            return false;
        }
        core.report(Event::Response {
            id: self.request.id,
            code: match how {
                Failure::Timeout => 408,
                Failure::Transport => 503,
            },
            message: None,
        });
        true
    }

    fn send(&self, core: &mut Core, now: Mono, lines: &Headers) {
        let request = &self.request;
        let writing = |flow: &Flow| self.write(core, flow, lines);
        let (flow, bytes) = fit(request.flow, self.large, writing);
        let user = User::Request(request.id);
        core.layer
            .start(now, self.client, request.method, flow, user, bytes);
    }

    fn write(&self, core: &Core, flow: &Flow, lines: &Headers) -> Bytes {
        let request = &self.request;
        let method = request.method.as_str();
        let mut writer = Writer::request(method, &request.uri)
            .header(
                Name::Via,
                format_args!("{};branch={}", OurVia(flow), self.client),
            )
            .header(Name::MaxForwards, 70)
            .header(
                Name::From,
                format_args!("{};tag={}", request.from, self.tag),
            )
            .header(Name::To, &request.to)
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format_args!("{} {method}", self.cseq));
        let has_contact = request
            .headers
            .iter()
            .any(|(name, _)| *name == Name::Contact);
        if request.method != Method::Register && !has_contact {
            writer = writer.header(Name::Contact, contact_value(None, flow));
        }
        writer =
            core::append(core::abilities(writer), lines).header(Name::UserAgent, core.product());
        if request.method == Method::Options {
            writer = writer.header(Name::Accept, core::ACCEPT);
        }
        core::append(writer, &request.headers).finish()
    }
}

/// Does something with a request of ours, which is forgotten when it is over then.
pub(super) fn finish(
    requests: &mut HashMap<RequestId, Box<Outside>>,
    id: RequestId,
    act: impl FnOnce(&mut Outside) -> bool,
) {
    if requests.get_mut(&id).is_some_and(|request| act(request)) {
        requests.remove(&id);
    }
}

/// Answers a request of theirs that makes a dialog or belongs to one (RFC 3261 §12.1.1).
pub(super) fn reply_within(
    core: &mut Core,
    now: Mono,
    id: RequestId,
    code: u16,
    tag: LocalTag,
    headers: &Headers,
) {
    let server = ServerId(id.0);
    let Some((request, flow)) = core.layer.request(server) else {
        return;
    };
    let mut writer = core.response(&request, &flow, code, Some(&tag));
    for route in request.headers(Name::RecordRoute) {
        writer = writer.header(Name::RecordRoute, route);
    }
    let user = Uri::parse(request.request_uri()).ok();
    let user = user.as_ref().and_then(Uri::user);
    writer = writer.header(Name::Contact, contact_value(user.as_deref(), &flow));
    let bytes = core::append(core::abilities(writer), headers).finish();
    core.layer.respond(now, server, code, bytes);
}

/// Sends a NOTIFY on its dialog's flow.
pub(super) fn notify(core: &mut Core, now: Mono, notify: Notify) {
    let (dialog, flow) = (&notify.dialog, notify.dialog.flow);
    let branch = ClientId::new(&mut core.entropy);
    let writer = dialog
        .request(Method::Notify.as_str(), dialog.local_cseq, branch, &flow)
        .header(Name::Contact, dialog.contact(&flow))
        .header(Name::UserAgent, core.product());
    let writer = core::append(core::abilities(writer), &notify.headers);
    let bytes = match &notify.body {
        Some((content_type, body)) => writer.finish_with(content_type, body),
        None => writer.finish(),
    };
    let user = User::Notify(notify.id);
    core.layer
        .start(now, branch, Method::Notify, flow, user, bytes);
}

/// Answers a request of theirs.
pub(super) fn reply(core: &mut Core, now: Mono, id: RequestId, code: u16, headers: &Headers) {
    let server = ServerId(id.0);
    let Some((request, flow)) = core.layer.request(server) else {
        return;
    };
    if core.layer.session_of(server).is_some() {
        return;
    }
    let tag = core.entropy.token();
    let mut writer = core.response(&request, &flow, code, Some(&tag));
    let named = |name: Name| headers.iter().any(|(given, _)| *given == name);
    if !named(Name::Allow) {
        writer = writer.header(Name::Allow, core::ALLOW);
    }
    if !named(Name::Supported) {
        writer = writer.header(Name::Supported, core::SUPPORTED);
    }
    if request.method() == Method::Options && !named(Name::Accept) {
        writer = writer.header(Name::Accept, core::ACCEPT);
    }
    let bytes = core::append(writer, headers).finish();
    core.layer.respond(now, server, code, bytes);
}
