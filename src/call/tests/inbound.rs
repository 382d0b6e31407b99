//! Calls from a trunk: how they are answered, how they wait, how they end.

use super::plan::{BEEP, PROMPT, name, plan, secs};
use super::world::World;
use crate::desk::notice::OperatorState;
use crate::ledger::cause::{CallResult, Cause, EndedBy, Flag};

fn world() -> World {
    let mut world = World::new(plan(|_| {}));
    world.register("anna", 1);
    world.register("boris", 1);
    world
}

#[test]
fn menu_hunt_operator_talk_hang_up() {
    let mut w = world();
    let (call, caller) = w.call("+74950000001");
    assert_eq!(w.said(caller), ["200"], "a menu is heard");
    assert_eq!(w.hears(caller), Some("menu"));
    w.pass(secs(1));
    w.key(caller, '1');
    assert_eq!(w.hears(caller), Some("ringback"));
    let (anna, boris) = (w.ringing("anna")[0], w.ringing("boris")[0]);
    w.ring(anna);
    w.ring(boris);
    w.pass(secs(4));
    w.answer(anna);
    assert_eq!(w.said(boris), ["dial", "end elsewhere"]);
    assert!(w.joined(caller, anna));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    assert_eq!(w.state("boris"), OperatorState::Available);
    assert_eq!(w.tape, ["start", "attach Left", "attach Right"]);
    w.pass(secs(30));
    w.bye(caller);
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.tape[3..], ["detach", "detach", "stop"]);
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.cause, None);
    assert_eq!(record.path, ["menu:main", "hunt:sales"]);
    assert_eq!(record.operator, Some(name("anna")));
    assert_eq!(record.hunt, Some(name("sales")));
    assert_eq!(record.wait_total_ms, Some(5_000));
    assert_eq!(record.wait_hunt_ms, Some(4_000));
    assert_eq!(record.talk_ms, Some(30_000));
    assert_eq!(record.ended_by, Some(EndedBy::Caller));
    assert_eq!(record.sip_code, Some(200));
    assert_eq!(record.landing_page.as_deref(), Some("/sofas"));
    assert_eq!(record.sequence, 3);
    assert!(record.recording_id.is_some());
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    assert_eq!(w.ended[&call].1.len(), 3);
    w.assert_empty();
}

#[test]
fn the_operator_hangs_up() {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    assert_eq!(
        w.said(caller),
        ["180"],
        "a hunt without music passes 180 on"
    );
    w.answer(anna);
    assert_eq!(w.said(caller), ["180", "200"]);
    w.bye(anna);
    assert_eq!(w.said(caller), ["180", "200", "end"]);
    assert_eq!(w.record(call).ended_by, Some(EndedBy::Operator));
    w.assert_empty();
}

#[test]
fn the_wait_limit_is_exact_and_losers_are_cancelled() {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let (anna, boris) = (w.ringing("anna")[0], w.ringing("boris")[0]);
    w.ring(anna);
    w.pass(secs(20) - std::time::Duration::from_micros(1));
    assert_eq!(w.hears(caller), None);
    w.pass(std::time::Duration::from_micros(1));
    assert_eq!(w.hears(caller), Some("leave_message"));
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.said(boris), ["dial", "end"]);
    w.pass(PROMPT + BEEP + secs(5));
    w.bye(caller);
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Missed));
    assert_eq!(record.cause, Some(Cause::WaitLimit));
    assert!(record.voicemail_id.is_some());
    assert_eq!(record.wait_hunt_ms, Some(20_000));
    assert_eq!(record.path, ["hunt:sales", "voicemail:box"]);
    assert_eq!(w.tape, ["message", "attach Left", "detach", "stop"]);
    w.assert_empty();
}

#[test]
fn the_wait_limit_cuts_a_linear_ring_short() {
    let mut w = world();
    let (_, caller) = w.call("+74950000003");
    w.ring(w.ringing("anna")[0]);
    w.pass(secs(8));
    assert!(w.ringing("anna").is_empty());
    w.ring(w.ringing("boris")[0]);
    w.pass(secs(8));
    w.ring(w.ringing("anna")[0]);
    w.pass(secs(4));
    assert!(w.ringing("anna").is_empty() && w.ringing("boris").is_empty());
    assert_eq!(w.hears(caller), Some("closed"));
}

#[test]
fn a_200_that_crosses_the_limit_wins() {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.pass(secs(20));
    assert_eq!(w.hears(caller), Some("leave_message"));
    w.pass(secs(1));
    w.answer(anna);
    assert_eq!(w.said(anna), ["dial", "end", "keep"]);
    assert!(w.joined(caller, anna));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert_eq!(w.record(call).hunt, Some(name("sales")));
    w.assert_empty();
}

#[test]
fn a_late_200_loses_when_a_message_has_begun() {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.pass(secs(20) + PROMPT + BEEP + secs(2));
    assert_eq!(w.tape, ["message", "attach Left"]);
    w.answer(anna);
    assert_eq!(w.said(anna), ["dial", "end", "end elsewhere"]);
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::WaitLimit));
    w.assert_empty();
}

#[test]
fn a_200_that_crosses_the_turn_of_a_linear_hunt_wins() {
    let mut w = world();
    let (_, caller) = w.call("+74950000003");
    let anna = w.ringing("anna")[0];
    w.pass(secs(8));
    let boris = w.ringing("boris")[0];
    w.answer(anna);
    assert!(w.joined(caller, anna));
    assert_eq!(w.said(boris), ["dial", "end elsewhere"]);
    assert_eq!(w.state("anna"), OperatorState::Talking);
    assert_eq!(w.state("boris"), OperatorState::Available);
    // The loser's 200 crosses too.
    w.answer(boris);
    assert_eq!(w.said(boris), ["dial", "end elsewhere", "end elsewhere"]);
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn everybody_declines() {
    let mut w = world();
    let (call, caller) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.refuse(anna, 486);
    assert_eq!(w.said(caller), ["180", "reject 480"]);
    assert_eq!(w.record(call).cause, Some(Cause::NoAnswer));
    assert_eq!(w.record(call).flags, [Flag::Short]);
    w.assert_empty();
}

#[test]
fn an_unreachable_phone_is_no_answer_of_anybody() {
    let mut w = world();
    let (call, caller) = w.call("+74950000015");
    w.refuse_as(w.ringing("anna")[0], 408, "Timeout", false);
    assert_eq!(w.said(caller), ["reject 480"]);
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));
}

#[test]
fn nobody_is_registered() {
    let mut w = World::new(plan(|_| {}));
    let (call, caller) = w.call("+74950000015");
    assert_eq!(w.said(caller), ["reject 480"]);
    assert_eq!(w.record(call).cause, Some(Cause::NoOperators));
    assert_eq!(w.record(call).sip_code, Some(480));
    w.assert_empty();
}

#[test]
fn everybody_is_busy_until_the_limit() {
    let mut w = world();
    let (first, first_caller) = w.call("+74950000015");
    w.answer(w.ringing("anna")[0]);
    let (call, caller) = w.call("+74950000015");
    w.pass(secs(3));
    assert_eq!(
        w.said(caller),
        ["180"],
        "who waits in line hears that he does"
    );
    w.pass(secs(17));
    assert_eq!(w.said(caller), ["180", "reject 486"]);
    assert_eq!(w.record(call).cause, Some(Cause::AllBusy));
    w.bye(first_caller);
    assert!(w.is_over(first));
    w.assert_empty();
}

#[test]
fn three_callers_are_served_in_order() {
    let mut w = world();
    let calls: Vec<_> = (0..3).map(|_| w.call("+74950000015")).collect();
    for (at, (call, caller)) in calls.iter().enumerate() {
        let anna = w.ringing("anna");
        assert_eq!(anna.len(), 1, "one claim at a time");
        assert_eq!(w.legs[&anna[0]].call, *call, "caller {at} is next");
        w.answer(anna[0]);
        w.pass(secs(2));
        w.bye(*caller);
        if at < 2 {
            w.pass(secs(10));
        }
        if at == 1 {
            break;
        }
    }
    // The third waited 20 s by now.
    assert_eq!(w.record(calls[2].0).cause, Some(Cause::AllBusy));
    w.assert_empty();
}

#[test]
fn callers_who_give_up() {
    let cases = [
        ("+74950000001", secs(1), Cause::AbandonedGreeting),
        ("+74950000001", PROMPT + secs(1), Cause::AbandonedMenu),
        ("+74950000002", secs(1), Cause::AbandonedRinging),
    ];
    for (number, after, cause) in cases {
        let mut w = world();
        let (call, caller) = w.call(number);
        w.pass(after);
        if w.said(caller).contains(&"200".to_owned()) {
            w.bye(caller);
            assert_eq!(w.record(call).sip_code, Some(200));
        } else {
            w.cancel(caller);
            assert_eq!(w.record(call).sip_code, Some(487));
        }
        assert_eq!(w.record(call).result, Some(CallResult::Missed));
        assert_eq!(w.record(call).cause, Some(cause));
        assert_eq!(w.record(call).ended_by, Some(EndedBy::Caller));
        w.assert_empty();
    }
}

#[test]
fn giving_up_in_line_is_not_giving_up_while_it_rings() {
    let mut w = world();
    let (_, first) = w.call("+74950000015");
    w.answer(w.ringing("anna")[0]);
    let (call, caller) = w.call("+74950000015");
    w.pass(secs(7));
    w.cancel(caller);
    assert_eq!(w.record(call).cause, Some(Cause::AbandonedHunt));
    assert!(w.record(call).flags.is_empty());
    w.bye(first);
    w.assert_empty();
}

#[test]
fn refused_calls_are_accounted() {
    let mut w = world();
    let (call, caller) = w.call("+74959999999");
    assert_eq!(w.said(caller), ["reject 404"]);
    assert_eq!(w.record(call).result, Some(CallResult::Rejected));
    assert_eq!(w.record(call).cause, Some(Cause::UnknownNumber));
    assert_eq!(w.record(call).sip_code, Some(404));

    let mut arrival = w.arrival("+74950000002");
    arrival.refuse = Some(Cause::Overload);
    let (call, caller) = w.arrive(arrival);
    assert_eq!(w.said(caller), ["reject 503"]);
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    assert_eq!(w.record(call).cause, Some(Cause::Overload));

    let mut arrival = w.arrival("+74950000002");
    arrival.offer = Some(bytes::Bytes::from_static(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n",
    ));
    let (call, caller) = w.arrive(arrival);
    assert_eq!(w.said(caller), ["reject 488"]);
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    assert_eq!(w.record(call).cause, Some(Cause::NoCodec));

    let (call, caller) = w.call("+74950000010");
    assert_eq!(w.said(caller), ["reject 603"]);
    assert_eq!(w.record(call).cause, Some(Cause::Blocked));
    w.assert_empty();
}

#[test]
fn a_200_that_crosses_an_operators_ring_time_wins() {
    let mut w = world();
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    w.pass(secs(20));
    assert_eq!(w.hears(caller), Some("leave_message"));
    w.answer(anna);
    assert!(w.joined(caller, anna));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert_eq!(w.record(call).cause, None);
    w.assert_empty();
}

#[test]
fn a_200_that_comes_after_everything_is_ended() {
    let mut w = World::new(plan(|plan| {
        plan.hunts.get_mut("line").unwrap().wait = secs(60);
    }));
    w.register("anna", 1);
    let (_, caller) = w.call("+74950000003");
    let anna = w.ringing("anna")[0];
    w.pass(secs(8));
    // 64 × T1 after the CANCEL.
    w.pass(secs(32));
    w.answer(anna);
    assert_eq!(w.said(anna), ["dial", "end", "end elsewhere"]);
    w.cancel(caller);
    w.assert_empty();
}

#[test]
fn a_message_after_a_conversation_has_a_file_of_its_own() {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    w.transfer(
        call,
        crate::dialplan::plan::Destination::Voicemail(name("box")),
    );
    w.pass(PROMPT + BEEP + secs(3));
    w.bye(caller);
    assert_eq!(
        w.tape,
        [
            "start",
            "attach Left",
            "attach Right",
            "detach",
            "message",
            "detach",
            "attach Left",
            "detach",
            "stop",
            "stop"
        ]
    );
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert!(w.record(call).voicemail_id.is_some());
    w.assert_empty();
}

#[test]
fn a_number_may_be_kept_off_the_record() {
    let mut w = World::new(plan(|plan| {
        let number = super::plan::e164("+74950000002");
        plan.numbers.get_mut(&number).unwrap().record = false;
    }));
    w.register("anna", 1);
    let (call, caller) = w.call("+74950000002");
    w.answer(w.ringing("anna")[0]);
    w.bye(caller);
    assert!(w.tape.is_empty());
    assert_eq!(w.record(call).recording_id, None);
}
