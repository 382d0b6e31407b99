//! Events as they are posted: the CloudEvents 1.0 envelope around the data of DESIGN.md section 4.

use serde::Serialize;

use super::EventRow;
use crate::ledger::call::CallRecord;
use crate::ledger::cause::Direction;
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::event::EventType;
use crate::ledger::id::{CallId, EventId, Name, RecordingId, Tenant, VoicemailId};
use crate::ledger::journal::{RecordingKind, RecordingRecord};
use crate::store::row::CallRow;

/// Makes the event: an id of its time, and the body.
pub(super) fn event<D: Serialize>(
    kind: EventType,
    tenant: &Tenant,
    time: Wall,
    call_id: Option<CallId>,
    data: D,
    entropy: &mut Entropy,
) -> Result<EventRow, serde_json::Error> {
    let event_id = EventId::new(time, entropy);
    let body = serde_json::to_string(&Envelope {
        specversion: "1.0",
        id: event_id,
        source: format_args!("/tenants/{tenant}"),
        kind,
        time,
        datacontenttype: "application/json",
        data,
    })?;
    Ok(EventRow {
        event_id,
        tenant: tenant.clone(),
        kind,
        time,
        call_id,
        body,
    })
}

/// `ledger::event::Event` with borrowed data, so that a record is written straight into the body.
#[derive(Serialize)]
struct Envelope<'a, D> {
    specversion: &'static str,
    id: EventId,
    source: std::fmt::Arguments<'a>,
    #[serde(rename = "type")]
    kind: EventType,
    time: Wall,
    datacontenttype: &'static str,
    data: D,
}

/// The data of every `call.*` event.
#[derive(Serialize)]
pub(super) struct CallData<'a> {
    #[serde(flatten)]
    pub row: &'a CallRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_calls: Option<Vec<CallId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_after_ms: Option<i64>,
}

impl<'a> CallData<'a> {
    /// The row alone.
    pub(super) fn plain(row: &'a CallRow) -> CallData<'a> {
        CallData {
            row,
            recovered_calls: None,
            recovered_after_ms: None,
        }
    }
}

/// The data of `recording.ready`, `recording.failed` and `voicemail.left`: the recording, and whose call is heard on it.
#[derive(Serialize)]
pub(super) struct RecordingData<'a> {
    tenant: &'a Tenant,
    recording_id: RecordingId,
    call_id: CallId,
    voicemail_id: Option<VoicemailId>,
    voicemail_box: Option<&'a Name>,
    path: &'a str,
    format: &'static str,
    started_at: Wall,
    duration_ms: Option<u64>,
    bytes: Option<u64>,
    sha256: Option<&'a str>,
    fault: Option<&'a str>,
    direction: Option<Direction>,
    caller: Option<&'a str>,
    number: Option<&'a str>,
    party: Option<&'a str>,
    landing_page: Option<&'a str>,
    operator: Option<&'a Name>,
}

impl<'a> RecordingData<'a> {
    /// `call` is the call's record, where it is known.
    pub(super) fn new(
        recording: &'a RecordingRecord,
        call: Option<&'a CallRecord>,
    ) -> RecordingData<'a> {
        RecordingData {
            tenant: &recording.tenant,
            recording_id: recording.recording_id,
            call_id: recording.call_id,
            voicemail_id: match recording.kind {
                RecordingKind::Conversation => None,
                RecordingKind::Voicemail(voicemail) => Some(voicemail),
            },
            voicemail_box: recording.voicemail_box.as_ref(),
            path: &recording.path,
            format: recording.format(),
            started_at: recording.started_at,
            duration_ms: recording.duration_ms,
            bytes: recording.bytes,
            sha256: recording.sha256.as_deref(),
            fault: recording.fault.as_deref(),
            direction: call.map(|call| call.direction),
            caller: call.and_then(|call| call.caller.as_deref()),
            number: call.and_then(|call| call.number.as_deref()),
            party: call.and_then(|call| call.party.as_deref()),
            landing_page: call.and_then(|call| call.landing_page.as_deref()),
            operator: call.and_then(|call| call.operator.as_ref()),
        }
    }
}
