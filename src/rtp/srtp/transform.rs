//! Where in a packet each thing stands, for all suites: header, payload, tag, index and master key identifier.

use super::cm::Cm;
use super::derive::{Label, derive};
use super::gcm::Gcm;
use super::{MasterKey, SrtpError, Suite};

/// A master key's session keys, ready for use.
pub(super) enum Transform {
    Cm {
        rtp: Box<Cm>,
        rtcp: Box<Cm>,
        /// Bytes of the tag of RTP.
        tag: usize,
    },
    Gcm {
        rtp: Box<Gcm>,
        rtcp: Box<Gcm>,
    },
}

impl Transform {
    /// `None` cannot happen for a key that has the length of its suite.
    pub(super) fn new(master: &MasterKey) -> Option<Transform> {
        Some(match master.suite() {
            Suite::AesCm128HmacSha1Tag80 => cm(master, 10),
            Suite::AesCm128HmacSha1Tag32 => cm(master, 4),
            Suite::AeadAes128Gcm => gcm::<16>(master)?,
            Suite::AeadAes256Gcm => gcm::<32>(master)?,
        })
    }

    /// Seals the RTP packet in the first `length` bytes; the new length.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        length: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let (packet, room) = buffer
            .split_at_mut_checked(length)
            .ok_or(SrtpError::Malformed)?;
        let (header, payload) = split_rtp(packet)?;
        let ssrc = ssrc_of_rtp(header)?;
        match self {
            Transform::Cm { rtp, tag: size, .. } => {
                let target = room.get_mut(..*size).ok_or(SrtpError::NoRoom)?;
                rtp.apply(ssrc, index, payload);
                let tag = rtp.tag([packet, &roc_of(index)]);
                put(target, &tag);
                Ok(length + size)
            }
            Transform::Gcm { rtp, .. } => {
                let target = room.get_mut(..GCM_TAG).ok_or(SrtpError::NoRoom)?;
                let tag = rtp.seal(ssrc, index, [header, &[]], payload)?;
                put(target, tag.as_ref());
                Ok(length + GCM_TAG)
            }
        }
    }

    /// Opens an RTP packet; the new length. When the tag is wrong, the packet is of no use.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        index: u64,
        mki: &[u8],
    ) -> Result<usize, SrtpError> {
        match self {
            Transform::Cm { rtp, tag: size, .. } => {
                let (rest, tag) = split_end(packet, *size)?;
                let rest = without_mki(rest, mki)?;
                rtp.verify([rest, &roc_of(index)], tag)?;
                let (header, payload) = split_rtp(rest)?;
                rtp.apply(ssrc_of_rtp(header)?, index, payload);
                Ok(rest.len())
            }
            Transform::Gcm { rtp, .. } => {
                let rest = without_mki(packet, mki)?;
                let (rest, tag) = split_end(rest, GCM_TAG)?;
                let tag = (&*tag).try_into().map_err(|_| SrtpError::Malformed)?;
                let (header, payload) = split_rtp(rest)?;
                rtp.open(ssrc_of_rtp(header)?, index, [header, &[]], payload, tag)?;
                Ok(rest.len())
            }
        }
    }

    /// Seals the compound RTCP packet in the first `length` bytes; the new length.
    pub(super) fn seal_rtcp(
        &self,
        buffer: &mut [u8],
        length: usize,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let told = (ENCRYPTED | index).to_be_bytes();
        match self {
            Transform::Cm { rtcp, .. } => {
                let whole = length + INDEX + RTCP_TAG;
                let whole_packet = buffer.get_mut(..whole).ok_or(SrtpError::NoRoom)?;
                let (packet, tag) = split_end(whole_packet, RTCP_TAG)?;
                let (report, place) = split_end(packet, INDEX)?;
                put(place, &told);
                let (header, payload) = split_rtcp(report)?;
                rtcp.apply(ssrc_of_rtcp(header)?, u64::from(index), payload);
                put(tag, &rtcp.tag([packet, &[]]));
                Ok(whole)
            }
            Transform::Gcm { rtcp, .. } => {
                let whole = length + GCM_TAG + INDEX;
                let whole_packet = buffer.get_mut(..whole).ok_or(SrtpError::NoRoom)?;
                let (packet, place) = split_end(whole_packet, INDEX)?;
                put(place, &told);
                let (report, tag) = split_end(packet, GCM_TAG)?;
                let (header, payload) = split_rtcp(report)?;
                let made = rtcp.seal(
                    ssrc_of_rtcp(header)?,
                    u64::from(index),
                    [header, &told],
                    payload,
                )?;
                put(tag, made.as_ref());
                Ok(whole)
            }
        }
    }

    /// The index that an SRTCP packet tells; nothing is verified yet.
    pub(super) fn rtcp_index(&self, packet: &[u8], mki: &[u8]) -> Result<u32, SrtpError> {
        let after = match self {
            Transform::Cm { .. } => RTCP_TAG + mki.len(),
            Transform::Gcm { .. } => mki.len(),
        };
        let end = packet
            .len()
            .checked_sub(after)
            .ok_or(SrtpError::Malformed)?;
        let index = packet.get(..end).and_then(<[u8]>::last_chunk::<INDEX>);
        let told = u32::from_be_bytes(*index.ok_or(SrtpError::Malformed)?);
        // Reports in the clear were not agreed on.
        if told & ENCRYPTED == 0 {
            return Err(SrtpError::Malformed);
        }
        Ok(told & !ENCRYPTED)
    }

    /// Opens an SRTCP packet; the new length. When the tag is wrong, the packet is of no use.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        index: u32,
        mki: &[u8],
    ) -> Result<usize, SrtpError> {
        match self {
            Transform::Cm { rtcp, .. } => {
                let (rest, tag) = split_end(packet, RTCP_TAG)?;
                let rest = without_mki(rest, mki)?;
                rtcp.verify([rest, &[]], tag)?;
                let (report, _) = split_end(rest, INDEX)?;
                let (header, payload) = split_rtcp(report)?;
                rtcp.apply(ssrc_of_rtcp(header)?, u64::from(index), payload);
                Ok(report.len())
            }
            Transform::Gcm { rtcp, .. } => {
                let rest = without_mki(packet, mki)?;
                let (rest, told) = split_end(rest, INDEX)?;
                let (report, tag) = split_end(rest, GCM_TAG)?;
                let tag = (&*tag).try_into().map_err(|_| SrtpError::Malformed)?;
                let (header, payload) = split_rtcp(report)?;
                rtcp.open(
                    ssrc_of_rtcp(header)?,
                    u64::from(index),
                    [header, told],
                    payload,
                    tag,
                )?;
                Ok(report.len())
            }
        }
    }
}

fn cm(master: &MasterKey, tag: usize) -> Transform {
    Transform::Cm {
        rtp: Box::new(Cm::new(
            derive(master, Label::RtpCipher),
            derive(master, Label::RtpSalt),
            derive(master, Label::RtpTag),
        )),
        rtcp: Box::new(Cm::new(
            derive(master, Label::RtcpCipher),
            derive(master, Label::RtcpSalt),
            derive(master, Label::RtcpTag),
        )),
        tag,
    }
}

fn gcm<const KEY: usize>(master: &MasterKey) -> Option<Transform> {
    let rtp = Gcm::new(
        &derive::<KEY>(master, Label::RtpCipher),
        derive(master, Label::RtpSalt),
    )?;
    let rtcp = Gcm::new(
        &derive::<KEY>(master, Label::RtcpCipher),
        derive(master, Label::RtcpSalt),
    )?;
    Some(Transform::Gcm {
        rtp: Box::new(rtp),
        rtcp: Box::new(rtcp),
    })
}

/// Header with contributing sources and extension, and payload with padding.
fn split_rtp(packet: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    let first = *packet.first().ok_or(SrtpError::Malformed)?;
    if first >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    let mut length = RTP_HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..).and_then(<[u8]>::first_chunk::<2>);
        let words = u16::from_be_bytes(*words.ok_or(SrtpError::Malformed)?);
        length += 4 + 4 * usize::from(words);
    }
    packet
        .split_at_mut_checked(length)
        .ok_or(SrtpError::Malformed)
}

/// The first header with its SSRC, and all the rest.
fn split_rtcp(packet: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    packet
        .split_at_mut_checked(RTCP_HEADER)
        .ok_or(SrtpError::Malformed)
}

fn split_end(packet: &mut [u8], length: usize) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    let at = packet
        .len()
        .checked_sub(length)
        .ok_or(SrtpError::Malformed)?;
    packet.split_at_mut_checked(at).ok_or(SrtpError::Malformed)
}

fn without_mki<'a>(packet: &'a mut [u8], mki: &[u8]) -> Result<&'a mut [u8], SrtpError> {
    let (rest, told) = split_end(packet, mki.len())?;
    if told != mki {
        return Err(SrtpError::OtherKey);
    }
    Ok(rest)
}

/// The SSRC of an RTP header.
pub(super) fn ssrc_of_rtp(packet: &[u8]) -> Result<u32, SrtpError> {
    word_at(packet, 8)
}

/// The SSRC of the first header of a compound RTCP packet.
pub(super) fn ssrc_of_rtcp(packet: &[u8]) -> Result<u32, SrtpError> {
    word_at(packet, 4)
}

fn word_at(packet: &[u8], at: usize) -> Result<u32, SrtpError> {
    let word = packet.get(at..).and_then(<[u8]>::first_chunk::<4>);
    word.map(|word| u32::from_be_bytes(*word))
        .ok_or(SrtpError::Malformed)
}

/// The rollover counter of an index, as it is authenticated.
fn roc_of(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn put(target: &mut [u8], source: &[u8]) {
    for (to, from) in target.iter_mut().zip(source) {
        *to = *from;
    }
}

const RTP_HEADER: usize = 12;
const RTCP_HEADER: usize = 8;
const GCM_TAG: usize = 16;
/// Also where RTP has a tag of 32 bits (RFC 4568 §6.2.2).
const RTCP_TAG: usize = 10;
/// Bytes of the index of SRTCP.
const INDEX: usize = 4;
/// The flag before the index of SRTCP.
const ENCRYPTED: u32 = 1 << 31;
