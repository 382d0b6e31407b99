//! What a call owns: its record, legs, timers and outputs. The operations on legs, sound and recordings are in the
//! sister files; here are the record, the trace and the journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::account::Facts;
use super::leg::Leg;
use super::output::Output;
use super::passing::Passing;
use super::supervising::Supervisor;
use super::timer::{Timer, Timers};
use super::{Arrival, Source};
use crate::desk::request::Request;
use crate::dialplan::plan::{AnswerPolicy, Destination, Member, Number, Plan};
use crate::dialplan::routing::Entry;
use crate::ledger::call::{CallRecord, TraceLine};
use crate::ledger::cause::{CallResult, Cause, Direction, Flag};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{BridgeId, CallId, LegId, Name, RecordingId};
use crate::ledger::journal;
use crate::ledger::leg::LegRecord;
use crate::sdp::negotiate::SdpError;

/// Everything of a call but the destination that it is in.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) id: CallId,
    pub(crate) plan: Arc<Plan>,
    pub(crate) entropy: Entropy,
    pub(crate) record: CallRecord,
    pub(crate) out: VecDeque<Output>,
    pub(crate) timers: Timers,
    /// Legs that exist, in order of creation.
    pub(crate) legs: Vec<Leg>,
    /// Legs that are over.
    pub(crate) past: Vec<LegRecord>,
    /// The leg that destinations serve.
    pub(crate) guest: Option<LegId>,
    /// The leg that the record's caller belongs to.
    pub(crate) calling: Option<LegId>,
    pub(crate) bridge: Option<BridgeId>,
    pub(crate) policy: AnswerPolicy,
    pub(crate) display_name: Option<String>,
    /// For dialled legs.
    pub(crate) max_forwards: u8,
    pub(crate) is_recorded: bool,
    /// Nothing is stored at the moment.
    pub(crate) recording_paused: bool,
    /// The recording of the conference that the guest is in, or was in.
    pub(crate) shared_recording: Option<RecordingId>,
    /// Members that this call has seen decline.
    pub(crate) declined: Vec<Member>,
    /// Why the last person-seeking destination failed.
    pub(crate) failure: Option<Cause>,
    /// What is wrong with the caller's offer.
    pub(crate) unusable: Option<SdpError>,
    /// Refused by rule.
    pub(crate) rejected: Option<Cause>,
    /// The first prompt has ended once, or a key was pressed.
    pub(crate) greeted: bool,
    pub(crate) informed: bool,
    pub(crate) echoed: bool,
    /// A message is or was being recorded: a late 2xx wins no more.
    pub(crate) message_begun: bool,
    /// The call ends: its legs are written with it.
    pub(crate) is_closing: bool,
    /// Who has passed the guest on and waits for what comes of it.
    pub(crate) passing: Option<Passing>,
    /// Who passed the guest on and hung up: his leg's dialog goes on until he is told what came of it (RFC 5057 §4.1).
    pub(crate) told_later: Option<LegId>,
    /// The operator who passed the guest on, for those who are rung.
    pub(crate) referred_by: Option<String>,
    /// Legs that take part without being a side of the conversation.
    pub(crate) supervisors: Vec<Supervisor>,
    /// Where phones have sent the call on.
    pub(crate) redirects: Vec<String>,
    pub(crate) arrived: Mono,
    pub(crate) answered: Option<Mono>,
    trace: Vec<TraceLine>,
    tokens: u64,
    in_hunt_since: Option<Mono>,
    steps: u32,
    steps_since: Mono,
}

/// Destinations that may follow each other within a second.
const MOST_STEPS: u32 = 32;
/// Lines of a trace and destinations of a path that are kept: a call of hours in a menu stays small.
const MOST_LINES: usize = 400;
/// Bytes of a line.
const LONGEST_LINE: usize = 300;

impl State {
    /// Of a call that came in.
    pub(crate) fn incoming(
        now: Now,
        plan: Arc<Plan>,
        arrival: &Arrival,
        entropy: Entropy,
    ) -> State {
        let mut record = blank(now, arrival.call, &plan);
        record.caller = arrival.caller.clone();
        record.number = Some(arrival.dialled.clone()).filter(|number| !number.is_empty());
        record.direction = match (&arrival.source, &arrival.entry) {
            (Source::Trunk(_), _) => Direction::Inbound,
            (Source::Operator(_), Entry::Outbound { .. } | Entry::NotAllowed { .. }) => {
                Direction::Outbound
            }
            (Source::Operator(_), _) => Direction::Internal,
        };
        match &arrival.source {
            Source::Trunk(trunk) => {
                record.trunk = Some(trunk.clone());
                record.party = arrival.caller.clone();
            }
            Source::Operator(operator) => {
                record.caller = Some(operator.as_str().to_owned());
                record.operator = Some(operator.clone());
                if record.direction == Direction::Outbound {
                    record.party = record.number.clone();
                }
            }
        }
        let mut state = State::new(now, plan, record, entropy);
        if let Some(number) = state.number_of(&arrival.entry) {
            let (page, answer, record) =
                (number.landing_page.clone(), number.answer, number.record);
            state.record.landing_page = page;
            state.policy = answer;
            state.is_recorded = record;
        }
        state.display_name = arrival.display_name.clone();
        state.max_forwards = arrival.max_forwards.saturating_sub(1);
        state
    }

    /// Of a call that begins without a leg, on an operator's behalf.
    pub(crate) fn originated(
        now: Now,
        plan: Arc<Plan>,
        call: CallId,
        operator: &Name,
        dialled: String,
        entry: &Entry,
        entropy: Entropy,
    ) -> State {
        let mut record = blank(now, call, &plan);
        record.caller = Some(operator.as_str().to_owned());
        record.operator = Some(operator.clone());
        if matches!(entry, Entry::Outbound { .. } | Entry::NotAllowed { .. }) {
            record.direction = Direction::Outbound;
            record.party = Some(dialled.clone());
        } else {
            record.direction = Direction::Internal;
        }
        record.number = Some(dialled);
        State::new(now, plan, record, entropy)
    }

    fn new(now: Now, plan: Arc<Plan>, record: CallRecord, entropy: Entropy) -> State {
        let mut timers = Timers::default();
        timers.set(Timer::MaxCall, now.mono + plan.server.max_call);
        State {
            id: record.call_id,
            plan,
            entropy,
            record,
            out: VecDeque::new(),
            timers,
            legs: Vec::new(),
            past: Vec::new(),
            guest: None,
            calling: None,
            bridge: None,
            policy: AnswerPolicy::WhenNeeded,
            display_name: None,
            max_forwards: 70,
            is_recorded: true,
            declined: Vec::new(),
            failure: None,
            unusable: None,
            rejected: None,
            greeted: false,
            informed: false,
            echoed: false,
            message_begun: false,
            is_closing: false,
            passing: None,
            told_later: None,
            recording_paused: false,
            shared_recording: None,
            referred_by: None,
            supervisors: Vec::new(),
            redirects: Vec::new(),
            arrived: now.mono,
            answered: None,
            trace: Vec::new(),
            tokens: 0,
            in_hunt_since: None,
            steps: 0,
            steps_since: now.mono,
        }
    }

    /// Whether a leg takes part without being a side of the conversation.
    pub(crate) fn is_supervisor(&self, leg: LegId) -> bool {
        self.supervisors.iter().any(|one| one.leg == leg)
    }

    /// The number of ours that an entry means.
    pub(crate) fn number_of(&self, entry: &Entry) -> Option<&Number> {
        match entry {
            Entry::Number(number) => self.plan.numbers.get(number),
            _ => None,
        }
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&mut self, now: Now, text: impl Into<String>) {
        if self.trace.len() < MOST_LINES {
            let mut text = text.into();
            // Reason phrases come from the network.
            text.truncate(text.floor_char_boundary(LONGEST_LINE));
            self.trace.push(TraceLine {
                at_ms: now.mono.millis_since(self.arrived),
                text,
            });
        }
    }

    /// A person-seeking destination failed.
    pub(crate) fn failed(&mut self, now: Now, cause: Cause) {
        self.failure = Some(cause);
        self.note(now, cause.sentence());
    }

    /// A token for what is played.
    pub(crate) fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// The call enters a destination; `false` when it goes round in a circle.
    pub(crate) fn entered(&mut self, now: Now, to: &Destination) -> bool {
        if now.mono.since(self.steps_since) > Duration::from_secs(1) {
            self.steps = 0;
            self.steps_since = now.mono;
        }
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.note(now, "The dial plan goes round in a circle without waiting");
            return false;
        }
        self.passed_through(now, &to.to_string());
        true
    }

    /// Notes a destination in the trace and the path.
    pub(crate) fn passed_through(&mut self, now: Now, name: &str) {
        self.note(now, format!("Enters {name}"));
        if self.record.path.len() < MOST_LINES {
            self.record.path.push(name.to_owned());
        }
    }

    /// The caller begins to wait in a hunt.
    pub(crate) fn hunt_entered(&mut self, now: Now, hunt: &Name) {
        self.record.hunt = Some(hunt.clone());
        if self.answered.is_none() {
            self.in_hunt_since = Some(now.mono);
            self.record.wait_hunt_ms.get_or_insert(0);
        }
    }

    /// The caller waits in a hunt no more.
    pub(crate) fn hunt_left(&mut self, now: Now) {
        if let Some(since) = self.in_hunt_since.take() {
            let waited = now.mono.millis_since(since);
            *self.record.wait_hunt_ms.get_or_insert(0) += waited;
        }
    }

    /// The first person accepted.
    pub(crate) fn first_answer(&mut self, now: Now, by: LegId) {
        let operator = self.leg(by).and_then(|leg| leg.record.operator.clone());
        let trunk = self.leg(by).and_then(|leg| leg.record.trunk.clone());
        self.answered = Some(now.mono);
        self.record.answered_at = Some(now.wall);
        self.record.wait_total_ms = Some(now.mono.millis_since(self.arrived));
        if self.record.operator.is_none() {
            self.record.operator = operator;
        }
        if self.record.trunk.is_none() {
            self.record.trunk = trunk;
        }
    }

    /// Raises `call.started`.
    pub(crate) fn started(&mut self) {
        self.record.sequence = 1;
        let record = Box::new(self.record.clone());
        self.journal(journal::Entry::CallStarted(record));
    }

    /// Raises `call.answered`.
    pub(crate) fn tell_answered(&mut self) {
        self.record.sequence += 1;
        let record = Box::new(self.record.clone());
        self.journal(journal::Entry::CallAnswered(record));
    }

    /// Keeps the row up to date.
    pub(crate) fn changed(&mut self) {
        let record = Box::new(self.record.clone());
        self.journal(journal::Entry::CallChanged(record));
    }

    /// Keeps a leg's row up to date.
    pub(crate) fn leg_changed(&mut self, leg: LegId) {
        if let Some(record) = self.leg(leg).map(|leg| leg.record.clone()) {
            self.journal(journal::Entry::LegChanged(self.id, Box::new(record)));
        }
    }

    /// Asks the desk.
    pub(crate) fn ask(&mut self, request: Request) {
        self.out.push_back(Output::Desk(request));
    }

    pub(crate) fn journal(&mut self, entry: journal::Entry) {
        self.out.push_back(Output::Journal(entry));
    }

    /// What the result is decided from.
    pub(crate) fn facts(&self, abandoned: Option<Cause>) -> Facts {
        Facts {
            direction: self.record.direction,
            rejected: self.rejected,
            answered: self.answered.is_some(),
            echoed: self.echoed,
            informed: self.informed,
            failure: self.failure,
            abandoned,
        }
    }

    /// Completes the record and raises `call.ended`.
    pub(crate) fn close(&mut self, now: Now, result: CallResult, cause: Option<Cause>) {
        self.hunt_left(now);
        let record = &mut self.record;
        record.ended_at = Some(now.wall);
        record.result = Some(result);
        record.cause = cause;
        match self.answered {
            Some(answered) => record.talk_ms = Some(now.mono.millis_since(answered)),
            None => record.wait_total_ms = Some(now.mono.millis_since(self.arrived)),
        }
        let is_short = now.mono.since(self.arrived) < Duration::from_secs(5);
        if self.answered.is_none() && is_short {
            record.flags.push(Flag::Short);
        }
        record.sequence += 1;
        let entry = journal::Entry::CallEnded {
            call: Box::new(self.record.clone()),
            legs: self.past.clone(),
            trace: std::mem::take(&mut self.trace),
        };
        self.journal(entry);
    }
}

/// A record of which nothing is known yet.
fn blank(now: Now, call: CallId, plan: &Plan) -> CallRecord {
    CallRecord {
        plan_version: plan.version,
        sequence: 0,
        ..CallRecord::begun(call, now.wall)
    }
}
