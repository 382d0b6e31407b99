//! Protecting what is sent.

use super::stream::{LAST_INDEX, Streams};
use super::transform::{Transform, ssrc_of_rtcp, ssrc_of_rtp};
use super::{MasterKey, SrtpError};

/// Protects the packets of one direction. Made off the media threads; protecting allocates nothing.
///
/// A sequence number may come late or leave a gap, as a relay's do. It is never protected twice with one key, whatever
/// its sender does: that would give the contents of both packets away.
pub struct Protect {
    master: MasterKey,
    transform: Transform,
    streams: Streams,
    next_report: u32,
}

impl Protect {
    /// Begins with rollover counters of zero.
    pub fn new(master: &MasterKey) -> Result<Protect, SrtpError> {
        Ok(Protect {
            master: master.clone(),
            transform: Transform::new(master).ok_or(SrtpError::UsedUp)?,
            streams: Streams::default(),
            next_report: 0,
        })
    }

    /// The master key.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Goes on where the one before stopped: counters go on under a new key too (RFC 3711 §3.3.1).
    pub fn follow(&mut self, before: &Protect) {
        self.streams = before.streams.clone();
        self.next_report = before.next_report;
    }

    /// Protects the RTP packet in the first `length` bytes of `buffer`, which has [`super::OVERHEAD`] more; the new
    /// length. After an error nothing may be sent.
    pub fn rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let packet = buffer.get(..length).ok_or(SrtpError::Malformed)?;
        let sequence = packet.get(2..).and_then(<[u8]>::first_chunk::<2>);
        let sequence = u16::from_be_bytes(*sequence.ok_or(SrtpError::Malformed)?);
        let mut stream = self.streams.find(ssrc_of_rtp(packet)?);
        let index = stream.rtp.estimate(sequence).ok_or(SrtpError::Replayed)?;
        if index > LAST_INDEX {
            return Err(SrtpError::UsedUp);
        }
        stream.rtp.check(index)?;
        let sealed = self.transform.seal_rtp(buffer, length, index)?;
        stream.rtp.note(index);
        self.streams.keep(stream);
        Ok(sealed)
    }

    /// The same for a compound RTCP packet.
    pub fn rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let index = self.next_report;
        if index > LAST_REPORT {
            return Err(SrtpError::UsedUp);
        }
        let packet = buffer.get(..length).ok_or(SrtpError::Malformed)?;
        ssrc_of_rtcp(packet)?;
        let sealed = self.transform.seal_rtcp(buffer, length, index)?;
        self.next_report += 1;
        Ok(sealed)
    }
}

impl std::fmt::Debug for Protect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Protect({:?})", self.master)
    }
}

/// The index of SRTCP has 31 bits.
const LAST_REPORT: u32 = (1 << 31) - 1;
