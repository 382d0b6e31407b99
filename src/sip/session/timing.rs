//! How often a session must be refreshed and by whom (RFC 4028): what is asked for, and what was agreed. Pure arithmetic; the requests
//! that refresh are in `refreshing`.

use std::time::Duration;

use crate::sip::endpoint::command::{Headers, Usage};
use crate::sip::header::has_option;
use crate::sip::header::session_expires::{Refresher, SessionExpires, min_se};
use crate::sip::wire::{Message, Name};

/// The state of a session's timer.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    usage: Usage,
    /// The largest Min-SE that the far side's 422s named; 0: none did.
    raised: u32,
    agreed: Option<Agreed>,
    /// The far side takes UPDATE.
    updates: bool,
    /// The far side does not say that it knows no OPTIONS.
    options: bool,
    /// It refused UPDATE, whatever its Allow says.
    never_update: bool,
    /// How often it has refused to refresh since it last did.
    refusals: u32,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Agreed {
    seconds: u32,
    /// We refresh.
    ours: bool,
}

/// What is due while a session lasts.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Due {
    /// After this time we refresh, or ask whether the far side is there.
    pub(super) refresh: Option<Duration>,
    /// After this time without a refresh the session is over.
    pub(super) expire: Option<Duration>,
}

/// What we do when `Due::refresh` has passed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Duty {
    /// Refresh by UPDATE.
    Update,
    /// Refresh by a re-INVITE with the description that holds.
    Reinvite,
    /// The far side knows no session timers: ask whether it is there.
    Probe,
}

impl Timing {
    pub(super) fn new(usage: Usage) -> Timing {
        Timing {
            usage,
            raised: 0,
            agreed: None,
            updates: false,
            options: true,
            never_update: false,
            refusals: 0,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// The headers of an INVITE or UPDATE of ours. The refresher is left to the far side until one is agreed on (§7.1, §7.4).
    pub(super) fn ask(&self) -> Headers {
        let mut headers = Headers::new();
        let wanted = match self.agreed {
            Some(agreed) => Some(agreed.seconds),
            None => self.usage.session_expires,
        };
        let Some(wanted) = wanted else {
            return headers;
        };
        let least = self.least();
        let asked = SessionExpires {
            seconds: wanted.max(least),
            refresher: self.agreed.map(|agreed| match agreed.ours {
                true => Refresher::Uac,
                false => Refresher::Uas,
            }),
        };
        headers.push((Name::SessionExpires, asked.to_string()));
        if least != MIN_SE {
            headers.push((Name::MinSe, least.to_string()));
        }
        headers
    }

    /// Takes what a 2xx to an INVITE or UPDATE of ours says (§7.2).
    pub(super) fn take(&mut self, response: &Message) {
        self.note(response);
        self.refusals = 0;
        self.agreed = expires_of(response).map(|told| Agreed {
            // Half of less than the least would be a storm of our making.
            seconds: told.seconds.max(self.usage_least()),
            ours: told.refresher != Some(Refresher::Uas),
        });
    }

    /// Whether a 422 is worth another try, with the interval that it wants (§7.3).
    pub(super) fn raise(&mut self, response: &Message) -> bool {
        let Some(wanted) = response.header(Name::MinSe).and_then(min_se) else {
            return false;
        };
        if wanted <= self.raised || wanted > MOST {
            return false;
        }
        self.raised = wanted;
        if let Some(agreed) = &mut self.agreed {
            agreed.seconds = agreed.seconds.max(wanted);
        }
        true
    }

    /// The Min-SE with which to refuse a request that asks for too short an interval (§9).
    pub(super) fn refusal(&self, request: &Message) -> Option<u32> {
        too_small(request, &self.usage)
    }

    /// The headers of our 2xx to an INVITE or UPDATE, and what they agree to (§9, table 2).
    pub(super) fn answer(&mut self, request: &Message) -> Headers {
        self.note(request);
        self.refusals = 0;
        let supports = [Name::Supported, Name::Require]
            .into_iter()
            .any(|name| has_option(request, name, "timer"));
        let asked = expires_of(request);
        let least = request.header(Name::MinSe).and_then(min_se).unwrap_or(0);
        let least = least.max(self.usage_least());
        let ours = self.usage.session_expires.map(|ours| ours.max(least));
        let seconds = match (asked, ours) {
            (Some(asked), Some(ours)) => asked.seconds.min(ours),
            (Some(asked), None) => asked.seconds,
            (None, Some(ours)) if supports => ours,
            (None, _) => {
                self.agreed = None;
                return Headers::new();
            }
        };
        let ours = match asked.and_then(|asked| asked.refresher) {
            _ if !supports => true,
            Some(refresher) => refresher == Refresher::Uas,
            None => self.agreed.is_none_or(|agreed| agreed.ours),
        };
        self.agreed = Some(Agreed { seconds, ours });
        let told = SessionExpires {
            seconds,
            refresher: Some(match ours {
                true => Refresher::Uas,
                false => Refresher::Uac,
            }),
        };
        let mut headers = vec![(Name::SessionExpires, told.to_string())];
        if supports {
            headers.push((Name::Require, "timer".to_owned()));
        }
        headers
    }

    /// What is due from now on, counted from the last refresh (§10).
    pub(super) fn due(&self) -> Due {
        let half = |seconds: u32| Duration::from_millis(u64::from(seconds) * 500);
        match self.agreed {
            Some(Agreed { seconds, ours }) => Due {
                refresh: ours.then(|| half(seconds)),
                expire: Some(Duration::from_secs(u64::from(
                    seconds - LEAD.min(seconds / 3),
                ))),
            },
            None => Due {
                refresh: self
                    .usage
                    .session_expires
                    .filter(|_| self.options)
                    .map(half),
                expire: None,
            },
        }
    }

    pub(super) fn duty(&self) -> Duty {
        match self.agreed {
            None => Duty::Probe,
            Some(_) if self.updates => Duty::Update,
            Some(_) => Duty::Reinvite,
        }
    }

    /// The far side refused UPDATE after all.
    pub(super) fn update_refused(&mut self) {
        self.updates = false;
        self.never_update = true;
    }

    /// Another refresh was refused: how many times as long as after the first one to wait.
    pub(super) fn patience(&mut self) -> u32 {
        let times = 1 << self.refusals.min(MOST_DOUBLINGS);
        self.refusals += 1;
        times
    }

    /// Notes whether the far side takes UPDATE and OPTIONS: whatever it said last.
    pub(super) fn note(&mut self, message: &Message) {
        if message.header(Name::Allow).is_some() {
            self.updates = !self.never_update && has_option(message, Name::Allow, "UPDATE");
            self.options = has_option(message, Name::Allow, "OPTIONS");
        }
    }

    fn least(&self) -> u32 {
        self.raised.max(self.usage_least())
    }

    fn usage_least(&self) -> u32 {
        least_of(&self.usage)
    }
}

/// The Min-SE with which to refuse a request that asks for a shorter session interval than is agreed to (RFC 4028 §9); `None`: it does not.
pub fn too_small(request: &Message, usage: &Usage) -> Option<u32> {
    let least = least_of(usage);
    expires_of(request)
        .is_some_and(|asked| asked.seconds < least)
        .then_some(least)
}

fn expires_of(message: &Message) -> Option<SessionExpires> {
    SessionExpires::parse(message.header(Name::SessionExpires)?)
}

fn least_of(usage: &Usage) -> u32 {
    match usage.min_se {
        0 => MIN_SE,
        least => least,
    }
}

/// RFC 4028 §5: what a request without Min-SE means.
const MIN_SE: u32 = 90;
/// A far side that wants a day between two refreshes wants none.
const MOST: u32 = 86_400;
/// How long before the end of the interval a session that was not refreshed ends, seconds (§10); a third of a short one.
const LEAD: u32 = 32;
/// After so many refusals the wait grows no more: about two minutes.
const MOST_DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(start: &str, more: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn request(more: &str) -> Message {
        message("INVITE sip:b@x SIP/2.0", more)
    }

    fn timing(session_expires: Option<u32>) -> Timing {
        Timing::new(Usage {
            session_expires,
            ..Usage::default()
        })
    }

    fn value(headers: &Headers, name: Name) -> Option<&str> {
        headers
            .iter()
            .find(|(given, _)| *given == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_combination_of_a_request_is_answered_as_table_2_says() {
        for (supports, asked, told, we_refresh) in [
            (false, None, None, None),
            (false, Some("300"), Some("300;refresher=uas"), Some(true)),
            (true, None, Some("1800;refresher=uas"), Some(true)),
            (true, Some("300"), Some("300;refresher=uas"), Some(true)),
            (true, Some("7200"), Some("1800;refresher=uas"), Some(true)),
            (
                true,
                Some("300;refresher=uac"),
                Some("300;refresher=uac"),
                Some(false),
            ),
            (
                true,
                Some("300;refresher=uas"),
                Some("300;refresher=uas"),
                Some(true),
            ),
        ] {
            let mut more = String::new();
            if supports {
                more += "Supported: replaces, timer\r\n";
            }
            if let Some(asked) = asked {
                more += &format!("x: {asked}\r\n");
            }
            let mut timing = timing(Some(1800));
            let headers = timing.answer(&request(&more));
            assert_eq!(value(&headers, Name::SessionExpires), told, "{more}");
            let required = value(&headers, Name::Require).is_some();
            assert_eq!(required, supports && told.is_some(), "{more}");
            assert_eq!(timing.agreed.map(|agreed| agreed.ours), we_refresh);
        }
        let headers = timing(None).answer(&request("k: timer\r\n"));
        assert!(headers.is_empty());
        let headers = timing(None).answer(&request("Require: timer\r\nx: 100\r\n"));
        assert_eq!(
            value(&headers, Name::SessionExpires),
            Some("100;refresher=uas")
        );
    }

    #[test]
    fn an_interval_is_never_below_what_the_request_can_bear() {
        let mut timing = timing(Some(100));
        let headers = timing.answer(&request("k: timer\r\nx: 900\r\nMin-SE: 600\r\n"));
        assert_eq!(
            value(&headers, Name::SessionExpires),
            Some("600;refresher=uas")
        );
    }

    #[test]
    fn who_refreshed_goes_on_refreshing() {
        let mut timing = timing(Some(1800));
        timing.answer(&request("k: timer\r\nx: 300;refresher=uac\r\n"));
        assert_eq!(
            value(&timing.ask(), Name::SessionExpires),
            Some("300;refresher=uas")
        );
        timing.answer(&request("k: timer\r\nx: 300\r\n"));
        assert_eq!(timing.agreed.map(|agreed| agreed.ours), Some(false));
    }

    #[test]
    fn a_2xx_says_who_refreshes_or_that_nobody_does() {
        let ok = |more: &str| message("SIP/2.0 200 OK", more);
        for (more, refresh, expire) in [
            ("x: 180;refresher=uac\r\n", Some(90), Some(148)),
            ("x: 180\r\n", Some(90), Some(148)),
            ("x: 180;refresher=uas\r\n", None, Some(148)),
            ("x: 90;refresher=uas\r\n", None, Some(60)),
            ("x: 1;refresher=uac\r\n", Some(45), Some(60)),
            // Nobody: then we ask from time to time, unless nobody would answer.
            ("", Some(900), None),
            ("Allow: INVITE, ACK\r\n", None, None),
            ("Allow: INVITE, OPTIONS\r\n", Some(900), None),
        ] {
            let mut timing = timing(Some(1800));
            timing.take(&ok(more));
            let due = timing.due();
            let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
            assert_eq!(
                (seconds(due.refresh), seconds(due.expire)),
                (refresh, expire),
                "{more}"
            );
        }
        let mut off = timing(None);
        off.take(&ok(""));
        assert_eq!(off.due(), Due::default());
    }

    #[test]
    fn too_short_is_refused_and_a_refusal_is_obeyed() {
        let usage = Usage::default();
        assert_eq!(too_small(&request("x: 89\r\n"), &usage), Some(90));
        assert_eq!(too_small(&request("x: 90\r\n"), &usage), None);
        assert_eq!(too_small(&request(""), &usage), None);
        let mut timing = timing(Some(120));
        assert_eq!(value(&timing.ask(), Name::SessionExpires), Some("120"));
        assert_eq!(value(&timing.ask(), Name::MinSe), None);
        let refused = |more: &str| message("SIP/2.0 422 Too Small", more);
        assert!(!timing.raise(&refused("")));
        assert!(timing.raise(&refused("Min-SE: 500\r\n")));
        assert_eq!(value(&timing.ask(), Name::SessionExpires), Some("500"));
        assert_eq!(value(&timing.ask(), Name::MinSe), Some("500"));
        // The same again would go round for ever.
        assert!(!timing.raise(&refused("Min-SE: 500\r\n")));
    }

    #[test]
    fn update_is_used_where_the_far_side_allows_it() {
        let mut timing = timing(Some(1800));
        assert_eq!(timing.duty(), Duty::Probe);
        timing.answer(&request("k: timer\r\nAllow: INVITE, update\r\n"));
        assert_eq!(timing.duty(), Duty::Update);
        timing.update_refused();
        assert_eq!(timing.duty(), Duty::Reinvite);
    }
}
