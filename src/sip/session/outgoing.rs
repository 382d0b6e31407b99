//! Our INVITE, until its final response: early dialogs, credentials, CANCEL (RFC 3261 §13.2, §9.1, §22).

use std::time::Duration;

use bytes::Bytes;

use super::credentials::{Challenges, is_challenge, unanswerable};
use super::early::Heard;
use super::places::{self, Places};
use super::pracking::Place;
use super::sending::Held;
use super::timing::Timing;
use super::{Fate, LATE_LIMIT, Phase, Reports, Session, Timer, sdp_of};
use crate::ledger::clock::Mono;
use crate::sip::auth::Credentials;
use crate::sip::dialog::{Dialog, LocalTag, Origin, contact_to};
use crate::sip::endpoint::command::{Headers, Hop, Invite, Routing};
use crate::sip::endpoint::core::{self, Core};
use crate::sip::endpoint::event::{Event, Flow, HopFailure, SessionId};
use crate::sip::endpoint::flow::{OurVia, fit};
use crate::sip::header::has_option;
use crate::sip::header::rack::{self, RAck};
use crate::sip::transaction::{ClientId, Failure, T1_64, User};
use crate::sip::wire::{Message, Method, Name, Writer};

/// What is kept while an INVITE of ours is unanswered.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) invite: Invite,
    pub(super) client: ClientId,
    call_id: String,
    cseq: u32,
    /// The credentials of the latest attempt.
    lines: Headers,
    challenges: Challenges,
    /// Where else it may go.
    pub(super) places: Option<Places>,
    /// The latest attempt has had a provisional response, so it may be cancelled.
    proceeding: bool,
    /// Any attempt has had any response.
    responded: bool,
    cancel: Cancel,
    /// 100rel is offered.
    reliable: bool,
    /// The latest provisional response of each early dialog, so that repeated ones are not reported.
    pub(super) heard: Vec<Heard>,
}

#[derive(Debug)]
enum Cancel {
    No,
    /// As soon as there is a provisional response.
    Wanted(Option<String>),
    Sent,
}

/// A 2xx that no session takes: it is ACKed, and its dialog ended by BYE (RFC 3261 §13.2.2.4).
#[derive(Debug)]
pub struct Stray<'a> {
    /// The INVITE's transaction.
    pub client: ClientId,
    /// The 2xx.
    pub response: &'a Message,
    /// The INVITE's flow.
    pub flow: Flow,
    /// How requests travel.
    pub routing: Routing,
    /// For BYE.
    pub credentials: Option<Credentials>,
}

impl Session {
    /// Sends an INVITE; with `places`, to the first of several that answers.
    pub fn dial(
        core: &mut Core,
        now: Mono,
        invite: Invite,
        places: Option<(Vec<Hop>, Duration, Option<Flow>)>,
    ) -> Session {
        let local_tag = LocalTag::new(&mut core.entropy);
        let id = invite.session;
        let credentials = invite.credentials.clone();
        let give_up_after = invite.give_up_after;
        let mut calling = Calling {
            client: ClientId::new(&mut core.entropy),
            call_id: invite.call_id.clone(),
            cseq: 1,
            lines: Headers::new(),
            challenges: Challenges::default(),
            places: places.map(|(others, search, large)| Places::new(now, others, search, large)),
            proceeding: false,
            responded: false,
            cancel: Cancel::No,
            reliable: invite.usage.reliable,
            heard: Vec::new(),
            invite,
        };
        let (said, timing) = (
            calling.invite.sdp.clone(),
            Timing::new(calling.invite.usage),
        );
        calling.send(core, now, local_tag, &timing);
        let mut session = Session::new(id, local_tag, Phase::Calling(Box::new(calling)));
        session.credentials = credentials;
        session.said = said;
        session.timing = Box::new(timing);
        if let Some(limit) = give_up_after {
            session.timers.set(Timer::GiveUp as usize, now + limit);
        }
        session
    }

    /// A session for a stray 2xx, on its way out.
    pub fn stray(core: &mut Core, now: Mono, id: SessionId, stray: Stray<'_>) -> Session {
        let local_tag = LocalTag::parse(stray.response.from_tag())
            .unwrap_or_else(|| LocalTag::new(&mut core.entropy));
        let mut session = Session::new(id, local_tag, Phase::Established { late: false });
        session.reports = Reports::Nothing;
        session.credentials = stray.credentials;
        let target = format!("sip:{}", stray.flow.remote);
        let origin = Origin {
            flow: stray.flow,
            routing: stray.routing,
            target: &target,
            contact_user: None,
        };
        session
            .dialogs
            .push(Dialog::from_response(stray.response, &origin));
        session.send_ack(
            core,
            now,
            stray.client,
            stray.response.cseq(),
            Headers::new(),
        );
        session.close(core, now, None);
        session
    }

    /// A response to the INVITE.
    pub fn invite_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        response: &Message,
    ) -> Fate {
        let Phase::Calling(calling) = &mut self.phase else {
            return Fate::Alive;
        };
        if calling.client != client {
            return Fate::Alive;
        }
        calling.responded = true;
        self.timers.stop(Timer::GiveUp as usize);
        self.note_life(core, response);
        match response.status() {
            ..200 => self.provisional(core, now, response),
            200..300 => self.succeed(core, now, response),
            _ => self.refused(core, now, response),
        }
    }

    /// No final response will come.
    pub fn invite_failed(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        how: Failure,
    ) -> Fate {
        let Phase::Calling(calling) = &self.phase else {
            return Fate::Alive;
        };
        if calling.client != client {
            return Fate::Alive;
        }
        let (code, reason) = match how {
            Failure::Timeout => (408, "The far side did not respond"),
            Failure::Transport => (503, "The far side cannot be reached"),
        };
        let responded = calling.responded;
        let failure = HopFailure {
            code,
            retry_after: None,
        };
        if self.try_next_place(core, now, failure) {
            return Fate::Alive;
        }
        self.report_refused(core, code, reason, responded, None);
        Fate::Gone
    }

    fn provisional(&mut self, core: &mut Core, now: Mono, response: &Message) -> Fate {
        let Phase::Calling(calling) = &mut self.phase else {
            return Fate::Alive;
        };
        calling.proceeding = true;
        if let Cancel::Wanted(reason) = &mut calling.cancel {
            let reason = reason.take();
            calling.cancel = Cancel::Sent;
            self.timers.set(Timer::Cancelled as usize, now + T1_64);
            core.layer.cancel(now, calling.client, reason.as_deref());
        }
        let code = response.status();
        let tag = response.to_tag().unwrap_or("");
        if code == 100 {
            return Fate::Alive;
        }
        let rseq = rack::reliable(response).filter(|_| !tag.is_empty());
        if rseq.is_some_and(|rseq| calling.place(tag, rseq) == Place::OutOfTurn) {
            return Fate::Alive;
        }
        let news = calling.note(tag, response);
        let acknowledge = rseq.is_some_and(|rseq| calling.note_rseq(tag, rseq));
        if !news && !acknowledge {
            return Fate::Alive;
        }
        if code == EARLY_DIALOG_TERMINATED {
            self.dialogs.retain(|dialog| dialog.remote_tag != tag);
            return Fate::Alive;
        }
        if !tag.is_empty() && !self.dialogs.iter().any(|dialog| dialog.remote_tag == tag) {
            self.dialogs.push(calling.dialog(response));
        }
        // Without an offer of ours, a reliable response brings theirs, which the PRACK answers (RFC 3262 §5); in others it means nothing.
        let is_theirs = calling.invite.sdp.is_empty();
        let sdp = sdp_of(response);
        if let Some(rseq) = rseq.filter(|_| acknowledge) {
            let rack = RAck {
                rseq,
                cseq: response.cseq(),
                method: Method::Invite,
            };
            let wanted = self.reports == Reports::All;
            let offers = is_theirs && wanted && sdp.is_some() && !calling.is_settled(tag);
            self.prack(core, now, tag, rack, offers);
            if offers {
                core.report(Event::Offer {
                    session: self.id,
                    sdp: sdp.clone(),
                });
            }
        }
        if news && self.reports == Reports::All {
            core.report(Event::Progress {
                session: self.id,
                dialog: tag.to_owned(),
                code,
                sdp: sdp.filter(|_| !is_theirs),
            });
        }
        Fate::Alive
    }

    fn succeed(&mut self, core: &mut Core, now: Mono, response: &Message) -> Fate {
        let next = Phase::Established {
            late: self.reports != Reports::All,
        };
        let Phase::Calling(calling) = std::mem::replace(&mut self.phase, next) else {
            return Fate::Alive;
        };
        let mut calling = *calling;
        self.authority = std::mem::take(&mut calling.challenges);
        self.authority.accepted(response);
        let tag = response.to_tag().unwrap_or("");
        let early = self
            .dialogs
            .iter()
            .position(|dialog| dialog.remote_tag == tag);
        let dialog = match early {
            Some(place) => {
                let mut dialog = self.dialogs.swap_remove(place);
                dialog.confirm(response);
                dialog
            }
            None => calling.dialog(response),
        };
        self.dialogs = vec![dialog];
        self.large = calling.places.as_ref().and_then(Places::large);
        self.timers.clear();
        // An INVITE without offer brings one, which the ACK answers; unless a provisional response brought it.
        let brings_offer =
            calling.invite.sdp.is_empty() && !calling.is_settled(tag) && sdp_of(response).is_some();
        let acknowledgement = Held::Ack {
            client: calling.client,
            cseq: response.cseq(),
            lines: calling.lines,
            sdp: Bytes::new(),
        };
        if brings_offer {
            self.owed.push(acknowledgement);
        } else {
            self.submit(core, now, acknowledgement);
        }
        self.timing.take(response);
        self.wind_up(now);
        if self.reports == Reports::Nothing {
            self.close(core, now, Some(LATE_REASON.to_owned()));
            return Fate::Alive;
        }
        let late = self.reports == Reports::LateAnswer;
        if late {
            // From here on it is a session like others, until its user says End.
            self.reports = Reports::All;
            self.timers.set(Timer::Late as usize, now + LATE_LIMIT);
        }
        core.report(Event::Answered {
            session: self.id,
            sdp: sdp_of(response),
            late,
        });
        Fate::Alive
    }

    fn refused(&mut self, core: &mut Core, now: Mono, response: &Message) -> Fate {
        let local_tag = self.local_tag;
        let Phase::Calling(calling) = &mut self.phase else {
            return Fate::Gone;
        };
        let code = response.status();
        if is_challenge(code)
            && matches!(calling.cancel, Cancel::No)
            && self.reports == Reports::All
        {
            let answer = calling.challenges.answer(
                response,
                Method::Invite.as_str(),
                &calling.invite.uri,
                self.credentials.as_ref(),
                &mut core.entropy,
            );
            if let Some(lines) = answer {
                calling.lines = lines;
                calling.begin_again(core);
                self.dialogs.clear();
                calling.send(core, now, local_tag, &self.timing);
                if let Some(limit) = calling.invite.give_up_after {
                    self.timers.set(Timer::GiveUp as usize, now + limit);
                }
                return Fate::Alive;
            }
        }
        if matches!(calling.cancel, Cancel::No)
            && self.reports == Reports::All
            && calling.gives_in(response, &mut self.timing)
        {
            calling.begin_again(core);
            self.dialogs.clear();
            calling.send(core, now, local_tag, &self.timing);
            return Fate::Alive;
        }
        if code == 503 && self.try_next_place(core, now, places::unavailable(response)) {
            return Fate::Alive;
        }
        let why = unanswerable(response, self.credentials.as_ref());
        let reason = why.unwrap_or(response.reason_phrase());
        self.report_refused(core, code, reason, true, Some(response.clone()));
        Fate::Gone
    }

    fn report_refused(
        &mut self,
        core: &mut Core,
        code: u16,
        reason: &str,
        responded: bool,
        message: Option<Message>,
    ) {
        if self.reports == Reports::All {
            core.report(Event::Refused {
                session: self.id,
                code,
                reason: reason.to_owned(),
                responded,
                message,
            });
        }
        self.reports = Reports::Nothing;
    }

    /// Cancels the INVITE: at once if it has had a provisional response, else as soon as it has.
    pub(super) fn cancel(&mut self, core: &mut Core, now: Mono, reason: Option<String>) -> Fate {
        let Phase::Calling(calling) = &mut self.phase else {
            return Fate::Alive;
        };
        if !matches!(calling.cancel, Cancel::No) {
            return Fate::Alive;
        }
        self.reports = Reports::LateAnswer;
        self.timers.stop(Timer::GiveUp as usize);
        if calling.proceeding {
            calling.cancel = Cancel::Sent;
            self.timers.set(Timer::Cancelled as usize, now + T1_64);
            core.layer.cancel(now, calling.client, reason.as_deref());
        } else {
            calling.cancel = Cancel::Wanted(reason);
        }
        Fate::Alive
    }

    /// `give_up_after` has passed without any response. Late ones are still dealt with, silently.
    pub(super) fn give_up(&mut self, core: &mut Core, now: Mono) {
        let failure = HopFailure {
            code: 408,
            retry_after: None,
        };
        if self.try_next_place(core, now, failure) {
            return;
        }
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        calling.cancel = Cancel::Wanted(None);
        core.layer.hush(calling.client);
        self.report_refused(
            core,
            408,
            "The far side did not respond in time",
            false,
            None,
        );
    }

    /// CANCEL brought no final response: the INVITE is forgotten.
    pub(super) fn abandon(&mut self, core: &mut Core) {
        if let Phase::Calling(calling) = &self.phase {
            core.layer.abandon(calling.client);
        }
    }
}

impl Calling {
    /// Whether its end was asked for.
    pub(super) fn is_cancelled(&self) -> bool {
        !matches!(self.cancel, Cancel::No)
    }

    /// A new transaction at another place: nothing of what the last one said holds (RFC 3263 §4.3).
    pub(super) fn begin_elsewhere(&mut self, core: &mut Core) {
        self.client = ClientId::new(&mut core.entropy);
        self.lines.clear();
        self.challenges = Challenges::default();
        self.proceeding = false;
        self.responded = false;
        self.heard.clear();
    }

    pub(super) fn send(
        &mut self,
        core: &mut Core,
        now: Mono,
        local_tag: LocalTag,
        timing: &Timing,
    ) {
        let large = self.places.as_ref().and_then(Places::large);
        let writing = |flow: &Flow| self.write(core, flow, local_tag, timing);
        let (flow, bytes) = fit(self.invite.flow, large, writing);
        self.invite.flow = flow;
        let method = Method::Invite;
        let user = User::Invite(self.invite.session, self.invite.routing);
        core.layer
            .start(now, self.client, method, flow, user, bytes);
    }

    fn write(&self, core: &Core, flow: &Flow, local_tag: LocalTag, timing: &Timing) -> Bytes {
        let invite = &self.invite;
        let mut writer = Writer::request(Method::Invite.as_str(), &invite.uri)
            .header(
                Name::Via,
                format_args!("{};branch={}", OurVia(flow), self.client),
            )
            .header(Name::MaxForwards, invite.max_forwards)
            .header(Name::From, format_args!("{};tag={local_tag}", invite.from))
            .header(Name::To, &invite.to)
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format_args!("{} INVITE", self.cseq))
            .header(
                Name::Contact,
                contact_to(invite.contact_user.as_deref(), flow, &invite.uri),
            );
        writer = match self.reliable {
            true => core::abilities(writer),
            false => core::abilities_unreliably(writer),
        };
        writer = writer.header(Name::UserAgent, core.product());
        writer = core::append(writer, &timing.ask());
        writer = core::append(writer, &self.lines);
        writer = core::append(writer, &invite.headers);
        for (name, value) in &invite.other_headers {
            writer = writer.other(name, value);
        }
        match invite.sdp.is_empty() {
            true => writer.finish(),
            false => writer.finish_with(core::SDP, &invite.sdp),
        }
    }

    /// Another transaction with the next CSeq takes over.
    fn begin_again(&mut self, core: &mut Core) {
        self.cseq += 1;
        self.client = ClientId::new(&mut core.entropy);
        self.proceeding = false;
        self.heard.clear();
    }

    /// Whether what the far side asks for instead can be done: a longer session interval (RFC 4028 §7.3), reliable provisional
    /// responses (RFC 3262 §3).
    fn gives_in(&mut self, response: &Message, timing: &mut Timing) -> bool {
        match response.status() {
            422 => timing.raise(response),
            421 if !self.reliable && has_option(response, Name::Require, "100rel") => {
                self.reliable = true;
                true
            }
            _ => false,
        }
    }

    /// Whether this is its latest transaction.
    pub(super) fn is(&self, client: ClientId) -> bool {
        self.client == client
    }

    fn dialog(&self, response: &Message) -> Dialog {
        let origin = Origin {
            flow: self.invite.flow,
            routing: self.invite.routing,
            target: &self.invite.uri,
            contact_user: self.invite.contact_user.as_deref(),
        };
        Dialog::from_response(response, &origin)
    }
}

const EARLY_DIALOG_TERMINATED: u16 = 199;
const LATE_REASON: &str = "SIP;cause=408;text=\"Answered too late\"";
