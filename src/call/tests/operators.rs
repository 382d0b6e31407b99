//! Calls that operators place, and calls that are placed for them.

use super::plan::{e164, name, plan, secs};
use super::world::{World, outbound};
use crate::call::input::Command;
use crate::desk::notice::OperatorState;
use crate::dialplan::routing::Entry;
use crate::ledger::cause::{CallResult, Cause, Direction, EndedBy};
use crate::ledger::id::{CallId, LegId};

const OUTSIDE: &str = "+79160000001";

fn world() -> World {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    w
}

fn dial(w: &mut World, trunks: &[&str]) -> (CallId, LegId) {
    let entry = outbound(e164(OUTSIDE), trunks);
    let arrival = w.arrival_of("anna", OUTSIDE, entry);
    w.arrive(arrival)
}

#[test]
fn an_operator_calls_out() {
    let mut w = world();
    let (call, anna) = dial(&mut w, &["acme"]);
    assert_eq!(w.state("anna"), OperatorState::Talking);
    let out = w.ringing("acme")[0];
    let shown = w.legs[&out].dial.as_ref().unwrap().caller.clone();
    assert_eq!(shown.as_deref(), Some("+74950000001"));
    w.ring(out);
    w.early(out);
    assert_eq!(w.said(anna), ["180", "183+"]);
    assert!(w.joined(anna, out));
    w.answer(out);
    assert_eq!(w.said(anna), ["180", "183+", "200"]);
    w.pass(secs(5));
    w.bye(out);
    let record = w.record(call);
    assert_eq!(record.direction, Direction::Outbound);
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.party.as_deref(), Some(OUTSIDE));
    assert_eq!(record.caller.as_deref(), Some("anna"));
    assert_eq!(record.operator, Some(name("anna")));
    assert_eq!(record.trunk, Some(name("acme")));
    assert_eq!(record.ended_by, Some(EndedBy::Operator), "the far side");
    w.assert_empty();
}

#[test]
fn codes_are_passed_on_and_nobody_is_missed() {
    let mut w = world();
    let (call, anna) = dial(&mut w, &["acme", "spare"]);
    w.refuse(w.ringing("acme")[0], 486);
    assert!(
        w.ringing("spare").is_empty(),
        "a busy person is busy over any trunk"
    );
    assert_eq!(w.said(anna), ["reject 486"]);
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    assert_eq!(w.record(call).cause, None);
    assert_eq!(w.record(call).sip_code, Some(486));
    w.assert_empty();
}

#[test]
fn the_next_trunk_is_tried_when_one_is_dead() {
    for (code, responded) in [(503, true), (408, false), (503, false)] {
        let mut w = world();
        let (call, anna) = dial(&mut w, &["acme", "spare"]);
        w.refuse_as(w.ringing("acme")[0], code, "no", responded);
        let spare = w.ringing("spare")[0];
        w.answer(spare);
        assert!(w.joined(anna, spare));
        w.bye(anna);
        assert_eq!(w.record(call).trunk, Some(name("spare")));
        assert_eq!(w.record(call).ended_by, Some(EndedBy::Caller));
        w.assert_empty();
    }
    let mut w = world();
    let (call, anna) = dial(&mut w, &["acme"]);
    w.refuse_as(w.ringing("acme")[0], 408, "no", false);
    assert_eq!(w.said(anna), ["reject 480"]);
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));
}

#[test]
fn an_operator_gives_up() {
    let mut w = world();
    let (call, anna) = dial(&mut w, &["acme"]);
    let out = w.ringing("acme")[0];
    w.cancel(anna);
    assert_eq!(w.said(out), ["dial", "end"]);
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    assert_eq!(w.record(call).sip_code, Some(487));
    w.assert_empty();
}

#[test]
fn operators_call_each_other() {
    let mut w = world();
    let arrival = w.arrival_of("anna", "102", Entry::Operator(name("boris")));
    let (call, anna) = w.arrive(arrival);
    let boris = w.ringing("boris")[0];
    let shown = w.legs[&boris].dial.as_ref().unwrap().caller.clone();
    assert_eq!(shown.as_deref(), Some("anna"));
    w.ring(boris);
    w.answer(boris);
    assert!(w.joined(anna, boris));
    assert_eq!(w.tape, ["start", "attach Left", "attach Right"]);
    w.bye(anna);
    assert_eq!(w.record(call).direction, Direction::Internal);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));

    let arrival = w.arrival_of("clara", "102", Entry::Operator(name("boris")));
    let (call, clara) = w.arrive(arrival);
    assert_eq!(w.said(clara), ["reject 486"], "boris is in wrap-up");
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    w.assert_empty();
}

#[test]
fn what_an_operator_may_not_dial() {
    let mut w = world();
    let why = "anna is not in the allow list of [outbound.russia]".to_owned();
    let arrival = w.arrival_of("anna", "+4930123456", Entry::NotAllowed { why });
    let (call, anna) = w.arrive(arrival);
    assert_eq!(w.said(anna), ["reject 603"]);
    assert_eq!(w.record(call).result, Some(CallResult::Rejected));
    assert_eq!(w.record(call).cause, Some(Cause::Blocked));
    let arrival = w.arrival_of("anna", "echo", Entry::Echo);
    let (call, anna) = w.arrive(arrival);
    assert!(w.legs[&anna].echo);
    w.bye(anna);
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    w.assert_empty();
}

#[test]
fn a_call_may_begin_with_no_leg() {
    let mut w = world();
    let entry = outbound(e164(OUTSIDE), &["acme"]);
    let call = w.originate("anna", OUTSIDE, entry);
    let anna = w.ringing("anna")[0];
    let shown = w.legs[&anna].dial.as_ref().unwrap().caller.clone();
    assert_eq!(
        shown.as_deref(),
        Some(OUTSIDE),
        "he sees whom he will talk to"
    );
    w.ring(anna);
    w.answer(anna);
    assert_eq!(w.hears(anna), Some("ringback"));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    let out = w.ringing("acme")[0];
    w.early(out);
    assert!(w.joined(anna, out));
    w.answer(out);
    assert!(w.joined(anna, out));
    assert_eq!(w.tape, ["start", "attach Right", "attach Left"]);
    w.bye(anna);
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.ended_by, Some(EndedBy::Caller));
    assert_eq!(w.said(out), ["dial", "end"]);
    w.assert_empty();
}

#[test]
fn an_originated_call_to_a_colleague() {
    let mut w = world();
    let call = w.originate("anna", "boris", Entry::Operator(name("boris")));
    w.answer(w.ringing("anna")[0]);
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    w.bye(boris);
    assert_eq!(w.record(call).direction, Direction::Internal);
    assert_eq!(w.record(call).path, ["operator:boris"]);
    w.assert_empty();
}

#[test]
fn an_operator_who_does_not_come_to_his_phone() {
    let mut w = world();
    let entry = outbound(e164(OUTSIDE), &["acme"]);
    let call = w.originate("anna", OUTSIDE, entry.clone());
    w.pass(secs(20));
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    let call = w.originate("clara", OUTSIDE, entry.clone());
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    let call = w.originate("anna", OUTSIDE, Entry::Unknown);
    assert_eq!(w.record(call).result, Some(CallResult::Rejected));
    let call = w.originate("anna", OUTSIDE, entry);
    w.answer(w.ringing("anna")[0]);
    w.refuse(w.ringing("acme")[0], 404);
    assert_eq!(w.record(call).result, Some(CallResult::NotReached));
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));
    w.assert_empty();
}

#[test]
fn dialling_out_by_command() {
    let mut w = world();
    let call = w.originate("anna", "boris", Entry::Operator(name("boris")));
    let to = e164(OUTSIDE);
    w.command(call, Command::DialOut { to: to.clone() });
    w.answer(w.ringing("anna")[0]);
    let out = w.ringing("acme")[0];
    assert!(w.ringing("boris").is_empty(), "the number instead of boris");
    w.answer(out);
    w.bye(out);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));

    // Who may not dial out does not.
    let call = w.originate("boris", "echo", Entry::Echo);
    w.answer(w.ringing("boris")[0]);
    w.command(call, Command::DialOut { to });
    assert!(w.ringing("acme").is_empty());
    w.command(call, Command::Hangup);
    w.assert_empty();
}
