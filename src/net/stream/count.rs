//! How many connections there are, in all and from each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::net::access::source::Source;

/// The counts and their limits. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Count(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    total: usize,
    sources: HashMap<Source, usize>,
    /// Of each source those whose handshakes are under way.
    unfinished: HashMap<Source, usize>,
    most: usize,
    most_per_source: usize,
}

/// One connection, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    count: Count,
    source: Source,
}

/// One handshake, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Handshake {
    count: Count,
    source: Source,
}

impl Count {
    pub(super) fn new(most: usize, most_per_source: usize) -> Count {
        Count(Arc::new(Mutex::new(Inner {
            total: 0,
            sources: HashMap::new(),
            unfinished: HashMap::new(),
            most,
            most_per_source,
        })))
    }

    /// A place for one more connection, or why there is none.
    pub(super) fn enter(&self, source: IpAddr) -> Result<Place, &'static str> {
        let source = Source::of(source);
        let mut inner = self.inner();
        if inner.total >= inner.most {
            return Err("there are too many connections; see server.connections");
        }
        let most = inner.most_per_source;
        let here = inner.sources.entry(source).or_default();
        if *here >= most {
            return Err(
                "there are too many connections from this address; see server.connections_per_source",
            );
        }
        *here += 1;
        inner.total += 1;
        drop(inner);
        Ok(Place {
            count: self.clone(),
            source,
        })
    }

    /// A handshake with this source begins; `None`: it has `most` under way.
    pub(super) fn begin(&self, source: IpAddr, most: usize) -> Option<Handshake> {
        let source = Source::of(source);
        let mut inner = self.inner();
        let here = inner.unfinished.entry(source).or_default();
        if *here >= most {
            return None;
        }
        *here += 1;
        drop(inner);
        Some(Handshake {
            count: self.clone(),
            source,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.count.inner();
        inner.total = inner.total.saturating_sub(1);
        less(&mut inner.sources, self.source);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        less(&mut self.count.inner().unfinished, self.source);
    }
}

/// One less; what is none is not kept.
fn less(counts: &mut HashMap<Source, usize>, source: Source) {
    if let Some(here) = counts.get_mut(&source) {
        *here = here.saturating_sub(1);
        if *here == 0 {
            counts.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let count = Count::new(3, 2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = count.enter(one).unwrap();
        let _second = count.enter(one).unwrap();
        assert!(count.enter(one).unwrap_err().contains("per_source"));
        let _other = count.enter("192.0.2.2".parse().unwrap()).unwrap();
        let full = count.enter("192.0.2.3".parse().unwrap()).unwrap_err();
        assert!(full.ends_with("server.connections"), "{full}");
        drop(first);
        assert!(count.enter(one).is_ok());
        assert_eq!(count.inner().total, 2);
    }

    #[test]
    fn handshakes_of_a_source_are_counted_apart() {
        let count = Count::new(9, 9);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = count.begin(one, 2).unwrap();
        let _second = count.begin(one, 2).unwrap();
        assert!(count.begin(one, 2).is_none());
        assert!(count.begin("192.0.2.2".parse().unwrap(), 2).is_some());
        drop(first);
        assert!(count.begin(one, 2).is_some());
        assert_eq!(count.inner().unfinished.len(), 1);
    }

    #[test]
    fn an_ipv6_customer_has_one_place_for_all_his_addresses() {
        let count = Count::new(9, 1);
        let _one = count.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(count.enter("2001:db8::ffff:2".parse().unwrap()).is_err());
        assert!(count.enter("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }
}
