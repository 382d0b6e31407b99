//! How one address of a trunk stands.

use std::time::Duration;

use crate::ledger::clock::Mono;

/// What is known of an address, as the API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// `None`: nothing was asked of it yet.
    pub up: Option<bool>,
    /// Why it is down.
    pub reason: Option<String>,
}

/// An address's standing and what is due for it.
#[derive(Debug)]
pub(super) struct Health {
    standing: Standing,
    failures: u32,
    /// Passed over until then.
    rests_until: Option<Mono>,
    probe_at: Option<Mono>,
    /// An OPTIONS is out that has to be answered by then.
    answer_by: Option<Mono>,
}

/// How the next sign of life is asked for.
#[derive(Copy, Clone, Debug)]
pub(super) struct Signs {
    pub(super) every: Option<Duration>,
    /// Milliseconds.
    pub(super) jitter: u64,
}

impl Health {
    /// Nothing is known; it is asked at `first`.
    pub(super) fn new(first: Option<Mono>) -> Health {
        Health {
            standing: Standing::default(),
            failures: 0,
            rests_until: None,
            probe_at: first,
            answer_by: None,
        }
    }

    /// Another `options`: an address that is not down is asked at `first`, or no more; one that is down is asked as before.
    pub(super) fn set_pace(&mut self, first: Option<Mono>) {
        if !self.is_down() && self.answer_by.is_none() {
            self.probe_at = first;
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn is_down(&self) -> bool {
        self.standing.up == Some(false)
    }

    /// Whether calls pass it over.
    pub(super) fn is_resting(&self, now: Mono) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    /// It rests, longer with every failure in a row and at least as long as it asked for itself, and is asked meanwhile whether it is back.
    pub(super) fn fail(
        &mut self,
        now: Mono,
        why: &str,
        retry_after: Option<Duration>,
        jitter: u64,
    ) {
        self.standing = Standing {
            up: Some(false),
            reason: Some(why.to_owned()),
        };
        self.answer_by = None;
        let doubled = FIRST_REST.saturating_mul(1 << self.failures.min(4));
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.failures += 1;
        self.rests_until = Some(now + doubled.min(LONGEST_REST).max(asked));
        // Who said when to come back is not asked before.
        let again = FIRST_PROBE.saturating_mul(1 << (self.failures - 1).min(4));
        let again = again.min(LAST_PROBE).max(asked) + Duration::from_millis(jitter);
        self.probe_at = Some(now + again);
    }

    pub(super) fn live(&mut self, now: Mono, signs: Signs) {
        self.standing = Standing {
            up: Some(true),
            reason: None,
        };
        self.failures = 0;
        self.rests_until = None;
        self.answer_by = None;
        self.probe_at = signs
            .every
            .map(|every| now + (every - Duration::from_millis(signs.jitter).min(every / 10)));
    }

    /// Whether the answer to the OPTIONS is overdue.
    pub(super) fn is_silent(&self, now: Mono) -> bool {
        self.answer_by.is_some_and(|by| by <= now)
    }

    /// Whether an OPTIONS is due; notes that it is out.
    pub(super) fn begin_probe(&mut self, now: Mono, patience: Duration) -> bool {
        let due = self.probe_at.is_some_and(|at| at <= now);
        if due {
            self.probe_at = None;
            self.answer_by = Some(now + patience);
        }
        due
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.probe_at.into_iter().chain(self.answer_by).min()
    }
}

/// A first failure is passed over for so long, unless an OPTIONS brings life before.
const FIRST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// The longest rest that a Retry-After may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// When an address that failed is asked first.
const FIRST_PROBE: Duration = Duration::from_secs(5);
/// And at last, again and again.
const LAST_PROBE: Duration = Duration::from_secs(60);
