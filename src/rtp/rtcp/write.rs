//! Writing compound packets (RFC 3550 §6.1): a report, then who it is from, then perhaps the farewell.

use super::read::{BYE, CNAME, DESCRIPTION, RECEIVER_REPORT, SENDER_REPORT};
use super::{ReportBlock, SenderInfo};

/// What goes into a compound packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Report<'a> {
    /// Whose it is.
    pub ssrc: u32,
    /// About itself, if it sent lately.
    pub info: Option<SenderInfo>,
    /// About the source that it hears.
    pub block: Option<ReportBlock>,
    /// Its canonical name.
    pub cname: &'a [u8],
    /// Whether it leaves.
    pub bye: bool,
}

impl Report<'_> {
    /// Writes it to the front of `target`; its length, or `None` when it does not fit.
    pub fn write(&self, target: &mut [u8]) -> Option<usize> {
        let mut out = Out { target, length: 0 };
        let blocks = u8::from(self.block.is_some());
        let kind = match self.info {
            Some(_) => SENDER_REPORT,
            None => RECEIVER_REPORT,
        };
        let start = out.begin(blocks, kind, self.ssrc)?;
        if let Some(info) = self.info {
            out.bytes(&info.ntp.to_be_bytes())?;
            out.words(&[info.timestamp, info.packets, info.octets])?;
        }
        if let Some(block) = self.block {
            let losses = u32::from(block.fraction_lost) << 24 | (block.lost as u32 & 0x00ff_ffff);
            out.words(&[
                block.ssrc,
                losses,
                block.highest,
                block.jitter,
                block.last_report,
                block.since_last_report,
            ])?;
        }
        out.end(start)?;

        let start = out.begin(1, DESCRIPTION, self.ssrc)?;
        let name = self.cname.get(..255).unwrap_or(self.cname);
        out.bytes(&[CNAME, name.len() as u8])?;
        out.bytes(name)?;
        // The list of items ends with a zero at least.
        out.bytes(&[0])?;
        while !out.length.is_multiple_of(4) {
            out.bytes(&[0])?;
        }
        out.end(start)?;

        if self.bye {
            let start = out.begin(1, BYE, self.ssrc)?;
            out.end(start)?;
        }
        Some(out.length)
    }
}

struct Out<'a> {
    target: &'a mut [u8],
    length: usize,
}

impl Out<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.target
            .get_mut(self.length..end)?
            .copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    fn words(&mut self, words: &[u32]) -> Option<()> {
        words
            .iter()
            .try_for_each(|word| self.bytes(&word.to_be_bytes()))
    }

    /// A packet's header with its first word; gives where it begins.
    fn begin(&mut self, count: u8, kind: u8, ssrc: u32) -> Option<usize> {
        let start = self.length;
        self.bytes(&[0x80 | count, kind, 0, 0])?;
        self.words(&[ssrc])?;
        Some(start)
    }

    /// Writes the length of the packet that began there.
    fn end(&mut self, start: usize) -> Option<()> {
        let words = ((self.length - start) / 4 - 1) as u16;
        let place = self.target.get_mut(start + 2..start + 4)?;
        place.copy_from_slice(&words.to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::{Packet, compound};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            sends: bool, hears: bool, bye: bool, name in "[a-z0-9]{0,40}", lost in -8_388_608i32..8_388_607, words: [u32; 8]
        ) {
            let info = sends.then_some(SenderInfo {
                ntp: u64::from(words[0]) << 32 | u64::from(words[1]),
                timestamp: words[2], packets: words[3], octets: words[4],
            });
            let block = hears.then_some(ReportBlock {
                ssrc: words[5], fraction_lost: words[6] as u8, lost, highest: words[7],
                jitter: words[0], last_report: words[1], since_last_report: words[2],
            });
            let report = Report { ssrc: words[6], info, block, cname: name.as_bytes(), bye };
            let mut bytes = [0u8; 200];
            let length = report.write(&mut bytes).unwrap();
            prop_assert_eq!(length % 4, 0);
            for short in 0..length {
                prop_assert_eq!(report.write(&mut { bytes }[..short]), None);
            }
            let mut packets = compound(&bytes[..length]).unwrap();
            let blocks = match packets.next().unwrap() {
                Packet::SenderReport { ssrc, info: read, blocks } => {
                    prop_assert_eq!((ssrc, Some(read)), (words[6], info));
                    blocks
                }
                Packet::ReceiverReport { ssrc, blocks } => {
                    prop_assert_eq!((ssrc, info), (words[6], None));
                    blocks
                }
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(blocks.collect::<Vec<_>>(), block.into_iter().collect::<Vec<_>>());
            let Some(Packet::Description(mut chunks)) = packets.next() else { panic!() };
            prop_assert_eq!(chunks.next(), Some((words[6], Some(name.as_bytes()))));
            prop_assert_eq!(chunks.next(), None);
            let left = matches!(packets.next(), Some(Packet::Bye(_)));
            prop_assert_eq!(left, bye);
        }
    }
}
