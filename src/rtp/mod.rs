//! RTP (RFC 3550) and telephone-event (RFC 4733) as values: parse, tell apart, follow, rewrite, latch.
//!
//! No sockets, no clocks, no rings: `media` has those. [`srtp`] protects packets, [`rtcp`] reports on them, [`quality`] says
//! how that sounds.

pub mod demux;
pub mod jitter_buffer;
pub mod latch;
pub mod outgoing;
pub mod packet;
pub mod quality;
pub mod rtcp;
pub mod sequence;
pub mod srtp;
pub mod telephone_event;
