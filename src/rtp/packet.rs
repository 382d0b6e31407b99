//! One RTP packet (RFC 3550 §5.1), parsed and built by `rtp-rs`.
//!
//! Header extension, contributing sources and padding of what comes in are understood and left behind: what goes out
//! is a new stream of ours that has none of them.

use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

use super::demux::{self, Kind};

/// A packet's header fields that matter here, and its payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// 0 to 127.
    pub payload_type: u8,
    /// First packet of a talkspurt, or of a telephone event.
    pub marker: bool,
    /// Counts packets.
    pub sequence: u16,
    /// Counts samples.
    pub timestamp: u32,
    /// The stream it belongs to.
    pub ssrc: u32,
    /// Without padding.
    pub payload: &'a [u8],
}

/// Why a datagram is no RTP packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    #[error("not RTP but {0:?}")]
    NotRtp(Kind),
    #[error("shorter than its header says")]
    Truncated,
    #[error("impossible padding")]
    Padding,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        match demux::classify(datagram) {
            Kind::Rtp => {}
            other => return Err(PacketError::NotRtp(other)),
        }
        let reader = RtpReader::new(datagram).map_err(|error| match error {
            RtpReaderError::PaddingLengthInvalid(_) => PacketError::Padding,
            RtpReaderError::UnsupportedVersion(_) => PacketError::NotRtp(Kind::Other),
            _ => PacketError::Truncated,
        })?;
        Ok(Packet {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            payload: reader.payload(),
        })
    }

    /// Writes the packet to the front of `target`; its length, or `None` when it does not fit. Does not allocate.
    pub fn write_into(&self, target: &mut [u8]) -> Option<usize> {
        RtpPacketBuilder::new()
            .payload_type(self.payload_type & 0x7f)
            .marked(self.marker)
            .sequence(Seq::from(self.sequence))
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(self.payload)
            .build_into(target)
            .ok()
    }
}

/// The largest datagram that is looked at: an Ethernet frame's worth.
pub const MAX_DATAGRAM: usize = 1500;
/// The length of a header without extension and contributing sources.
pub const HEADER: usize = RtpReader::MIN_HEADER_LEN;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn extension_sources_and_padding_are_left_behind() {
        let mut datagram = vec![0x80 | 0x20 | 0x10 | 2, 0x80 | 8];
        datagram.extend(7u16.to_be_bytes());
        datagram.extend(1600u32.to_be_bytes());
        datagram.extend(0xdead_beefu32.to_be_bytes());
        datagram.extend([0; 8]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        datagram.extend([0xd5; 160]);
        datagram.extend([0, 0, 0, 4]);
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!(packet.payload, &[0xd5; 160]);
        assert!(packet.marker);
        assert_eq!(
            (packet.payload_type, packet.sequence, packet.timestamp),
            (8, 7, 1600)
        );
        let mut out = [0; MAX_DATAGRAM];
        assert_eq!(packet.write_into(&mut out), Some(HEADER + 160));
        assert_eq!(Packet::parse(&out[..HEADER + 160]), Ok(packet));
        assert_eq!(packet.write_into(&mut [0; 100]), None);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let mut packet = [0u8; 12];
        packet[0] = 0x80;
        assert!(Packet::parse(&packet).is_ok());
        assert_eq!(Packet::parse(&packet[..11]), Err(PacketError::Truncated));
        packet[0] = 0xa0;
        assert_eq!(Packet::parse(&packet), Err(PacketError::Truncated));
        packet[0] = 0x8f;
        assert_eq!(Packet::parse(&packet), Err(PacketError::Truncated));
        packet[0] = 0x90;
        assert_eq!(Packet::parse(&packet), Err(PacketError::Truncated));
        packet[..2].copy_from_slice(&[0x80, 200]);
        assert_eq!(Packet::parse(&packet), Err(PacketError::NotRtp(Kind::Rtcp)));
        let mut padded = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200];
        assert_eq!(Packet::parse(&padded), Err(PacketError::Padding));
        padded[12] = 1;
        assert_eq!(Packet::parse(&padded).unwrap().payload, b"");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::parse(&bytes);
            let mut rtp = bytes;
            if let Some(first) = rtp.first_mut() {
                *first = (*first & 0x3f) | 0x80;
            }
            let _ = Packet::parse(&rtp);
        }

        #[test]
        fn what_is_written_is_read_back(
            payload_type in 0u8..64, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..400)
        ) {
            let packet = Packet { payload_type, marker, sequence, timestamp, ssrc, payload: &payload };
            let mut out = [0; MAX_DATAGRAM];
            let length = packet.write_into(&mut out).unwrap();
            prop_assert_eq!(Packet::parse(&out[..length]), Ok(packet));
        }
    }
}
