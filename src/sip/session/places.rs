//! An INVITE that may be sent to several places: the next one is tried when one is silent, cannot be reached or says 503
//! (RFC 3263 §4.3). A place that was given up and answers after all is cancelled, or its 2xx acknowledged and ended.

use std::collections::VecDeque;
use std::time::Duration;

use super::outgoing::Calling;
use super::{Phase, Reports, Session, Timer};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::Flow;
use crate::sip::endpoint::command::Hop;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::event::{Event, HopFailure};
use crate::sip::header::seconds;
use crate::sip::wire::{Message, Name};

/// Where an INVITE may go yet.
#[derive(Debug)]
pub(super) struct Places {
    others: VecDeque<Hop>,
    /// Of the present place.
    large: Option<Flow>,
    /// No further place is tried after this time.
    until: Mono,
    /// The present place has been told of.
    told: bool,
}

impl Places {
    pub(super) fn new(
        now: Mono,
        others: Vec<Hop>,
        search: Duration,
        large: Option<Flow>,
    ) -> Places {
        Places {
            large,
            others: others.into(),
            until: now + search,
            told: false,
        }
    }

    /// The stream transport that the present place offers for large messages.
    pub(super) fn large(&self) -> Option<Flow> {
        self.large
    }
}

impl Session {
    /// The present place failed before it rang: tells so, and tries the next one. `false`: there is none to be tried.
    pub(super) fn try_next_place(&mut self, core: &mut Core, now: Mono, how: HopFailure) -> bool {
        let (id, local_tag) = (self.id, self.local_tag);
        let Phase::Calling(calling) = &mut self.phase else {
            return false;
        };
        let (flow, rang) = (calling.invite.flow, calling.rang());
        let is_wanted = self.reports == Reports::All && !calling.is_cancelled();
        let Some(places) = calling.places.as_mut().filter(|_| is_wanted) else {
            return false;
        };
        core.report(Event::HopTried {
            session: id,
            flow,
            failed: Some(how),
        });
        if rang || now >= places.until {
            return false;
        }
        let Some(hop) = places.others.pop_front() else {
            return false;
        };
        places.told = false;
        places.large = hop.large;
        core.layer.hush(calling.client);
        calling.invite.flow = hop.flow;
        calling.invite.uri = hop.uri;
        self.dialogs.clear();
        calling.begin_elsewhere(core);
        let limit = calling.invite.give_up_after;
        calling.send(core, now, local_tag, &self.timing);
        if let Some(limit) = limit {
            self.timers.set(Timer::GiveUp as usize, now + limit);
        }
        true
    }

    /// Tells once that the present place lives.
    pub(super) fn note_life(&mut self, core: &mut Core, response: &Message) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let flow = calling.invite.flow;
        let Some(places) = calling.places.as_mut().filter(|places| !places.told) else {
            return;
        };
        if matches!(response.status(), 100 | 503) {
            return;
        }
        places.told = true;
        core.report(Event::HopTried {
            session: self.id,
            flow,
            failed: None,
        });
    }
}

impl Calling {
    /// Whether an early dialog was told of: a person may be there.
    fn rang(&self) -> bool {
        !self.heard.is_empty()
    }
}

/// The failure that a 503 is.
pub(super) fn unavailable(response: &Message) -> HopFailure {
    HopFailure {
        code: response.status(),
        retry_after: response.header(Name::RetryAfter).and_then(seconds::leading),
    }
}
