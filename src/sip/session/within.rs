//! Their requests within a session's dialog (RFC 3261 §12.2.2, §14.2, §15.1.2; RFC 3311; RFC 6086).

use bytes::Bytes;

use super::reliable::Described;
use super::sending::Held;
use super::{Fate, OfferIn, Phase, Session, TheirOffer, Unacked, sdp_of};
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
        let order = dialog.take_cseq(request);
        if order == Order::Fine
            && let Some(flow) = core.layer.flow_of(server)
        {
            dialog.come_by(&flow);
        }
        if order == Order::Late {
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
            Method::Info => self.receive_info(core, now, server, request),
            Method::Options => self.answer_options(core, now, server),
            Method::Notify => self.receive_notify(core, now, server, request),
            Method::Refer => self.receive_refer(core, now, server, request),
            Method::Subscribe => self.receive_subscribe(core, now, server, request),
            Method::Prack => self.receive_prack(core, now, server, request),
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
        if let Some(least) = self.timing.refusal(request) {
            let seconds = least.to_string();
            let sentence = "The session interval is too small";
            let refusal = Refusal::with(422, sentence, Name::MinSe, &seconds);
            return self.refuse(core, now, server, &refusal);
        }
        if !invite && sdp.is_none() {
            self.answer_refresh(core, now, server, request);
            return;
        }
        if self.is_our_offer_open(request) {
            return self.refuse(core, now, server, &OUR_OFFER_PENDING);
        }
        if self.theirs.is_some() || self.is_answer_due(invite) {
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
            carrier: match invite {
                true => OfferIn::Invite,
                false => OfferIn::Update,
            },
            sdp: sdp.is_some(),
        });
        core.report(Event::Offer {
            session: self.id,
            sdp,
        });
    }

    /// Whether an offer of ours has no answer yet (RFC 3261 §14.2, RFC 3311 §5.2).
    fn is_our_offer_open(&self, request: &Message) -> bool {
        match &self.phase {
            Phase::Calling(calling) => {
                request.method() == Method::Invite || !calling.is_settled(request.from_tag())
            }
            Phase::Ringing(ringing) => !ringing.offered && self.described() == Described::Sent,
            _ => {
                let in_a_200 = self.unacked.iter().any(|unacked| unacked.we_offered);
                self.is_offering() || in_a_200
            }
        }
    }

    /// Whether their INVITE, which is unanswered, still wants our description; a re-INVITE waits for its final response anyway.
    fn is_answer_due(&self, invite: bool) -> bool {
        matches!(self.phase, Phase::Ringing(_)) && (invite || self.described() == Described::No)
    }

    /// Sends the ACK or PRACK that waits for our answer; false: there is none. Without an answer it has no body: what follows ends the call.
    pub(super) fn pay(&mut self, core: &mut Core, now: Mono, answer: &Bytes) -> bool {
        if self.owed.is_empty() {
            return false;
        }
        match self.owed.remove(0) {
            Held::Ack {
                client,
                cseq,
                lines,
                sdp: _,
            } => {
                let sdp = answer.clone();
                let acknowledgement = Held::Ack {
                    client,
                    cseq,
                    lines,
                    sdp,
                };
                self.submit(core, now, acknowledgement);
            }
            Held::Prack { rack, tag, lines } => {
                if let Some(prack) = self.pracks.iter_mut().find(|prack| prack.is_of(&tag, rack)) {
                    prack.answer = answer.clone();
                }
                if let Phase::Calling(calling) = &mut self.phase
                    && !answer.is_empty()
                {
                    calling.note_answered(&tag);
                }
                self.submit_early(core, now, Held::Prack { rack, tag, lines });
            }
            _ => {}
        }
        true
    }

    /// A stream by which large messages reach the far side.
    pub fn offers_stream(&mut self, large: Flow) -> Fate {
        self.large = Some(large);
        Fate::Alive
    }

    /// 200 to a re-INVITE or UPDATE; the answer to what came in a response to an INVITE of ours that had no offer.
    pub fn answer_offer(&mut self, core: &mut Core, now: Mono, sdp: &Bytes) -> Fate {
        if self.pay(core, now, sdp) {
            self.said = sdp.clone();
            return Fate::Alive;
        }
        let Some(theirs) = self.theirs.take() else {
            return Fate::Alive;
        };
        let Some((request, flow)) = core.layer.request(theirs.server) else {
            return Fate::Alive;
        };
        let writer = match theirs.carrier {
            OfferIn::Prack => Some(core.response(&request, &flow, 200, Some(&self.local_tag))),
            OfferIn::Invite | OfferIn::Update => {
                self.target_response(core, now, &request, &flow, 200)
            }
        };
        if let Some(writer) = writer {
            let bytes = writer.finish_with(core::SDP, sdp);
            self.said = sdp.clone();
            core.layer.respond(now, theirs.server, 200, bytes);
            if theirs.carrier == OfferIn::Invite {
                self.unacked.push(Unacked {
                    cseq: theirs.cseq,
                    server: theirs.server,
                    we_offered: !theirs.sdp,
                });
            }
        }
        self.accept_at_last(core, now);
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
        if self.pay(core, now, &Bytes::new()) {
            return Fate::Alive;
        }
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
        self.accept_at_last(core, now);
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
        if let Some(writer) = self.target_response(core, now, request, &flow, 200) {
            core.layer.respond(now, server, 200, writer.finish());
        }
    }

    /// Begins the 2xx to a target refresh request, takes its Contact, and lets the session's time run anew.
    pub(super) fn target_response(
        &mut self,
        core: &Core,
        now: Mono,
        request: &Message,
        flow: &Flow,
        code: u16,
    ) -> Option<Writer> {
        let dialog = self
            .dialogs
            .iter_mut()
            .find(|dialog| dialog.is_of(request))?;
        dialog.refresh_target(request);
        dialog.follow(flow);
        let contact = dialog.contact(flow);
        let writer = core.response(request, flow, code, Some(&self.local_tag));
        let writer = core::abilities(writer.header(Name::Contact, contact));
        // Only re-INVITE and UPDATE refresh the session (RFC 4028 §7.4).
        let refreshes = matches!(request.method(), Method::Invite | Method::Update);
        if !refreshes || !matches!(self.phase, Phase::Established { .. }) {
            return Some(writer);
        }
        let timing = self.timing.answer(request);
        self.wind_up(now);
        Some(core::append(writer, &timing))
    }

    /// INFO carries keys; of other packages and types nothing is known here (RFC 6086 §4.2.2).
    fn receive_info(&mut self, core: &mut Core, now: Mono, server: ServerId, request: &Message) {
        if request.header(Name::InfoPackage).is_some() {
            return self.refuse(core, now, server, &UNKNOWN_PACKAGE);
        }
        let is_key = ["application/dtmf-relay", "application/dtmf"]
            .into_iter()
            .any(|kind| request.body_of(kind).is_some());
        if !is_key && !request.body().is_empty() {
            return self.refuse(core, now, server, &UNKNOWN_INFO);
        }
        core.accept(now, server, &self.local_tag);
        if matches!(self.phase, Phase::Established { .. }) {
            core.report(Event::Info {
                session: self.id,
                message: request.clone(),
            });
        }
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

pub(super) const NO_SUBSCRIPTION: Refusal<'_> = Refusal::new(481, "There is no subscription");
const UNKNOWN_PACKAGE: Refusal<'_> =
    Refusal::with(469, "No info packages are served here", Name::RecvInfo, "");
const UNKNOWN_INFO: Refusal<'_> = Refusal::with(
    415,
    "Only keys are read from INFO here",
    Name::Accept,
    core::ACCEPT_INFO,
);
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
