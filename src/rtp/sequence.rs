//! Extended sequence numbers (RFC 3550 §A.1): following a 16-bit counter through wraps, losses and reordering.

/// Follows the sequence numbers of one stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceTracker {
    /// The highest number seen, extended by the count of wraps. Starts above zero so that late packets have room.
    highest: u64,
    /// What was first in this run.
    first: u64,
}

/// How a packet's number stands to those before it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ahead of all so far; `lost` numbers were passed over.
    Ahead {
        /// Its extended number.
        extended: u64,
        /// How many between it and the highest before.
        lost: u16,
    },
    /// Not ahead: reordered, or a duplicate.
    Late {
        /// Its extended number.
        extended: u64,
    },
    /// Too far away to be of the same run: the source began anew.
    Jump,
}

impl SequenceTracker {
    /// Starts at the first packet's number.
    pub fn new(first: u16) -> SequenceTracker {
        let highest = CYCLE + u64::from(first);
        SequenceTracker {
            highest,
            first: highest,
        }
    }

    /// Takes the next packet's number. A `Jump` changes nothing: the caller starts a new tracker if he believes it.
    pub fn follow(&mut self, sequence: u16) -> Step {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead == 0 {
            Step::Late {
                extended: self.highest,
            }
        } else if ahead <= MAX_DROPOUT {
            self.highest += u64::from(ahead);
            Step::Ahead {
                extended: self.highest,
                lost: ahead - 1,
            }
        } else if ahead > u16::MAX - MAX_MISORDER {
            Step::Late {
                extended: self.highest - u64::from(ahead.wrapping_neg()),
            }
        } else {
            Step::Jump
        }
    }

    /// The highest extended number so far.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The extended number that the run began with.
    pub fn first(&self) -> u64 {
        self.first
    }
}

/// One turn of the 16-bit counter.
const CYCLE: u64 = 1 << 16;
/// A gap up to this is loss (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3000;
/// A step back up to this is reordering (RFC 3550 §A.1).
const MAX_MISORDER: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wraps_losses_and_reordering() {
        let mut tracker = SequenceTracker::new(65_534);
        let base = tracker.highest();
        let ahead = |n, lost| Step::Ahead {
            extended: base + n,
            lost,
        };
        assert_eq!(tracker.follow(65_535), ahead(1, 0));
        assert_eq!(tracker.follow(1), ahead(3, 1));
        assert_eq!(tracker.follow(0), Step::Late { extended: base + 2 });
        assert_eq!(tracker.follow(1), Step::Late { extended: base + 3 });
        assert_eq!(tracker.follow(2), ahead(4, 0));
        assert_eq!(tracker.follow(30_000), Step::Jump);
        assert_eq!(tracker.follow(3), ahead(5, 0));
    }

    proptest! {
        #[test]
        fn the_extended_number_is_that_of_the_sender(
            start: u16, steps in proptest::collection::vec(0u64..1000, 1..300)
        ) {
            let mut tracker = SequenceTracker::new(start);
            let base = tracker.highest();
            let mut sent = 0u64;
            for step in steps {
                sent += step + 1;
                let step = tracker.follow((u64::from(start) + sent) as u16);
                let is_right = matches!(step, Step::Ahead { extended, .. } if extended == base + sent);
                prop_assert!(is_right);
            }
        }
    }
}
