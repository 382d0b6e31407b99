//! The media ports: pairs of an even port for RTP and the odd one above it left for RTCP (RFC 3550 §11), given out least
//! recently used first, so that a late packet of an old call seldom meets a new one.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// The free ports.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    free: VecDeque<u16>,
    total: usize,
}

impl Ports {
    /// All pairs of the range.
    pub fn new(range: RangeInclusive<u16>) -> Ports {
        let free: VecDeque<u16> = range
            .clone()
            .filter(|port| port % 2 == 0 && port < range.end())
            .collect();
        Ports {
            total: free.len(),
            range,
            free,
        }
    }

    /// The one that rested longest.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    /// Back to rest.
    pub fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The range as an admin writes it.
    pub fn range(&self) -> &RangeInclusive<u16> {
        &self.range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_within_the_range_least_recently_used_first() {
        let mut ports = Ports::new(20_001..=20_008);
        assert_eq!(ports.total(), 3);
        assert_eq!(ports.take(), Some(20_002));
        assert_eq!(ports.take(), Some(20_004));
        ports.give_back(20_004);
        ports.give_back(20_002);
        assert_eq!(ports.take(), Some(20_006));
        assert_eq!(ports.take(), Some(20_004));
        assert_eq!(ports.take(), Some(20_002));
        assert_eq!(ports.take(), None);
        assert_eq!(Ports::new(65_534..=65_535).take(), Some(65_534));
        assert_eq!(Ports::new(7..=7).take(), None);
    }
}
