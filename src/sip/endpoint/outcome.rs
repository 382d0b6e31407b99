//! What transactions tell, handed to the session or request that they work for.

use super::command::Routing;
use super::event::{Event, SessionId};
use super::{Endpoint, outside};
use crate::ledger::clock::Now;
use crate::sip::session::{Session, Stray};
use crate::sip::transaction::layer::Outcome;
use crate::sip::transaction::{ClientId, Failure, User};
use crate::sip::wire::Message;

impl Endpoint {
    /// Hands on what transactions tell, until nothing follows any more.
    pub(super) fn settle(&mut self, now: Now) {
        while let Some(outcome) = self.core.layer.poll_outcome() {
            match outcome {
                Outcome::Response {
                    client,
                    user,
                    message,
                } => self.deliver(now, client, user, &message),
                Outcome::Failed { client, user, how } => self.fail(now, client, user, how),
                Outcome::NoAck { server, session } => {
                    if let Some(id) = session {
                        self.with_session(id, |session, core| {
                            session.not_acked(core, now.mono, server)
                        });
                    }
                }
            }
        }
        self.core.layer.tidy();
    }

    fn deliver(&mut self, now: Now, client: ClientId, user: User, response: &Message) {
        let at = now.mono;
        match user {
            User::Invite(id, routing) => self.deliver_invite(now, client, id, routing, response),
            User::Reinvite(id) => {
                if response.status() < 200 {
                    // It ends although its session may be gone.
                    self.core.layer.limit(at, client);
                }
                self.with_session(id, |session, core| {
                    session.offer_answered(core, at, client, response)
                });
            }
            User::Bye(id) => {
                self.with_session(id, |session, core| {
                    session.bye_answered(core, at, Some(response))
                });
            }
            User::Probe(id) => {
                self.with_session(id, |session, core| {
                    session.probe_answered(core, at, Some(response))
                });
            }
            User::Request(id) => {
                let core = &mut self.core;
                outside::finish(&mut self.requests, id, |request| {
                    request.answered(core, at, client, response)
                });
            }
            User::Refer(id) => {
                self.with_session(id, |session, core| {
                    session.refer_notice_answered(core, at, response.status())
                });
            }
            User::ReferSent(id) => {
                self.with_session(id, |session, core| {
                    session.refer_answered(core, at, Some(response))
                });
            }
            User::Notify(id) => {
                if response.status() >= 200 {
                    self.core.report(Event::Response {
                        id,
                        code: response.status(),
                        message: Some(response.clone()),
                    });
                }
            }
            User::Update(id) => {
                self.with_session(id, |session, core| {
                    session.refresh_answered(core, at, client, Some(response))
                });
            }
            User::Prack(id) => {
                self.with_session(id, |session, core| {
                    session.prack_answered(core, at, client, Some(response))
                });
            }
            User::Nobody => {}
        }
    }

    fn fail(&mut self, now: Now, client: ClientId, user: User, how: Failure) {
        let at = now.mono;
        match user {
            User::Invite(id, _) => {
                self.with_session(id, |session, core| {
                    session.invite_failed(core, now.mono, client, how)
                });
            }
            User::Reinvite(id) => {
                self.with_session(id, |session, core| {
                    session.offer_failed(core, at, client, how)
                });
            }
            User::Bye(id) => {
                self.with_session(id, |session, core| session.bye_answered(core, at, None));
            }
            User::Probe(id) => {
                self.with_session(id, |session, core| session.probe_failed(core, at, how));
            }
            User::Request(id) => {
                let core = &mut self.core;
                outside::finish(&mut self.requests, id, |request| {
                    request.failed(core, client, how)
                });
            }
            User::Refer(id) => {
                self.with_session(id, |session, core| {
                    session.refer_notice_answered(core, at, how.code())
                });
            }
            User::ReferSent(id) => {
                self.with_session(id, |session, core| session.refer_answered(core, at, None));
            }
            User::Notify(id) => self.core.report(Event::Response {
                id,
                code: how.code(),
                message: None,
            }),
            User::Update(id) => {
                self.with_session(id, |session, core| match how {
                    Failure::Timeout => session.refresh_answered(core, at, client, None),
                    Failure::Transport => session.refresh_unsent(core, at, client),
                });
            }
            User::Prack(id) => {
                self.with_session(id, |session, core| {
                    session.prack_answered(core, at, client, None)
                });
            }
            User::Nobody => {}
        }
    }

    /// A response to an INVITE: for its session, unless that has a 2xx already or is gone, and this is one more.
    fn deliver_invite(
        &mut self,
        now: Now,
        client: ClientId,
        id: SessionId,
        routing: Routing,
        response: &Message,
    ) {
        let session = self.sessions.get(&id);
        if session.is_some_and(|session| session.awaits(client)) {
            self.with_session(id, |session, core| {
                session.invite_answered(core, now.mono, client, response)
            });
            return;
        }
        let credentials = session.and_then(|session| session.credentials().cloned());
        let Some(flow) = self.core.layer.flow(client) else {
            return;
        };
        if response.status() < 200 {
            // A place that was given up for another one lives after all.
            self.core
                .layer
                .cancel_late(now.mono, client, Some(ANOTHER_PLACE));
            return;
        }
        if response.status() >= 300 {
            return;
        }
        let stray = Stray {
            client,
            response,
            flow,
            routing,
            credentials,
        };
        let id = self.new_session_id(now);
        let session = Session::stray(&mut self.core, now.mono, id, stray);
        self.add_session(session);
    }
}

const ANOTHER_PLACE: &str = "SIP;cause=408;text=\"Answered too late\"";
