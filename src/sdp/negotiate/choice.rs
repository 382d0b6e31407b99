//! What a far side's stream leaves to choose: a codec of ours with all that belongs to it there.

use std::net::SocketAddr;

use super::{Agreed, Codec, DEFAULT_PACKET_TIME_MS, Direction};
use crate::sdp::description::{Format, Stream};
use crate::sdp::opus_format::OpusFormat;

/// A codec found in a far side's stream, with what belongs to it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Match {
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    /// Number and clock rate.
    pub(super) event: Option<(u8, u32)>,
    pub(super) opus: Option<OpusFormat>,
    pub(super) packet_time_ms: u32,
    pub(super) max_packet_time_ms: Option<u32>,
}

impl Match {
    /// Without telephone events.
    pub(super) fn new(stream: &Stream, codec: Codec, payload_type: u8) -> Match {
        Match {
            codec,
            payload_type,
            event: None,
            opus: (codec == Codec::Opus).then(|| stream.opus_format(payload_type)),
            packet_time_ms: packet_time_ms(stream, codec),
            max_packet_time_ms: stream.max_packet_time_ms,
        }
    }

    /// What is agreed when both sides use the far side's numbers, without keys and reports.
    pub(super) fn agreed(&self, remote: Option<SocketAddr>, direction: Direction) -> Agreed {
        Agreed {
            crypto: None,
            rtcp_mux: false,
            rtcp: None,
            remote,
            codec: self.codec,
            send_payload_type: self.payload_type,
            receive_payload_type: self.payload_type,
            telephone_event: self.event.map(|(number, _)| (number, number)),
            event_clock_rate: self.event.map_or(8_000, |(_, clock_rate)| clock_rate),
            opus: self.opus,
            packet_time_ms: self.packet_time_ms,
            max_packet_time_ms: self.max_packet_time_ms,
            direction,
        }
    }
}

/// The far side's telephone-event for a codec: at the codec's clock rate (RFC 4733 §2.1), else at that of the telephone
/// network, which is what phones with Opus often have only.
pub(super) fn telephone_event(stream: &Stream, codec: Codec) -> Option<(u8, u32)> {
    let at = |wanted: u32| {
        stream
            .known_formats()
            .find(|&(_, format)| format == Format::TelephoneEvent(wanted))
            .map(|(number, _)| (number, wanted))
    };
    let usual = (codec.clock_rate() != 8_000).then_some(8_000);
    at(codec.clock_rate()).or_else(|| usual.and_then(at))
}

/// The clock rates at which telephone-event goes with these codecs, the first codec's first.
pub(super) fn event_clocks(voice: &[(Codec, u8)]) -> impl Iterator<Item = u32> {
    let has_opus = voice.iter().any(|(codec, _)| *codec == Codec::Opus);
    let first = voice.first().map(|(codec, _)| codec.clock_rate());
    let wide = has_opus.then_some(48_000);
    let (first, second) = if first == wide {
        (wide, Some(8_000))
    } else {
        (Some(8_000), wide)
    };
    first.into_iter().chain(second)
}

/// What the far side wants per packet: its ptime within its maxptime, in steps of 10 ms up to 60 ms; Opus has no 30 or 50.
fn packet_time_ms(stream: &Stream, codec: Codec) -> u32 {
    let wanted = stream.packet_time_ms.unwrap_or(DEFAULT_PACKET_TIME_MS);
    let most = stream.max_packet_time_ms.unwrap_or(u32::MAX);
    match (wanted.min(most) / 10 * 10, codec) {
        (0, _) => DEFAULT_PACKET_TIME_MS,
        (30, Codec::Opus) => 20,
        (50, Codec::Opus) => 40,
        (whole, _) => whole.min(60),
    }
}
