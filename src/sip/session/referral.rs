//! REFER within a session, and the reports on what came of it (RFC 3515, RFC 4488). The subscription shares the session's dialog and outlives
//! the session when the far side ends that first (RFC 5057 §4.1).
//!
//! Not here: whom a REFER may name and what is done about it.

use std::time::Duration;

use super::within::OVER;
use super::{Fate, Phase, Reports, Session, Timer};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::{self, Core, Refusal};
use crate::sip::endpoint::event::Event;
use crate::sip::session::sending::Held;
use crate::sip::status;
use crate::sip::transaction::ServerId;
use crate::sip::wire::{Message, Name};

/// A REFER that is being served.
#[derive(Debug)]
pub(super) struct Referral {
    /// Its transaction, while it has no answer.
    server: Option<ServerId>,
    /// The value of Event in its reports.
    event: String,
    /// It gets reports.
    is_reported: bool,
    /// When the reports end.
    until: Mono,
    /// What was reported last.
    code: u16,
}

impl Session {
    pub(super) fn receive_refer(
        &mut self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        request: &Message,
    ) {
        match self.phase {
            Phase::Established { .. } if self.reports == Reports::All => {}
            Phase::Established { .. } | Phase::Closing { .. } | Phase::Reporting => {
                return self.refuse(core, now, server, &OVER);
            }
            Phase::Calling(_) | Phase::Ringing(_) => {
                return self.refuse(core, now, server, &NOT_YET);
            }
        }
        let targets: Vec<&str> = request.headers(Name::ReferTo).collect();
        if targets.len() != 1 {
            return self.refuse(core, now, server, &ONE_TARGET);
        }
        if self.referral.is_some() {
            return self.refuse(core, now, server, &ONE_AT_A_TIME);
        }
        self.referrals += 1;
        let event = match self.referrals {
            1 => "refer".to_owned(),
            _ => format!("refer;id={}", request.cseq()),
        };
        let declined = request.header(Name::ReferSub).is_some_and(|value| {
            let word = value.split(';').next().unwrap_or_default();
            word.trim().eq_ignore_ascii_case("false")
        });
        self.referral = Some(Box::new(Referral {
            server: Some(server),
            event,
            is_reported: !declined,
            until: now + LONGEST,
            code: 0,
        }));
        core.report(Event::Refer {
            session: self.id,
            message: request.clone(),
        });
    }

    /// Answers the REFER.
    pub fn answer_refer(
        &mut self,
        core: &mut Core,
        now: Mono,
        code: u16,
        headers: &Headers,
    ) -> Fate {
        let Some(referral) = self.referral.as_mut() else {
            return Fate::Alive;
        };
        let is_reported = referral.is_reported;
        let Some(server) = referral.server.take() else {
            return Fate::Alive;
        };
        let is_taken = (200..300).contains(&code);
        if !is_taken || !is_reported {
            self.referral = None;
        }
        let Some((request, flow)) = core.layer.request(server) else {
            return Fate::Alive;
        };
        let writer = if is_taken {
            self.target_response(core, now, &request, &flow, code)
        } else {
            Some(core.response(&request, &flow, code, Some(&self.local_tag)))
        };
        if let Some(mut writer) = writer {
            if is_taken && !is_reported {
                writer = writer.header(Name::ReferSub, "false");
            }
            let bytes = core::append(writer, headers).finish();
            core.layer.respond(now, server, code, bytes);
        }
        if is_taken && is_reported {
            self.timers.set(Timer::Referral as usize, now + LONGEST);
            // RFC 3515 §2.4.4: a report follows at once.
            return self.refer_notice(core, now, 100, "");
        }
        Fate::Alive
    }

    /// Reports how the REFER goes; a final status is the last report.
    pub fn refer_notice(&mut self, core: &mut Core, now: Mono, code: u16, phrase: &str) -> Fate {
        let Some(referral) = self.referral.as_mut() else {
            return Fate::Alive;
        };
        if referral.server.is_some() || referral.code >= 200 || referral.code == code {
            return Fate::Alive;
        }
        referral.code = code;
        let left = referral.until.since(now).as_secs();
        let state = if code >= 200 {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={left}")
        };
        let body = status_line(code, phrase);
        self.send_notice(core, now, state, body);
        if code >= 200 {
            self.timers.stop(Timer::Referral as usize);
            if !matches!(self.phase, Phase::Reporting) {
                self.referral = None;
            }
        }
        Fate::Alive
    }

    fn send_notice(&mut self, core: &mut Core, now: Mono, state: String, body: String) {
        let Some(referral) = &self.referral else {
            return;
        };
        let lines = vec![
            (Name::Event, referral.event.clone()),
            (Name::SubscriptionState, state),
        ];
        self.submit(core, now, Held::Notice { lines, body });
    }

    /// A report was answered, or never will be.
    pub fn refer_notice_answered(&mut self, _core: &mut Core, _now: Mono, code: u16) -> Fate {
        let refused = code >= 300;
        if refused {
            // Nobody listens any more.
            self.referral = self.referral.take().filter(|one| one.server.is_some());
            self.timers.stop(Timer::Referral as usize);
        }
        let is_over = self.referral.as_ref().is_none_or(|one| one.code >= 200);
        if code >= 200 && is_over && matches!(self.phase, Phase::Reporting) {
            return Fate::Gone;
        }
        Fate::Alive
    }

    /// SUBSCRIBE within the session's dialog: its sender renews or ends the reports about his REFER; others are not served here.
    pub(super) fn receive_subscribe(
        &mut self,
        core: &mut Core,
        now: Mono,
        server: ServerId,
        request: &Message,
    ) {
        let event = request.header(Name::Event).unwrap_or_default();
        let package = event.split(';').next().unwrap_or_default().trim();
        if !package.eq_ignore_ascii_case("refer") {
            return self.refuse(core, now, server, &BAD_EVENT);
        }
        let active = self
            .referral
            .as_mut()
            .filter(|one| one.server.is_none() && one.code < 200);
        let Some(referral) = active else {
            return self.refuse(core, now, server, &NO_SUCH_SUBSCRIPTION);
        };
        let wanted = request
            .header(Name::Expires)
            .and_then(|value| value.trim().parse::<u64>().ok())
            .map_or(LONGEST, Duration::from_secs)
            .min(LONGEST);
        referral.until = now + wanted;
        let code = referral.code;
        let Some((request, flow)) = core.layer.request(server) else {
            return;
        };
        if let Some(writer) = self.target_response(core, now, &request, &flow, 200) {
            let bytes = writer.header(Name::Expires, wanted.as_secs()).finish();
            core.layer.respond(now, server, 200, bytes);
        }
        if wanted.is_zero() {
            let state = "terminated;reason=timeout".to_owned();
            self.send_notice(core, now, state, status_line(code, ""));
            self.referral = None;
            self.timers.stop(Timer::Referral as usize);
            return;
        }
        self.timers.set(Timer::Referral as usize, now + wanted);
        let state = format!("active;expires={}", wanted.as_secs());
        self.send_notice(core, now, state, status_line(code, ""));
    }

    /// The reports have lasted long enough.
    pub(super) fn referral_expired(&mut self, core: &mut Core, now: Mono) -> Fate {
        let Some(code) = self.referral.as_ref().map(|referral| referral.code) else {
            return Fate::Alive;
        };
        let state = "terminated;reason=timeout".to_owned();
        self.send_notice(core, now, state, status_line(code, ""));
        self.referral = None;
        match self.phase {
            Phase::Reporting => Fate::Gone,
            _ => Fate::Alive,
        }
    }

    /// The session ends from our side: what is still reported ends with it.
    pub(super) fn finish_referral(&mut self, core: &mut Core, now: Mono) {
        if self
            .referral
            .as_ref()
            .is_some_and(|one| one.server.is_some())
        {
            let _ = self.answer_refer(core, now, 480, &Headers::new());
        }
        // The phase is not `Reporting`: it stays alive.
        let _ = self.refer_notice(core, now, 487, "");
    }

    /// The far side has ended the session: whether the dialog goes on for its reports.
    pub(super) fn fate_without_calls(&mut self) -> Fate {
        let is_reported = self
            .referral
            .as_ref()
            .is_some_and(|one| one.is_reported && one.server.is_none() && one.code < 200);
        if !is_reported {
            return Fate::Gone;
        }
        self.phase = Phase::Reporting;
        Fate::Alive
    }
}

/// The body of a report: the status that the target has answered.
fn status_line(code: u16, phrase: &str) -> String {
    let phrase = if phrase.is_empty() {
        status::phrase(code)
    } else {
        phrase
    };
    let phrase = phrase.replace(['\r', '\n'], " ");
    format!("SIP/2.0 {code} {phrase}\r\n")
}

/// How long reports go on: a target may wait in a line.
const LONGEST: Duration = Duration::from_secs(300);

const NOT_YET: Refusal<'_> = Refusal::new(491, "The session is not established yet");
const ONE_TARGET: Refusal<'_> = Refusal::new(400, "A REFER names one target in one Refer-To");
const ONE_AT_A_TIME: Refusal<'_> = Refusal::new(491, "An earlier REFER is being served");
const NO_SUCH_SUBSCRIPTION: Refusal<'_> = Refusal::new(403, "No REFER is being served");
const BAD_EVENT: Refusal<'_> = Refusal::with(
    489,
    "Only refer can be subscribed to within a call",
    Name::AllowEvents,
    core::ALLOW_EVENTS,
);
