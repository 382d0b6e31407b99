//! Reliable provisional responses of ours (RFC 3262 §3): one at a time, resent until its PRACK comes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Fate, OfferIn, Phase, Session, TheirOffer, Timer, sdp_of};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::admit;
use crate::sip::endpoint::command::{Headers, Usage};
use crate::sip::endpoint::core::{self, Core, Refusal};
use crate::sip::endpoint::event::{Ended, Event};
use crate::sip::header::has_option;
use crate::sip::header::rack::RAck;
use crate::sip::transaction::{ServerId, T1, T1_64};
use crate::sip::wire::{Message, Method, Name};

/// The reliable provisional responses to one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    /// The latest RSeq.
    rseq: u32,
    /// The INVITE's CSeq.
    cseq: u32,
    /// What awaits its PRACK.
    open: Option<Open>,
    waiting: VecDeque<(u16, Option<Bytes>)>,
    described: Described,
}

#[derive(Debug)]
struct Open {
    code: u16,
    response: Bytes,
    sdp: bool,
    interval: Duration,
    until: Mono,
}

/// How far offer/answer came in provisional responses and their PRACKs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Described {
    /// Nothing was said.
    No,
    /// We described ourselves.
    Sent,
    /// That was acknowledged.
    Heard,
}

/// What an INVITE says about reliable provisional responses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    No,
    Supports,
    Requires,
}

impl Asks {
    pub(super) fn read(invite: &Message) -> Asks {
        if has_option(invite, Name::Require, "100rel") {
            Asks::Requires
        } else if has_option(invite, Name::Supported, "100rel") {
            Asks::Supports
        } else {
            Asks::No
        }
    }
}

/// Whether our provisional responses to an INVITE will be acknowledged, so that one of them may carry the offer.
pub fn takes_reliable(invite: &Message, usage: &Usage) -> bool {
    match Asks::read(invite) {
        Asks::Requires => true,
        Asks::Supports => usage.reliable,
        Asks::No => false,
    }
}

impl Session {
    /// How far our reliable provisional responses described us.
    pub(super) fn described(&self) -> Described {
        self.reliable
            .as_ref()
            .map_or(Described::No, |reliable| reliable.described)
    }

    /// Whether the 2xx has to wait: a provisional response with SDP is not acknowledged, or an offer in a PRACK not answered (§3, §5).
    pub(super) fn holds_back_2xx(&self) -> bool {
        let open = self
            .reliable
            .as_ref()
            .and_then(|reliable| reliable.open.as_ref());
        open.is_some_and(|open| open.sdp) || self.theirs.is_some()
    }

    /// Sends a provisional response reliably, after those before it.
    pub(super) fn progress_reliably(
        &mut self,
        core: &mut Core,
        now: Mono,
        cseq: u32,
        code: u16,
        sdp: Option<Bytes>,
    ) {
        let first = 1 + core.entropy.below(1 << 30);
        let reliable = self.reliable.get_or_insert_with(|| {
            Box::new(Reliable {
                rseq: u32::try_from(first).unwrap_or(1),
                cseq,
                open: None,
                waiting: VecDeque::new(),
                described: Described::No,
            })
        });
        if reliable.waiting.len() < MOST_WAITING {
            reliable.waiting.push_back((code, sdp));
        }
        self.next_reliable(core, now);
    }

    fn next_reliable(&mut self, core: &mut Core, now: Mono) {
        let Phase::Ringing(ringing) = &self.phase else {
            return;
        };
        let (server, offered) = (ringing.server, ringing.offered);
        let Some(reliable) = &mut self.reliable else {
            return;
        };
        if reliable.open.is_some() {
            return;
        }
        let Some((code, sdp)) = reliable.waiting.pop_front() else {
            return;
        };
        // The description is said once; without an offer in the INVITE the first response must carry ours (§5).
        let sdp = sdp.filter(|_| reliable.described == Described::No);
        if !offered && reliable.described == Described::No && sdp.is_none() {
            return self.next_reliable(core, now);
        }
        reliable.rseq += 1;
        let rseq = reliable.rseq;
        let Some(writer) = self.dialog_response(core, server, code) else {
            return;
        };
        let writer = writer
            .header(Name::Require, "100rel")
            .header(Name::RSeq, rseq);
        let response = match &sdp {
            Some(sdp) => writer.finish_with(core::SDP, sdp),
            None => writer.finish(),
        };
        core.layer.respond(now, server, code, response.clone());
        if let Some(sdp) = &sdp {
            self.said = sdp.clone();
        }
        if let Some(reliable) = &mut self.reliable {
            if sdp.is_some() {
                reliable.described = Described::Sent;
            }
            reliable.open = Some(Open {
                code,
                response,
                sdp: sdp.is_some(),
                interval: T1,
                until: now + T1_64,
            });
        }
        self.timers.set(Timer::Reliable as usize, now + T1);
        self.timers.set(Timer::Repeat as usize, now + REPEAT);
    }

    /// No PRACK came yet: the response is sent again, at last the INVITE is refused (§3).
    pub(super) fn resend_reliable(&mut self, core: &mut Core, now: Mono) -> Fate {
        let Phase::Ringing(ringing) = &self.phase else {
            return Fate::Alive;
        };
        let server = ringing.server;
        let open = self
            .reliable
            .as_mut()
            .and_then(|reliable| reliable.open.as_mut());
        let Some(open) = open else {
            return Fate::Alive;
        };
        if now >= open.until {
            let fate = self.reject(core, now, 504, &Headers::new());
            self.report_ended(core, Ended::Lost);
            return fate;
        }
        let (code, response) = (open.code, open.response.clone());
        open.interval *= 2;
        let next = (now + open.interval).min(open.until);
        self.timers.set(Timer::Reliable as usize, next);
        core.layer.respond(now, server, code, response);
        Fate::Alive
    }

    /// PRACK came.
    pub(super) fn receive_prack(
        &mut self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        request: &Message,
    ) {
        if self.reliable.is_none() {
            return self.refuse(core, now, server, &NOTHING_TO_ACKNOWLEDGE);
        }
        let Some(rack) = request.header(Name::RAck).and_then(RAck::parse) else {
            return self.refuse(core, now, server, &NO_RACK);
        };
        if let Some(refusal) = admit::body_problem(request) {
            return self.refuse(core, now, server, &refusal);
        }
        let reliable = self.reliable.as_mut().filter(|reliable| {
            let expected = (reliable.rseq, reliable.cseq, Method::Invite);
            reliable.open.is_some() && (rack.rseq, rack.cseq, rack.method) == expected
        });
        let Some(reliable) = reliable else {
            return self.refuse(core, now, server, &NOTHING_TO_ACKNOWLEDGE);
        };
        reliable.open = None;
        let before = reliable.described;
        if before == Described::Sent {
            reliable.described = Described::Heard;
        }
        self.timers.stop(Timer::Reliable as usize);
        let sdp = sdp_of(request);
        let offered = match &self.phase {
            Phase::Ringing(ringing) => ringing.offered,
            _ => true,
        };
        let is_answer = !offered && before == Described::Sent;
        if is_answer || sdp.is_none() {
            core.accept(now, server, &self.local_tag);
            if is_answer {
                core.report(Event::Acked {
                    session: self.id,
                    sdp,
                });
            }
            self.accept_at_last(core, now);
        } else if before == Described::No || self.theirs.is_some() {
            // Our answer, or that to the offer before, is still due.
            self.refuse(core, now, server, &TOO_EARLY);
            self.accept_at_last(core, now);
        } else {
            self.theirs = Some(TheirOffer {
                server,
                cseq: request.cseq(),
                carrier: OfferIn::Prack,
                sdp: true,
            });
            core.report(Event::Offer {
                session: self.id,
                sdp,
            });
        }
        self.next_reliable(core, now);
    }

    /// The 2xx that waited, if nothing keeps it any more.
    pub(super) fn accept_at_last(&mut self, core: &mut Core, now: Mono) {
        if self.holds_back_2xx() {
            return;
        }
        if let Phase::Ringing(ringing) = &mut self.phase
            && let Some((sdp, headers)) = ringing.accepting.take()
        {
            self.accept_now(core, now, &sdp, &headers);
        }
    }
}

const NO_RACK: Refusal<'_> = Refusal::new(400, "PRACK without a readable RAck");
const NOTHING_TO_ACKNOWLEDGE: Refusal<'_> =
    Refusal::new(481, "No provisional response waits for this PRACK");
const TOO_EARLY: Refusal<'_> = Refusal::new(488, "An offer is not answered yet");
/// Provisional responses that wait for the PRACK of one before them.
const MOST_WAITING: usize = 4;
/// RFC 3262 §3: proxies give up an INVITE that says nothing for three minutes.
const REPEAT: Duration = Duration::from_secs(150);
