//! The tables that batches are written to, and records as their rows.

use super::table::{Table, Value};
use crate::ledger::id::CallId;
use crate::ledger::journal::{BindingRecord, RecordingKind, RecordingRecord};
use crate::ledger::leg::LegRecord;
use crate::store::accounting::{EventRow, MissedRow, StateRow};
use crate::store::row::CallRow;

pub(super) fn call_row(row: CallRow) -> Vec<Value> {
    let call = row.record;
    vec![
        Value::text(call.call_id),
        Value::text(&call.tenant),
        Value::text(call.direction.as_str()),
        call.caller.into(),
        call.number.into(),
        call.party.into(),
        call.landing_page.into(),
        call.trunk.into(),
        call.arrived_at.into(),
        call.connected_at.into(),
        call.answered_at.into(),
        call.ended_at.into(),
        Value::maybe_word(call.result),
        Value::maybe_word(call.cause),
        list(&call.flags),
        Value::maybe_number(call.wait_total_ms),
        Value::maybe_number(call.wait_hunt_ms),
        Value::maybe_number(call.talk_ms),
        call.operator.into(),
        call.hunt.into(),
        list(&call.path),
        Value::maybe_text(call.recording_id),
        Value::maybe_text(call.voicemail_id),
        Value::maybe_word(call.ended_by),
        Value::maybe_number(call.sip_code.map(u64::from)),
        Value::number(call.plan_version),
        Value::number(call.sequence.into()),
        Value::maybe_text(row.repeat_of),
    ]
}

/// A JSON array. Flags, paths and routes are lists of text, which always serialise.
fn list<T: serde::Serialize>(words: &[T]) -> Value {
    Value::Text(serde_json::to_string(words).unwrap_or_else(|_| "[]".to_owned()))
}

pub(super) fn leg_row((call, leg): (CallId, LegRecord)) -> Vec<Value> {
    vec![
        Value::text(call),
        Value::text(leg.leg_id),
        Value::word(leg.kind),
        leg.operator.into(),
        leg.trunk.into(),
        leg.rung_at.into(),
        leg.connected_at.into(),
        leg.accepted_at.into(),
        leg.ended_at.into(),
        Value::maybe_word(leg.outcome),
        Value::maybe_number(leg.sip_code.map(u64::from)),
        leg.sip_call_id.into(),
    ]
}

pub(super) fn missed_row(missed: MissedRow) -> Vec<Value> {
    vec![
        Value::text(missed.call_id),
        Value::text(&missed.tenant),
        missed.caller.into(),
        missed.missed_at.into(),
        Value::Integer(missed.latest.into()),
        missed.recovered_at.into(),
        Value::maybe_text(missed.recovered_by),
    ]
}

pub(super) fn recording_row(recording: RecordingRecord) -> Vec<Value> {
    let voicemail = match recording.kind {
        RecordingKind::Conversation => None,
        RecordingKind::Voicemail(voicemail) => Some(voicemail),
    };
    vec![
        Value::text(recording.recording_id),
        Value::text(&recording.tenant),
        Value::text(recording.call_id),
        Value::maybe_text(voicemail),
        recording.voicemail_box.into(),
        Value::Text(recording.path),
        recording.started_at.into(),
        Value::maybe_number(recording.duration_ms),
        Value::maybe_number(recording.bytes),
        recording.sha256.into(),
        Value::number(recording.rate_hz.into()),
        list(&recording.segments),
        list(&recording.pauses),
        Value::Integer(recording.copy_due.into()),
        recording.fault.into(),
    ]
}

pub(super) fn binding_row(binding: BindingRecord) -> Vec<Value> {
    let granted = u64::try_from(binding.granted.as_millis()).unwrap_or(u64::MAX);
    vec![
        Value::text(&binding.operator),
        Value::text(&binding.contact),
        Value::text(&binding.transport),
        Value::text(binding.local),
        Value::text(binding.remote),
        Value::text(&binding.call_id),
        Value::number(binding.cseq.into()),
        binding.expires_at.into(),
        binding.user_agent.into(),
        Value::number(granted),
        list(&binding.path),
    ]
}

pub(super) fn operator_row(row: StateRow) -> Vec<Value> {
    vec![
        Value::text(&row.tenant),
        Value::text(&row.name),
        Value::text(&row.state),
        row.at.into(),
    ]
}

pub(super) fn trunk_row(row: StateRow) -> Vec<Value> {
    vec![
        Value::text(&row.tenant),
        Value::text(&row.name),
        Value::text(&row.state),
        row.reason.into(),
        row.at.into(),
    ]
}

pub(super) fn event_row(event: EventRow) -> Vec<Value> {
    vec![
        Value::text(event.event_id),
        Value::text(&event.tenant),
        Value::text(event.kind.as_str()),
        event.time.into(),
        Value::maybe_text(event.call_id),
        Value::Text(event.body),
    ]
}

/// The first attempt is due whatever the wall clock does.
pub(super) const AT_ONCE: Value = Value::Integer(0);

pub(super) const CALLS: Table = Table {
    name: "calls",
    columns: &[
        "call_id",
        "tenant",
        "direction",
        "caller",
        "number",
        "party",
        "landing_page",
        "trunk",
        "arrived_at",
        "connected_at",
        "answered_at",
        "ended_at",
        "result",
        "cause",
        "flags",
        "wait_total_ms",
        "wait_hunt_ms",
        "talk_ms",
        "operator",
        "hunt",
        "path",
        "recording_id",
        "voicemail_id",
        "ended_by",
        "sip_code",
        "plan_version",
        "sequence",
        "repeat_of",
    ],
    key: &["call_id"],
    fixed: &["tenant", "direction", "arrived_at"],
};

pub(super) const LEGS: Table = Table {
    name: "legs",
    columns: &[
        "call_id",
        "leg_id",
        "kind",
        "operator",
        "trunk",
        "rung_at",
        "connected_at",
        "accepted_at",
        "ended_at",
        "outcome",
        "sip_code",
        "sip_call_id",
    ],
    key: &["call_id", "leg_id"],
    fixed: &[],
};

pub(super) const TRACES: Table = Table {
    name: "traces",
    columns: &["call_id", "lines"],
    key: &["call_id"],
    fixed: &[],
};

pub(super) const MISSED: Table = Table {
    name: "missed",
    columns: &[
        "call_id",
        "tenant",
        "caller",
        "missed_at",
        "latest",
        "recovered_at",
        "recovered_by",
    ],
    key: &["call_id"],
    fixed: &["tenant", "caller", "missed_at"],
};

pub(super) const RECORDINGS: Table = Table {
    name: "recordings",
    columns: &[
        "recording_id",
        "tenant",
        "call_id",
        "voicemail_id",
        "voicemail_box",
        "path",
        "started_at",
        "duration_ms",
        "bytes",
        "sha256",
        "rate_hz",
        "segments",
        "pauses",
        "copy_due",
        "fault",
    ],
    key: &["recording_id"],
    fixed: &["tenant", "call_id"],
};

pub(super) const BINDINGS: Table = Table {
    name: "bindings",
    columns: &[
        "operator",
        "contact",
        "transport",
        "local",
        "remote",
        "call_id",
        "cseq",
        "expires_at",
        "user_agent",
        "granted_ms",
        "path",
    ],
    key: &["operator", "contact"],
    fixed: &[],
};

pub(super) const OPERATOR_STATES: Table = Table {
    name: "operator_states",
    columns: &["tenant", "operator", "state", "at"],
    key: &[],
    fixed: &[],
};

pub(super) const TRUNK_STATES: Table = Table {
    name: "trunk_states",
    columns: &["tenant", "trunk", "state", "reason", "at"],
    key: &[],
    fixed: &[],
};

pub(super) const EVENTS: Table = Table {
    name: "events",
    columns: &["event_id", "tenant", "type", "time", "call_id", "body"],
    key: &[],
    fixed: &[],
};

pub(super) const DELIVERIES: Table = Table {
    name: "deliveries",
    columns: &[
        "webhook",
        "event_id",
        "created_at",
        "due_at",
        "attempts",
        "state",
    ],
    key: &["webhook", "event_id"],
    fixed: &["created_at", "due_at", "attempts", "state"],
};

pub(super) const FACTS: Table = Table {
    name: "facts",
    columns: &["name", "value"],
    key: &["name"],
    fixed: &[],
};
