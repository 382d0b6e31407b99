//! Our re-INVITE (RFC 3261 §14.1): a new offer within the session.

use std::time::Duration;

use bytes::Bytes;

use super::credentials::{Challenges, is_challenge};
use super::sending::Held;
use super::{Fate, Phase, Session, Timer, sdp_of};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::event::Event;
use crate::sip::transaction::{ClientId, Failure};
use crate::sip::wire::{Message, Method, Name};

/// A re-INVITE under way.
#[derive(Debug)]
pub(super) struct OurOffer {
    pub(super) sdp: Bytes,
    /// Its latest transaction.
    pub(super) client: ClientId,
    pub(super) cseq: u32,
    /// The credentials of the latest attempt.
    pub(super) lines: Headers,
    challenges: Challenges,
    /// How often it met an offer of theirs.
    met: u8,
    /// Nothing is sent: it met an offer of theirs and waits to be tried again.
    waiting: bool,
    /// It only refreshes the session: nobody asked for it, and what it says was said before.
    refresh: bool,
}

impl Session {
    /// Whether a re-INVITE of ours is on its way.
    pub(super) fn is_offering(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| !ours.waiting)
    }

    /// Sends a re-INVITE with this offer; refused when any other offer is open.
    pub fn offer(&mut self, core: &mut Core, now: Mono, sdp: Bytes) -> Fate {
        if !matches!(self.phase, Phase::Established { .. }) {
            return Fate::Alive;
        }
        if self.ours.is_some() || self.is_their_offer_open() {
            core.report(Event::OfferRefused {
                session: self.id,
                code: GLARE,
            });
            return Fate::Alive;
        }
        self.begin_offer(core, now, sdp, false);
        Fate::Alive
    }

    fn begin_offer(&mut self, core: &mut Core, now: Mono, sdp: Bytes, refresh: bool) {
        self.ours = Some(Box::new(OurOffer {
            sdp,
            client: ClientId::new(&mut core.entropy),
            cseq: 0,
            lines: Headers::new(),
            challenges: Challenges::default(),
            met: 0,
            waiting: false,
            refresh,
        }));
        self.offer_again(core, now);
    }

    /// Refreshes the session by a re-INVITE that repeats what we said last; later if any other offer is open.
    pub(super) fn refresh_by_reinvite(&mut self, core: &mut Core, now: Mono) {
        if self.ours.is_some() {
            // Whichever re-INVITE it is, its 2xx refreshes the session too.
            return self.refresh_later(core, now);
        }
        self.begin_offer(core, now, self.said.clone(), true);
    }

    pub(super) fn offer_again(&mut self, core: &mut Core, now: Mono) {
        let blocked = self.is_their_offer_open();
        let Some(ours) = &mut self.ours else { return };
        if blocked {
            return self.offer_met(core, now);
        }
        ours.waiting = false;
        let lines = self.credentials_before(core, Method::Invite);
        self.submit(core, now, Held::Offer { lines });
    }

    fn is_their_offer_open(&self) -> bool {
        self.theirs.is_some() || !self.unacked.is_empty()
    }

    /// A response to our re-INVITE.
    pub fn offer_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        response: &Message,
    ) -> Fate {
        let Some(ours) = self.ours.as_mut().filter(|ours| ours.client == client) else {
            return Fate::Alive;
        };
        let code = response.status();
        match code {
            ..200 => {}
            200..300 => {
                let (cseq, lines) = (ours.cseq, std::mem::take(&mut ours.lines));
                self.said = ours.sdp.clone();
                self.ours = None;
                self.authority.accepted(response);
                self.timing.take(response);
                if let Some(dialog) = self.dialogs.first_mut() {
                    dialog.refresh_target(response);
                }
                self.submit(
                    core,
                    now,
                    Held::Ack {
                        client,
                        cseq,
                        lines,
                        sdp: Bytes::new(),
                    },
                );
                if matches!(self.phase, Phase::Established { .. }) {
                    self.wind_up(now);
                    core.report(Event::OfferAnswered {
                        session: self.id,
                        sdp: sdp_of(response),
                    });
                }
            }
            _ if !matches!(self.phase, Phase::Established { .. }) => self.ours = None,
            GLARE => self.offer_met(core, now),
            422 if self.timing.raise(response) => {
                let lines = self.credentials_before(core, Method::Invite);
                self.submit(core, now, Held::Offer { lines });
            }
            // It has an INVITE of its own open, or a later request of ours overtook this one (RFC 3261 §14.2, §12.2.2).
            500 => {
                let wait = short_wait(response).unwrap_or_else(|| self.glare_wait(core));
                self.offer_delayed(core, now, wait);
            }
            _ if is_challenge(code) => self.offer_challenged(core, now, response),
            _ => self.offer_refused(core, now, code),
        }
        Fate::Alive
    }

    /// No final response to our re-INVITE will come.
    pub fn offer_failed(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        how: Failure,
    ) -> Fate {
        if self.ours.as_ref().is_some_and(|ours| ours.client == client) {
            match how {
                Failure::Timeout => self.offer_refused(core, now, 408),
                Failure::Transport => self.offer_refused(core, now, 503),
            }
        }
        Fate::Alive
    }

    /// Our offer met one of theirs: it is tried again later, a few times.
    fn offer_met(&mut self, core: &mut Core, now: Mono) {
        let wait = self.glare_wait(core);
        self.offer_delayed(core, now, wait);
    }

    fn offer_delayed(&mut self, core: &mut Core, now: Mono, wait: Duration) {
        let Some(ours) = &mut self.ours else { return };
        ours.met += 1;
        if ours.met > MAX_GLARE {
            return self.offer_refused(core, now, GLARE);
        }
        ours.waiting = true;
        self.timers.set(Timer::Again as usize, now + wait);
    }

    fn offer_challenged(&mut self, core: &mut Core, now: Mono, response: &Message) {
        let uri = self
            .dialogs
            .first()
            .map(|dialog| dialog.target.clone())
            .unwrap_or_default();
        let Some(ours) = &mut self.ours else { return };
        let method = Method::Invite.as_str();
        let credentials = self.credentials.as_ref();
        let lines = ours
            .challenges
            .answer(response, method, &uri, credentials, &mut core.entropy);
        self.authority.learn(&ours.challenges);
        match lines {
            Some(lines) => self.submit(core, now, Held::Offer { lines }),
            None => self.offer_refused(core, now, response.status()),
        }
    }

    /// 408 and 481 end the dialog (RFC 3261 §12.2.1.2); anything else leaves the session as it was.
    fn offer_refused(&mut self, core: &mut Core, now: Mono, code: u16) {
        let was_refresh = self.ours.take().is_some_and(|ours| ours.refresh);
        if !matches!(self.phase, Phase::Established { .. }) {
            return;
        }
        if matches!(code, 408 | 481) {
            self.lose(core, now, "No answer to re-INVITE");
        } else if was_refresh && code == GLARE {
            self.refresh_later(core, now);
        } else if was_refresh {
            self.refresh_refused(core, now);
        } else {
            core.report(Event::OfferRefused {
                session: self.id,
                code,
            });
        }
    }

    /// How long to wait after 491: the side that made the Call-ID waits longer.
    fn glare_wait(&self, core: &mut Core) -> Duration {
        let steps = if self.is_call_id_ours {
            210 + core.entropy.below(191)
        } else {
            core.entropy.below(201)
        };
        Duration::from_millis(10 * steps)
    }
}

/// The Retry-After of a far side that has an INVITE of its own open (RFC 3261 §14.2): ten seconds at most.
fn short_wait(response: &Message) -> Option<Duration> {
    let text = response.header(Name::RetryAfter)?;
    let digits = text.split([';', '(', ' ']).next()?;
    let seconds: u64 = digits.trim().parse().ok()?;
    (seconds <= 10).then(|| Duration::from_secs(seconds))
}

const GLARE: u16 = 491;
/// How often an offer that met one of theirs is tried again.
const MAX_GLARE: u8 = 5;
