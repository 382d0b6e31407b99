//! Keeping a session fresh (RFC 4028 §10): UPDATE where the far side takes it, else a re-INVITE that repeats our description; where it
//! knows no session timers, OPTIONS. What nobody refreshed in time ends.

use std::time::Duration;

use super::credentials::{Challenges, is_challenge};
use super::sending::Held;
use super::timing::Duty;
use super::{Fate, Phase, Session, Timer};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::command::Usage;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::event::Ended;
use crate::sip::transaction::ClientId;
use crate::sip::wire::{Message, Method, Name};

/// An UPDATE under way.
#[derive(Debug)]
pub(super) struct OurUpdate {
    /// Its latest transaction.
    pub(super) client: ClientId,
    challenges: Challenges,
}

impl Session {
    /// How the session is kept.
    pub fn use_as(&mut self, usage: Usage) -> Fate {
        *self.timing = super::timing::Timing::new(usage);
        Fate::Alive
    }

    /// The session was refreshed, or begins: its time runs anew.
    pub(super) fn wind_up(&mut self, now: Mono) {
        let due = self.timing.due();
        for (timer, time) in [(Timer::Refresh, due.refresh), (Timer::Expire, due.expire)] {
            match time {
                Some(time) => self.timers.set(timer as usize, now + time),
                None => self.timers.stop(timer as usize),
            }
        }
    }

    /// It is time to refresh the session.
    pub(super) fn refresh(&mut self, core: &mut Core, now: Mono) {
        if !matches!(self.phase, Phase::Established { .. }) {
            return;
        }
        match self.timing.duty() {
            Duty::Probe => {
                // Asked again after the same time.
                self.wind_up(now);
                self.ask_alive(core, now);
            }
            Duty::Update if self.updating.is_none() => {
                self.updating = Some(Box::new(OurUpdate {
                    client: ClientId::new(&mut core.entropy),
                    challenges: Challenges::default(),
                }));
                let lines = self.credentials_before(core, Method::Update);
                self.submit(core, now, Held::Update { lines });
            }
            Duty::Update => {}
            Duty::Reinvite => self.refresh_by_reinvite(core, now),
        }
    }

    /// The refresh did not work this time: again soon; `Timer::Expire` ends the session if none does.
    pub(super) fn refresh_later(&mut self, core: &mut Core, now: Mono) {
        let wait = Duration::from_millis(2_100 + core.entropy.below(1_900));
        self.timers.set(Timer::Refresh as usize, now + wait);
    }

    /// The far side refused to refresh: again, each time after twice the time.
    pub(super) fn refresh_refused(&mut self, core: &mut Core, now: Mono) {
        let wait = Duration::from_millis(2_100 + core.entropy.below(1_900));
        let wait = wait * self.timing.patience();
        self.timers.set(Timer::Refresh as usize, now + wait);
    }

    /// UPDATE has a final response; `None`: it never will.
    pub fn refresh_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        response: Option<&Message>,
    ) -> Fate {
        if self
            .updating
            .as_ref()
            .is_none_or(|update| update.client != client)
        {
            return Fate::Alive;
        }
        let code = response.map_or(408, Message::status);
        if code < 200 {
            return Fate::Alive;
        }
        if let Some(response) = response
            && is_challenge(code)
            && self.update_challenged(core, now, response)
        {
            return Fate::Alive;
        }
        self.updating = None;
        if !matches!(self.phase, Phase::Established { .. }) {
            return Fate::Alive;
        }
        match (code, response) {
            (200..300, Some(response)) => {
                self.timing.take(response);
                if let Some(dialog) = self.dialogs.first_mut() {
                    dialog.refresh_target(response);
                }
                self.wind_up(now);
            }
            (422, Some(response)) if self.timing.raise(response) => self.refresh(core, now),
            (405 | 501, _) => {
                self.timing.update_refused();
                self.refresh(core, now);
            }
            (408 | 481, _) => self.lose(core, now, "No answer to UPDATE"),
            (491, _) => self.refresh_later(core, now),
            (401 | 407 | 422, _) => self.refresh_refused(core, now),
            (500..600, Some(response)) if response.header(Name::RetryAfter).is_some() => {
                self.refresh_refused(core, now);
            }
            _ => {
                // It lists UPDATE and takes none without SDP.
                self.timing.update_refused();
                self.refresh_refused(core, now);
            }
        }
        Fate::Alive
    }

    /// UPDATE could not be sent.
    pub fn refresh_unsent(&mut self, core: &mut Core, now: Mono, client: ClientId) -> Fate {
        if self
            .updating
            .as_ref()
            .is_some_and(|update| update.client == client)
        {
            self.updating = None;
            self.refresh_later(core, now);
        }
        Fate::Alive
    }

    fn update_challenged(&mut self, core: &mut Core, now: Mono, response: &Message) -> bool {
        let uri = self
            .dialogs
            .first()
            .map(|dialog| dialog.target.clone())
            .unwrap_or_default();
        let Some(update) = &mut self.updating else {
            return false;
        };
        let credentials = self.credentials.as_ref();
        let method = Method::Update.as_str();
        let lines =
            update
                .challenges
                .answer(response, method, &uri, credentials, &mut core.entropy);
        self.authority.learn(&update.challenges);
        match lines {
            Some(lines) => {
                self.submit(core, now, Held::Update { lines });
                true
            }
            None => false,
        }
    }

    /// Nobody refreshed the session in time.
    pub(super) fn expire(&mut self, core: &mut Core, now: Mono) {
        if matches!(self.phase, Phase::Established { .. }) {
            self.report_ended(core, Ended::Expired);
            let reason = "SIP;cause=408;text=\"Session timer expired\"";
            self.close(core, now, Some(reason.to_owned()));
        }
    }

    /// The far side does not know the dialog any more, or says nothing (RFC 3261 §12.2.1.2).
    pub(super) fn lose(&mut self, core: &mut Core, now: Mono, why: &str) {
        self.report_ended(core, Ended::Lost);
        self.close(core, now, Some(format!("SIP;cause=408;text=\"{why}\"")));
    }
}
