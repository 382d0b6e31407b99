//! The plan as a graph: where a call can go next from each destination, circles without any wait in them, and the longest wait of chained hunts.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::plan::{Destination, Plan};

/// A way from one destination to the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// Where it leads.
    pub to: Destination,
    /// When it is taken, in a few words: `key 1`, `nobody answered`.
    pub when: String,
    /// Whether it can be taken the moment the call gets there, without a sound, a key or a ring.
    pub at_once: bool,
}

/// The destinations that the plan has, in the order of their kinds and names.
pub fn destinations(plan: &Plan) -> Vec<Destination> {
    let mut all = Vec::new();
    all.extend(plan.menus.keys().cloned().map(Destination::Menu));
    all.extend(plan.hunts.keys().cloned().map(Destination::Hunt));
    all.extend(plan.operators.keys().cloned().map(Destination::Operator));
    all.extend(plan.forwards.keys().cloned().map(Destination::Forward));
    all.extend(plan.voicemails.keys().cloned().map(Destination::Voicemail));
    all.extend(
        plan.announcements
            .keys()
            .cloned()
            .map(Destination::Announcement),
    );
    all.extend(plan.schedules.keys().cloned().map(Destination::Schedule));
    all.extend(
        plan.conferences
            .keys()
            .cloned()
            .map(Destination::Conference),
    );
    all
}

/// Where a call can go next from a destination.
pub fn ways(plan: &Plan, from: &Destination) -> Vec<Way> {
    let way = |to: &Destination, when: &str, at_once: bool| Way {
        to: to.clone(),
        when: when.to_owned(),
        at_once,
    };
    let found = match from {
        Destination::Menu(name) => plan.menus.get(name).map(|menu| {
            let keys = menu
                .keys
                .iter()
                .map(|(key, to)| way(to, &format!("key {key}"), false));
            keys.chain([way(&menu.otherwise, "no choice", false)])
                .collect()
        }),
        Destination::Hunt(name) => plan.hunts.get(name).map(|hunt| {
            // With nobody registered, or everybody declining, a hunt passes the call on at once.
            let nobody = hunt.when_nobody.as_ref().unwrap_or(&hunt.otherwise);
            vec![
                way(nobody, "nobody registered", true),
                way(&hunt.otherwise, "nobody answered", true),
            ]
        }),
        Destination::Operator(name) => plan
            .operators
            .get(name)
            .map(|operator| vec![way(&operator.otherwise, "not to be had", true)]),
        Destination::Forward(name) => plan.forwards.get(name).map(|forward| {
            let otherwise = forward.otherwise.iter();
            otherwise.map(|to| way(to, "not taken", true)).collect()
        }),
        Destination::Announcement(name) => plan.announcements.get(name).map(|announcement| {
            let silent = announcement.prompt.duration_ms() == 0;
            vec![way(&announcement.then, "after the prompt", silent)]
        }),
        Destination::Schedule(name) => plan.schedules.get(name).map(|schedule| {
            vec![
                way(&schedule.when_open, "open", true),
                way(&schedule.when_closed, "closed", true),
            ]
        }),
        Destination::Voicemail(_)
        | Destination::Conference(_)
        | Destination::Echo
        | Destination::Hangup => None,
    };
    found.unwrap_or_default()
}

/// Circles that a call could run in without any wait, each once, as the destinations passed.
pub fn circles(plan: &Plan) -> Vec<Vec<Destination>> {
    let mut search = Search {
        plan,
        path: Vec::new(),
        on_path: HashSet::new(),
        done: HashSet::new(),
        found: Vec::new(),
    };
    for start in destinations(plan) {
        search.visit(start);
    }
    search.found
}

/// Depth first, with its own stack: a plan may be thousands of destinations deep.
struct Search<'a> {
    plan: &'a Plan,
    /// Destinations on the way here, each with the ways not yet tried.
    path: Vec<(Destination, Vec<Destination>)>,
    on_path: HashSet<Destination>,
    done: HashSet<Destination>,
    found: Vec<Vec<Destination>>,
}

impl Search<'_> {
    fn visit(&mut self, start: Destination) {
        self.enter(start);
        while let Some((_, left)) = self.path.last_mut() {
            match left.pop() {
                Some(next) if self.on_path.contains(&next) => self.report(&next),
                Some(next) => self.enter(next),
                None => {
                    if let Some((done, _)) = self.path.pop() {
                        self.on_path.remove(&done);
                        self.done.insert(done);
                    }
                }
            }
        }
    }

    fn enter(&mut self, destination: Destination) {
        if self.done.contains(&destination) {
            return;
        }
        let mut left: Vec<Destination> = ways(self.plan, &destination)
            .into_iter()
            .filter(|way| way.at_once)
            .map(|way| way.to)
            .collect();
        left.dedup();
        self.on_path.insert(destination.clone());
        self.path.push((destination, left));
    }

    fn report(&mut self, back_to: &Destination) {
        let circle: Vec<Destination> = self
            .path
            .iter()
            .map(|(destination, _)| destination)
            .skip_while(|destination| *destination != back_to)
            .cloned()
            .collect();
        self.found.push(circle);
    }
}

/// The longest time that a caller can wait in hunts that follow one another without a choice of his own in between, from this hunt on, and the hunts.
/// A circle is followed once.
pub fn longest_wait(plan: &Plan, from: &Destination) -> (Duration, Vec<Destination>) {
    longest(plan, from, &mut HashMap::new(), 0)
}

fn longest(
    plan: &Plan,
    from: &Destination,
    known: &mut HashMap<Destination, (Duration, Vec<Destination>)>,
    depth: usize,
) -> (Duration, Vec<Destination>) {
    if let Some(known) = known.get(from) {
        return known.clone();
    }
    let here = match from {
        Destination::Hunt(name) => plan.hunts.get(name).map(|hunt| hunt.wait),
        _ => None,
    };
    if matches!(from, Destination::Menu(_)) || depth >= DEEPEST {
        return (Duration::ZERO, Vec::new());
    }
    // While it is being worked out, a way back here adds nothing.
    known.insert(from.clone(), (Duration::ZERO, Vec::new()));
    let (wait, mut hunts) = ways(plan, from)
        .into_iter()
        // A hunt that nobody is registered in costs no wait.
        .filter(|way| here.is_none() || way.when != "nobody registered")
        .map(|way| longest(plan, &way.to, known, depth + 1))
        .max_by_key(|(wait, _)| *wait)
        .unwrap_or_default();
    let mut total = wait;
    if let Some(here) = here {
        total += here;
        hunts.insert(0, from.clone());
    }
    known.insert(from.clone(), (total, hunts.clone()));
    (total, hunts)
}

/// Nobody chains more; it bounds the stack.
const DEEPEST: usize = 200;
