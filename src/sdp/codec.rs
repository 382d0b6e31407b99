//! The voice codecs that are spoken, by their names, numbers and rates in session descriptions (RFC 3551 §6, RFC 7587).

use std::fmt;

/// A voice codec.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9: 16 kHz sound under a clock of 8 kHz (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716, RFC 7587): a dynamic payload type and a clock of 48 kHz whatever the sound's bandwidth.
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

    /// What a trunk speaks unless its configuration says otherwise, in order of preference.
    pub const TELEPHONE: [Codec; 2] = [Codec::Pcma, Codec::Pcmu];

    /// What an operator's phone is offered unless its configuration says otherwise, in order of preference.
    pub const PHONE: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];

    /// Its static payload type (RFC 3551 §6), if it has one.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// The payload type that it is offered with: the static one, else a dynamic one that is usual for it.
    pub const fn usual_payload_type(self) -> u8 {
        match self.static_payload_type() {
            Some(number) => number,
            None => 111,
        }
    }

    /// The codec of a static payload type.
    pub const fn of_static(payload_type: u8) -> Option<Codec> {
        match payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            9 => Some(Codec::G722),
            _ => None,
        }
    }

    /// Its encoding name in `a=rtpmap`.
    pub const fn encoding(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The rate of its RTP timestamps in hertz. For G.722 it is not the sample rate.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// The rate of the sound that it carries at best, in hertz.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
        }
    }

    /// Whether it carries more than a telephone's 3.4 kHz.
    pub const fn is_wideband(self) -> bool {
        self.sample_rate() > 8_000
    }

    /// Channels in its `a=rtpmap` when they are more than one: always written as two for Opus (RFC 7587 §7).
    pub const fn map_channels(self) -> Option<u8> {
        match self {
            Codec::Opus => Some(2),
            Codec::Pcmu | Codec::Pcma | Codec::G722 => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encoding())
    }
}
