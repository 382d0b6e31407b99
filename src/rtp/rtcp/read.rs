//! Reading compound packets (RFC 3550 §6.1, appendix A.2).

use super::{ReportBlock, SenderInfo};

/// One packet of a compound.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// From a participant who sends.
    SenderReport {
        /// Who.
        ssrc: u32,
        /// About itself.
        info: SenderInfo,
        /// About others.
        blocks: Blocks<'a>,
    },
    /// From a participant who only listens.
    ReceiverReport {
        /// Who.
        ssrc: u32,
        /// About others.
        blocks: Blocks<'a>,
    },
    /// Who is who.
    Description(Chunks<'a>),
    /// Sources that leave.
    Bye(Words<'a>),
    /// Something else: feedback, extended reports, an application's own.
    Other(u8),
}

/// What is wrong with a compound packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtcpError {
    #[error("shorter than a header")]
    Empty,
    #[error("not version 2")]
    Version,
    #[error("it does not begin with a report")]
    FirstPacket,
    #[error("a length does not fit")]
    Length,
    #[error("padding in the middle, or of an impossible length")]
    Padding,
}

/// Checks a whole datagram and gives its packets. What begins with something else than a report is refused: it may be
/// RTP gone astray.
pub fn compound(datagram: &[u8]) -> Result<Compound<'_>, RtcpError> {
    let mut rest = datagram;
    let mut first = true;
    while !rest.is_empty() {
        let (header, packet, after) = split(rest)?;
        if first && !matches!(header.kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::FirstPacket);
        }
        if header.padded && (first || !after.is_empty()) && !after.is_empty() {
            return Err(RtcpError::Padding);
        }
        read(header, packet)?;
        first = false;
        rest = after;
    }
    if first {
        return Err(RtcpError::Empty);
    }
    Ok(Compound(datagram))
}

/// The packets of a datagram that was checked.
#[derive(Clone, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (header, packet, after) = split(self.0).ok()?;
        self.0 = after;
        read(header, packet).ok()
    }
}

#[derive(Copy, Clone)]
struct Header {
    kind: u8,
    count: usize,
    padded: bool,
}

/// The first packet's header and body without padding, and what follows it.
fn split(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), RtcpError> {
    let (header, _) = bytes.split_first_chunk::<4>().ok_or(RtcpError::Empty)?;
    let [first, kind, high, low] = *header;
    if first >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    let (packet, after) = bytes.split_at_checked(length).ok_or(RtcpError::Length)?;
    let mut body = packet.get(4..).unwrap_or_default();
    let padded = first & 0x20 != 0;
    if padded {
        let padding = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        let end = body.len().checked_sub(padding);
        let end = end.filter(|_| padding > 0).ok_or(RtcpError::Padding)?;
        body = body.get(..end).unwrap_or_default();
    }
    let header = Header {
        kind,
        count: usize::from(first & 0x1f),
        padded,
    };
    Ok((header, body, after))
}

fn read(header: Header, body: &[u8]) -> Result<Packet<'_>, RtcpError> {
    let mut words = Words(body);
    match header.kind {
        SENDER_REPORT => {
            let ssrc = words.word()?;
            let ntp = u64::from(words.word()?) << 32 | u64::from(words.word()?);
            let info = SenderInfo {
                ntp,
                timestamp: words.word()?,
                packets: words.word()?,
                octets: words.word()?,
            };
            let blocks = blocks(words, header.count)?;
            Ok(Packet::SenderReport { ssrc, info, blocks })
        }
        RECEIVER_REPORT => {
            let ssrc = words.word()?;
            let blocks = blocks(words, header.count)?;
            Ok(Packet::ReceiverReport { ssrc, blocks })
        }
        DESCRIPTION => Ok(Packet::Description(Chunks {
            rest: body,
            left: header.count,
        })),
        BYE => {
            let sources = body.get(..4 * header.count).ok_or(RtcpError::Length)?;
            Ok(Packet::Bye(Words(sources)))
        }
        other => Ok(Packet::Other(other)),
    }
}

fn blocks(words: Words<'_>, count: usize) -> Result<Blocks<'_>, RtcpError> {
    // What a profile adds may follow.
    let bytes = words.0.get(..count * BLOCK).ok_or(RtcpError::Length)?;
    Ok(Blocks(Words(bytes)))
}

/// Words of 32 bits in a row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn word(&mut self) -> Result<u32, RtcpError> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or(RtcpError::Length)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }
}

impl Iterator for Words<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.word().ok()
    }
}

/// The blocks of a report.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Blocks<'a>(Words<'a>);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let words = &mut self.0;
        let ssrc = words.next()?;
        let losses = words.next()?;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (losses >> 24) as u8,
            // 24 bits with a sign.
            lost: (losses << 8) as i32 >> 8,
            highest: words.next()?,
            jitter: words.next()?,
            last_report: words.next()?,
            since_last_report: words.next()?,
        })
    }
}

/// The chunks of a description: each source with its canonical name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (u32, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (ssrc, items) = self.rest.split_first_chunk::<4>()?;
        let mut name = None;
        let mut at = 0;
        loop {
            match items.get(at).copied() {
                None => break,
                Some(0) => {
                    // At least one zero, up to the next word.
                    at = (at / 4 + 1) * 4;
                    break;
                }
                Some(kind) => {
                    let length = usize::from(*items.get(at + 1)?);
                    let text = items.get(at + 2..at + 2 + length)?;
                    if kind == CNAME {
                        name = name.or(Some(text));
                    }
                    at += 2 + length;
                }
            }
        }
        self.rest = items.get(at..).unwrap_or_default();
        Some((u32::from_be_bytes(*ssrc), name))
    }
}

pub(super) const SENDER_REPORT: u8 = 200;
pub(super) const RECEIVER_REPORT: u8 = 201;
pub(super) const DESCRIPTION: u8 = 202;
pub(super) const BYE: u8 = 203;
/// The item that names a source for good (RFC 3550 §6.5.1).
pub(super) const CNAME: u8 = 1;
/// Bytes of a report block.
const BLOCK: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_refusal_has_its_reason() {
        let empty_report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        assert!(compound(&empty_report).is_ok());
        assert_eq!(compound(&[]).err(), Some(RtcpError::Empty));
        assert_eq!(compound(&[0x80, 201, 0]).err(), Some(RtcpError::Empty));
        assert_eq!(compound(&[0x40, 201, 0, 0]).err(), Some(RtcpError::Version));
        assert_eq!(
            compound(&[0x80, 203, 0, 0]).err(),
            Some(RtcpError::FirstPacket)
        );
        assert_eq!(
            compound(&[0x80, 201, 0, 2, 0, 0, 0, 9]).err(),
            Some(RtcpError::Length)
        );
        assert_eq!(
            compound(&[0x81, 201, 0, 1, 0, 0, 0, 9]).err(),
            Some(RtcpError::Length)
        );
        assert_eq!(
            compound(&[0xa0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 9]).err(),
            Some(RtcpError::Padding)
        );
        let padded = [0xa0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
        assert!(compound(&padded).is_ok());
        assert_eq!(
            compound(&[&padded[..], &empty_report].concat()).err(),
            Some(RtcpError::Padding)
        );
    }

    #[test]
    fn other_packets_are_passed_over() {
        let bytes = [
            0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 205, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0x82, 203, 0, 2,
            0, 0, 0, 9, 0, 0, 0, 10,
        ];
        let packets: Vec<Packet<'_>> = compound(&bytes).unwrap().collect();
        assert!(matches!(packets[1], Packet::Other(205)));
        let Packet::Bye(sources) = packets[2] else {
            panic!()
        };
        assert_eq!(sources.collect::<Vec<_>>(), [9, 10]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0x80u8..0x90, kind in 200u8..205
        ) {
            let walk = |bytes: &[u8]| {
                if let Ok(compound) = compound(bytes) {
                    for packet in compound {
                        match packet {
                            Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                                blocks.count();
                            }
                            Packet::Description(chunks) => drop(chunks.count()),
                            Packet::Bye(words) => drop(words.count()),
                            Packet::Other(_) => {}
                        }
                    }
                }
            };
            walk(&bytes);
            // A report, then a packet whose length is right.
            let mut whole = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
            let body = bytes.len() / 4 * 4;
            whole.extend([first, kind, 0, (body / 4) as u8]);
            whole.extend(&bytes[..body]);
            walk(&whole);
        }
    }
}
