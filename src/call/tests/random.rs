//! Random lives of calls: whatever happens, each ends once, with one result, and leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::plan::{e164, name, numbers, plan, secs};
use super::world::{FarState, World, outbound};
use crate::call::input::{Command, Input, LegEnd, LegEvent};
use crate::call::media::MediaEvent;
use crate::call::output::Seat;
use crate::desk::notice::Notice;
use crate::dialplan::plan::{Destination, Member};
use crate::dialplan::routing::Entry;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, LegId};
use crate::rtp::srtp::Life;

/// One random thing that happens.
fn act(w: &mut World, dice: &mut Entropy) {
    match dice.below(26) {
        0 | 1 => arrive(w, dice),
        2 | 3 => pass(w, dice),
        4..=7 => dialled_leg(w, dice),
        8..=10 => live_leg(w, dice),
        11 | 12 => {
            if let Some(leg) = pick(w, dice, |state| state == FarState::Up) {
                w.key(leg, char::from(b'0' + dice.below(10) as u8));
            }
        }
        13 => {
            if let Some(leg) = pick(w, dice, |state| state == FarState::Calling) {
                w.cancel(leg);
            }
        }
        14 => {
            let operators = ["anna", "boris", "clara"];
            let operator = operators[dice.below(3) as usize];
            w.register(operator, dice.below(3) as usize);
        }
        15 => command(w, dice),
        16 => nonsense(w, dice),
        17 => {
            if let Some(leg) = pick(w, dice, |state| state == FarState::GivenUp) {
                w.answer(leg);
                let far = w.legs.get_mut(&leg).unwrap();
                if far.state == FarState::GivenUp {
                    // Its call was over: the switch ends it.
                    far.state = FarState::Over;
                }
            }
        }
        18 => {
            w.no_ports = dice.below(8) == 0;
        }
        _ => pass(w, dice),
    }
}

fn arrive(w: &mut World, dice: &mut Entropy) {
    let numbers = numbers();
    let number = numbers[dice.below(numbers.len() as u64) as usize].0;
    let out = outbound(e164("+79160000001"), &["acme", "spare"]);
    match dice.below(8) {
        0 => {
            let arrival = w.arrival_of("anna", "+79160000001", out);
            w.arrive(arrival);
        }
        1 => {
            let arrival = w.arrival_of("clara", "101", Entry::Operator(name("anna")));
            w.arrive(arrival);
        }
        2 => {
            w.originate("boris", "+79160000001", out);
        }
        3 => {
            let mut arrival = w.arrival(number);
            arrival.offer = None;
            let (_, leg) = w.arrive(arrival);
            if w.legs[&leg].state == FarState::Up && dice.below(2) == 0 {
                let sdp = Some(w.answer_to_ours(leg));
                w.event(leg, LegEvent::Acked { sdp });
            }
        }
        _ => {
            w.call(number);
        }
    }
}

fn pass(w: &mut World, dice: &mut Entropy) {
    let millis = [1, 500, 2_000, 8_000, 20_000][dice.below(5) as usize];
    w.pass(Duration::from_millis(dice.below(millis) + 1));
}

fn pick(w: &World, dice: &mut Entropy, want: impl Fn(FarState) -> bool) -> Option<LegId> {
    let legs: Vec<LegId> = w
        .legs
        .iter()
        .filter(|(_, far)| want(far.state))
        .map(|(leg, _)| *leg)
        .collect();
    legs.get(dice.below(legs.len() as u64) as usize).copied()
}

fn dialled_leg(w: &mut World, dice: &mut Entropy) {
    let Some(leg) = pick(w, dice, |state| state == FarState::Ringing) else {
        return;
    };
    match dice.below(9) {
        8 => {
            let number = format!("+7916000000{}", dice.below(10));
            let to = match dice.below(3) {
                0 => Entry::Operator(name("boris")),
                1 => Entry::Unknown,
                _ => outbound(e164(&number), &["acme"]),
            };
            w.redirect(leg, &number, to);
        }
        0 | 1 => w.ring(leg),
        2 => w.early(leg),
        3..=5 => w.answer(leg),
        _ => {
            let codes = [404, 408, 480, 486, 488, 503, 603];
            let code = codes[dice.below(7) as usize];
            w.refuse_as(leg, code, "No", dice.below(3) > 0);
        }
    }
}

fn live_leg(w: &mut World, dice: &mut Entropy) {
    let Some(leg) = pick(w, dice, |state| state == FarState::Up) else {
        return;
    };
    match dice.below(10) {
        0 | 1 => w.bye(leg),
        2 => w.ended(leg, LegEnd::Lost),
        3 => w.reinvite(leg, "sendonly"),
        4 => w.reinvite(leg, "sendrecv"),
        5 => w.media(leg, MediaEvent::Silent),
        8 => w.media(leg, MediaEvent::KeyLife(Life::Ending)),
        9 => w.media(leg, MediaEvent::KeyLife(Life::Ended)),
        6 => {
            let alive = dice.below(2) == 0;
            w.event(leg, LegEvent::Alive(alive));
        }
        _ => w.event(leg, LegEvent::Acked { sdp: None }),
    }
}

fn command(w: &mut World, dice: &mut Entropy) {
    let calls: Vec<CallId> = w.calls.keys().copied().collect();
    let Some(call) = calls.get(dice.below(calls.len() as u64) as usize).copied() else {
        return;
    };
    match dice.below(12) {
        0 => w.command(call, Command::Hangup),
        7 | 8 => {
            if let Some(by) = pick(w, dice, |state| state == FarState::Up) {
                let to = match dice.below(5) {
                    0 => Entry::Operator(name("boris")),
                    1 => Entry::Destination(Destination::Hunt(name("line"))),
                    2 => Entry::Destination(Destination::Menu(name("main"))),
                    3 => outbound(e164("+79160000001"), &["acme"]),
                    _ => Entry::Echo,
                };
                let call = w.legs[&by].call;
                w.command(call, Command::Refer { by, to });
            }
        }
        9 => {
            if let Some(by) = pick(w, dice, |state| state == FarState::Up) {
                let (call, slot) = (w.legs[&by].call, "701".to_owned());
                w.command(call, Command::Park { by, slot });
            }
        }
        10 => {
            let mut arrival = w.arrival_of("clara", "*8", Entry::PickUp(None));
            let seat = if dice.below(2) == 0 {
                Seat::Ringing
            } else {
                Seat::Parked
            };
            arrival.join = Some((call, seat));
            w.arrive(arrival);
        }
        11 => {
            let leg = pick(w, dice, |state| state == FarState::Up);
            let other = pick(w, dice, |state| state == FarState::Up);
            if let (Some(leg), Some(other)) = (leg, other) {
                let (from, into) = (w.legs[&leg].call, w.legs[&other].call);
                let seat = Seat::Of(other);
                w.command(from, Command::HandOver { leg, into, seat });
            }
        }
        1 => w.command(call, Command::Drain),
        2 => w.transfer(call, Destination::Hunt(name("line"))),
        3 => w.transfer(call, Destination::Voicemail(name("box"))),
        4 => w.command(call, Command::OperatorGone(name("anna"))),
        _ => {
            let into = calls[dice.below(calls.len() as u64) as usize];
            let leg = pick(w, dice, |state| state == FarState::Up);
            if let Some(leg) = leg {
                let from = w.legs[&leg].call;
                w.command(from, Command::MoveLeg { leg, into });
            }
        }
    }
}

/// What no one should say, to calls that must not mind.
fn nonsense(w: &mut World, dice: &mut Entropy) {
    let stranger = LegId::from_u128(u128::from(dice.u64()));
    let leg = pick(w, dice, |_| true).unwrap_or(stranger);
    let calls: Vec<CallId> = w.calls.keys().copied().collect();
    let Some(call) = calls.get(dice.below(calls.len() as u64) as usize).copied() else {
        return;
    };
    let token = dice.below(40);
    let inputs = [
        Input::Media(leg, MediaEvent::Played { token }),
        Input::Media(leg, MediaEvent::Key('1')),
        Input::Media(stranger, MediaEvent::Silent),
        Input::Leg(stranger, LegEvent::Cancelled),
        Input::Leg(stranger, LegEvent::Offer { sdp: None }),
        Input::Leg(leg, LegEvent::Acked { sdp: None }),
        Input::Leg(leg, LegEvent::Alive(true)),
        Input::Leg(
            stranger,
            LegEvent::Answered {
                sdp: None,
                late: true,
            },
        ),
        Input::Desk(Notice::StopRinging {
            call,
            member: Member::Operator(name("anna")),
        }),
        Input::Desk(Notice::Exhausted {
            call: CallId::from_u128(3),
        }),
    ];
    let index = dice.below(inputs.len() as u64) as usize;
    if let Some(input) = inputs.into_iter().nth(index) {
        w.input(call, input);
    }
}

/// A whole random life from one seed.
fn live(seed: u64) -> World {
    let mut dice = Entropy::from_number(seed);
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 2);
    w.register("boris", 1);
    let steps = 20 + dice.below(100);
    for _ in 0..steps {
        act(&mut w, &mut dice);
    }
    // Everybody hangs up.
    w.no_ports = false;
    for _ in 0..200 {
        if let Some(leg) = pick(&w, &mut dice, |state| state == FarState::Up) {
            w.bye(leg);
        } else if let Some(leg) = pick(&w, &mut dice, |state| state == FarState::Calling) {
            w.cancel(leg);
        } else {
            break;
        }
    }
    w.pass(secs(5 * 3600));
    w
}

/// Every call ended once, with a result, and left nothing.
fn assert_over(w: &World) {
    w.assert_empty();
    let told = |what| w.told.iter().filter(|told| told.1 == what).count();
    assert_eq!(told("started"), told("ended"));
    assert!(w.ended.values().all(|(record, _)| record.result.is_some()));
}

#[test]
fn random_lives_reach_every_result_and_most_causes() {
    let mut results = BTreeMap::new();
    let mut causes = BTreeMap::new();
    for seed in 0..300 {
        let w = live(seed);
        assert_over(&w);
        for (record, _) in w.ended.values() {
            *results.entry(format!("{:?}", record.result)).or_insert(0) += 1;
            *causes.entry(format!("{:?}", record.cause)).or_insert(0) += 1;
        }
    }
    assert_eq!(results.len(), 5, "{results:?}");
    assert!(causes.len() >= 14, "{causes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_once_and_leaves_nothing(seed: u64) {
        assert_over(&live(seed));
    }
}
