//! A prompt or a piece of music, decoded once at load and kept as G.711 so that playing it is a copy.

use std::sync::Arc;

use super::g711;

/// Sound at 8 kHz, ready to be sent as PCMU or PCMA. Immutable and shared.
#[derive(PartialEq, Eq)]
pub struct Clip {
    /// Where it came from, for messages to people.
    name: String,
    pcmu: Vec<u8>,
    pcma: Vec<u8>,
}

impl Clip {
    /// Encodes 16-bit samples at 8 kHz.
    pub fn from_samples(name: impl Into<String>, samples: &[i16]) -> Arc<Clip> {
        Arc::new(Clip {
            name: name.into(),
            pcmu: samples
                .iter()
                .map(|&sample| g711::ulaw_encode(sample))
                .collect(),
            pcma: samples
                .iter()
                .map(|&sample| g711::alaw_encode(sample))
                .collect(),
        })
    }

    /// Where it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its µ-law bytes, one per sample at 8 kHz.
    pub fn pcmu(&self) -> &[u8] {
        &self.pcmu
    }

    /// Its A-law bytes, one per sample at 8 kHz.
    pub fn pcma(&self) -> &[u8] {
        &self.pcma
    }

    /// Its length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.pcmu.len() as u64 / 8
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({} {} ms)", self.name, self.duration_ms())
    }
}
