//! Who is banned, and until when.

use std::collections::{BTreeSet, HashMap};

use super::source::Source;
use crate::ledger::clock::Mono;

/// Bans at once; the one that ends first makes room.
const MOST: usize = 100_000;

/// Bans and when each ends.
#[derive(Debug, Default)]
pub(super) struct Bans {
    until: HashMap<Source, Mono>,
    ends: BTreeSet<(Mono, Source)>,
}

impl Bans {
    pub(super) fn holds(&self, now: Mono, source: Source) -> bool {
        // Almost always there is none.
        !self.until.is_empty() && self.until.get(&source).is_some_and(|until| *until > now)
    }

    /// The one that made room, if one had to.
    pub(super) fn add(&mut self, source: Source, until: Mono) -> Option<Source> {
        self.remove(source);
        let full = self.until.len() >= MOST;
        let first = self.ends.first().filter(|_| full).map(|(_, first)| *first);
        if let Some(first) = first {
            self.remove(first);
        }
        self.until.insert(source, until);
        self.ends.insert((until, source));
        first
    }

    /// False: there was none.
    pub(super) fn remove(&mut self, source: Source) -> bool {
        let Some(until) = self.until.remove(&source) else {
            return false;
        };
        self.ends.remove(&(until, source));
        true
    }

    /// Takes out one that is over.
    pub(super) fn take_ended(&mut self, now: Mono) -> Option<Source> {
        let &(until, source) = self.ends.first()?;
        if until > now {
            return None;
        }
        self.remove(source);
        Some(source)
    }

    pub(super) fn next_end(&self) -> Option<Mono> {
        self.ends.first().map(|(until, _)| *until)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        self.until.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_end_in_their_order() {
        let at = Mono::from_micros;
        let of = |text: &str| text.parse::<Source>().unwrap();
        let (one, two) = (of("192.0.2.1"), of("192.0.2.2"));
        let mut bans = Bans::default();
        bans.add(one, at(10));
        bans.add(two, at(5));
        bans.add(one, at(20));
        assert_eq!(bans.next_end(), Some(at(5)));
        assert!(bans.holds(at(4), two) && !bans.holds(at(5), two));
        assert_eq!(bans.take_ended(at(5)), Some(two));
        assert_eq!(bans.take_ended(at(19)), None);
        assert!(bans.holds(at(19), one));
        assert!(bans.remove(one) && !bans.remove(one));
        assert_eq!((bans.next_end(), bans.sources().count()), (None, 0));
    }
}
