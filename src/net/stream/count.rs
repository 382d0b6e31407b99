//! How many connections there are, in all and from each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// The counts and their limits. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Count(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    total: usize,
    sources: HashMap<IpAddr, usize>,
    most: usize,
    most_per_source: usize,
}

/// One connection, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    count: Count,
    source: IpAddr,
}

impl Count {
    pub(super) fn new(most: usize, most_per_source: usize) -> Count {
        Count(Arc::new(Mutex::new(Inner {
            total: 0,
            sources: HashMap::new(),
            most,
            most_per_source,
        })))
    }

    /// A place for one more connection, or why there is none.
    pub(super) fn enter(&self, source: IpAddr) -> Result<Place, &'static str> {
        let source = network(source);
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
        if let Some(here) = inner.sources.get_mut(&self.source) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                inner.sources.remove(&self.source);
            }
        }
    }
}

/// What one customer has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::from(segments)
        }
        v4 => v4,
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
    fn an_ipv6_customer_has_one_place_for_all_his_addresses() {
        let count = Count::new(9, 1);
        let _one = count.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(count.enter("2001:db8::ffff:2".parse().unwrap()).is_err());
        assert!(count.enter("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }
}
