//! One outbound registration (RFC 3261 §10.2): register, refresh before it runs out, retry with back-off, unregister at the end.
//!
//! Challenges are answered by the endpoint; a 401 or 407 that arrives here means that the credentials were refused.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::seconds;
use crate::sip::wire::{Message, Name};

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause of our own choosing.
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause that a Retry-After may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// A grant is refreshed no sooner than this, however short.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// The registration of one trunk. After each `handle_*` or `unregister`, drain `poll_send` and `poll_change`, then ask `poll_timeout`.
#[derive(Debug)]
pub struct Registration {
    contact_user: String,
    call_id: String,
    /// What we ask for; a 423 raises it.
    expires: Duration,
    next_cseq: u32,
    phase: Phase,
    state: State,
    reason: Option<String>,
    failures: u32,
    /// Until when the registrar holds our binding.
    valid_until: Option<Mono>,
    entropy: Entropy,
    sends: VecDeque<Send>,
    changes: VecDeque<Change>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// The next REGISTER is due then.
    Due(Mono),
    /// A REGISTER is on its way; `leaving`: unregister as soon as it is answered.
    Sent { leaving: bool },
    /// The REGISTER that unregisters is on its way.
    Leaving,
    /// Nothing more to do.
    Over,
}

/// A trunk's registration as events and the API name it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The first REGISTER is on its way.
    Registering,
    /// The provider knows where we are.
    Registered,
    /// It does not; the reason says why, and we go on trying.
    Failed,
    /// We do not want to be registered.
    Unregistered,
}

impl State {
    /// The word used in events and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Registering => "registering",
            State::Registered => "registered",
            State::Failed => "failed",
            State::Unregistered => "unregistered",
        }
    }
}

/// A change of state, for `trunk.state` and the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The new state.
    pub state: State,
    /// Why, as a sentence; `None` where there is nothing to explain.
    pub reason: Option<String>,
}

/// A REGISTER to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Send {
    /// The CSeq number; a retry with credentials may use the next one.
    pub cseq: u32,
    /// The Call-ID, the same for the life of the registration.
    pub call_id: String,
    /// The user of our Contact: opaque, so that requests to it are known to come from this account's provider.
    pub contact_user: String,
    /// What is asked for; zero unregisters.
    pub expires: Duration,
}

/// What the registrar answered, or that it did not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The SIP status; 408 for no answer, 503 when it could not be sent.
    pub code: u16,
    /// The reason phrase.
    pub phrase: String,
    /// The CSeq of the response.
    pub cseq: Option<u32>,
    /// Granted, by the `expires` of our Contact, else by Expires.
    pub granted: Option<Duration>,
    /// Min-Expires of a 423.
    pub min_expires: Option<Duration>,
    /// Retry-After.
    pub retry_after: Option<Duration>,
    /// Why a challenge was not answered, as a sentence.
    pub obstacle: Option<&'static str>,
}

impl Answer {
    /// Reads the final response of the endpoint's `Event::Response`; `None`: none came, `code` is the endpoint's own.
    pub fn read(code: u16, response: Option<&Message>, contact_user: &str) -> Answer {
        let Some(response) = response else {
            return Answer {
                code,
                ..Answer::default()
            };
        };
        let delta = |name| response.header(name).and_then(seconds::leading);
        let ours = response
            .headers(Name::Contact)
            .filter_map(|line| NameAddr::parse_list(line).ok())
            .flatten()
            .find(|contact| contact.uri.user().is_some_and(|user| user == contact_user));
        let granted = ours.and_then(|contact| contact.param("expires").and_then(seconds::leading));
        Answer {
            code,
            phrase: response.reason_phrase().to_owned(),
            cseq: Some(response.cseq()),
            granted: granted.or_else(|| delta(Name::Expires)),
            min_expires: delta(Name::MinExpires),
            retry_after: delta(Name::RetryAfter),
            obstacle: None,
        }
    }
}

impl Registration {
    /// A registration that asks for `expires` and is due at once.
    pub fn new(now: Mono, expires: Duration, mut entropy: Entropy) -> Registration {
        Registration {
            contact_user: entropy.token(),
            call_id: format!("{}{}", entropy.token(), entropy.token()),
            expires: expires.max(SHORTEST_REFRESH),
            next_cseq: 1,
            phase: Phase::Due(now),
            state: State::Unregistered,
            reason: None,
            failures: 0,
            valid_until: None,
            entropy,
            sends: VecDeque::new(),
            changes: VecDeque::new(),
        }
    }

    /// The user of our Contact.
    pub fn contact_user(&self) -> &str {
        &self.contact_user
    }

    /// The state and its reason.
    pub fn state(&self) -> (State, Option<&str>) {
        (self.state, self.reason.as_deref())
    }

    /// Whether nothing more will be sent: unregistered, or given up while unregistering.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.valid_until.is_some_and(|end| end <= now) {
            self.valid_until = None;
            if self.state == State::Registered {
                let why = self.reason.take();
                self.enter(State::Failed, why);
            }
        }
        if matches!(self.phase, Phase::Due(at) if at <= now) {
            if self.state == State::Unregistered {
                self.enter(State::Registering, None);
            }
            self.phase = Phase::Sent { leaving: false };
            self.send(self.expires);
        }
    }

    /// The final response to the REGISTER that was sent last. Answers to nothing are ignored.
    pub fn handle_response(&mut self, now: Mono, answer: Answer) {
        if let Some(cseq) = answer.cseq {
            self.next_cseq = self.next_cseq.max(cseq.saturating_add(1));
        }
        match self.phase {
            Phase::Due(_) | Phase::Over => {}
            Phase::Leaving => self.leave(),
            Phase::Sent { leaving: true } => {
                self.phase = Phase::Leaving;
                self.send(Duration::ZERO);
            }
            Phase::Sent { leaving: false } => match answer.code {
                200..=299 => self.succeed(now, answer.granted.unwrap_or(self.expires)),
                423 => self.raise(now, answer),
                _ => self.fail(now, answer),
            },
        }
    }

    /// The request that was sent last found nobody: sends it again, for another address.
    pub fn resend(&mut self) {
        match self.phase {
            Phase::Sent { leaving: false } => self.send(self.expires),
            Phase::Sent { leaving: true } => {
                self.phase = Phase::Leaving;
                self.send(Duration::ZERO);
            }
            Phase::Leaving => self.send(Duration::ZERO),
            Phase::Due(_) | Phase::Over => {}
        }
    }

    /// The way to the provider is open again: an attempt that waits after a failure is made now.
    pub fn hurry(&mut self, now: Mono) {
        if let Phase::Due(at) = &mut self.phase
            && self.failures > 0
        {
            *at = (*at).min(now);
        }
    }

    /// Ends the registration: at shutdown, or when a new plan no longer has it.
    pub fn unregister(&mut self) {
        match &mut self.phase {
            Phase::Sent { leaving } => *leaving = true,
            Phase::Due(_) if self.valid_until.is_some() => {
                self.phase = Phase::Leaving;
                self.send(Duration::ZERO);
            }
            Phase::Due(_) => self.leave(),
            Phase::Leaving | Phase::Over => {}
        }
    }

    /// What to send next.
    pub fn poll_send(&mut self) -> Option<Send> {
        self.sends.pop_front()
    }

    /// What to tell next.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let due = match self.phase {
            Phase::Due(at) => Some(at),
            Phase::Over => return None,
            Phase::Sent { .. } | Phase::Leaving => None,
        };
        due.into_iter().chain(self.valid_until).min()
    }

    fn succeed(&mut self, now: Mono, granted: Duration) {
        if granted.is_zero() {
            let why = "The registrar granted no time".to_owned();
            return self.pause(now, why, None, true);
        }
        self.failures = 0;
        self.valid_until = Some(now + granted);
        let most = granted * 4 / 5;
        let jitter = self.jitter(granted / 10);
        let refresh = most.saturating_sub(jitter).max(SHORTEST_REFRESH);
        self.phase = Phase::Due(now + refresh);
        self.enter(State::Registered, None);
    }

    /// 423: too brief. Asks again at once for what the registrar wants, if that is more.
    fn raise(&mut self, now: Mono, answer: Answer) {
        match answer.min_expires {
            Some(least) if least > self.expires => {
                self.expires = least;
                self.send(least);
            }
            _ => self.fail(now, answer),
        }
    }

    fn fail(&mut self, now: Mono, answer: Answer) {
        // Only a registrar that spoke can have dropped the binding.
        let refused = (300..=499).contains(&answer.code) && answer.code != 408;
        let final_word = refused || answer.code >= 600;
        let why = match answer.code {
            401 | 407 => answer
                .obstacle
                .unwrap_or("The registrar refused the user or password")
                .to_owned(),
            403 => "The registrar forbids this account to register (403)".to_owned(),
            404 => "The registrar does not know this account (404)".to_owned(),
            408 => "The registrar did not answer".to_owned(),
            503 if answer.cseq.is_none() => "The registrar could not be reached".to_owned(),
            code => format!("The registrar answered {code} {}", answer.phrase)
                .trim_end()
                .to_owned(),
        };
        self.pause(now, why, answer.retry_after, final_word);
    }

    /// Waits before the next attempt. A binding that may still hold keeps us registered until it runs out.
    fn pause(&mut self, now: Mono, why: String, retry_after: Option<Duration>, lost: bool) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6));
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        let pause = doubled.min(LAST_PAUSE).max(asked);
        self.failures += 1;
        let jitter = self.jitter(pause / 10);
        self.phase = Phase::Due(now + pause + jitter);
        if lost {
            self.valid_until = None;
        }
        if self.state == State::Registered && self.valid_until.is_some() {
            self.reason = Some(why);
        } else {
            self.enter(State::Failed, Some(why));
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Over;
        self.valid_until = None;
        self.enter(State::Unregistered, None);
    }

    fn enter(&mut self, state: State, reason: Option<String>) {
        if self.state != state || self.reason != reason {
            let told = Change {
                state,
                reason: reason.clone(),
            };
            let same_state = self.state == state && state == State::Registered;
            self.state = state;
            self.reason = reason;
            if !same_state {
                self.changes.push_back(told);
            }
        }
    }

    fn send(&mut self, expires: Duration) {
        let cseq = self.next_cseq;
        // The endpoint uses the number after this one when it answers a challenge.
        self.next_cseq = cseq.saturating_add(2);
        self.sends.push_back(Send {
            cseq,
            call_id: self.call_id.clone(),
            contact_user: self.contact_user.clone(),
            expires,
        });
    }

    fn jitter(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.entropy.below(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        registration: Registration,
        now: Mono,
    }

    impl Bench {
        fn new(expires: u64) -> Bench {
            let entropy = Entropy::from_number(7);
            let expires = Duration::from_secs(expires);
            let mut registration = Registration::new(Mono::ZERO, expires, entropy);
            registration.handle_timeout(Mono::ZERO);
            Bench {
                registration,
                now: Mono::ZERO,
            }
        }
        fn answer(&mut self, code: u16) {
            self.answer_with(Answer {
                code,
                ..Answer::default()
            });
        }
        fn answer_with(&mut self, answer: Answer) {
            self.registration.handle_response(self.now, answer);
        }
        /// Goes to the next timeout; gives the seconds passed.
        fn step(&mut self) -> f64 {
            let at = self.registration.poll_timeout().unwrap();
            let passed = at.since(self.now).as_secs_f64();
            self.now = at;
            self.registration.handle_timeout(at);
            passed
        }
        fn sent(&mut self) -> Send {
            let send = self.registration.poll_send().expect("a REGISTER");
            assert_eq!(self.registration.poll_send(), None);
            send
        }
        fn changes(&mut self) -> Vec<(State, Option<String>)> {
            std::iter::from_fn(|| self.registration.poll_change())
                .map(|change| (change.state, change.reason))
                .collect()
        }
    }

    fn seconds(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn registers_and_refreshes_in_time() {
        let mut b = Bench::new(300);
        let first = b.sent();
        assert_eq!((first.cseq, first.expires), (1, Duration::from_secs(300)));
        b.answer_with(Answer {
            code: 200,
            cseq: Some(2),
            granted: seconds(100),
            ..Answer::default()
        });
        assert_eq!(
            b.changes(),
            [(State::Registering, None), (State::Registered, None)]
        );
        let passed = b.step();
        assert!((70.0..=80.0).contains(&passed), "{passed}");
        let second = b.sent();
        assert_eq!((second.cseq, &second.call_id), (3, &first.call_id));
        b.answer(200);
        assert!(b.changes().is_empty());
        let passed = b.step();
        assert!((210.0..=240.0).contains(&passed), "{passed}");
    }

    #[test]
    fn a_423_raises_what_is_asked_for() {
        let mut b = Bench::new(60);
        b.sent();
        let too_brief = |min| Answer {
            code: 423,
            min_expires: seconds(min),
            ..Answer::default()
        };
        b.answer_with(too_brief(600));
        assert_eq!(b.sent().expires, Duration::from_secs(600));
        b.answer_with(too_brief(600));
        assert_eq!(b.registration.poll_send(), None);
        assert_eq!(b.registration.state().0, State::Failed);
    }

    #[test]
    fn failures_back_off_and_recover() {
        let mut b = Bench::new(300);
        let mut least = 5.0;
        for _ in 0..8 {
            b.sent();
            b.answer(408);
            let passed = b.step();
            assert!(
                (least..=least * 1.1).contains(&passed),
                "{passed} after {least}"
            );
            least = (least * 2.0_f64).min(300.0);
        }
        assert_eq!(
            b.changes(),
            [
                (State::Registering, None),
                (
                    State::Failed,
                    Some("The registrar did not answer".to_owned())
                )
            ]
        );
        b.sent();
        b.answer(200);
        assert_eq!(b.changes(), [(State::Registered, None)]);
    }

    #[test]
    fn a_lost_refresh_fails_only_when_the_binding_has_run_out() {
        let mut b = Bench::new(100);
        b.sent();
        b.answer(200);
        b.step();
        b.sent();
        b.changes();
        b.answer(408);
        assert_eq!(b.registration.state().0, State::Registered);
        b.step();
        b.sent();
        assert!(b.step() > 0.0);
        assert_eq!(b.changes().len(), 1);
        assert_eq!(b.registration.state().0, State::Failed);
    }

    #[test]
    fn refused_credentials_fail_at_once_and_retry_after_is_obeyed() {
        let mut b = Bench::new(100);
        b.sent();
        b.answer(200);
        b.step();
        b.sent();
        b.answer_with(Answer {
            code: 403,
            retry_after: seconds(900),
            ..Answer::default()
        });
        assert_eq!(b.registration.state().0, State::Failed);
        assert!(b.step() >= 900.0);
    }

    #[test]
    fn unregisters_after_the_request_in_flight() {
        let mut b = Bench::new(100);
        b.sent();
        b.registration.unregister();
        assert_eq!(b.registration.poll_send(), None);
        b.answer(200);
        assert_eq!(b.sent().expires, Duration::ZERO);
        b.answer(200);
        assert!(b.registration.is_over());
        assert_eq!(b.registration.poll_timeout(), None);
        assert_eq!(b.changes().last().unwrap().0, State::Unregistered);
    }

    #[test]
    fn unregisters_at_once_when_never_registered() {
        let mut b = Bench::new(100);
        b.sent();
        b.answer(403);
        b.registration.unregister();
        assert_eq!(b.registration.poll_send(), None);
        assert!(b.registration.is_over());
    }
}
