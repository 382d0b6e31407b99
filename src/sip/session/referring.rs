//! A REFER of ours within a session (RFC 3515), and the reports that come of it: what a phone does to pass its call on.

use super::credentials::{Challenges, is_challenge};
use super::sending::Held;
use super::within::NO_SUBSCRIPTION;
use super::{Fate, Phase, Session};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::event::Event;
use crate::sip::transaction::ServerId;
use crate::sip::wire::{Message, Method, Name};

/// A REFER that we have sent.
#[derive(Debug)]
pub(super) struct Referring {
    /// The value of Refer-To.
    pub(super) to: String,
    /// Extra header lines.
    pub(super) headers: Headers,
    challenges: Challenges,
}

impl Session {
    /// Sends REFER, unless one is under way.
    pub fn refer(&mut self, core: &mut Core, now: Mono, to: String, headers: Headers) -> Fate {
        if matches!(self.phase, Phase::Established { .. }) && self.referring.is_none() {
            self.referring = Some(Box::new(Referring {
                to,
                headers,
                challenges: Challenges::default(),
            }));
            let lines = Headers::new();
            self.submit(core, now, Held::Refer { lines });
        }
        Fate::Alive
    }

    /// Our REFER has a final response; `None`: it never will.
    pub fn refer_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        response: Option<&Message>,
    ) -> Fate {
        let uri = self
            .dialogs
            .first()
            .map(|dialog| dialog.target.clone())
            .unwrap_or_default();
        let Some(referring) = &mut self.referring else {
            return Fate::Alive;
        };
        let code = response.map_or(408, Message::status);
        if code < 200 {
            return Fate::Alive;
        }
        if let Some(response) = response
            && is_challenge(code)
        {
            let (method, credentials) = (Method::Refer.as_str(), self.credentials.as_ref());
            let answer =
                referring
                    .challenges
                    .answer(response, method, &uri, credentials, &mut core.entropy);
            if let Some(lines) = answer {
                self.submit(core, now, Held::Refer { lines });
                return Fate::Alive;
            }
        }
        if code >= 300 {
            self.referring = None;
        }
        core.report(Event::ReferAnswered {
            session: self.id,
            code,
        });
        Fate::Alive
    }

    /// NOTIFY within the session's dialog: a report on our REFER, or one that nobody asked for.
    pub(super) fn receive_notify(
        &mut self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        request: &Message,
    ) {
        let event = request.header(Name::Event).unwrap_or_default();
        let package = event.split(';').next().unwrap_or_default().trim();
        if self.referring.is_none() || !package.eq_ignore_ascii_case("refer") {
            return self.refuse(core, now, server, &NO_SUBSCRIPTION);
        }
        core.accept(now, server, &self.local_tag);
        let state = request.header(Name::SubscriptionState).unwrap_or_default();
        if state.trim_start().starts_with("terminated") {
            self.referring = None;
        }
        let body = request.body();
        let line = String::from_utf8_lossy(&body);
        let code = line
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        if let Some(code) = code {
            core.report(Event::ReferReport {
                session: self.id,
                code,
            });
        }
    }
}
