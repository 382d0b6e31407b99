//! Results and causes: how a call ended, once and for all.

use serde::{Deserialize, Serialize};

/// Which way a call went.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a trunk to one of our numbers.
    Inbound,
    /// From an operator, or from us on an operator's behalf, to a trunk.
    Outbound,
    /// Between operators.
    Internal,
}

impl Direction {
    /// The word used in rows, events and recording paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
        }
    }
}

/// How a call ended. Every call has exactly one, decided when the caller's leg ends.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// A person accepted.
    Answered,
    /// Nobody accepted an inbound call. The only result that raises `call.missed`.
    Missed,
    /// A machine gave what was asked for: an echo, information, a conference.
    Served,
    /// Refused by rule: blocked, or an unknown number.
    Rejected,
    /// An outbound or internal call that no person accepted.
    NotReached,
}

/// Why the last person-seeking destination of a missed call failed.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The caller left before the first prompt had ended once.
    AbandonedGreeting,
    /// The caller left in a menu.
    AbandonedMenu,
    /// The caller left while waiting in a hunt's line, no phone ringing.
    AbandonedHunt,
    /// The caller left while a phone was ringing.
    AbandonedRinging,
    /// The hunt's wait limit passed while phones rang.
    WaitLimit,
    /// Everybody stayed busy: no phone rang for this call.
    AllBusy,
    /// No member was registered.
    NoOperators,
    /// Phones rang and nobody took the call, or everybody declined.
    NoAnswer,
    /// The menu was exhausted without a choice.
    NoChoice,
    /// The schedule was closed.
    Closed,
    /// The far side could not be reached.
    Unreachable,
    /// No codec in common.
    NoCodec,
    /// The trunk had no line free.
    TrunkCapacity,
    /// This PBX was overloaded or draining.
    Overload,
    /// The number leads straight to voicemail.
    Voicemail,
    /// A fault of ours.
    SystemError,
    /// Rejected: the number is not in the plan.
    UnknownNumber,
    /// Rejected: the caller or the destination is not allowed.
    Blocked,
}

impl Cause {
    /// What a caller who was never connected gets, as a SIP status (DESIGN.md section 5).
    pub const fn sip_status(self) -> u16 {
        match self {
            Cause::AllBusy => 486,
            Cause::WaitLimit | Cause::NoAnswer | Cause::NoOperators | Cause::Closed => 480,
            Cause::NoChoice | Cause::Voicemail | Cause::Unreachable => 480,
            Cause::UnknownNumber => 404,
            Cause::Blocked => 603,
            Cause::NoCodec => 488,
            Cause::TrunkCapacity | Cause::Overload => 503,
            Cause::SystemError => 500,
            Cause::AbandonedGreeting
            | Cause::AbandonedMenu
            | Cause::AbandonedHunt
            | Cause::AbandonedRinging => 487,
        }
    }

    /// The Q.850 cause value for the `Reason` header (RFC 3326, RFC 6432).
    pub const fn q850(self) -> u8 {
        match self {
            Cause::AllBusy => 17,
            Cause::NoAnswer | Cause::WaitLimit => 19,
            Cause::NoOperators => 20,
            Cause::UnknownNumber => 1,
            Cause::Blocked => 21,
            Cause::NoCodec => 65,
            Cause::TrunkCapacity => 34,
            Cause::Overload => 42,
            Cause::Unreachable => 27,
            Cause::SystemError => 41,
            Cause::Closed | Cause::NoChoice | Cause::Voicemail => 31,
            Cause::AbandonedGreeting
            | Cause::AbandonedMenu
            | Cause::AbandonedHunt
            | Cause::AbandonedRinging => 16,
        }
    }

    /// The sentence that goes into the `Warning` header, the log and the call's trace.
    pub const fn sentence(self) -> &'static str {
        match self {
            Cause::AbandonedGreeting => "The caller hung up before the first prompt had ended",
            Cause::AbandonedMenu => "The caller hung up in a menu",
            Cause::AbandonedHunt => "The caller hung up while waiting for a free operator",
            Cause::AbandonedRinging => "The caller hung up while a phone was ringing",
            Cause::WaitLimit => "Nobody answered within the hunt group's wait limit",
            Cause::AllBusy => "All operators are busy",
            Cause::NoOperators => "No operator is registered",
            Cause::NoAnswer => "Nobody answered",
            Cause::NoChoice => "The caller made no choice in the menu",
            Cause::Closed => "The office is closed",
            Cause::Unreachable => "The destination could not be reached",
            Cause::NoCodec => "No codec in common",
            Cause::TrunkCapacity => "All lines of the trunk are in use",
            Cause::Overload => "This PBX takes no new calls now",
            Cause::Voicemail => "The number leads to voicemail",
            Cause::SystemError => "An internal fault of this PBX ended the call",
            Cause::UnknownNumber => "The dialled number is not in the dial plan",
            Cause::Blocked => "The call is not allowed",
        }
    }
}

/// Who ended a call.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The calling side hung up.
    Caller,
    /// The operator, or the far side of an outbound call, hung up.
    Operator,
    /// The dial plan or the API ended it.
    System,
    /// The process died in the middle of it.
    Crash,
}

/// Remarks on a call.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Ended unanswered less than 5 s after arrival.
    Short,
    /// The caller has an earlier open missed call.
    RepeatOf,
}
