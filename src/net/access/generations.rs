//! A map of bounded size that forgets what was not touched for longest, a generation at a time, so that no insertion costs a walk.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `most` entries; of more, the older half goes.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash + Clone, V> Generations<K, V> {
    pub(super) fn new(most: usize) -> Generations<K, V> {
        Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            most,
        }
    }

    /// The entry, which is young again then.
    pub(super) fn touch(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// The entry, as old as it is.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.most / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let young = self.young.remove(key);
        self.old.remove(key).or(young)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_touched_stays_and_the_rest_is_bounded() {
        let mut map = Generations::new(100);
        map.insert(u32::MAX, 7);
        for key in 0..10_000 {
            map.insert(key, 0);
            assert_eq!(map.touch(&u32::MAX), Some(&mut 7));
            assert!(map.len() <= 101);
        }
        assert!(map.peek(&0).is_none());
        assert_eq!(map.remove(&u32::MAX), Some(7));
        assert!(map.touch(&u32::MAX).is_none());
    }

    proptest! {
        #[test]
        fn it_is_a_map_while_it_is_not_full(deeds in prop::collection::vec((0u8..4, 0u8..20, any::<u8>()), 0..200)) {
            let mut ours = Generations::new(64);
            let mut model = HashMap::new();
            for (deed, key, value) in deeds {
                match deed {
                    0 => { ours.insert(key, value); model.insert(key, value); }
                    1 => prop_assert_eq!(ours.remove(&key), model.remove(&key)),
                    2 => prop_assert_eq!(ours.touch(&key), model.get_mut(&key)),
                    _ => prop_assert_eq!(ours.peek(&key), model.get(&key)),
                }
                prop_assert_eq!(ours.is_empty(), model.is_empty());
            }
        }
    }
}
