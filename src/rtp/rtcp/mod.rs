//! RTCP (RFC 3550 §6, profile RFC 3551): reports read and written, what they say computed, when they are sent.
//!
//! [`Session`] is one leg's whole part in it; [`read`] and [`write`] are the packets, [`reception`] the statistics of what
//! comes in. Feedback messages (RFC 4585) and extended reports (RFC 3611) are passed over.

pub mod interval;
pub mod read;
pub mod reception;
pub mod session;
pub mod write;

pub use self::read::{Packet, RtcpError};
pub use self::session::Session;

/// What a receiver says about one source (RFC 3550 §6.4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// The source that it is about.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths of what was expected.
    pub fraction_lost: u8,
    /// Lost since the beginning; negative when duplicates outnumber losses. 24 bits.
    pub lost: i32,
    /// The highest sequence number received, extended.
    pub highest: u32,
    /// Interarrival jitter in the clock rate's units.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time; zero: none came.
    pub last_report: u32,
    /// Since that report came, in 65,536ths of a second.
    pub since_last_report: u32,
}

/// What a sender says about itself (RFC 3550 §6.4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// Its wall clock as NTP time: seconds since 1900 and 2^-32 of a second.
    pub ntp: u64,
    /// The same moment in its RTP timestamps.
    pub timestamp: u32,
    /// Packets that it sent.
    pub packets: u32,
    /// Octets of their payloads.
    pub octets: u32,
}
