//! What the log says of what is journalled: a line per call, and trunks that change. It is written here because the
//! signalling task must not wait for a terminal.

use crate::ledger::call::CallRecord;
use crate::ledger::journal::Entry;
use crate::ledger::quality::LegQuality;

pub(super) fn log(entry: &Entry) {
    match entry {
        Entry::CallEnded { call, .. } => {
            tracing::info!(call_id = %call.call_id, "{}", sentence(call));
        }
        Entry::TrunkState {
            trunk,
            state,
            reason,
            ..
        } => match reason {
            Some(reason) => tracing::warn!(%trunk, "trunk {state}: {reason}"),
            None => tracing::info!(%trunk, "trunk {state}"),
        },
        Entry::OperatorState {
            operator, state, ..
        } => tracing::debug!(%operator, "operator {state}"),
        Entry::Banned(ban) => {
            tracing::warn!(address = %ban.address, until = %ban.until, "banned: {}", ban.reason);
        }
        Entry::Unbanned { address, why, .. } => {
            tracing::info!(%address, "the ban is over: {}", why.as_str());
        }
        Entry::OutboundLimit {
            operator, reason, ..
        } => tracing::warn!(%operator, "a call to the outside is refused: {reason}"),
        Entry::MediaPoor { leg, quality, .. } => {
            tracing::warn!(%leg, "a leg sounds bad: {}", sound(quality));
        }
        Entry::RecordingFailed { recording, .. } => tracing::error!(
            call_id = %recording.call_id, recording = %recording.recording_id, path = recording.path,
            "a recording cannot be kept, the call goes on: {}", recording.fault.as_deref().unwrap_or_default()
        ),
        _ => {}
    }
}

/// `MOS 3.10, 12.00 % lost, jitter 8 ms`.
fn sound(quality: &LegQuality) -> String {
    let lost = quality.loss.max(quality.loss_out.unwrap_or_default());
    let mos = quality.mos.unwrap_or_default();
    format!("MOS {mos}, {lost} % lost, jitter {} ms", quality.jitter_ms)
}

/// `inbound call from +79161234567 to +74951000001 by menu:main, hunt:sales: missed, SIP 480. No operator is registered`.
fn sentence(call: &CallRecord) -> String {
    let mut text = format!(
        "{} call from {} to {}",
        call.direction.as_str(),
        call.caller.as_deref().unwrap_or("a withheld number"),
        call.number.as_deref().unwrap_or("nobody")
    );
    if !call.path.is_empty() {
        text.push_str(&format!(" by {}", call.path.join(", ")));
    }
    let result = serde_json::to_value(call.result).unwrap_or_default();
    text.push_str(&format!(": {}", result.as_str().unwrap_or("open")));
    if let Some(operator) = &call.operator {
        text.push_str(&format!(" by {operator}"));
    }
    if let Some(talked) = call.talk_ms {
        text.push_str(&format!(", {:.1} s", talked as f64 / 1000.0));
    }
    if let Some(code) = call.sip_code {
        text.push_str(&format!(", SIP {code}"));
    }
    if let Some(cause) = call.cause {
        text.push_str(&format!(". {}", cause.sentence()));
    }
    text
}
