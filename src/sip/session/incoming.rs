//! Their INVITE, until our final response (RFC 3261 §13.3), and a CANCEL of it (§9.2).

use bytes::Bytes;

use super::reliable::{Asks, Described};
use super::{Fate, Phase, Reports, Session, Timer, Unacked, sdp_of};
use crate::ledger::clock::Mono;
use crate::sip::dialog::{Dialog, LocalTag};
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::{self, Core};
use crate::sip::endpoint::event::{Event, Flow, SessionId};
use crate::sip::transaction::ServerId;
use crate::sip::wire::{Message, Name, Writer};
use std::time::Duration;

/// What is kept while an INVITE to us is unanswered.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) server: ServerId,
    cseq: u32,
    /// Whether the INVITE has an offer.
    pub(super) offered: bool,
    /// What is repeated every minute.
    progress: Option<(u16, Option<Bytes>)>,
    /// What the INVITE says about reliable provisional responses.
    asks: Asks,
    /// The 2xx that waits for a PRACK.
    pub(super) accepting: Option<(Bytes, Headers)>,
}

impl Session {
    /// Takes an INVITE: sends 100 and reports it.
    pub fn ring(
        core: &mut Core,
        now: Mono,
        id: SessionId,
        server: ServerId,
        flow: Flow,
        invite: &Message,
    ) -> Session {
        let local_tag = LocalTag::new(&mut core.entropy);
        let trying = core.response(invite, &flow, 100, None).finish();
        core.layer.respond(now, server, 100, trying);
        core.layer.own(server, id);
        let ringing = Ringing {
            server,
            cseq: invite.cseq(),
            offered: sdp_of(invite).is_some(),
            progress: None,
            asks: Asks::read(invite),
            accepting: None,
        };
        let mut session = Session::new(id, local_tag, Phase::Ringing(ringing));
        session
            .dialogs
            .push(Dialog::from_request(invite, flow, local_tag));
        core.report(Event::Incoming {
            session: id,
            flow,
            message: invite.clone(),
        });
        session
    }

    /// Sends a provisional response.
    pub fn progress(&mut self, core: &mut Core, now: Mono, code: u16, sdp: Option<Bytes>) -> Fate {
        let usage = self.timing.usage();
        let Phase::Ringing(ringing) = &mut self.phase else {
            return Fate::Alive;
        };
        if !(101..200).contains(&code) || ringing.accepting.is_some() {
            return Fate::Alive;
        }
        let reliable = match ringing.asks {
            Asks::Requires => true,
            Asks::Supports => usage.reliable,
            Asks::No => false,
        };
        if reliable {
            let cseq = ringing.cseq;
            ringing.progress = Some((code, None));
            self.progress_reliably(core, now, cseq, code, sdp);
        } else {
            ringing.progress = Some((code, sdp));
            self.repeat_progress(core, now);
        }
        Fate::Alive
    }

    pub(super) fn repeat_progress(&mut self, core: &mut Core, now: Mono) {
        let Phase::Ringing(ringing) = &self.phase else {
            return;
        };
        let Some((code, sdp)) = ringing.progress.clone() else {
            return;
        };
        let (server, cseq) = (ringing.server, ringing.cseq);
        if self.reliable.is_some() {
            return self.progress_reliably(core, now, cseq, code, sdp);
        }
        if let Some(writer) = self.dialog_response(core, server, code) {
            let bytes = match &sdp {
                Some(sdp) => writer.finish_with(core::SDP, sdp),
                None => writer.finish(),
            };
            core.layer.respond(now, server, code, bytes);
            self.timers.set(Timer::Repeat as usize, now + REPEAT);
        }
    }

    /// Sends 200, or lets it wait for a PRACK.
    pub fn accept(&mut self, core: &mut Core, now: Mono, sdp: &Bytes, headers: &Headers) -> Fate {
        if let Phase::Ringing(ringing) = &mut self.phase {
            ringing.accepting = Some((sdp.clone(), headers.clone()));
            self.accept_at_last(core, now);
        }
        Fate::Alive
    }

    pub(super) fn accept_now(
        &mut self,
        core: &mut Core,
        now: Mono,
        sdp: &Bytes,
        headers: &Headers,
    ) {
        let Phase::Ringing(ringing) = &self.phase else {
            return;
        };
        let (server, cseq) = (ringing.server, ringing.cseq);
        // What a reliable provisional response said is not said again (RFC 3261 §13.2.1).
        let describes = self.described() == Described::No;
        let we_offered = describes && !ringing.offered;
        let Some(writer) = self.dialog_response(core, server, 200) else {
            return;
        };
        let timing = match core.layer.request(server) {
            Some((invite, _)) => self.timing.answer(&invite),
            None => Headers::new(),
        };
        let writer = core::append(core::append(writer, &timing), headers);
        let bytes = if describes {
            self.said = sdp.clone();
            writer.finish_with(core::SDP, sdp)
        } else {
            writer.finish()
        };
        core.layer.respond(now, server, 200, bytes);
        self.timers.clear();
        self.unacked.push(Unacked {
            cseq,
            server,
            we_offered,
        });
        self.phase = Phase::Established { late: false };
        self.wind_up(now);
    }

    /// Refuses the INVITE.
    pub fn reject(&mut self, core: &mut Core, now: Mono, code: u16, headers: &Headers) -> Fate {
        let Phase::Ringing(ringing) = &self.phase else {
            return Fate::Alive;
        };
        let server = ringing.server;
        let code = if (300..700).contains(&code) {
            code
        } else {
            500
        };
        if let Some((request, flow)) = core.layer.request(server) {
            let writer = core.response(&request, &flow, code, Some(&self.local_tag));
            let writer = core::abilities(writer);
            let bytes = core::append(writer, headers).finish();
            core.layer.respond(now, server, code, bytes);
        }
        Fate::Gone
    }

    /// Asks for credentials.
    pub fn challenge(&mut self, core: &mut Core, now: Mono, headers: &Headers) -> Fate {
        if let Phase::Ringing(ringing) = &self.phase {
            core.layer.say_once(ringing.server);
        }
        self.reject(core, now, 401, headers)
    }

    /// `End` before an answer.
    pub(super) fn turn_away(&mut self, core: &mut Core, now: Mono, reason: Option<String>) -> Fate {
        let headers = reason.map(|reason| (Name::Reason, reason));
        self.reject(core, now, 480, &headers.into_iter().collect())
    }

    /// CANCEL of a transaction of this session came, and was answered.
    pub fn cancelled(&mut self, core: &mut Core, now: Mono, server: ServerId) -> Fate {
        match &self.phase {
            Phase::Ringing(ringing) if ringing.server == server => self.far_side_gave_up(core, now),
            _ => {
                if self.theirs.is_some_and(|theirs| theirs.server == server) {
                    self.drop_their_offer(core, now);
                }
                Fate::Alive
            }
        }
    }

    /// 487 to the INVITE, and the session is over.
    pub(super) fn far_side_gave_up(&mut self, core: &mut Core, now: Mono) -> Fate {
        let fate = self.reject(core, now, 487, &Headers::new());
        if self.reports == Reports::All {
            core.report(Event::Cancelled { session: self.id });
        }
        fate
    }

    /// Begins a response that creates or confirms the dialog: Record-Route and Contact (RFC 3261 §12.1.1).
    pub(super) fn dialog_response(
        &self,
        core: &Core,
        server: ServerId,
        code: u16,
    ) -> Option<Writer> {
        let (request, flow) = core.layer.request(server)?;
        let dialog = self.dialogs.first()?;
        let mut writer = core.response(&request, &flow, code, Some(&self.local_tag));
        for route in request.headers(Name::RecordRoute) {
            writer = writer.header(Name::RecordRoute, route);
        }
        Some(core::abilities(
            writer.header(Name::Contact, dialog.contact(&flow)),
        ))
    }
}

/// RFC 3261 §13.3.1.1: proxies give up an INVITE that says nothing for three minutes.
const REPEAT: Duration = Duration::from_secs(60);
