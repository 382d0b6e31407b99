//! Records for this module's tests.

use crate::ledger::call::CallRecord;
use crate::ledger::clock::Wall;
use crate::ledger::id::{CallId, RecordingId, Tenant};
use crate::ledger::journal::{RecordingKind, RecordingRecord};

/// A running inbound call.
pub fn call(id: u128, caller: Option<&str>, number: Option<&str>) -> CallRecord {
    CallRecord {
        caller: caller.map(str::to_owned),
        number: number.map(str::to_owned),
        party: caller.map(str::to_owned),
        ..CallRecord::begun(
            CallId::from_u128(id),
            Wall::from_micros(1_772_960_700_000_000),
        )
    }
}

/// A conversation that is being written to `path`.
pub fn record(path: &str) -> RecordingRecord {
    RecordingRecord {
        recording_id: RecordingId::from_u128(9),
        tenant: Tenant::default(),
        call_id: CallId::from_u128(7),
        kind: RecordingKind::Conversation,
        voicemail_box: None,
        path: path.to_owned(),
        started_at: Wall::from_micros(1_772_960_700_000_000),
        duration_ms: None,
        bytes: None,
        sha256: None,
        rate_hz: 8_000,
        segments: Vec::new(),
        pauses: Vec::new(),
        copy_due: false,
        fault: None,
    }
}

/// Samples as a file has them.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}
