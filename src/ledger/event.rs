//! Events as the outside sees them: CloudEvents 1.0 types and the envelope.

use serde::{Deserialize, Serialize};

use super::clock::Wall;
use super::id::EventId;

/// The types of events, by the names of DESIGN.md section 4.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum EventType {
    /// A call arrived or was placed.
    #[serde(rename = "call.started")]
    CallStarted,
    /// The first person accepted.
    #[serde(rename = "call.answered")]
    CallAnswered,
    /// A call ended; exactly one each.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// An inbound call was missed; exactly one each, in the same transaction as `call.ended`.
    #[serde(rename = "call.missed")]
    CallMissed,
    /// A caller with open missed calls was reached.
    #[serde(rename = "call.recovered")]
    CallRecovered,
    /// A recording is complete on disk, in the file that stays.
    #[serde(rename = "recording.ready")]
    RecordingReady,
    /// A caller left a message.
    #[serde(rename = "voicemail.left")]
    VoicemailLeft,
    /// An operator's state changed.
    #[serde(rename = "operator.state")]
    OperatorState,
    /// A trunk's state changed.
    #[serde(rename = "trunk.state")]
    TrunkState,
    /// A new dial plan is in force.
    #[serde(rename = "config.reloaded")]
    ConfigReloaded,
    /// A source was banned.
    #[serde(rename = "security.banned")]
    SecurityBanned,
    /// An operator was refused a call to the outside because a limit is reached.
    #[serde(rename = "security.outbound_limit")]
    SecurityOutboundLimit,
    /// A leg has been bad for a while.
    #[serde(rename = "media.quality")]
    MediaQuality,
    /// A ban is over.
    #[serde(rename = "security.unbanned")]
    SecurityUnbanned,
    /// A recording cannot be kept: the disk is full, or fails.
    #[serde(rename = "recording.failed")]
    RecordingFailed,
}

impl EventType {
    /// All types, in the contract's order.
    pub const ALL: [EventType; 15] = [
        EventType::CallStarted,
        EventType::CallAnswered,
        EventType::CallEnded,
        EventType::CallMissed,
        EventType::CallRecovered,
        EventType::RecordingReady,
        EventType::VoicemailLeft,
        EventType::OperatorState,
        EventType::TrunkState,
        EventType::ConfigReloaded,
        EventType::SecurityBanned,
        EventType::SecurityOutboundLimit,
        EventType::MediaQuality,
        EventType::SecurityUnbanned,
        EventType::RecordingFailed,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventType::CallStarted => "call.started",
            EventType::CallAnswered => "call.answered",
            EventType::CallEnded => "call.ended",
            EventType::CallMissed => "call.missed",
            EventType::CallRecovered => "call.recovered",
            EventType::RecordingReady => "recording.ready",
            EventType::VoicemailLeft => "voicemail.left",
            EventType::OperatorState => "operator.state",
            EventType::TrunkState => "trunk.state",
            EventType::ConfigReloaded => "config.reloaded",
            EventType::SecurityBanned => "security.banned",
            EventType::SecurityOutboundLimit => "security.outbound_limit",
            EventType::MediaQuality => "media.quality",
            EventType::SecurityUnbanned => "security.unbanned",
            EventType::RecordingFailed => "recording.failed",
        }
    }

    /// The type with this name.
    pub fn parse(name: &str) -> Option<EventType> {
        EventType::ALL
            .into_iter()
            .find(|event| event.as_str() == name)
    }
}

/// A CloudEvents 1.0 envelope. Serialised, it is the body of a webhook.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// The event's id, also its `webhook-id`.
    pub id: EventId,
    /// What it is about, as a URI reference: `/tenants/default`.
    pub source: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When it happened.
    pub time: Wall,
    /// `application/json`.
    pub datacontenttype: String,
    /// The payload.
    pub data: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_serde_agree() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(EventType::parse(kind.as_str()), Some(kind));
        }
    }
}
