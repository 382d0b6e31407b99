//! Calls that are passed on, joined, parked and picked up, and phones that send them elsewhere.

use super::plan::{e164, name, plan, secs};
use super::world::{FarState, World, outbound};
use crate::call::input::{Command, LegEvent};
use crate::call::media::MediaEvent;
use crate::call::output::Seat;
use crate::desk::notice::OperatorState;
use crate::dialplan::plan::{Destination, Plan};
use crate::dialplan::routing::Entry;
use crate::ledger::cause::{CallResult, Direction, EndedBy};
use crate::ledger::id::{CallId, LegId};

const OUTSIDE: &str = "+79160000001";

/// A caller talks with anna; boris and clara are there.
fn talking() -> (World, CallId, LegId, LegId) {
    let mut w = World::new(plan(|_| {}));
    for operator in ["anna", "boris", "clara"] {
        w.register(operator, 1);
    }
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    assert!(w.joined(caller, anna));
    (w, call, caller, anna)
}

fn to_operator(operator: &str) -> Entry {
    Entry::Operator(name(operator))
}

fn refer(w: &mut World, call: CallId, by: LegId, to: Entry) {
    w.command(call, Command::Refer { by, to });
}

fn last(w: &World, leg: LegId) -> &str {
    w.said(leg).last().unwrap()
}

#[test]
fn a_party_is_passed_on_and_the_recording_goes_on() {
    let (mut w, call, caller, anna) = talking();
    w.pass(secs(5));
    refer(&mut w, call, anna, to_operator("boris"));
    assert_eq!(w.hears(caller), Some("ringback"));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    let boris = w.ringing("boris")[0];
    let dial = w.legs[&boris].dial.clone().unwrap();
    assert_eq!(dial.caller.as_deref(), Some("+79161234567"));
    assert_eq!(dial.referred_by.as_deref(), Some("anna"));
    w.ring(boris);
    w.ring(boris);
    assert_eq!(last(&w, anna), "notice 180");
    w.answer(boris);
    assert_eq!(w.said(anna)[1..], ["notice 180", "notice 200", "end"]);
    assert!(w.joined(caller, boris));
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    assert_eq!(w.state("boris"), OperatorState::Talking);
    w.bye(boris);
    let tape = [
        "start",
        "attach Left",
        "attach Right",
        "detach",
        "attach Right",
        "detach",
        "detach",
        "stop",
    ];
    assert_eq!(w.tape, tape);
    let (record, legs) = &w.ended[&call];
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.operator, Some(name("anna")), "who answered first");
    assert_eq!(record.ended_by, Some(EndedBy::Operator));
    assert_eq!(record.path, ["operator:anna", "operator:boris"]);
    assert_eq!(legs.len(), 3);
    w.assert_empty();
}

#[test]
fn nobody_takes_the_party_so_it_comes_back() {
    for (code, told) in [
        (486, "notice 480"),
        (480, "notice 480"),
        (500, "notice 480"),
    ] {
        let (mut w, call, caller, anna) = talking();
        refer(&mut w, call, anna, to_operator("boris"));
        let boris = w.ringing("boris")[0];
        w.refuse(boris, code);
        assert_eq!(last(&w, anna), told, "{code}");
        assert!(w.joined(caller, anna));
        assert_eq!(w.state("boris"), OperatorState::Available);
        assert_eq!(w.legs[&anna].state, FarState::Up);
        // It can be tried again.
        refer(&mut w, call, anna, to_operator("clara"));
        let clara = w.ringing("clara")[0];
        w.answer(clara);
        assert!(w.joined(caller, clara));
        w.bye(caller);
        assert_eq!(w.record(call).result, Some(CallResult::Answered));
        w.assert_empty();
    }
}

#[test]
fn a_busy_or_absent_colleague_is_told_at_once() {
    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, to_operator("anna"));
    assert_eq!(last(&w, anna), "notice 486", "to himself");
    assert!(w.joined(caller, anna));
    w.register("boris", 0);
    refer(&mut w, call, anna, to_operator("boris"));
    assert_eq!(last(&w, anna), "notice 480");
    refer(&mut w, call, anna, Entry::Unknown);
    assert_eq!(last(&w, anna), "notice 404");
    let why = "no".to_owned();
    refer(&mut w, call, anna, Entry::NotAllowed { why });
    assert_eq!(last(&w, anna), "notice 603");
    assert!(w.joined(caller, anna));
    w.bye(anna);
    w.assert_empty();
}

#[test]
fn whoever_hangs_up_after_passing_on_is_free_and_the_plan_goes_on() {
    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, to_operator("boris"));
    w.bye(anna);
    assert!(!w.is_over(call));
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    let boris = w.ringing("boris")[0];
    w.refuse(boris, 486);
    // boris's `otherwise` is hangup.
    assert!(w.is_over(call));
    assert_eq!(last(&w, anna), "notice 487");
    assert_eq!(last(&w, caller), "end");
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn whoever_hangs_up_after_passing_on_is_told_what_came_of_it() {
    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, to_operator("boris"));
    w.bye(anna);
    assert_eq!(w.said(anna), ["dial"]);
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    assert_eq!(w.said(anna), ["dial", "notice 200"]);
    w.bye(caller);
    assert_eq!(w.said(anna), ["dial", "notice 200"]);
    w.assert_empty();
}

#[test]
fn the_party_hangs_up_meanwhile() {
    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, to_operator("boris"));
    let boris = w.ringing("boris")[0];
    w.bye(caller);
    assert_eq!(w.said(anna)[1..], ["notice 487", "end"]);
    assert_eq!(last(&w, boris), "end");
    assert!(w.is_over(call));
    w.assert_empty();
}

#[test]
fn to_something_of_ours_and_outside() {
    let (mut w, call, caller, anna) = talking();
    let menu = Entry::Destination(Destination::Menu(name("main")));
    refer(&mut w, call, anna, menu);
    assert_eq!(w.said(anna)[1..], ["notice 200", "end"]);
    assert_eq!(w.hears(caller), Some("menu"));
    w.bye(caller);
    w.assert_empty();

    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, outbound(e164(OUTSIDE), &["acme"]));
    let out = w.ringing("acme")[0];
    w.answer(out);
    assert!(w.joined(caller, out));
    assert_eq!(last(&w, anna), "end");
    w.bye(out);
    let record = w.record(call);
    assert_eq!(record.direction, Direction::Inbound);
    assert_eq!(record.trunk, Some(name("acme")));
    w.assert_empty();

    let (mut w, call, caller, anna) = talking();
    refer(&mut w, call, anna, outbound(e164(OUTSIDE), &["acme"]));
    w.refuse(w.ringing("acme")[0], 486);
    assert_eq!(last(&w, anna), "notice 486 No", "the far side's own");
    assert!(w.joined(caller, anna));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn who_called_out_passes_his_party_on() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    let arrival = w.arrival_of("anna", OUTSIDE, outbound(e164(OUTSIDE), &["acme"]));
    let (call, anna) = w.arrive(arrival);
    let out = w.ringing("acme")[0];
    w.answer(out);
    refer(&mut w, call, anna, to_operator("boris"));
    w.refuse(w.ringing("boris")[0], 603);
    assert!(w.joined(anna, out));
    refer(&mut w, call, anna, to_operator("boris"));
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    assert!(w.joined(out, boris));
    assert_eq!(last(&w, anna), "end");
    w.bye(out);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert_eq!(w.record(call).direction, Direction::Outbound);
    w.assert_empty();
}

#[test]
fn the_called_colleague_passes_the_caller_on() {
    let mut w = World::new(plan(|_| {}));
    for operator in ["anna", "boris", "clara"] {
        w.register(operator, 1);
    }
    let arrival = w.arrival_of("anna", "102", to_operator("boris"));
    let (call, anna) = w.arrive(arrival);
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    // anna passes boris on: he is shown to clara.
    refer(&mut w, call, anna, to_operator("clara"));
    let clara = w.ringing("clara")[0];
    let shown = w.legs[&clara].dial.as_ref().unwrap().caller.clone();
    assert_eq!(shown.as_deref(), Some("boris"));
    w.answer(clara);
    assert!(w.joined(boris, clara));
    assert_eq!(w.tape.last().unwrap(), "attach Left");
    w.bye(clara);
    assert!(w.is_over(call));
    w.assert_empty();
}

/// anna, who talks with a caller, has called boris too, and talks with him.
fn asked_back() -> (World, (CallId, LegId, LegId), (CallId, LegId, LegId)) {
    let (mut w, call, caller, anna) = talking();
    let arrival = w.arrival_of("anna", "102", to_operator("boris"));
    let (second, anna_again) = w.arrive(arrival);
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    (w, (call, caller, anna), (second, anna_again, boris))
}

#[test]
fn an_attended_transfer_joins_the_two_others() {
    let (mut w, (call, caller, anna), (second, anna_again, boris)) = asked_back();
    let hand_over = Command::HandOver {
        leg: boris,
        into: call,
        seat: Seat::Of(anna),
    };
    w.command(second, hand_over);
    assert!(w.is_over(second));
    assert!(w.joined(caller, boris));
    assert_eq!(last(&w, anna), "end");
    assert_eq!(last(&w, anna_again), "end");
    assert_eq!(w.state("anna"), OperatorState::WrapUp);
    assert_eq!(w.state("boris"), OperatorState::Talking);
    assert_eq!(w.record(second).result, Some(CallResult::Answered));
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn a_seat_that_is_gone_is_not_taken() {
    let (mut w, (call, caller, anna), (second, _, boris)) = asked_back();
    for seat in [Seat::Of(boris), Seat::Ringing, Seat::Parked] {
        let (mut w2, (call, caller, anna), (second, _, boris)) = asked_back();
        let seat = match seat {
            Seat::Of(_) => Seat::Of(boris),
            seat => seat,
        };
        let leg = boris;
        w2.command(
            second,
            Command::HandOver {
                leg,
                into: call,
                seat,
            },
        );
        assert!(w2.joined(caller, anna), "{seat:?}");
        assert_eq!(w2.legs[&boris].state, FarState::Over);
        w2.bye(caller);
        w2.assert_empty();
    }
    // The one who called keeps his call when his own leg is replaced.
    let arrival = w.arrival_of("clara", OUTSIDE, outbound(e164(OUTSIDE), &["acme"]));
    let (third, clara) = w.arrive(arrival);
    let out = w.ringing("acme")[0];
    w.answer(out);
    let hand_over = Command::HandOver {
        leg: boris,
        into: third,
        seat: Seat::Of(clara),
    };
    w.command(second, hand_over);
    assert!(w.joined(out, boris));
    assert_eq!(last(&w, clara), "end");
    w.bye(boris);
    assert!(w.is_over(third));
    assert!(w.joined(caller, anna));
    w.bye(anna);
    assert!(w.is_over(call));
    w.assert_empty();
}

#[test]
fn who_changes_to_his_other_phone_is_rung_by_nobody() {
    let none = |plan: &mut Plan| {
        for operator in plan.operators.values_mut() {
            operator.wrap_up = secs(0);
        }
    };
    let mut w = World::new(plan(none));
    w.register("anna", 2);
    let (call, caller) = w.call("+74950000004");
    let desk_phone = w.ringing("anna")[0];
    w.answer(desk_phone);
    let (waiting, _) = w.call("+74950000003");
    assert!(w.ringing("anna").is_empty());
    let (_, other_phone) = join(&mut w, "anna", call, Seat::Of(desk_phone));
    assert!(w.joined(caller, other_phone));
    assert_eq!(last(&w, desk_phone), "end");
    assert_eq!(w.state("anna"), OperatorState::Talking);
    assert!(w.ringing("anna").is_empty());
    // A seat that is gone: she goes on talking where she talks.
    let (_, third) = join(&mut w, "anna", call, Seat::Parked);
    assert_eq!(last(&w, third), "end");
    assert!(w.joined(caller, other_phone));
    assert_eq!(w.state("anna"), OperatorState::Talking);
    assert!(w.ringing("anna").is_empty());
    w.command(waiting, Command::Hangup);
    w.bye(caller);
    w.assert_empty();
}

fn join(w: &mut World, operator: &str, into: CallId, seat: Seat) -> (CallId, LegId) {
    let mut arrival = w.arrival_of(operator, "*8", Entry::PickUp(None));
    arrival.join = Some((into, seat));
    w.arrive(arrival)
}

#[test]
fn a_ringing_call_is_picked_up() {
    let mut w = World::new(plan(|_| {}));
    for operator in ["anna", "boris"] {
        w.register(operator, 1);
    }
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    let (picking, boris) = join(&mut w, "boris", call, Seat::Ringing);
    assert!(w.is_over(picking));
    assert_eq!(w.record(picking).result, Some(CallResult::Served));
    assert_eq!(w.record(picking).direction, Direction::Internal);
    assert_eq!(w.said(anna), ["dial", "end elsewhere"]);
    assert!(w.joined(caller, boris));
    assert_eq!(w.state("boris"), OperatorState::Talking);
    assert_eq!(w.state("anna"), OperatorState::Available);
    assert_eq!(w.record(call).operator, Some(name("boris")));
    // Too late for another one.
    let (late, clara) = join(&mut w, "clara", call, Seat::Ringing);
    assert!(w.is_over(late));
    assert_eq!(w.said(clara), ["200", "end"]);
    assert!(w.joined(caller, boris));
    w.bye(boris);
    w.assert_empty();
}

#[test]
fn who_came_from_another_call_is_shown_with_whom_he_talks_now() {
    let (mut w, (call, caller, anna), (second, _, boris)) = asked_back();
    let shown = |w: &World, call: CallId, operator: &str| {
        let operator = name(operator);
        let leg = w.calls[&call].shown_legs(&operator).next().unwrap();
        (leg.is_caller, leg.remote)
    };
    let from_outside = Some("+79161234567".to_owned());
    assert_eq!(shown(&w, call, "anna"), (false, from_outside.clone()));
    assert_eq!(shown(&w, second, "anna"), (true, Some("102".to_owned())));
    let hand_over = Command::HandOver {
        leg: boris,
        into: call,
        seat: Seat::Of(anna),
    };
    w.command(second, hand_over);
    assert_eq!(shown(&w, call, "boris"), (false, from_outside.clone()));
    let (_, clara) = join(&mut w, "clara", call, Seat::Of(boris));
    assert!(w.joined(caller, clara));
    assert_eq!(shown(&w, call, "clara"), (false, from_outside));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn a_call_is_parked_and_taken() {
    let (mut w, call, caller, anna) = talking();
    let slot = "701".to_owned();
    w.command(call, Command::Park { by: anna, slot });
    assert_eq!(w.said(anna)[1..], ["notice 200 Parked at 701", "end"]);
    assert_eq!(w.hears(caller), Some("hold"));
    assert_eq!(w.calls[&call].parked(), Some("701"));
    assert_eq!(w.record(call).path.last().unwrap(), "park:701");
    w.pass(secs(30));
    let (taking, boris) = join(&mut w, "boris", call, Seat::Parked);
    assert!(w.is_over(taking));
    assert!(w.joined(caller, boris));
    w.pass(secs(60));
    assert!(w.joined(caller, boris));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn a_parked_call_comes_back_to_who_parked_it() {
    let (mut w, call, caller, anna) = talking();
    let slot = "701".to_owned();
    w.command(call, Command::Park { by: anna, slot });
    w.pass(secs(59));
    assert!(w.ringing("anna").is_empty());
    w.pass(secs(2));
    assert_eq!(w.calls[&call].parked(), None);
    let again = w.ringing("anna")[0];
    w.answer(again);
    assert!(w.joined(caller, again));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn an_invite_without_an_offer_joins_when_it_is_acknowledged() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    let (call, caller) = w.call("+74950000004");
    let mut arrival = w.arrival_of("boris", "*8", Entry::PickUp(None));
    arrival.join = Some((call, Seat::Ringing));
    arrival.offer = None;
    let (picking, boris) = w.arrive(arrival);
    assert!(!w.is_over(picking));
    let sdp = Some(w.answer_to_ours(boris));
    w.event(boris, LegEvent::Acked { sdp });
    assert!(w.is_over(picking));
    assert!(w.joined(caller, boris));
    w.bye(boris);
    w.assert_empty();
}

#[test]
fn a_phone_sends_the_call_to_a_mobile() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.redirect(anna, OUTSIDE, outbound(e164(OUTSIDE), &["acme"]));
    assert_eq!(w.ringing("acme"), [anna], "the same leg rings elsewhere");
    assert_eq!(w.state("anna"), OperatorState::Ringing);
    w.answer(anna);
    assert!(w.joined(caller, anna));
    w.bye(caller);
    let (record, legs) = &w.ended[&call];
    assert_eq!(record.operator, Some(name("anna")));
    assert_eq!(legs[1].trunk, Some(name("acme")));
    w.assert_empty();
}

#[test]
fn where_a_phone_sends_the_call_is_tried_over_every_trunk() {
    for (code, is_tried) in [(503, true), (486, false)] {
        let mut w = World::new(plan(|_| {}));
        w.register("anna", 1);
        let (call, caller) = w.call("+74950000004");
        let anna = w.ringing("anna")[0];
        // It rang before nobody came: that says nothing of the trunk.
        w.ring(anna);
        let to = outbound(e164(OUTSIDE), &["acme", "spare"]);
        w.redirect(anna, OUTSIDE, to);
        assert_eq!(w.ringing("acme"), [anna]);
        w.legs.get_mut(&anna).unwrap().state = FarState::New;
        let (reason, responded) = ("No".to_owned(), true);
        w.event(
            anna,
            LegEvent::Refused {
                code,
                reason,
                responded,
            },
        );
        if !is_tried {
            assert!(w.ringing("spare").is_empty());
            continue;
        }
        assert_eq!(w.ringing("spare"), [anna]);
        w.answer(anna);
        assert!(w.joined(caller, anna));
        w.bye(caller);
        let legs = &w.ended[&call].1;
        let leg = legs.iter().find(|leg| leg.leg_id == anna).unwrap();
        assert_eq!(leg.trunk, Some(name("spare")));
        w.assert_empty();
    }
}

#[test]
fn redirections_are_bounded_and_never_go_round() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    let (call, _) = w.call("+74950000004");
    let leg = w.ringing("anna")[0];
    for n in 0..5 {
        let number = format!("+7916000000{n}");
        w.redirect(leg, &number, outbound(e164(&number), &["acme"]));
        assert_eq!(w.ringing("acme"), [leg]);
    }
    w.redirect(
        leg,
        "+79160000009",
        outbound(e164("+79160000009"), &["acme"]),
    );
    assert!(w.ringing("acme").is_empty());
    w.pass(secs(300));
    w.command(call, Command::Hangup);
    w.assert_empty();

    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    let (call, _) = w.call("+74950000004");
    let leg = w.ringing("anna")[0];
    w.redirect(leg, OUTSIDE, outbound(e164(OUTSIDE), &["acme"]));
    w.redirect(leg, OUTSIDE, outbound(e164(OUTSIDE), &["acme"]));
    assert!(w.ringing("acme").is_empty(), "round in a circle");
    w.command(call, Command::Hangup);
    w.assert_empty();
}

#[test]
fn a_phone_sends_the_call_to_a_colleague_or_where_it_may_not() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.redirect(anna, "102", to_operator("boris"));
    let boris = w.ringing("boris")[0];
    assert_eq!(w.state("anna"), OperatorState::Available);
    w.answer(boris);
    assert!(w.joined(caller, boris));
    w.bye(caller);
    assert!(w.is_over(call));
    w.pass(secs(20));

    let (call, _) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    let why = "no".to_owned();
    w.redirect(anna, "+4930123", Entry::NotAllowed { why });
    assert_eq!(w.state("anna"), OperatorState::Available);
    w.media(w.ringing("boris")[0], MediaEvent::Ready);
    w.command(call, Command::Hangup);
    w.assert_empty();
}
