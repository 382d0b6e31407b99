//! Random requests against a model: one claim per operator, nobody free beside a call that could have him, order of arrival, nothing left at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::notice::{Notice, OperatorState, Phone};
use super::request::{Request, Unanswered};
use super::*;
use crate::dialplan::plan::Strategy as Rings;

const OPERATORS: [&str; 3] = ["anna", "boris", "vera"];

#[derive(Clone, Debug)]
enum Step {
    Enter(u8, u8, bool),
    Claim(u8, u8),
    Occupy(u8, u8),
    /// Answer the nth member that rings for this call.
    Take(u8),
    Fail(u8, u8),
    Leave(u8),
    Gone(u8),
    Phone(u8, bool),
    Away(u8, bool),
    Pass(u8),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8, 1..16u8, any::<bool>()).prop_map(|(c, m, l)| Step::Enter(c, m, l)),
        1 => (0..6u8, 0..3u8).prop_map(|(c, o)| Step::Claim(c, o)),
        1 => (0..6u8, 0..3u8).prop_map(|(c, o)| Step::Occupy(c, o)),
        3 => (0..6u8).prop_map(Step::Take),
        3 => (0..6u8, 0..4u8).prop_map(|(c, h)| Step::Fail(c, h)),
        1 => (0..6u8).prop_map(Step::Leave),
        2 => (0..6u8).prop_map(Step::Gone),
        2 => (0..3u8, any::<bool>()).prop_map(|(o, t)| Step::Phone(o, t)),
        1 => (0..3u8, any::<bool>()).prop_map(|(o, a)| Step::Away(o, a)),
        4 => (1..15u8).prop_map(Step::Pass),
    ]
}

/// What a call must believe from the notices alone.
#[derive(Default)]
struct Model {
    ringing: BTreeMap<u8, Vec<Member>>,
    waiting: Vec<u8>,
    wants: BTreeMap<u8, (Vec<Member>, bool)>,
    refused: BTreeMap<u8, BTreeSet<String>>,
    /// Since when members ring.
    since: BTreeMap<(u8, String), Mono>,
}

struct World {
    desk: Desk,
    now: Mono,
    model: Model,
}

fn id(n: u8) -> CallId {
    CallId::from_u128(u128::from(n) + 1)
}
fn number(call: CallId) -> u8 {
    u8::try_from(call.as_u128() - 1).unwrap()
}
fn operator(n: u8) -> Name {
    OPERATORS[usize::from(n)].into()
}
fn members(bits: u8) -> Vec<Member> {
    let mut members = Vec::new();
    for n in 0..3u8 {
        if bits & (1 << n) != 0 {
            members.push(Member::Operator(operator(n)));
        }
    }
    if bits & 8 != 0 {
        members.push(Member::Forward("mobile".into()));
    }
    members
}

impl World {
    fn new() -> World {
        let mut desk = Desk::default();
        let wrap_up = Duration::from_secs(5);
        desk.configure(Mono::ZERO, OPERATORS.map(|n| (n.into(), wrap_up)));
        World {
            desk,
            now: Mono::ZERO,
            model: Model::default(),
        }
    }

    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Enter(c, bits, linear) => {
                self.model.leave(c);
                self.model.waiting.push(c);
                self.model.refused.remove(&c);
                self.model.wants.insert(c, (members(bits), linear));
                self.desk.handle(
                    now,
                    Request::EnterHunt {
                        call: id(c),
                        hunt: "h".into(),
                        members: members(bits),
                        strategy: if linear {
                            Rings::Linear
                        } else {
                            Rings::RingAll
                        },
                        ring: Duration::from_secs(4),
                        declined: vec![],
                    },
                );
            }
            Step::Claim(c, o) => {
                if self.model.waiting.contains(&c) {
                    return;
                }
                self.model.refused.remove(&c);
                let (call, operator) = (id(c), operator(o));
                self.desk.handle(now, Request::Claim { call, operator });
            }
            Step::Occupy(c, o) => {
                let (call, operator) = (id(c), operator(o));
                self.desk.handle(now, Request::Occupy { call, operator });
                if let Some(ringing) = self.model.ringing.get_mut(&c) {
                    ringing.retain(|m| *m != Member::Operator(OPERATORS[usize::from(o)].into()));
                }
            }
            Step::Take(c) => {
                let Some(member) = self.model.first_ringing(c) else {
                    return;
                };
                self.model.leave(c);
                let call = id(c);
                self.desk.handle(now, Request::Accepted { call, member });
            }
            Step::Fail(c, how) => self.fail(c, how),
            Step::Leave(c) => {
                self.model.leave(c);
                self.desk.handle(now, Request::LeaveHunt { call: id(c) });
            }
            Step::Gone(c) => {
                self.model.leave(c);
                self.desk.handle(now, Request::Gone { call: id(c) });
            }
            Step::Phone(o, there) => {
                let phones = there.then(|| Phone("sip:x@127.0.0.1".into()));
                self.desk
                    .set_phones(now, &operator(o), phones.into_iter().collect());
            }
            Step::Away(o, away) => self.desk.set_away(now, &operator(o), away),
            Step::Pass(seconds) => self.pass(u64::from(seconds)),
        }
    }

    fn fail(&mut self, c: u8, how: u8) {
        let Some(member) = self.model.first_ringing(c) else {
            return;
        };
        let how = match how {
            0 => Unanswered::Declined,
            1 => Unanswered::Unreachable,
            2 => Unanswered::Withdrawn,
            _ => Unanswered::NoAnswer,
        };
        self.model
            .ringing
            .get_mut(&c)
            .unwrap()
            .retain(|m| *m != member);
        let name = format!("{member:?}");
        let since = self.model.since.get(&(c, name.clone())).copied();
        let at_once = since.is_some_and(|since| self.now.since(since) < Duration::from_secs(2));
        if how != Unanswered::NoAnswer || at_once {
            self.model.refused.entry(c).or_default().insert(name);
        }
        let call = id(c);
        self.desk
            .handle(self.now, Request::Unanswered { call, member, how });
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.desk.poll_timeout().filter(|at| *at <= end) {
            assert!(at > self.now, "a timeout must not repeat");
            self.now = at;
            self.desk.handle_timeout(at);
            self.check();
        }
        self.now = end;
    }

    /// Reads the notices into the model and compares it with the desk.
    fn check(&mut self) {
        while let Some(notice) = self.desk.poll_notice() {
            match notice {
                Notice::Ring { call, member, .. } => self.ring(number(call), member),
                Notice::StopRinging { call, member } => {
                    let ringing = self.model.ringing.get_mut(&number(call)).unwrap();
                    assert!(ringing.contains(&member));
                    ringing.retain(|m| *m != member);
                }
                Notice::NobodyRegistered { call } | Notice::Exhausted { call } => {
                    let c = number(call);
                    assert!(self.model.first_ringing(c).is_none());
                    assert!(self.model.waiting.contains(&c));
                    self.model.leave(c);
                }
                Notice::Refused { .. }
                | Notice::ConferenceEntered { .. }
                | Notice::ConferenceFull { .. }
                | Notice::StateChanged { .. } => {}
            }
        }
        let mut claimed = BTreeSet::new();
        for member in self.model.ringing.values().flatten() {
            if matches!(member, Member::Operator(_)) {
                assert!(
                    claimed.insert(format!("{member:?}")),
                    "{member:?} rings for two calls"
                );
            }
        }
        assert_eq!(self.desk.census().0, self.model.waiting.len());
        self.nobody_is_left_idle();
    }

    fn ring(&mut self, c: u8, member: Member) {
        assert!(
            !self
                .model
                .refused
                .get(&c)
                .is_some_and(|r| r.contains(&format!("{member:?}"))),
            "rung again after refusing"
        );
        // An operator goes to the oldest call that may ring him.
        for older in self.model.waiting.iter().take_while(|w| **w != c) {
            assert!(
                matches!(member, Member::Forward(_)) || !self.model.eligible(*older, &member),
                "call {c} was served before {older}"
            );
        }
        let name = format!("{member:?}");
        self.model.since.insert((c, name), self.now);
        let ringing = self.model.ringing.entry(c).or_default();
        assert!(!ringing.contains(&member));
        ringing.push(member);
        if self.model.wants.get(&c).is_some_and(|(_, linear)| *linear)
            && self.model.waiting.contains(&c)
        {
            assert_eq!(
                self.model.ringing[&c].len(),
                1,
                "linear rings one at a time"
            );
        }
    }

    fn nobody_is_left_idle(&self) {
        for name in OPERATORS {
            if self.desk.state(&name.into()).unwrap().0 != OperatorState::Available {
                continue;
            }
            let member = Member::Operator(name.into());
            for c in &self.model.waiting {
                assert!(
                    !self.model.eligible(*c, &member),
                    "{name} is free while call {c} waits for him"
                );
            }
        }
    }
}

impl Model {
    fn leave(&mut self, c: u8) {
        self.waiting.retain(|w| *w != c);
        self.ringing.remove(&c);
        self.wants.remove(&c);
    }
    fn first_ringing(&self, c: u8) -> Option<Member> {
        self.ringing.get(&c)?.first().cloned()
    }
    /// Whether the waiting call would ring this member, were he free.
    fn eligible(&self, c: u8, member: &Member) -> bool {
        let Some((members, linear)) = self.wants.get(&c) else {
            return false;
        };
        let ringing = self.ringing.get(&c).map_or(&[][..], Vec::as_slice);
        let refused = self
            .refused
            .get(&c)
            .is_some_and(|r| r.contains(&format!("{member:?}")));
        members.contains(member)
            && !refused
            && !ringing.contains(member)
            && (!*linear || ringing.is_empty())
    }
}

proptest! {
    #[test]
    fn random_requests_keep_the_rules(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            world.check();
        }
        for c in 0..6 {
            world.apply(&Step::Gone(c));
            world.check();
        }
        prop_assert_eq!(world.desk.census(), (0, 0));
        world.pass(60);
        world.check();
        prop_assert_eq!(world.desk.poll_timeout(), None);
        for name in OPERATORS {
            let state = world.desk.state(&name.into()).unwrap();
            prop_assert!(matches!(state.0, OperatorState::Available | OperatorState::Offline | OperatorState::Away));
            prop_assert_eq!(state.1, None);
        }
    }
}
