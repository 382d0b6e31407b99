//! What may happen while people talk: hold, a phone that vanishes, transfer, a leg that moves.

use super::plan::{e164, name, plan, secs};
use super::world::{FarState, World, outbound};
use crate::call::input::{Command, LegEnd, LegEvent};
use crate::call::media::MediaEvent;
use crate::desk::notice::OperatorState;
use crate::dialplan::plan::Destination;
use crate::ledger::cause::{CallResult, Cause, EndedBy};
use crate::ledger::id::{CallId, LegId};
use crate::rtp::srtp::Life;

/// A caller talks with anna.
fn talking() -> (World, CallId, LegId, LegId) {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    assert!(w.joined(caller, anna));
    (w, call, caller, anna)
}

#[test]
fn a_held_party_hears_music_until_resume() {
    let (mut w, _, caller, anna) = talking();
    w.reinvite(anna, "sendonly");
    assert_eq!(w.said(anna).last().unwrap(), "answer");
    assert_eq!(w.hears(caller), Some("hold"));
    assert_eq!(w.hears(anna), None);
    // Silence is expected of a held leg.
    w.media(anna, MediaEvent::Silent);
    assert_eq!(w.said(anna).last().unwrap(), "answer");
    w.reinvite(anna, "sendrecv");
    assert!(w.joined(caller, anna));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn both_may_hold_each_other() {
    let (mut w, _, caller, anna) = talking();
    w.reinvite(anna, "inactive");
    w.reinvite(caller, "inactive");
    assert_eq!(w.hears(caller), None, "who holds hears nothing");
    w.reinvite(anna, "sendrecv");
    assert_eq!(w.hears(anna), Some("hold"));
    w.reinvite(caller, "sendrecv");
    assert!(w.joined(caller, anna));
}

#[test]
fn a_bad_offer_leaves_the_session_as_it_was() {
    let (mut w, _, caller, anna) = talking();
    let sdp = Some(bytes::Bytes::from_static(b"nonsense"));
    w.event(anna, LegEvent::Offer { sdp });
    assert_eq!(w.said(anna).last().unwrap(), "refuse 488");
    assert!(w.joined(caller, anna));
    // No offer: ours is asked for, and its answer comes in the ACK.
    w.event(anna, LegEvent::Offer { sdp: None });
    assert_eq!(w.said(anna).last().unwrap(), "answer");
    assert!(w.joined(caller, anna));
}

#[test]
fn a_phone_that_vanishes_gives_the_caller_back() {
    let (mut w, call, caller, anna) = talking();
    w.pass(secs(60));
    w.register("anna", 0);
    w.media(anna, MediaEvent::Silent);
    w.media(anna, MediaEvent::Silent);
    assert_eq!(w.said(anna), ["dial", "probe"], "asked once");
    w.event(anna, LegEvent::Alive(false));
    assert_eq!(w.said(anna), ["dial", "probe", "end"]);
    assert_eq!(w.hears(caller), Some("ringback"));
    let boris = w.ringing("boris")[0];
    w.pass(secs(19));
    w.answer(boris);
    assert!(w.joined(caller, boris));
    w.bye(boris);
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.path, ["hunt:sales", "hunt:sales"]);
    assert_eq!(record.operator, Some(name("anna")));
    assert_eq!(record.talk_ms, Some(79_000));
    assert_eq!(
        w.tape,
        [
            "start",
            "attach Left",
            "attach Right",
            "detach",
            "attach Right",
            "detach",
            "detach",
            "stop"
        ]
    );
    w.assert_empty();
}

#[test]
fn a_leg_whose_key_comes_to_its_end_is_asked_for_a_new_one_and_then_ended() {
    let (mut w, _, caller, anna) = talking();
    w.media(anna, MediaEvent::KeyLife(Life::Ending));
    assert_eq!(w.said(anna), ["dial", "offer"]);
    assert!(w.joined(caller, anna));
    w.media(anna, MediaEvent::KeyLife(Life::Ended));
    assert_eq!(
        w.said(anna).last().unwrap(),
        "end: The key of the encrypted audio is used up"
    );
    // As if the phone had vanished: the caller waits for somebody again.
    assert_eq!(w.hears(caller), Some("ringback"));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn a_call_whose_media_thread_is_gone_ends() {
    let (mut w, call, caller, anna) = talking();
    let why = "its media thread is gone".to_owned();
    w.media(caller, MediaEvent::Failed { why: why.clone() });
    assert_eq!(
        w.said(caller).last().unwrap(),
        "end: The media of this leg has failed"
    );
    assert_eq!(w.said(anna).last().unwrap(), "end");
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.ended_by, Some(EndedBy::System));
    w.assert_empty();

    // A caller who waits for somebody has missed his call by a fault of ours.
    let (call, caller) = w.call("+74950000001");
    w.media(caller, MediaEvent::Failed { why });
    let record = w.record(call);
    assert_eq!(record.result, Some(CallResult::Missed));
    assert_eq!(record.cause, Some(Cause::SystemError));
    w.assert_empty();
}

#[test]
fn a_living_phone_stays() {
    let (mut w, _, caller, anna) = talking();
    w.media(anna, MediaEvent::Silent);
    w.event(anna, LegEvent::Alive(true));
    assert!(w.joined(caller, anna));
    w.media(anna, MediaEvent::Silent);
    assert_eq!(w.said(anna), ["dial", "probe", "probe"]);
}

#[test]
fn a_phone_that_is_heard_need_not_answer() {
    let (mut w, _, caller, anna) = talking();
    for leg in [anna, caller] {
        // The session asks of its own accord now and then.
        w.event(leg, LegEvent::Alive(false));
        assert!(w.joined(caller, anna));
    }
    w.media(anna, MediaEvent::Silent);
    w.event(anna, LegEvent::Alive(false));
    assert_eq!(w.said(anna).last().unwrap(), "end");
}

#[test]
fn nobody_answers_after_a_phone_vanished() {
    let (mut w, call, caller, anna) = talking();
    w.ended(anna, LegEnd::Lost);
    w.pass(secs(20));
    assert_eq!(w.hears(caller), Some("leave_message"));
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert_eq!(w.record(call).cause, None);
    w.assert_empty();
}

#[test]
fn a_callers_phone_that_vanishes_ends_the_call() {
    let (mut w, call, caller, anna) = talking();
    w.ended(caller, LegEnd::Lost);
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn a_transfer_takes_the_caller_along_and_goes_on_recording() {
    let (mut w, call, caller, anna) = talking();
    w.transfer(call, Destination::Operator(name("boris")));
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    assert_eq!(w.hears(caller), Some("ringback"));
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    assert!(w.joined(caller, boris));
    w.bye(boris);
    let record = w.record(call);
    assert_eq!(record.path, ["hunt:sales", "operator:boris"]);
    assert_eq!(record.ended_by, Some(EndedBy::Operator));
    assert_eq!(w.tape.iter().filter(|word| *word == "start").count(), 1);
    assert_eq!(w.told.iter().filter(|told| told.1 == "answered").count(), 1);
    w.assert_empty();
}

#[test]
fn a_transfer_of_an_outbound_call_takes_the_outside_party_along() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    let entry = outbound(e164("+79160000001"), &["acme"]);
    let arrival = w.arrival_of("anna", "+79160000001", entry);
    let (call, anna) = w.arrive(arrival);
    let outside = w.ringing("acme")[0];
    w.answer(outside);
    assert_eq!(w.tape, ["start", "attach Right", "attach Left"]);
    w.transfer(call, Destination::Operator(name("boris")));
    assert_eq!(w.said(anna).last().unwrap(), "end");
    assert_eq!(w.hears(outside), Some("ringback"));
    let boris = w.ringing("boris")[0];
    let shown = w.legs[&boris].dial.as_ref().unwrap().caller.clone();
    assert_eq!(shown.as_deref(), Some("+79160000001"));
    w.answer(boris);
    assert!(w.joined(outside, boris));
    assert_eq!(w.tape[3..], ["detach", "attach Right"]);
    w.bye(outside);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn a_waiting_caller_can_be_transferred() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.transfer(call, Destination::Announcement(name("closed")));
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.hears(caller), Some("closed"));
    assert_eq!(w.state("anna"), OperatorState::Available);
    w.pass(secs(10));
    w.assert_empty();
}

#[test]
fn a_leg_moves_to_another_call() {
    let (mut w, first, first_caller, anna) = talking();
    let (second, second_caller) = w.call("+74950000002");
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    // boris hands his caller's place over to anna: her leg joins the second call.
    w.command(
        first,
        Command::MoveLeg {
            leg: anna,
            into: second,
        },
    );
    assert!(w.is_over(first), "the other side ends");
    assert_eq!(w.said(first_caller).last().unwrap(), "end");
    assert_eq!(w.said(boris), ["dial", "end"]);
    assert!(w.joined(second_caller, anna));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    w.bye(anna);
    assert_eq!(w.record(second).ended_by, Some(EndedBy::Operator));
    w.assert_empty();
}

#[test]
fn a_leg_moves_to_a_call_that_waits() {
    let (mut w, first, _, anna) = talking();
    let (second, second_caller) = w.call("+74950000015");
    w.command(
        first,
        Command::MoveLeg {
            leg: anna,
            into: second,
        },
    );
    assert!(w.joined(second_caller, anna));
    assert_eq!(w.record(second).answered_at, Some(w.now.wall));
    w.bye(second_caller);
    w.assert_empty();
}

#[test]
fn a_leg_for_a_call_without_a_guest_is_ended() {
    let (mut w, first, _, anna) = talking();
    let entry = outbound(e164("+79160000001"), &["acme"]);
    let second = w.originate("boris", "+79160000001", entry);
    w.command(
        first,
        Command::MoveLeg {
            leg: anna,
            into: second,
        },
    );
    assert_eq!(w.legs[&anna].state, FarState::Over);
    w.command(second, Command::Hangup);
    w.assert_empty();
}

#[test]
fn commands_end_a_call() {
    let (mut w, call, caller, anna) = talking();
    w.command(call, Command::Drain);
    assert_eq!(w.said(caller).last().unwrap(), "end Overload");
    assert_eq!(w.said(anna), ["dial", "end Overload"]);
    assert_eq!(w.record(call).ended_by, Some(EndedBy::System));
    assert_eq!(w.record(call).result, Some(CallResult::Answered));

    let (call, caller) = w.call("+74950000015");
    w.command(call, Command::Drain);
    assert_eq!(w.said(caller), ["reject 503"]);
    assert_eq!(w.record(call).cause, Some(Cause::Overload));

    let (call, caller) = w.call("+74950000001");
    w.command(call, Command::Hangup);
    assert_eq!(w.said(caller), ["200", "end"]);
    assert_eq!(w.record(call).ended_by, Some(EndedBy::System));
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    w.assert_empty();
}

#[test]
fn the_longest_call_is_limited() {
    let (mut w, call, caller, _) = talking();
    w.pass(secs(4 * 3600));
    assert_eq!(w.said(caller).last().unwrap(), "end");
    assert_eq!(w.record(call).ended_by, Some(EndedBy::System));
    w.assert_empty();
}
