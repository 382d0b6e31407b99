//! Their requests within a session's dialog (RFC 3261 §12.2.2, §14.2, §15.1.2; RFC 3311; RFC 6086).

use bytes::Bytes;

use super::{Fate, Phase, Session, TheirOffer, Unacked, sdp_of};
use crate::ledger::clock::Mono;
use crate::sip::dialog::Order;
use crate::sip::endpoint::admit;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::{self, Core, Refusal};
use crate::sip::endpoint::event::{Ended, Event, Flow};
use crate::sip::transaction::ServerId;
use crate::sip::wire::{Message, Method, Name, Writer};

impl Session {
    /// A request within one of the dialogs.
    pub fn receive(
        &mut self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        request: &Message,
    ) -> Fate {
        core.layer.own(server, self.id);
        let Some(dialog) = self.dialogs.iter_mut().find(|dialog| dialog.is_of(request)) else {
            return Fate::Alive;
        };
        if dialog.take_cseq(request) == Order::Late {
            let refusal = Refusal::new(
                500,
                "The sequence number is lower than that of an earlier request",
            );
            core.refuse(now, server, Some(&self.local_tag), &refusal);
            return Fate::Alive;
        }
        match request.method() {
            Method::Bye => return self.receive_bye(core, now, server),
            Method::Invite | Method::Update => self.receive_offer(core, now, server, request),
            Method::Info => {
                core.accept(now, server, &self.local_tag);
                if matches!(self.phase, Phase::Established { .. }) {
                    core.report(Event::Info {
                        session: self.id,
                        message: request.clone(),
                    });
                }
            }
            Method::Options => self.answer_options(core, now, server),
            Method::Prack => self.refuse(core, now, server, &NO_RELIABLE_PROVISIONAL),
            Method::Notify => self.receive_notify(core, now, server, request),
            Method::Refer => self.receive_refer(core, now, server, request),
            Method::Subscribe => self.receive_subscribe(core, now, server, request),
            _ => self.refuse(core, now, server, &NOT_AVAILABLE),
        }
        Fate::Alive
    }

    fn receive_bye(&mut self, core: &mut Core, now: Mono, server: ServerId) -> Fate {
        match self.phase {
            Phase::Calling(_) => {
                // Only the caller may end an early dialog so; we are the caller.
                self.refuse(core, now, server, &NOT_CONFIRMED);
                Fate::Alive
            }
            Phase::Ringing(_) => {
                core.accept(now, server, &self.local_tag);
                self.far_side_gave_up(core, now)
            }
            Phase::Established { .. } | Phase::Closing { .. } => {
                core.accept(now, server, &self.local_tag);
                self.drop_their_offer(core, now);
                for unacked in self.unacked.drain(..) {
                    core.layer.acknowledged(unacked.server);
                }
                self.report_ended(core, Ended::Bye);
                self.fate_without_calls()
            }
            Phase::Reporting => {
                self.refuse(core, now, server, &OVER);
                Fate::Alive
            }
        }
    }

    fn receive_offer(&mut self, core: &mut Core, now: Mono, server: ServerId, request: &Message) {
        if let Some(refusal) = admit::body_problem(request) {
            return self.refuse(core, now, server, &refusal);
        }
        let invite = request.method() == Method::Invite;
        let sdp = sdp_of(request);
        if matches!(self.phase, Phase::Closing { .. } | Phase::Reporting) {
            return self.refuse(core, now, server, &OVER);
        }
        if !invite && sdp.is_none() {
            self.answer_refresh(core, now, server, request);
            return;
        }
        let ours_pending = matches!(self.phase, Phase::Calling(_))
            || self.is_offering()
            || self.unacked.iter().any(|unacked| unacked.we_offered);
        if ours_pending {
            return self.refuse(core, now, server, &OUR_OFFER_PENDING);
        }
        if self.theirs.is_some() || matches!(self.phase, Phase::Ringing(_)) {
            let seconds = core.entropy.below(11).to_string();
            let refusal = Refusal::with(
                500,
                "An earlier offer is not answered yet",
                Name::RetryAfter,
                &seconds,
            );
            return self.refuse(core, now, server, &refusal);
        }
        if invite && let Some((request, flow)) = core.layer.request(server) {
            let trying = core.response(&request, &flow, 100, None).finish();
            core.layer.respond(now, server, 100, trying);
        }
        self.theirs = Some(TheirOffer {
            server,
            cseq: request.cseq(),
            invite,
            sdp: sdp.is_some(),
        });
        core.report(Event::Offer {
            session: self.id,
            sdp,
        });
    }

    /// 200 to a re-INVITE or UPDATE.
    pub fn answer_offer(&mut self, core: &mut Core, now: Mono, sdp: &Bytes) -> Fate {
        let Some(theirs) = self.theirs.take() else {
            return Fate::Alive;
        };
        let Some((request, flow)) = core.layer.request(theirs.server) else {
            return Fate::Alive;
        };
        if let Some(writer) = self.target_response(core, &request, &flow, 200) {
            let bytes = writer.finish_with(core::SDP, sdp);
            core.layer.respond(now, theirs.server, 200, bytes);
            if theirs.invite {
                self.unacked.push(Unacked {
                    cseq: theirs.cseq,
                    server: theirs.server,
                    we_offered: !theirs.sdp,
                });
            }
        }
        Fate::Alive
    }

    /// Refuses a re-INVITE or UPDATE; the session stays as it was.
    pub fn refuse_offer(
        &mut self,
        core: &mut Core,
        now: Mono,
        code: u16,
        headers: &Headers,
    ) -> Fate {
        if let Some(theirs) = self.theirs.take()
            && let Some((request, flow)) = core.layer.request(theirs.server)
        {
            let code = if (300..700).contains(&code) {
                code
            } else {
                500
            };
            let writer = core.response(&request, &flow, code, Some(&self.local_tag));
            let bytes = core::append(writer, headers).finish();
            core.layer.respond(now, theirs.server, code, bytes);
        }
        Fate::Alive
    }

    /// 487 to an offer that nobody will answer any more.
    pub(super) fn drop_their_offer(&mut self, core: &mut Core, now: Mono) {
        if let Some(theirs) = self.theirs.take() {
            self.refuse(core, now, theirs.server, &WITHDRAWN);
        }
    }

    fn answer_refresh(&mut self, core: &mut Core, now: Mono, server: ServerId, request: &Message) {
        let Some((_, flow)) = core.layer.request(server) else {
            return;
        };
        if let Some(writer) = self.target_response(core, request, &flow, 200) {
            core.layer.respond(now, server, 200, writer.finish());
        }
    }

    /// Begins the 2xx to a target refresh request, and takes its Contact.
    pub(super) fn target_response(
        &mut self,
        core: &Core,
        request: &Message,
        flow: &Flow,
        code: u16,
    ) -> Option<Writer> {
        let dialog = self
            .dialogs
            .iter_mut()
            .find(|dialog| dialog.is_of(request))?;
        dialog.refresh_target(request);
        let contact = dialog.contact(flow);
        let writer = core.response(request, flow, code, Some(&self.local_tag));
        Some(core::abilities(writer.header(Name::Contact, contact)))
    }

    fn answer_options(&self, core: &mut Core, now: Mono, server: ServerId) {
        let Some((request, flow)) = core.layer.request(server) else {
            return;
        };
        let writer = core.response(&request, &flow, 200, Some(&self.local_tag));
        let bytes = core::abilities(writer)
            .header(Name::Accept, core::ACCEPT)
            .finish();
        core.layer.respond(now, server, 200, bytes);
    }

    pub(super) fn refuse(
        &self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        refusal: &Refusal<'_>,
    ) {
        core.refuse(now, server, Some(&self.local_tag), refusal);
    }
}

const NO_RELIABLE_PROVISIONAL: Refusal<'_> =
    Refusal::new(481, "No provisional response was sent reliably");
pub(super) const NO_SUBSCRIPTION: Refusal<'_> = Refusal::new(481, "There is no subscription");
const NOT_AVAILABLE: Refusal<'_> = Refusal::with(
    405,
    "This method is not available in this version",
    Name::Allow,
    core::ALLOW,
);
const NOT_CONFIRMED: Refusal<'_> = Refusal::new(481, "The dialog is not confirmed yet");
pub(super) const OVER: Refusal<'_> = Refusal::new(481, "The session is over");
const OUR_OFFER_PENDING: Refusal<'_> = Refusal::new(491, "An offer of ours is not answered yet");
const WITHDRAWN: Refusal<'_> = Refusal::new(487, "");
