//! The tap: what a leg receives, copied before decoding into a lock-free ring of a second's length for the recorder.

use crate::ledger::clock::Mono;
use crate::sdp::negotiate::Codec;

/// What is known of one tapped packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TapHeader {
    /// When it was received.
    pub arrival: Mono,
    /// Its RTP timestamp (8 kHz).
    pub timestamp: u32,
    /// Its SSRC: a new one re-anchors.
    pub ssrc: u32,
    /// Its codec.
    pub codec: Codec,
}

/// The media thread's end.
#[derive(Debug)]
pub struct TapWriter {}
/// The recorder's end.
#[derive(Debug)]
pub struct TapReader {}

/// A tap that holds at least one second of G.711.
pub fn tap() -> (TapWriter, TapReader) {
    todo!("media helper")
}

impl TapWriter {
    /// Copies one packet in; `false` (and counted) when the ring is full or the reader is gone. Never blocks or allocates.
    pub fn push(&mut self, _header: TapHeader, _payload: &[u8]) -> bool {
        todo!()
    }
}
impl TapReader {
    /// Takes one packet out: its payload replaces what is in `payload`.
    pub fn pop(&mut self, _payload: &mut Vec<u8>) -> Option<TapHeader> {
        todo!()
    }
    /// Packets dropped because the ring was full, so far.
    pub fn dropped(&self) -> u64 {
        todo!()
    }
    /// Whether the writer is gone (the leg was closed or detached) and the ring is empty.
    pub fn is_finished(&self) -> bool {
        todo!()
    }
}
