//! Verifying and decrypting what comes.

use super::stream::{LAST_INDEX, Stream, Streams};
use super::transform::{Transform, ssrc_of_rtcp, ssrc_of_rtp};
use super::{MasterKey, SrtpError};

/// Takes the protection off the packets of one direction. Made off the media threads; it allocates nothing on use.
///
/// Nothing is remembered of a packet before its tag was verified.
pub struct Unprotect {
    master: MasterKey,
    mki: Mki,
    transform: Transform,
    streams: Streams,
    /// Packets that the key may protect, and those of audio and of reports that it has.
    lifetime: u64,
    packets: u64,
    reports: u64,
}

/// The name that packets give their master key (RFC 4568 §6.1). Longer ones than this are not known to be used.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Mki {
    bytes: [u8; LONGEST_MKI],
    length: u8,
}

impl Mki {
    /// As many bytes as packets carry, none if they carry none; `None` for more than [`LONGEST_MKI`].
    pub fn new(bytes: &[u8]) -> Option<Mki> {
        let mut kept = [0; LONGEST_MKI];
        kept.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Mki {
            bytes: kept,
            length: bytes.len() as u8,
        })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

/// How near the end of its lifetime a key is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Life {
    /// There is time.
    Lasting,
    /// A new one should be asked for: it has a quarter of its packets left, or two minutes if that is less.
    Ending,
    /// It may not be used any more.
    Ended,
}

impl Unprotect {
    /// Begins with rollover counters of zero.
    pub fn new(master: &MasterKey, mki: &Mki) -> Result<Unprotect, SrtpError> {
        Ok(Unprotect {
            master: master.clone(),
            mki: *mki,
            transform: Transform::new(master).ok_or(SrtpError::UsedUp)?,
            streams: Streams::default(),
            lifetime: u64::MAX,
            packets: 0,
            reports: 0,
        })
    }

    /// The same for a key that may protect so many packets, of audio as of reports (RFC 4568 §6.1): what comes after them is
    /// refused.
    #[must_use]
    pub fn lasting(mut self, lifetime: u64) -> Unprotect {
        self.lifetime = lifetime;
        self
    }

    /// How near the end of its lifetime the key is.
    pub fn life(&self) -> Life {
        let left = self.lifetime.saturating_sub(self.packets.max(self.reports));
        if left == 0 {
            Life::Ended
        } else if left <= LAST_PACKETS.min(self.lifetime / 4) {
            Life::Ending
        } else {
            Life::Lasting
        }
    }

    /// The master key.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Goes on where the one before stopped. Under a new key counters should go on too (RFC 3711 §3.3.1), but far sides
    /// that begin again at zero are understood.
    pub fn follow(&mut self, before: &Unprotect) {
        if before.master == self.master {
            self.streams = before.streams.clone();
            (self.packets, self.reports) = (before.packets, before.reports);
        } else {
            self.streams = before.streams.rekeyed();
        }
    }

    /// Verifies and decrypts an RTP packet; its length without the protection. After an error its bytes are of no use.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let sequence = packet.get(2..).and_then(<[u8]>::first_chunk::<2>);
        let sequence = u16::from_be_bytes(*sequence.ok_or(SrtpError::Malformed)?);
        let stream = self.streams.find(ssrc_of_rtp(packet)?);
        if stream.rekeyed {
            return self.rtp_after_new_key(packet, stream, sequence);
        }
        let index = stream.rtp.estimate(sequence).ok_or(SrtpError::Replayed)?;
        self.open(packet, stream, index)
    }

    fn open(
        &mut self,
        packet: &mut [u8],
        mut stream: Stream,
        index: u64,
    ) -> Result<usize, SrtpError> {
        if index > LAST_INDEX || self.packets >= self.lifetime {
            return Err(SrtpError::UsedUp);
        }
        stream.rtp.check(index)?;
        let length = self.transform.open_rtp(packet, index, self.mki.bytes())?;
        stream.rtp.note(index);
        stream.rekeyed = false;
        self.streams.keep(stream);
        self.packets += 1;
        Ok(length)
    }

    /// The first packet of a stream under a new key: counters went on, or began again.
    fn rtp_after_new_key(
        &mut self,
        packet: &mut [u8],
        stream: Stream,
        sequence: u16,
    ) -> Result<usize, SrtpError> {
        let mut anew = stream;
        anew.rtp = Default::default();
        let Some(index) = stream.rtp.estimate(sequence) else {
            return self.open(packet, anew, u64::from(sequence));
        };
        // Opening spoils what it cannot open.
        let mut kept = [0u8; LARGEST];
        let copy = kept.get_mut(..packet.len()).ok_or(SrtpError::Malformed)?;
        copy.copy_from_slice(packet);
        self.open(packet, stream, index).or_else(|error| {
            if index == u64::from(sequence) && error == SrtpError::Forged {
                return Err(error);
            }
            packet.copy_from_slice(copy);
            self.open(packet, anew, u64::from(sequence))
        })
    }

    /// Verifies and decrypts a compound RTCP packet; its length without the protection.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        if self.reports >= self.lifetime {
            return Err(SrtpError::UsedUp);
        }
        let index = self.transform.rtcp_index(packet, self.mki.bytes())?;
        let mut stream = self.streams.find(ssrc_of_rtcp(packet)?);
        stream.rtcp.check(u64::from(index))?;
        let length = self.transform.open_rtcp(packet, index, self.mki.bytes())?;
        stream.rtcp.note(u64::from(index));
        self.streams.keep(stream);
        self.reports += 1;
        Ok(length)
    }
}

impl std::fmt::Debug for Unprotect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unprotect({:?})", self.master)
    }
}

/// Bytes of the longest name of a key.
pub const LONGEST_MKI: usize = 16;
/// Two minutes in packets of 20 ms.
const LAST_PACKETS: u64 = 6_000;
/// No datagram that is looked at is larger.
const LARGEST: usize = crate::rtp::packet::MAX_DATAGRAM + 100;
