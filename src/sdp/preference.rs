//! Which codecs a dialled leg is offered, and in which order, so that two legs speak the same one where they can.

use super::codec::Codec;

/// What is known of the codec of the leg that the dialled one will talk with.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Other<'a> {
    /// Nothing: it offered none yet, or there is no such leg.
    Unknown,
    /// It waits for its answer, and any of these can be chosen, the first with preference.
    Open(&'a [Codec]),
    /// It speaks this one.
    Speaks(Codec),
}

/// The codecs to offer, best first: those that the other leg speaks or can still be given (packets then pass as they are),
/// then the rest in our order. Towards a leg that carries no more than a telephone's bandwidth, wide codecs are left out as
/// long as a narrow one is ours: they would cost a conversion and gain nothing. Towards a wide one, wide ones come first.
pub fn to_offer(ours: &[Codec], other: Other<'_>) -> Vec<Codec> {
    let one;
    let theirs: &[Codec] = match other {
        Other::Unknown => return ours.to_vec(),
        Other::Open(codecs) => codecs,
        Other::Speaks(codec) => {
            one = [codec];
            &one
        }
    };
    let mut offered: Vec<Codec> = theirs
        .iter()
        .copied()
        .filter(|codec| ours.contains(codec))
        .collect();
    let is_wide = theirs.iter().any(|codec| codec.is_wideband());
    let has_narrow = ours.iter().any(|codec| !codec.is_wideband());
    let mut rest: Vec<Codec> = ours
        .iter()
        .copied()
        .filter(|codec| !offered.contains(codec))
        .filter(|codec| is_wide || theirs.is_empty() || !has_narrow || !codec.is_wideband())
        .collect();
    if is_wide {
        rest.sort_by_key(|codec| !codec.is_wideband());
    }
    offered.append(&mut rest);
    offered
}

#[cfg(test)]
mod tests {
    use super::Codec::{G722, Opus, Pcma, Pcmu};
    use super::*;
    use proptest::prelude::*;

    const PHONE: [Codec; 4] = [Opus, G722, Pcma, Pcmu];
    const TRUNK: [Codec; 2] = [Pcma, Pcmu];

    #[test]
    fn what_the_other_speaks_comes_first() {
        assert_eq!(
            to_offer(&PHONE, Other::Speaks(G722)),
            [G722, Opus, Pcma, Pcmu]
        );
        assert_eq!(to_offer(&[Pcma, G722], Other::Speaks(Opus)), [G722, Pcma]);
        assert_eq!(
            to_offer(&PHONE, Other::Open(&[G722, Pcmu])),
            [G722, Pcmu, Opus, Pcma]
        );
        assert_eq!(to_offer(&TRUNK, Other::Open(&PHONE)), TRUNK);
    }

    #[test]
    fn a_wide_codec_is_not_offered_towards_a_telephone() {
        assert_eq!(to_offer(&PHONE, Other::Speaks(Pcmu)), [Pcmu, Pcma]);
        assert_eq!(to_offer(&PHONE, Other::Open(&TRUNK)), TRUNK);
        assert_eq!(to_offer(&[Opus, G722], Other::Speaks(Pcma)), [Opus, G722]);
    }

    #[test]
    fn without_knowledge_the_order_is_ours() {
        assert_eq!(to_offer(&PHONE, Other::Unknown), PHONE);
        assert_eq!(to_offer(&PHONE, Other::Open(&[])), PHONE);
    }

    proptest! {
        #[test]
        fn something_of_ours_is_offered_and_nothing_twice(
            ours in proptest::sample::subsequence(PHONE.to_vec(), 1..=4),
            theirs in proptest::sample::subsequence(PHONE.to_vec(), 0..=4),
        ) {
            let offered = to_offer(&ours, Other::Open(&theirs));
            prop_assert!(!offered.is_empty());
            for codec in &offered {
                prop_assert!(ours.contains(codec));
                prop_assert_eq!(offered.iter().filter(|other| *other == codec).count(), 1);
            }
            if let Some(shared) = theirs.iter().find(|codec| ours.contains(codec)) {
                prop_assert_eq!(offered.first(), Some(shared));
            }
        }
    }
}
