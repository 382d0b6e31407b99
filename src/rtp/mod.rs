//! RTP (RFC 3550) and telephone-event (RFC 4733) as values: parse, tell apart, follow, rewrite, latch.
//!
//! No sockets, no clocks, no rings: `media` has those. No RTCP yet beyond telling it from RTP, no SRTP.

pub mod demux;
pub mod jitter_buffer;
pub mod latch;
pub mod outgoing;
pub mod packet;
pub mod sequence;
pub mod telephone_event;
