//! The payload types that a leg uses: a number keeps its meaning through a session (RFC 3264 §8.3.2).

use super::Codec;
use crate::sdp::description::{Format, Stream};

/// One for each format, in the order of [`Format::ALL`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Numbers([u8; Format::ALL.len()]);

impl Numbers {
    /// The usual ones.
    pub(super) fn usual() -> Numbers {
        Numbers(Format::ALL.map(|format| match format {
            Format::Voice(codec) => codec.usual_payload_type(),
            Format::TelephoneEvent(8_000) => 101,
            Format::TelephoneEvent(_) => 110,
        }))
    }

    /// The number of a codec.
    pub(super) fn of(&self, codec: Codec) -> u8 {
        self.number(Format::Voice(codec))
    }

    /// The number of telephone-event at a clock rate.
    pub(super) fn event(&self, clock_rate: u32) -> u8 {
        self.number(Format::TelephoneEvent(clock_rate))
    }

    /// Takes over an offerer's numbers, so that a later offer of ours means the same by them; a number of ours that the
    /// offerer uses for something else gives way to a free one.
    pub(super) fn learn(&mut self, stream: &Stream) {
        for (place, format) in self.0.iter_mut().zip(Format::ALL) {
            let theirs = stream.known_formats().find(|&(_, known)| known == format);
            if let Some((number, _)) = theirs {
                *place = number;
            }
        }
        for (index, format) in Format::ALL.into_iter().enumerate() {
            let used = self.0;
            let Some(place) = self.0.get_mut(index) else {
                continue;
            };
            let number = *place;
            let taken = stream.map(number).is_some() || stream.lists(number);
            if taken && stream.format(number) != Some(format) {
                let free = (96..128).find(|free| {
                    !used.contains(free) && stream.map(*free).is_none() && !stream.lists(*free)
                });
                // All 32 dynamic numbers in use by one offer: keep ours, a re-offer is then as odd as the offer was.
                *place = free.unwrap_or(number);
            }
        }
    }

    fn number(&self, format: Format) -> u8 {
        let mut all = self.0.into_iter().zip(Format::ALL);
        all.find(|&(_, known)| known == format)
            .map_or(u8::MAX, |(number, _)| number)
    }
}
