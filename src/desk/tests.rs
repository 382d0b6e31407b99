//! The desk's rules, one by one, on a fake clock.

use std::time::Duration;

use super::notice::{Notice, OperatorState, Phone, Refusal};
use super::request::{Request, Unanswered};
use super::*;
use crate::dialplan::plan::Strategy;

struct Bench {
    desk: Desk,
    now: Mono,
}

fn op(name: &str) -> Member {
    Member::Operator(name.into())
}
fn forward(name: &str) -> Member {
    Member::Forward(name.into())
}
fn call(n: u128) -> CallId {
    CallId::from_u128(n)
}

impl Bench {
    fn new(operators: &[&str]) -> Bench {
        let mut desk = Desk::default();
        let names = ["anna", "boris", "vera"].map(|n| (n.into(), Duration::from_secs(10)));
        desk.configure(Mono::ZERO, names);
        let mut bench = Bench {
            desk,
            now: Mono::ZERO,
        };
        for name in operators {
            bench.phone(name, true);
        }
        bench.notices();
        bench
    }
    fn phone(&mut self, name: &str, there: bool) {
        let phones = there.then(|| Phone(format!("sip:{name}@127.0.0.1").into()));
        self.desk
            .set_phones(self.now, &name.into(), phones.into_iter().collect());
    }
    fn enter(&mut self, n: u128, strategy: Strategy, members: &[Member]) {
        self.enter_declined(n, strategy, members, vec![]);
    }
    fn enter_declined(&mut self, n: u128, strategy: Strategy, m: &[Member], declined: Vec<Member>) {
        self.ask(Request::EnterHunt {
            call: call(n),
            hunt: "sales".into(),
            members: m.to_vec(),
            strategy,
            ring: Duration::from_secs(10),
            declined,
        });
    }
    fn ask(&mut self, request: Request) {
        self.desk.handle(self.now, request);
    }
    fn unanswered(&mut self, n: u128, member: Member, how: Unanswered) {
        self.ask(Request::Unanswered {
            call: call(n),
            member,
            how,
        });
    }
    fn accepted(&mut self, n: u128, member: Member) {
        self.ask(Request::Accepted {
            call: call(n),
            member,
        });
    }
    fn gone(&mut self, n: u128) {
        self.ask(Request::Gone { call: call(n) });
    }
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.desk.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.desk.handle_timeout(at);
        }
        self.now = end;
    }
    /// Notices for calls, as short words: `ring 1 anna`, `stop 1 anna`, `nobody 1`, `exhausted 1`, `refused 1 Busy`.
    fn notices(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(notice) = self.desk.poll_notice() {
            words.push(match notice {
                Notice::Ring {
                    call,
                    member,
                    phones,
                } => {
                    assert_eq!(phones.is_empty(), matches!(member, Member::Forward(_)));
                    format!("ring {} {}", call.as_u128(), name(&member))
                }
                Notice::StopRinging { call, member } => {
                    format!("stop {} {}", call.as_u128(), name(&member))
                }
                Notice::NobodyRegistered { call } => format!("nobody {}", call.as_u128()),
                Notice::Exhausted { call } => format!("exhausted {}", call.as_u128()),
                Notice::Refused { call, why, .. } => format!("refused {} {why:?}", call.as_u128()),
                Notice::ConferenceEntered { call, .. } => format!("in {}", call.as_u128()),
                Notice::ConferenceFull { call } => format!("full {}", call.as_u128()),
                Notice::StateChanged { .. } => continue,
            });
        }
        words
    }
    fn states(&mut self) -> Vec<(String, &'static str, Option<u128>)> {
        let mut states = Vec::new();
        while let Some(notice) = self.desk.poll_notice() {
            if let Notice::StateChanged {
                operator,
                state,
                call,
            } = notice
            {
                states.push((
                    operator.to_string(),
                    state.as_str(),
                    call.map(|c| c.as_u128()),
                ));
            }
        }
        states
    }
    fn state(&self, name: &str) -> OperatorState {
        self.desk.state(&name.into()).unwrap().0
    }
}

fn name(member: &Member) -> String {
    match member {
        Member::Operator(name) | Member::Forward(name) => name.to_string(),
    }
}

#[test]
fn ring_all_rings_all_free_and_adds_those_who_become_free() {
    let mut b = Bench::new(&["anna", "boris"]);
    b.ask(Request::Occupy {
        call: call(9),
        operator: "boris".into(),
    });
    b.enter(
        1,
        Strategy::RingAll,
        &[op("anna"), op("boris"), forward("mobile")],
    );
    assert_eq!(b.notices(), ["ring 1 anna", "ring 1 mobile"]);
    b.accepted(9, op("boris"));
    b.ask(Request::Release {
        call: call(9),
        operator: "boris".into(),
    });
    assert_eq!(b.notices(), Vec::<String>::new());
    b.pass(10);
    assert_eq!(b.notices(), ["ring 1 boris"]);
    b.phone("vera", true);
    b.accepted(1, op("boris"));
    assert_eq!(b.state("anna"), OperatorState::Available);
    assert_eq!(b.state("boris"), OperatorState::Talking);
    assert_eq!(b.desk.census(), (0, 1));
}

#[test]
fn linear_goes_round_and_skips_the_busy() {
    let mut b = Bench::new(&["anna", "boris", "vera"]);
    b.ask(Request::Claim {
        call: call(9),
        operator: "boris".into(),
    });
    b.notices();
    b.enter(1, Strategy::Linear, &[op("anna"), op("boris"), op("vera")]);
    assert_eq!(b.notices(), ["ring 1 anna"]);
    b.pass(10);
    assert_eq!(b.notices(), ["stop 1 anna", "ring 1 vera"]);
    b.gone(9);
    b.pass(10);
    assert_eq!(b.notices(), ["stop 1 vera", "ring 1 anna"]);
    b.unanswered(1, op("anna"), Unanswered::Declined);
    assert_eq!(b.notices(), ["ring 1 boris"]);
    b.pass(20);
    assert_eq!(
        b.notices(),
        ["stop 1 boris", "ring 1 vera", "stop 1 vera", "ring 1 boris"]
    );
    b.gone(1);
    assert_eq!(b.desk.census(), (0, 0));
}

#[test]
fn one_operator_serves_three_callers_in_order() {
    let mut b = Bench::new(&["anna"]);
    for n in 1..=3 {
        b.enter(n, Strategy::RingAll, &[op("anna")]);
    }
    assert_eq!(b.notices(), ["ring 1 anna"]);
    b.accepted(1, op("anna"));
    b.gone(1);
    assert_eq!(b.state("anna"), OperatorState::WrapUp);
    assert!(b.notices().is_empty());
    b.pass(10);
    assert_eq!(b.notices(), ["ring 2 anna"]);
    b.ask(Request::LeaveHunt { call: call(2) });
    assert_eq!(b.notices(), ["ring 3 anna"]);
    b.gone(3);
    assert_eq!(b.desk.census(), (0, 0));
    assert_eq!(b.state("anna"), OperatorState::Available);
}

#[test]
fn a_shared_operator_goes_to_the_oldest_call_across_hunts() {
    let mut b = Bench::new(&["anna"]);
    b.ask(Request::Claim {
        call: call(9),
        operator: "anna".into(),
    });
    b.enter(1, Strategy::Linear, &[op("boris"), op("anna")]);
    b.enter(2, Strategy::RingAll, &[op("anna")]);
    b.notices();
    b.ask(Request::Release {
        call: call(9),
        operator: "anna".into(),
    });
    assert_eq!(b.notices(), ["ring 1 anna"]);
}

#[test]
fn nobody_registered_at_once_and_when_the_last_one_leaves() {
    let mut b = Bench::new(&[]);
    b.enter(1, Strategy::RingAll, &[op("anna"), op("boris")]);
    assert_eq!(b.notices(), ["nobody 1"]);
    b.phone("anna", true);
    b.ask(Request::Occupy {
        call: call(9),
        operator: "anna".into(),
    });
    b.enter(2, Strategy::Linear, &[op("anna")]);
    assert!(b.notices().is_empty());
    b.phone("anna", false);
    assert_eq!(b.notices(), ["nobody 2"]);
    assert_eq!(b.state("anna"), OperatorState::Talking);
    b.gone(9);
    assert_eq!(b.state("anna"), OperatorState::Offline);
    assert_eq!(b.desk.census(), (0, 0));
}

#[test]
fn a_ringing_operator_who_unregisters_is_kept_until_the_call_lets_go() {
    let mut b = Bench::new(&["anna"]);
    b.enter(1, Strategy::RingAll, &[op("anna")]);
    b.phone("anna", false);
    assert_eq!(b.notices(), ["ring 1 anna"]);
    assert_eq!(b.state("anna"), OperatorState::Ringing);
    b.unanswered(1, op("anna"), Unanswered::Unreachable);
    assert_eq!(b.notices(), ["exhausted 1"]);
    assert_eq!(b.state("anna"), OperatorState::Offline);
}

#[test]
fn everybody_declines() {
    let mut b = Bench::new(&["anna", "boris"]);
    b.enter(1, Strategy::RingAll, &[op("anna"), op("boris")]);
    b.unanswered(1, op("anna"), Unanswered::Declined);
    assert_eq!(b.notices(), ["ring 1 anna", "ring 1 boris"]);
    b.unanswered(1, op("boris"), Unanswered::Declined);
    assert_eq!(b.notices(), ["exhausted 1"]);
    b.enter_declined(2, Strategy::Linear, &[op("anna")], vec![op("anna")]);
    assert_eq!(b.notices(), ["exhausted 2"]);
}

#[test]
fn a_busy_member_is_worth_waiting_for_after_the_others_declined() {
    let mut b = Bench::new(&["anna", "boris"]);
    b.ask(Request::Occupy {
        call: call(9),
        operator: "boris".into(),
    });
    b.enter(1, Strategy::RingAll, &[op("anna"), op("boris")]);
    b.unanswered(1, op("anna"), Unanswered::Declined);
    assert_eq!(b.notices(), ["ring 1 anna"]);
    b.gone(9);
    b.pass(10);
    assert_eq!(b.notices(), ["ring 1 boris"]);
}

#[test]
fn a_forward_rings_once_in_ring_all_and_again_in_linear() {
    let mut b = Bench::new(&[]);
    b.enter(1, Strategy::RingAll, &[forward("mobile"), op("anna")]);
    b.unanswered(1, forward("mobile"), Unanswered::NoAnswer);
    assert_eq!(b.notices(), ["ring 1 mobile", "exhausted 1"]);
    b.enter(2, Strategy::Linear, &[forward("mobile")]);
    b.enter(3, Strategy::RingAll, &[forward("mobile")]);
    b.pass(5);
    b.unanswered(2, forward("mobile"), Unanswered::NoAnswer);
    assert_eq!(
        b.notices(),
        ["ring 2 mobile", "ring 3 mobile", "ring 2 mobile"]
    );
    b.unanswered(2, forward("mobile"), Unanswered::NoAnswer);
    assert_eq!(b.notices(), ["exhausted 2"], "it gave up at once");
    b.gone(2);
    b.gone(3);
    assert_eq!(b.desk.census(), (0, 0));
}

#[test]
fn direct_claims_are_granted_or_refused() {
    let mut b = Bench::new(&["anna", "boris"]);
    b.desk.set_away(b.now, &"boris".into(), true);
    for (n, operator) in [(1, "anna"), (2, "anna"), (3, "boris"), (4, "vera")] {
        b.ask(Request::Claim {
            call: call(n),
            operator: operator.into(),
        });
    }
    b.ask(Request::Claim {
        call: call(5),
        operator: "nobody".into(),
    });
    assert_eq!(
        b.notices(),
        [
            "ring 1 anna".to_owned(),
            format!("refused 2 {:?}", Refusal::Busy),
            format!("refused 3 {:?}", Refusal::Away),
            format!("refused 4 {:?}", Refusal::Offline),
            format!("refused 5 {:?}", Refusal::Offline),
        ]
    );
    b.unanswered(1, op("anna"), Unanswered::NoAnswer);
    assert_eq!(b.state("anna"), OperatorState::Available);
}

#[test]
fn an_acceptance_that_crosses_the_end_of_the_turn_counts() {
    let mut b = Bench::new(&["anna"]);
    b.enter(1, Strategy::Linear, &[op("anna")]);
    b.enter(2, Strategy::Linear, &[op("anna")]);
    b.ask(Request::LeaveHunt { call: call(1) });
    assert_eq!(
        b.notices(),
        ["ring 2 anna"],
        "what the first was not told yet is taken back"
    );
    b.accepted(1, op("anna"));
    assert_eq!(
        b.desk.state(&"anna".into()),
        Some((OperatorState::Talking, Some(call(1))))
    );
    b.unanswered(2, op("anna"), Unanswered::Declined);
    b.gone(1);
    b.gone(2);
    assert_eq!(b.desk.census(), (0, 0));
}

#[test]
fn states_are_told_once_each_with_their_call() {
    let mut b = Bench::new(&["anna"]);
    b.enter(1, Strategy::RingAll, &[op("anna")]);
    b.accepted(1, op("anna"));
    b.gone(1);
    b.pass(10);
    b.desk.set_away(b.now, &"anna".into(), true);
    b.phone("anna", false);
    let words: Vec<_> = b.states().into_iter().map(|(_, s, c)| (s, c)).collect();
    assert_eq!(
        words,
        [
            ("ringing", Some(1)),
            ("talking", Some(1)),
            ("wrap-up", None),
            ("available", None),
            ("away", None),
            ("offline", None)
        ]
    );
}

#[test]
fn an_operator_who_left_the_plan_finishes_his_call() {
    let mut b = Bench::new(&["anna"]);
    b.ask(Request::Claim {
        call: call(1),
        operator: "anna".into(),
    });
    b.accepted(1, op("anna"));
    b.desk
        .configure(b.now, [("boris".into(), Duration::from_secs(1))]);
    assert_eq!(b.state("anna"), OperatorState::Talking);
    b.gone(1);
    assert_eq!(b.desk.state(&"anna".into()), None);
    assert_eq!(b.states().last().unwrap().1, "offline");
    assert_eq!(b.desk.poll_timeout(), None);
}

/// As the core does it: the desk's timers first, then the calls', then the notices.
#[test]
fn a_turn_that_ends_with_the_wait_is_not_told_to_the_next_hunt() {
    let mut b = Bench::new(&["anna", "boris"]);
    let members = [op("anna"), op("boris")];
    b.enter(1, Strategy::Linear, &members);
    assert_eq!(b.notices(), ["ring 1 anna"]);
    b.pass(10);
    b.ask(Request::LeaveHunt { call: call(1) });
    b.enter(1, Strategy::Linear, &members);
    assert_eq!(b.notices(), ["ring 1 anna"]);
    assert_eq!(b.state("boris"), OperatorState::Available);
}

#[test]
fn rest_and_absence_do_not_keep_an_operator_from_his_own_calls() {
    let mut b = Bench::new(&["anna"]);
    let summon = |n| Request::Summon {
        call: call(n),
        operator: "anna".into(),
    };
    b.accepted(9, op("anna"));
    b.ask(summon(1));
    assert_eq!(b.notices(), ["refused 1 Busy"]);
    b.gone(9);
    assert_eq!(b.state("anna"), OperatorState::WrapUp);
    b.ask(summon(2));
    assert_eq!(b.notices(), ["ring 2 anna"]);
    b.gone(2);
    b.desk.set_away(b.now, &"anna".into(), true);
    b.ask(summon(3));
    assert_eq!(b.notices(), ["ring 3 anna"]);
    b.gone(3);
    b.phone("anna", false);
    b.ask(summon(4));
    assert_eq!(b.notices(), ["refused 4 Offline"]);
    assert_eq!(b.desk.census(), (0, 0));
}

#[test]
fn an_away_operator_counts_as_not_there() {
    let mut b = Bench::new(&["anna"]);
    b.desk.set_away(b.now, &"anna".into(), true);
    b.enter(1, Strategy::RingAll, &[op("anna")]);
    assert_eq!(b.notices(), ["nobody 1"]);
}
