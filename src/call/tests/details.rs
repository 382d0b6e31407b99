//! What is easily got wrong: crossings in the same instant, the rows of legs that lost, wrap-up, causes after an overflow.

use super::plan::{BEEP, PROMPT, e164, name, plan, secs};
use super::world::{FarState, World, outbound};
use crate::call::input::Command;
use crate::desk::notice::OperatorState;
use crate::dialplan::plan::{Destination, Plan};
use crate::dialplan::routing::Entry;
use crate::ledger::cause::{CallResult, Cause, Flag};
use crate::ledger::id::LegId;
use crate::ledger::leg::{LegOutcome, LegRecord};

const OUTSIDE: &str = "+79160000001";

fn world_with(change: impl FnOnce(&mut Plan)) -> World {
    let mut w = World::new(plan(change));
    w.register("anna", 1);
    w.register("boris", 1);
    w
}

fn row(w: &World, call: crate::ledger::id::CallId, leg: LegId) -> LegRecord {
    let legs = &w.ended[&call].1;
    legs.iter().find(|row| row.leg_id == leg).unwrap().clone()
}

#[test]
fn the_rows_of_losing_legs_are_complete() {
    let mut w = world_with(|_| {});
    let (call, caller) = w.call("+74950000002");
    let (anna, boris) = (w.ringing("anna")[0], w.ringing("boris")[0]);
    let began = w.now.wall;
    w.ring(boris);
    w.pass(secs(3));
    w.answer(anna);
    w.pass(secs(5));
    w.bye(caller);
    let lost = row(&w, call, boris);
    assert_eq!(lost.outcome, Some(LegOutcome::Cancelled));
    assert_eq!(lost.rung_at, Some(began));
    assert_eq!((lost.connected_at, lost.accepted_at), (None, None));
    assert_eq!(lost.sip_code, Some(487));
    assert_eq!(lost.ended_at, Some(began + secs(3)));
    let won = row(&w, call, anna);
    assert_eq!(won.outcome, Some(LegOutcome::Answered));
    assert_eq!(won.accepted_at, Some(began + secs(3)));
    assert_eq!(won.sip_code, Some(200));
}

#[test]
fn a_late_answer_that_loses_is_in_its_row() {
    let mut w = world_with(|_| {});
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.pass(secs(20));
    w.pass(PROMPT + BEEP);
    w.answer(anna);
    assert_eq!(w.legs[&anna].state, FarState::Over, "the message has begun");
    w.bye(caller);
    assert_eq!(row(&w, call, anna).outcome, Some(LegOutcome::NoAnswer));
    assert_eq!(w.record(call).cause, Some(Cause::WaitLimit));
}

/// A turn that ends in the very instant of the wait limit must not reach into the next hunt.
#[test]
fn a_turn_that_ends_with_the_limit_rings_nobody_for_the_next_hunt() {
    let mut w = world_with(|plan| {
        let line = plan.hunts.get_mut("line").unwrap();
        line.otherwise = Destination::Hunt(name("line"));
    });
    let (call, caller) = w.call("+74950000003");
    for _ in 0..5 {
        w.pass(secs(20));
        let ringing = w.ringing("anna").len() + w.ringing("boris").len();
        assert_eq!(ringing, 1, "one at a time");
        assert_eq!(w.ringing("anna").len(), 1, "each hunt begins anew");
        assert_eq!(w.state("boris"), OperatorState::Available);
    }
    w.cancel(caller);
    assert_eq!(w.record(call).cause, Some(Cause::AbandonedRinging));
    w.assert_empty();
}

#[test]
fn a_phone_that_gives_up_at_once_is_not_rung_in_a_storm() {
    let mut w = world_with(|_| {});
    let (call, caller) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.refuse(anna, 480);
    assert!(w.ringing("anna").is_empty());
    assert_eq!(w.said(caller).last().unwrap(), "reject 480");
    assert_eq!(w.record(call).cause, Some(Cause::NoAnswer));

    let (_, caller) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.pass(secs(15));
    w.refuse(anna, 480);
    assert_eq!(
        w.ringing("anna").len(),
        1,
        "after a real ring it rings again"
    );
    w.cancel(caller);
    w.assert_empty();
}

#[test]
fn a_phone_that_registers_while_a_call_waits_rings_at_once() {
    let mut w = world_with(|_| {});
    let (_, caller) = w.call("+74950000002");
    w.refuse(w.ringing("anna")[0], 486);
    w.register("boris", 0);
    w.pass(secs(5));
    // Boris rings on although his registration is gone; anna declined and is not rung again.
    assert_eq!(w.ringing("boris").len(), 1);
    w.register("boris", 1);
    assert_eq!(w.ringing("boris").len(), 1);
    w.cancel(caller);

    let arrival = w.arrival_of("anna", "echo", Entry::Echo);
    let (_, anna) = w.arrive(arrival);
    w.register("boris", 0);
    let (_, caller) = w.call("+74950000002");
    assert!(w.ringing("anna").is_empty() && w.ringing("boris").is_empty());
    w.pass(secs(5));
    w.register("boris", 2);
    assert_eq!(w.ringing("boris").len(), 2);
    w.cancel(caller);
    w.bye(anna);
    w.assert_empty();
}

#[test]
fn who_was_not_taken_and_leaves_in_a_menu_was_missed_for_what_failed() {
    let mut w = world_with(|plan| {
        let sales = plan.hunts.get_mut("sales").unwrap();
        sales.otherwise = Destination::Menu(name("main"));
    });
    let (call, caller) = w.call("+74950000002");
    w.pass(secs(21));
    assert_eq!(w.hears(caller), Some("menu"));
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::WaitLimit));
    w.assert_empty();
}

#[test]
fn only_a_conversation_is_followed_by_wrap_up() {
    let mut w = world_with(|_| {});
    let entry = outbound(e164(OUTSIDE), &["acme"]);
    let arrival = w.arrival_of("anna", OUTSIDE, entry.clone());
    let (call, _) = w.arrive(arrival);
    assert_eq!(w.state("anna"), OperatorState::Talking);
    w.refuse(w.ringing("acme")[0], 486);
    assert_eq!(w.state("anna"), OperatorState::Available);
    assert!(w.record(call).flags.contains(&Flag::Short));

    w.originate("anna", OUTSIDE, entry.clone());
    w.answer(w.ringing("anna")[0]);
    assert_eq!(w.state("anna"), OperatorState::Talking);
    w.refuse(w.ringing("acme")[0], 486);
    assert_eq!(w.state("anna"), OperatorState::Available);

    let arrival = w.arrival_of("anna", OUTSIDE, entry.clone());
    let (_, anna) = w.arrive(arrival);
    w.answer(w.ringing("acme")[0]);
    w.bye(anna);
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    // Rest does not keep her from calls of her own.
    let call = w.originate("anna", OUTSIDE, entry);
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    w.answer(w.ringing("acme")[0]);
    w.bye(anna);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn a_colleague_who_calls_rests_too() {
    let mut w = world_with(|_| {});
    let arrival = w.arrival_of("anna", "102", Entry::Operator(name("boris")));
    let (_, anna) = w.arrive(arrival);
    w.answer(w.ringing("boris")[0]);
    w.bye(anna);
    for operator in ["anna", "boris"] {
        assert_eq!(w.state(operator), OperatorState::WrapUp);
    }
    w.assert_empty();
}

/// The desk must not find an operator free between two calls.
#[test]
fn an_operator_who_moves_is_not_rung_in_between() {
    let mut w = world_with(|plan| {
        for operator in plan.operators.values_mut() {
            operator.wrap_up = secs(0);
        }
    });
    let (first, _) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    let (second, second_caller) = w.call("+74950000002");
    w.answer(w.ringing("boris")[0]);
    let (waiting, waiting_caller) = w.call("+74950000015");
    assert!(w.ringing("anna").is_empty());
    let into = second;
    w.command(first, Command::MoveLeg { leg: anna, into });
    assert!(w.joined(second_caller, anna));
    assert!(w.ringing("anna").is_empty(), "she talks");
    w.bye(anna);
    assert_eq!(w.ringing("anna").len(), 1, "now she is free");
    w.cancel(waiting_caller);
    assert!(w.is_over(waiting));
    w.assert_empty();
}

#[test]
fn another_trunk_is_tried_when_the_first_has_no_service() {
    for (code, tried) in [
        (500, true),
        (502, true),
        (408, true),
        (404, false),
        (486, false),
    ] {
        let mut w = world_with(|_| {});
        let entry = outbound(e164(OUTSIDE), &["acme", "spare"]);
        let arrival = w.arrival_of("anna", OUTSIDE, entry);
        let (_, anna) = w.arrive(arrival);
        w.refuse(w.ringing("acme")[0], code);
        assert_eq!(w.ringing("spare").len(), usize::from(tried), "{code}");
        if !tried {
            assert_eq!(w.said(anna), [format!("reject {code}")]);
        }
    }
}

#[test]
fn an_operator_who_dials_himself_gets_his_otherwise() {
    let mut w = world_with(|_| {});
    let arrival = w.arrival_of("anna", "101", Entry::Operator(name("anna")));
    let (call, anna) = w.arrive(arrival);
    assert!(w.ringing("anna").is_empty());
    assert_eq!(w.hears(anna), Some("leave_message"));
    w.bye(anna);
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    assert_eq!(w.record(call).path, ["operator:anna", "voicemail:box"]);
    w.assert_empty();
}

#[test]
fn a_message_is_in_the_row_while_it_is_spoken() {
    let mut w = world_with(|_| {});
    let (call, caller) = w.call("+74950000006");
    w.pass(PROMPT + BEEP + secs(2));
    assert!(
        w.record(call).voicemail_id.is_some(),
        "a crash would keep it"
    );
    w.bye(caller);
    assert!(w.record(call).voicemail_id.is_some());
}

#[test]
fn a_transfer_needs_somebody() {
    let mut w = world_with(|_| {});
    let entry = outbound(e164(OUTSIDE), &["acme"]);
    let arrival = w.arrival_of("anna", OUTSIDE, entry);
    let (call, anna) = w.arrive(arrival);
    assert!(!w.calls[&call].can_transfer());
    w.transfer(call, Destination::Operator(name("boris")));
    assert!(w.ringing("boris").is_empty());
    w.answer(w.ringing("acme")[0]);
    assert!(w.calls[&call].can_transfer());
    w.bye(anna);
    w.assert_empty();
}

#[test]
fn a_caller_who_is_moved_on_was_not_turned_away() {
    let mut w = world_with(|_| {});
    let (first, caller) = w.call("+74950000011");
    let entry = outbound(e164(OUTSIDE), &["acme"]);
    let arrival = w.arrival_of("boris", OUTSIDE, entry);
    let (into, boris) = w.arrive(arrival);
    w.answer(w.ringing("acme")[0]);
    w.command(first, Command::MoveLeg { leg: caller, into });
    assert_eq!(w.record(first).result, Some(CallResult::Served));
    assert!(w.joined(boris, caller));
    w.bye(boris);
    w.assert_empty();
}

#[test]
fn a_short_second_message_does_not_hide_the_first() {
    let mut w = world_with(|_| {});
    let (call, caller) = w.call("+74950000006");
    w.pass(PROMPT + BEEP + secs(4));
    let first = w.record(call).voicemail_id;
    w.transfer(call, Destination::Voicemail(name("box")));
    w.pass(PROMPT + BEEP);
    w.bye(caller);
    assert!(first.is_some());
    assert_eq!(w.record(call).voicemail_id, first);
    w.assert_empty();
}

#[test]
fn a_lost_caller_had_heard_the_greeting_or_not() {
    let mut w = world_with(|plan| {
        let closed = plan.announcements.get_mut("closed").unwrap();
        closed.then = Destination::Hunt(name("sales"));
    });
    for (heard, cause) in [
        (false, Cause::AbandonedGreeting),
        (true, Cause::AbandonedMenu),
    ] {
        let number = if heard {
            "+74950000001"
        } else {
            "+74950000007"
        };
        let (call, caller) = w.call(number);
        if heard {
            w.key(caller, '3');
        }
        assert_eq!(w.hears(caller), Some("closed"));
        w.bye(caller);
        assert_eq!(w.record(call).cause, Some(cause));
    }
    w.assert_empty();
}
