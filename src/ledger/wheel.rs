//! A wheel of timers: entering and cancelling a deadline costs the same however many there are, and one that waits costs nothing.
//!
//! Hierarchical: nine levels of 64 slots, the lowest a tick of 1.024 ms wide, each further one 64 times as wide. An entry is filed at the
//! level of the highest digit in which its tick differs from the present one, so it moves at most once a level on its way down. Ticks say only
//! where it is filed: it falls due at its microsecond, never before, and in the order of (deadline, key), which a heap would give as well.

use super::clock::Mono;

/// Deadlines with a key each. Time is what `take_due` was told last.
#[derive(Debug)]
pub struct Wheel<K> {
    nodes: Vec<Node<K>>,
    /// The first node of those that can be used again.
    free: u32,
    /// `LEVELS` times `SLOTS`, and at last what is due.
    slots: Vec<Slot>,
    /// A bit for each slot of a level that is not empty.
    occupied: [u64; LEVELS],
    /// The present tick.
    elapsed: u64,
    count: usize,
    serial: u32,
    due: Vec<u32>,
}

/// Where an entry is filed, for cancelling it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    node: u32,
    serial: u32,
}

#[derive(Debug)]
struct Node<K> {
    at: u64,
    /// `None`: it is free.
    key: Option<K>,
    serial: u32,
    slot: u32,
    before: u32,
    after: u32,
}

/// A list of nodes.
#[derive(Copy, Clone, Debug)]
struct Slot {
    first: u32,
    last: u32,
    /// No entry is earlier; exact unless the earliest was cancelled among many.
    earliest: u64,
}

impl<K> Default for Wheel<K> {
    fn default() -> Wheel<K> {
        Wheel {
            nodes: Vec::new(),
            free: NONE,
            slots: vec![Slot::EMPTY; READY + 1],
            occupied: [0; LEVELS],
            elapsed: 0,
            count: 0,
            serial: 0,
            due: Vec::new(),
        }
    }
}

impl<K: Ord> Wheel<K> {
    /// Enters a deadline; one that has passed is due at once.
    pub fn insert(&mut self, at: Mono, key: K) -> Ticket {
        self.serial = self.serial.wrapping_add(1);
        let at = at.as_micros();
        let fresh = Node {
            at,
            key: Some(key),
            serial: self.serial,
            slot: NONE,
            before: NONE,
            after: NONE,
        };
        let node = self.free;
        let node = if node == NONE {
            // Four billion entries do not fit into memory.
            let node = u32::try_from(self.nodes.len()).unwrap_or(NONE);
            self.nodes.push(fresh);
            node
        } else {
            self.free = self.node(node).after;
            *self.node_mut(node) = fresh;
            node
        };
        self.count += 1;
        self.file(node, at);
        Ticket {
            node,
            serial: self.serial,
        }
    }

    /// Takes an entry out; `None`: it is not there any more.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<K> {
        let node = self.nodes.get(ticket.node as usize)?;
        if node.serial != ticket.serial || node.key.is_none() {
            return None;
        }
        let (at, slot) = (node.at, node.slot);
        self.unlink(ticket.node);
        if self.slot(slot).earliest == at {
            self.look_again(slot);
        }
        self.release(ticket.node)
    }

    /// The earliest entry that is due at `now`, which must not be before the `now` of an earlier call.
    pub fn take_due(&mut self, now: Mono) -> Option<(Mono, K)> {
        let now = now.as_micros();
        if self.slot(READY as u32).first == NONE {
            self.advance(now);
        }
        let node = self.slot(READY as u32).first;
        if node == NONE || self.node(node).at > now {
            return None;
        }
        let at = Mono::from_micros(self.node(node).at);
        self.unlink(node);
        Some((at, self.release(node)?))
    }

    /// When something is due next. At worst too early, where the earliest of many was cancelled: `take_due` finds nothing then, and the next answer is
    /// later.
    pub fn next(&self) -> Option<Mono> {
        let ready = self.slot(READY as u32);
        if ready.first != NONE {
            return Some(Mono::from_micros(self.node(ready.first).at));
        }
        let (_, slot) = self.first_occupied()?;
        Some(Mono::from_micros(self.slot(slot).earliest))
    }

    /// Enters, moves or cancels the one deadline of an owner, who keeps its ticket.
    pub fn arm(&mut self, armed: &mut Option<Ticket>, at: Option<Mono>, key: &K)
    where
        K: Clone,
    {
        if let Some(ticket) = *armed {
            let entry = self.nodes.get(ticket.node as usize);
            let known = entry.filter(|node| node.serial == ticket.serial && node.key.is_some());
            if known.is_some_and(|node| at == Some(Mono::from_micros(node.at))) {
                return;
            }
            self.cancel(ticket);
        }
        *armed = at.map(|at| self.insert(at, key.clone()));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lowest level's first slot that is not empty: nothing anywhere is earlier.
    fn first_occupied(&self) -> Option<(usize, u32)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let place = self.occupied[level].trailing_zeros();
        Some((level, (level * SLOTS) as u32 + place))
    }

    /// Moves time on until something is ready or `now` is reached.
    fn advance(&mut self, now: u64) {
        let tick = (now >> TICK_BITS).max(self.elapsed);
        while let Some((level, slot)) = self.first_occupied() {
            let width = level * LEVEL_BITS;
            let above = self.elapsed >> width >> LEVEL_BITS << LEVEL_BITS;
            let start = (above | (u64::from(slot) % SLOTS as u64)) << width;
            if start > tick {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            if level > 0 {
                self.lower(slot);
            } else if self.slot(slot).earliest > now {
                break;
            } else {
                self.ripen(slot, now);
                if self.slot(READY as u32).first != NONE {
                    return;
                }
            }
        }
        self.elapsed = tick;
    }

    /// Files the entries of a slot anew, now that its time has come.
    fn lower(&mut self, slot: u32) {
        let mut node = self.empty(slot);
        while node != NONE {
            let Node { at, after, .. } = *self.node(node);
            self.file(node, at);
            node = after;
        }
    }

    /// Makes those entries of a slot ready that are due.
    fn ripen(&mut self, slot: u32, now: u64) {
        let mut due = std::mem::take(&mut self.due);
        let mut node = self.empty(slot);
        while node != NONE {
            let Node { at, after, .. } = *self.node(node);
            if at <= now {
                due.push(node);
            } else {
                self.link(node, slot, at);
            }
            node = after;
        }
        due.sort_unstable_by(|a, b| {
            let (a, b) = (self.node(*a), self.node(*b));
            (a.at, &a.key).cmp(&(b.at, &b.key))
        });
        for node in due.drain(..) {
            let at = self.node(node).at;
            self.link(node, READY as u32, at);
        }
        self.due = due;
    }

    /// Puts an entry where it belongs as of the present tick.
    fn file(&mut self, node: u32, at: u64) {
        let tick = (at >> TICK_BITS).max(self.elapsed);
        let differing = (tick ^ self.elapsed) | (SLOTS as u64 - 1);
        let level = (63 - differing.leading_zeros()) as usize / LEVEL_BITS;
        let place = (tick >> (level * LEVEL_BITS)) as usize % SLOTS;
        self.link(node, (level * SLOTS + place) as u32, at);
    }

    fn link(&mut self, node: u32, slot: u32, at: u64) {
        let list = self.slot_mut(slot);
        let before = list.last;
        list.last = node;
        list.earliest = list.earliest.min(at);
        if before == NONE {
            list.first = node;
            if let Some(level) = self.occupied.get_mut(slot as usize / SLOTS) {
                *level |= 1 << (slot as usize % SLOTS);
            }
        } else {
            self.node_mut(before).after = node;
        }
        let entry = self.node_mut(node);
        (entry.slot, entry.before, entry.after) = (slot, before, NONE);
    }

    fn unlink(&mut self, node: u32) {
        let Node {
            slot,
            before,
            after,
            ..
        } = *self.node(node);
        match before {
            NONE => self.slot_mut(slot).first = after,
            _ => self.node_mut(before).after = after,
        }
        match after {
            NONE => self.slot_mut(slot).last = before,
            _ => self.node_mut(after).before = before,
        }
        if self.slot(slot).first == NONE {
            self.empty(slot);
        }
    }

    /// Makes a slot empty; what was its first entry.
    fn empty(&mut self, slot: u32) -> u32 {
        let list = std::mem::replace(self.slot_mut(slot), Slot::EMPTY);
        if let Some(level) = self.occupied.get_mut(slot as usize / SLOTS) {
            *level &= !(1 << (slot as usize % SLOTS));
        }
        list.first
    }

    /// The earliest of a slot is gone: of few entries the next one is found, among many it is not worth it.
    fn look_again(&mut self, slot: u32) {
        let (mut node, mut earliest) = (self.slot(slot).first, u64::MAX);
        for _ in 0..FEW {
            if node == NONE {
                self.slot_mut(slot).earliest = earliest;
                return;
            }
            let entry = self.node(node);
            earliest = earliest.min(entry.at);
            node = entry.after;
        }
    }

    fn release(&mut self, node: u32) -> Option<K> {
        let free = self.free;
        let entry = self.node_mut(node);
        let key = entry.key.take();
        entry.after = free;
        self.free = node;
        self.count -= 1;
        if self.count == 0 && self.nodes.capacity() > MUCH {
            self.nodes = Vec::new();
            self.due = Vec::new();
            self.free = NONE;
        }
        key
    }

    // Indices below are this module's own: of nodes that were pushed and never removed while others point to them, of slots within the wheel.

    fn node(&self, node: u32) -> &Node<K> {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut Node<K> {
        &mut self.nodes[node as usize]
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}

impl Slot {
    const EMPTY: Slot = Slot {
        first: NONE,
        last: NONE,
        earliest: u64::MAX,
    };
}

/// A tick is 2^10 µs.
const TICK_BITS: usize = 10;
const LEVEL_BITS: usize = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Nine levels hold the 54 bits of a tick.
const LEVELS: usize = 9;
/// The list of what is due.
const READY: usize = LEVELS * SLOTS;
const NONE: u32 = u32::MAX;
/// So many entries are looked through for a slot's earliest.
const FEW: usize = 8;
/// Room for more than so many entries is given back when there is none.
const MUCH: usize = 1024;

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Mono {
        Mono::from_micros(micros)
    }

    #[test]
    fn nothing_is_due_before_its_microsecond() {
        let mut wheel = Wheel::default();
        for micros in [1_500, 1_501, 70_000, 5_000_000, 14_400_000_000, u64::MAX] {
            wheel.insert(at(micros), micros);
        }
        for micros in [1_500, 1_501, 70_000, 5_000_000, 14_400_000_000, u64::MAX] {
            assert_eq!(wheel.next(), Some(at(micros)));
            assert_eq!(wheel.take_due(at(micros - 1)), None);
            assert_eq!(wheel.take_due(at(micros)), Some((at(micros), micros)));
        }
        assert_eq!((wheel.next(), wheel.len()), (None, 0));
    }

    #[test]
    fn a_ticket_is_of_use_once() {
        let mut wheel = Wheel::default();
        let first = wheel.insert(at(10), 'a');
        assert_eq!(wheel.cancel(first), Some('a'));
        let second = wheel.insert(at(10), 'b');
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.take_due(at(10)), Some((at(10), 'b')));
        assert_eq!(wheel.cancel(second), None);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_owner_has_one_deadline() {
        let (mut wheel, mut armed) = (Wheel::default(), None);
        for micros in [Some(50), Some(50), Some(20), None, Some(90)] {
            wheel.arm(&mut armed, micros.map(at), &'a');
            assert_eq!(
                (wheel.next(), armed.is_some()),
                (micros.map(at), micros.is_some())
            );
        }
        assert_eq!(wheel.take_due(at(90)), Some((at(90), 'a')));
        wheel.arm(&mut armed, Some(at(90)), &'a');
        assert_eq!(wheel.len(), 1);
    }

    #[test]
    fn room_for_a_rush_is_given_back() {
        let mut wheel = Wheel::default();
        for key in 0..10_000u64 {
            wheel.insert(at(key * 777), key);
        }
        let mut seen = 0;
        while let Some((_, key)) = wheel.take_due(at(10_000_000)) {
            assert_eq!(key, seen);
            seen += 1;
        }
        assert_eq!((seen, wheel.nodes.capacity()), (10_000, 0));
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Insert(u64),
        Cancel(usize),
        Pass(u64),
        /// To the time that the wheel itself names.
        Follow,
    }

    fn span() -> impl Strategy<Value = u64> {
        (0u32..45, 0u64..1_000).prop_map(|(bits, some)| (some << bits) >> 9)
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            4 => span().prop_map(Deed::Insert),
            2 => any::<usize>().prop_map(Deed::Cancel),
            2 => span().prop_map(Deed::Pass),
            2 => Just(Deed::Follow),
        ];
        prop::collection::vec(deed, 0..300)
    }

    proptest! {
        /// The same entries fall due at the same time in the same order as from a heap.
        #[test]
        fn it_is_a_heap(deeds in deeds()) {
            let (mut wheel, mut heap) = (Wheel::default(), BinaryHeap::new());
            let (mut filed, mut cancelled) = (Vec::new(), std::collections::HashSet::new());
            let mut now = 0u64;
            for deed in deeds {
                match deed {
                    // Some of them are late already.
                    Deed::Insert(after) => {
                        let due = (now + after).saturating_sub(5_000);
                        let key = filed.len();
                        filed.push(wheel.insert(at(due), key));
                        heap.push(Reverse((due, key)));
                    }
                    Deed::Cancel(which) if !filed.is_empty() => {
                        let key = which % filed.len();
                        let there = !cancelled.contains(&key) && heap.iter().any(|Reverse((_, other))| *other == key);
                        prop_assert_eq!(wheel.cancel(filed[key]), there.then_some(key));
                        cancelled.insert(key);
                    }
                    Deed::Cancel(_) => {}
                    Deed::Pass(time) => now += time,
                    Deed::Follow => now = wheel.next().map_or(now, |next| next.as_micros().max(now)),
                }
                while let Some(&Reverse((due, key))) = heap.peek() {
                    if cancelled.contains(&key) {
                        heap.pop();
                    } else if due <= now {
                        prop_assert_eq!(wheel.take_due(at(now)), Some((at(due), key)));
                        heap.pop();
                    } else {
                        break;
                    }
                }
                prop_assert_eq!(wheel.take_due(at(now)), None);
                let earliest = heap.peek().map(|Reverse((due, _))| at(*due));
                prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                prop_assert!(wheel.next() <= earliest);
                prop_assert!(wheel.next().is_none_or(|next| next > at(now)) );
                prop_assert_eq!(wheel.is_empty(), earliest.is_none());
            }
        }

        /// Without cancelling, the next deadline is named exactly.
        #[test]
        fn next_is_exact(spans in prop::collection::vec((span(), span()), 0..100)) {
            let (mut wheel, mut heap, mut now) = (Wheel::default(), BinaryHeap::new(), 0);
            for (key, (after, pass)) in spans.into_iter().enumerate() {
                wheel.insert(at(now + after), key);
                heap.push(Reverse(now + after));
                now += pass;
                while wheel.take_due(at(now)).is_some() {
                    heap.pop();
                }
                prop_assert_eq!(wheel.next(), heap.peek().map(|Reverse(due)| at(*due)));
            }
        }
    }
}
