//! Which transactions, sessions, subscriptions and bindings are on which flow, so that the end of one connection costs what is on it and no more.
//!
//! Only streams are filed: datagrams have nothing that closes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::SocketAddr;

use super::flow::{ConnectionId, Flow};

/// Keys by the place where they are filed; mostly one at each.
#[derive(Debug)]
pub struct Filed<P, K>(HashMap<P, Keys<K>>);

#[derive(Debug)]
enum Keys<K> {
    One(K),
    /// Never empty.
    Many(BTreeSet<K>),
}

impl<P, K> Default for Filed<P, K> {
    fn default() -> Self {
        Filed(HashMap::new())
    }
}

impl<P: Eq + Hash, K: Ord + Clone> Filed<P, K> {
    /// Files a key at a place; once is enough.
    pub fn insert(&mut self, place: P, key: K) {
        match self.0.entry(place) {
            Entry::Vacant(vacant) => {
                vacant.insert(Keys::One(key));
            }
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                Keys::One(one) if *one == key => {}
                Keys::One(one) => {
                    let both = BTreeSet::from([one.clone(), key]);
                    occupied.insert(Keys::Many(both));
                }
                Keys::Many(many) => {
                    many.insert(key);
                }
            },
        }
    }

    /// Takes a key out of a place.
    pub fn remove(&mut self, place: P, key: &K) {
        if let Entry::Occupied(mut occupied) = self.0.entry(place) {
            let is_last = match occupied.get_mut() {
                Keys::One(one) => one == key,
                Keys::Many(many) => {
                    many.remove(key);
                    many.is_empty()
                }
            };
            if is_last {
                occupied.remove();
            }
        }
    }

    /// The keys at a place, in their order.
    pub fn at(&self, place: &P) -> Vec<K> {
        match self.0.get(place) {
            None => Vec::new(),
            Some(Keys::One(one)) => vec![one.clone()],
            Some(Keys::Many(many)) => many.iter().cloned().collect(),
        }
    }

    /// Whether nothing is filed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keys by the stream that they use: a connection, or any one to an address.
#[derive(Debug)]
pub struct ByFlow<K> {
    connections: Filed<ConnectionId, K>,
    addresses: Filed<SocketAddr, K>,
}

impl<K> Default for ByFlow<K> {
    fn default() -> Self {
        ByFlow {
            connections: Filed::default(),
            addresses: Filed::default(),
        }
    }
}

impl<K: Ord + Clone> ByFlow<K> {
    /// Files a key; over UDP there is nothing to file.
    pub fn insert(&mut self, flow: &Flow, key: K) {
        if flow.connection.is_none() {
            if flow.transport.is_reliable() {
                self.addresses.insert(flow.remote, key);
            }
        } else {
            self.connections.insert(flow.connection, key);
        }
    }

    /// Takes a key out that was filed under this flow.
    pub fn remove(&mut self, flow: &Flow, key: &K) {
        if flow.connection.is_none() {
            if flow.transport.is_reliable() {
                self.addresses.remove(flow.remote, key);
            }
        } else {
            self.connections.remove(flow.connection, key);
        }
    }

    /// Those that a closed connection may cut ([`Flow::is_cut_by`] says for certain), in their order; `None`: it is no connection in particular, and all
    /// have to be asked.
    pub fn cut_by(&self, closed: &Flow) -> Option<Vec<K>> {
        if closed.connection.is_none() {
            return None;
        }
        let mut keys = self.connections.at(&closed.connection);
        if !self.addresses.is_empty() {
            keys.extend(self.addresses.at(&closed.remote));
            keys.sort_unstable();
        }
        Some(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::sip::endpoint::{ListenerId, Transport};

    fn flow(transport: usize, connection: u64, port: u16) -> Flow {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Flow {
            transport: Transport::ALL[transport],
            connection: if connection == 0 || transport == 0 {
                ConnectionId::NONE
            } else {
                ConnectionId::theirs(connection)
            },
            ..Flow::udp(ListenerId(0), address, address)
        }
    }

    proptest! {
        /// It names all that are cut, whatever was filed and taken out.
        #[test]
        fn nobody_is_forgotten(deeds in prop::collection::vec((any::<bool>(), 0usize..3, 0u64..4, 0u16..3, 0u8..6), 0..80), closed in (1usize..3, 0u64..4, 0u16..3)) {
            let (mut filed, mut model) = (ByFlow::default(), BTreeSet::new());
            for (is_new, transport, connection, port, key) in deeds {
                let place = (transport, connection, port);
                let flow = flow(transport, connection, port);
                if is_new {
                    filed.insert(&flow, (place, key));
                    model.insert((place, key));
                } else {
                    filed.remove(&flow, &(place, key));
                    model.remove(&(place, key));
                }
            }
            let closed = flow(closed.0, closed.1, closed.2);
            let is_cut = |((transport, connection, port), _): &((usize, u64, u16), u8)| flow(*transport, *connection, *port).is_cut_by(&closed);
            let expected: Vec<_> = model.into_iter().filter(is_cut).collect();
            if let Some(mut named) = filed.cut_by(&closed) {
                named.retain(is_cut);
                prop_assert_eq!(named, expected);
            } else {
                prop_assert!(closed.connection.is_none());
            }
        }
    }
}
