//! How an endpoint stands: how many attempts it is given at once, and what an answer means for the event and for it.

use std::time::Duration;

use super::schedule;
use crate::ledger::clock::Wall;
use crate::ledger::id::Name;
use crate::store::outbox::{EndpointRow, Outcome};

/// A webhook's endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    row: EndpointRow,
    in_flight: u32,
    probe_at: Option<Wall>,
}

impl Endpoint {
    /// An endpoint as it was last recorded. Another URL, or no record, begins anew.
    pub fn new(webhook: Name, url: String, known: Option<&EndpointRow>) -> Endpoint {
        let row = known
            .filter(|row| row.url == url)
            .cloned()
            .unwrap_or(EndpointRow {
                webhook,
                url,
                disabled: false,
                failures: 0,
            });
        Endpoint {
            row,
            in_flight: 0,
            probe_at: None,
        }
    }

    /// How it stands, to be kept.
    pub fn row(&self) -> &EndpointRow {
        &self.row
    }

    /// The plan gives it this URL. Another one than before is tried afresh.
    pub fn point_to(&mut self, url: &str) {
        if self.row.url != url {
            self.row.url = url.to_owned();
            self.row.disabled = false;
            self.row.failures = 0;
            self.probe_at = None;
        }
    }

    /// How many more attempts may begin now.
    pub fn room(&self, now: Wall) -> u32 {
        if self.row.disabled || self.probe_at.is_some_and(|at| now < at) {
            return 0;
        }
        let most = if self.is_failing() { 1 } else { IN_FLIGHT };
        most.saturating_sub(self.in_flight)
    }

    /// When there is room again, if that is a matter of time.
    pub fn room_at(&self) -> Option<Wall> {
        self.probe_at.filter(|_| !self.row.disabled)
    }

    /// An attempt began.
    pub fn started(&mut self) {
        self.in_flight += 1;
    }

    /// An attempt ended: with an HTTP status, or without one. `attempts` counts the event's, with this one; `random` is
    /// for the jitter. Tells what becomes of the event.
    pub fn finished(
        &mut self,
        now: Wall,
        status: Option<u16>,
        attempts: u32,
        random: u32,
    ) -> Outcome {
        self.in_flight = self.in_flight.saturating_sub(1);
        match status {
            Some(200..=299) => {
                self.row.failures = 0;
                self.probe_at = None;
                return Outcome::Delivered;
            }
            // The events wait for another URL.
            Some(410) => {
                self.row.disabled = true;
                return Outcome::Again(now);
            }
            _ => {}
        }
        self.row.failures = self.row.failures.saturating_add(1);
        self.probe_at = self.is_failing().then(|| now + PROBE_GAP);
        match schedule::delay(attempts, random) {
            Some(delay) => Outcome::Again(now + delay),
            None => Outcome::GivenUp,
        }
    }

    fn is_failing(&self) -> bool {
        self.row.failures >= FAILING
    }
}

/// The most attempts at once.
const IN_FLIGHT: u32 = 16;
/// After so many failures in a row one probe at a time is sent.
const FAILING: u32 = 5;
/// Between probes.
const PROBE_GAP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("crm".into(), "http://127.0.0.1/".to_owned(), None)
    }

    fn at(seconds: i64) -> Wall {
        Wall::from_micros(seconds * 1_000_000)
    }

    /// Events in virtual time against an endpoint that answers as told: the seconds of all attempts, by event.
    fn simulate(
        events: u32,
        until: i64,
        status: impl Fn(i64) -> Option<u16>,
    ) -> BTreeMap<u32, Vec<i64>> {
        let mut endpoint = endpoint();
        let mut due: BTreeSet<(Wall, u32)> = (0..events).map(|event| (at(0), event)).collect();
        let mut attempts: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        let mut now = at(0);
        while now < at(until) {
            let room = endpoint.room(now) as usize;
            let ready: Vec<_> = due
                .iter()
                .filter(|(at, _)| *at <= now)
                .take(room)
                .copied()
                .collect();
            for _ in &ready {
                endpoint.started();
            }
            assert!(endpoint.in_flight <= if endpoint.is_failing() { 1 } else { 16 });
            for (at, event) in &ready {
                due.remove(&(*at, *event));
                let tried = attempts.entry(*event).or_default();
                tried.push(now.as_secs());
                let made = tried.len() as u32;
                match endpoint.finished(now, status(now.as_secs()), made, 0) {
                    Outcome::Again(again) => _ = due.insert((again, *event)),
                    Outcome::Delivered | Outcome::GivenUp => {}
                }
            }
            if ready.is_empty() {
                let Some((next, _)) = due.first() else { break };
                now = (*next).max(endpoint.room_at().unwrap_or(*next)).max(now);
                if endpoint.row.disabled {
                    break;
                }
            }
        }
        attempts
    }

    #[test]
    fn one_event_is_tried_by_the_schedule() {
        let attempts = simulate(1, 1_000_000, |_| Some(500));
        let mut expected = vec![0, 5];
        for delay in [300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400] {
            expected.push(expected.last().unwrap() + delay);
        }
        assert_eq!(attempts[&0], expected);
    }

    #[test]
    fn a_failing_endpoint_is_probed_one_at_a_time_and_all_arrives_when_it_is_back() {
        let attempts = simulate(200, 100_000, |second| (second >= 3_600).then_some(200));
        let all: Vec<i64> = attempts.values().flatten().copied().collect();
        assert!(all.iter().filter(|second| **second == 0).count() <= 16);
        let mut seconds: Vec<i64> = all
            .into_iter()
            .filter(|second| (1..3_600).contains(second))
            .collect();
        seconds.sort_unstable();
        assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] >= 5));
        assert_eq!(attempts.len(), 200);
        assert!(
            attempts
                .values()
                .all(|tried| *tried.last().unwrap() >= 3_600)
        );
    }

    #[test]
    fn gone_disables_until_the_url_changes() {
        let mut endpoint = endpoint();
        endpoint.started();
        assert_eq!(
            endpoint.finished(at(1), Some(410), 1, 0),
            Outcome::Again(at(1))
        );
        assert_eq!(endpoint.room(at(1_000_000)), 0);
        assert_eq!(endpoint.room_at(), None);
        let row = endpoint.row().clone();
        let restored = Endpoint::new("crm".into(), row.url.clone(), Some(&row));
        assert_eq!(restored.room(at(2)), 0);
        endpoint.point_to(&row.url);
        assert_eq!(endpoint.room(at(2)), 0);
        endpoint.point_to("http://127.0.0.1/new");
        assert_eq!(endpoint.room(at(2)), 16);
    }

    #[test]
    fn redirects_and_errors_are_failures_and_success_clears_them() {
        let mut endpoint = endpoint();
        for status in [Some(301), Some(404), Some(500), None] {
            endpoint.started();
            assert!(matches!(
                endpoint.finished(at(0), status, 1, 0),
                Outcome::Again(_)
            ));
        }
        assert_eq!(endpoint.row().failures, 4);
        endpoint.started();
        assert_eq!(
            endpoint.finished(at(0), Some(204), 5, 0),
            Outcome::Delivered
        );
        assert_eq!(endpoint.row().failures, 0);
        endpoint.started();
        assert_eq!(endpoint.finished(at(0), None, 10, 0), Outcome::GivenUp);
    }
}
