//! Packets of one codec cut to another length without touching their sound: octet by octet, from one law of G.711 to the other by
//! the table that a relay uses. Decoding and encoding again would not be the same: it takes µ-law's second zero for its first.

use crate::audio::g711;
use crate::sdp::codec::Codec;

/// How octets become others. On their way they are taken for samples.
#[derive(Copy, Clone, Debug)]
pub struct Octets {
    table: Option<&'static [u8; 256]>,
    silence: u8,
}

impl Octets {
    /// What leads from one codec to the other; `None` where it takes a decoder. Opus's packets cannot be cut.
    pub fn between(from: Codec, to: Codec) -> Option<Octets> {
        let table = match (from, to) {
            (Codec::Pcmu, Codec::Pcma) => Some(&g711::ULAW_TO_ALAW),
            (Codec::Pcma, Codec::Pcmu) => Some(&g711::ALAW_TO_ULAW),
            (Codec::Opus, _) => return None,
            _ if from == to => None,
            _ => return None,
        };
        let silence = match to {
            Codec::Pcmu => g711::ULAW_SILENCE,
            Codec::Pcma => g711::ALAW_SILENCE,
            Codec::G722 | Codec::Opus => G722_QUIET,
        };
        Some(Octets { table, silence })
    }

    /// Takes a payload apart: how many octets it has, as far as there is room.
    pub fn read(&self, payload: &[u8], octets: &mut [i16]) -> usize {
        for (octet, &code) in octets.iter_mut().zip(payload) {
            *octet = i16::from(match self.table {
                Some(table) => table[usize::from(code)],
                None => code,
            });
        }
        payload.len().min(octets.len())
    }

    /// Makes a payload: its length.
    pub fn write(&self, octets: &[i16], payload: &mut [u8]) -> usize {
        for (code, &octet) in payload.iter_mut().zip(octets) {
            *code = octet as u8;
        }
        octets.len().min(payload.len())
    }

    /// What fills a packet up where something is missing.
    pub fn silence(&self) -> i16 {
        self.silence.into()
    }
}

/// Octets in a second, of G.722 too.
pub const PER_SECOND: u32 = 8_000;
/// The smallest step in either band of G.722: what is heard dies away.
const G722_QUIET: u8 = 0xfa;
