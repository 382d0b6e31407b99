//! Offer/answer for one leg (RFC 3264): what we offer, what we answer, and what was agreed.

use bytes::Bytes;
use std::net::SocketAddr;

/// A voice codec of the static RTP payload types (RFC 3551).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
}

/// The direction of a stream from our point of view (RFC 8866 §6.7).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// What both sides agreed on for the audio stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Where the far side receives RTP; `None` when it gave address 0.0.0.0 or port 0.
    pub remote: Option<SocketAddr>,
    /// The codec, in both directions.
    pub codec: Codec,
    /// The payload type to send voice with (the far side's number).
    pub send_payload_type: u8,
    /// The payload type that we receive voice with (our number).
    pub receive_payload_type: u8,
    /// Payload types for telephone-event (RFC 4733) as (send, receive); `None`: not agreed.
    pub telephone_event: Option<(u8, u8)>,
    /// Milliseconds of audio per packet that the far side wants; 20 unless it said otherwise.
    pub packet_time_ms: u32,
    /// From our point of view.
    pub direction: Direction,
}

impl Agreed {
    /// Whether the far side put us on hold: it does not want to hear us (sendonly, inactive or address 0.0.0.0 on its side).
    pub fn is_held(&self) -> bool {
        self.remote.is_none() || matches!(self.direction, Direction::RecvOnly | Direction::Inactive)
    }
}

/// Why a description cannot be agreed on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SdpError {
    #[error("the session description cannot be read: {0}")]
    Malformed(String),
    #[error("the session description has no audio stream")]
    NoAudio,
    #[error("no codec in common: this PBX speaks {ours}, the far side {theirs}")]
    NoCommonCodec { ours: String, theirs: String },
    /// The answer does not match the offer (RFC 3264 §6).
    #[error("the answer does not fit our offer: {0}")]
    AnswerMismatch(String),
}

/// One leg's side of offer/answer. Our address, payload numbers and session id never change; the version counts up when what we say changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Negotiation {}

impl Negotiation {
    /// For a leg whose media we receive at `local` (the address to be written), with codecs in order of preference and a random session id (o= line).
    pub fn new(_local: SocketAddr, _codecs: &[Codec], _session_id: u64) -> Negotiation {
        todo!()
    }
    /// Our offer: first, or again unchanged (a re-INVITE without SDP asks for it).
    pub fn offer(&mut self) -> Bytes {
        todo!()
    }
    /// Answers `offer`, first or later (hold, resume, address change). The m-lines are answered in order, those that are not our audio with port 0.
    pub fn answer(&mut self, _offer: &[u8]) -> Result<(Bytes, Agreed), SdpError> {
        todo!()
    }
    /// Takes the answer to our last offer.
    pub fn accept_answer(&mut self, _answer: &[u8]) -> Result<Agreed, SdpError> {
        todo!()
    }
    /// What is agreed now.
    pub fn agreed(&self) -> Option<&Agreed> {
        todo!()
    }
}
