//! Offers in early dialogs, our offer in a provisional response, refreshes, and phones that hold and die.

use super::plan::{name, plan, secs};
use super::world::{FarState, World};
use crate::call::input::LegEvent;
use crate::desk::notice::OperatorState;
use crate::ledger::cause::{CallResult, EndedBy};
use crate::ledger::id::{CallId, LegId};

fn world() -> World {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    w.register("boris", 1);
    w
}

/// A caller talks with anna of a hunt.
fn talking() -> (World, CallId, LegId, LegId) {
    let mut w = world();
    let (call, caller) = w.call("+74950000002");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    (w, call, caller, anna)
}

#[test]
fn without_an_offer_ours_stands_in_the_provisional_response_where_it_is_acknowledged() {
    let mut w = world();
    let mut arrival = w.arrival("+74950000015");
    arrival.offer = None;
    arrival.reliable = true;
    let (call, caller) = w.arrive(arrival);
    let anna = w.ringing("anna")[0];
    w.ring(anna);
    assert_eq!(w.said(caller), ["180+"]);
    let sdp = Some(w.answer_to_ours(caller));
    w.event(caller, LegEvent::Acked { sdp });
    assert!(w.legs[&caller].agreed);
    w.answer(anna);
    assert_eq!(w.said(caller), ["180+", "200"]);
    assert!(w.joined(caller, anna));
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

/// A world whose trunk makes the offers itself.
fn asking() -> World {
    World::new(plan(|plan| {
        let acme = plan.trunks.get_mut(&name("acme")).unwrap();
        acme.delayed_offer = true;
    }))
}

#[test]
fn a_trunk_that_makes_the_offer_is_answered() {
    let mut w = asking();
    let (call, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    assert!(w.legs[&out].dial.as_ref().unwrap().sdp.is_empty());
    w.ring(out);
    w.answer(out);
    assert_eq!(w.said(out), ["dial", "answer"]);
    assert!(w.joined(caller, out));
    // Later offers of its are answered as ever.
    w.reinvite(out, "sendonly");
    assert_eq!(w.hears(caller), Some("hold"));
    w.bye(out);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    w.assert_empty();
}

#[test]
fn the_offer_of_a_trunk_may_come_with_early_media() {
    let mut w = asking();
    let (_, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    w.early(out);
    assert_eq!(w.said(out), ["dial", "answer"]);
    assert_eq!(w.said(caller), ["183+"]);
    assert!(w.joined(caller, out), "its audio is heard");
    w.legs.get_mut(&out).unwrap().state = FarState::Up;
    let (sdp, late) = (None, false);
    w.event(out, LegEvent::Answered { sdp, late });
    assert_eq!(w.said(out), ["dial", "answer"], "once");
    assert!(w.joined(caller, out));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn an_offer_of_a_trunk_that_is_of_no_use_ends_its_leg() {
    let mut w = asking();
    let (call, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    w.legs.get_mut(&out).unwrap().state = FarState::Up;
    let sdp = Some(bytes::Bytes::from_static(b"nonsense"));
    w.event(out, LegEvent::Answered { sdp, late: false });
    assert_eq!(w.said(out), ["dial", "end NoCodec"]);
    assert_eq!(w.said(caller), ["reject 488"]);
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    w.assert_empty();

    // One that can be read is answered: nothing of it is taken.
    let useless = || {
        let text = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 18\r\n";
        Some(bytes::Bytes::from(text))
    };
    let (_, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    w.legs.get_mut(&out).unwrap().state = FarState::Up;
    let (sdp, late) = (useless(), false);
    w.event(out, LegEvent::Answered { sdp, late });
    assert_eq!(w.said(out), ["dial", "decline", "end NoCodec"]);
    assert_eq!(w.said(caller), ["reject 488"]);
    w.assert_empty();

    // In a provisional response too, and nobody waits for the rest.
    let (_, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    w.event(out, LegEvent::Offer { sdp: useless() });
    assert_eq!(w.said(out), ["dial", "decline", "end NoCodec"]);
    assert_eq!(w.said(caller), ["reject 488"]);
}

#[test]
fn a_caller_may_go_while_his_200_waits() {
    let (mut w, call, caller, _) = talking();
    w.legs.get_mut(&caller).unwrap().state = FarState::Over;
    w.event(caller, LegEvent::Cancelled);
    assert_eq!(w.record(call).ended_by, Some(EndedBy::Caller));
    let (_, legs) = &w.ended[&call];
    let leg = legs.iter().find(|leg| leg.leg_id == caller).unwrap();
    assert_eq!(leg.sip_code, Some(200));
    w.assert_empty();
}

#[test]
fn a_phone_that_rings_may_change_its_description_once_it_gave_one() {
    let mut w = world();
    let (_, caller) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.reinvite(anna, "sendrecv");
    assert_eq!(w.said(anna), ["dial", "refuse 491"]);
    w.early(anna);
    w.reinvite(anna, "sendrecv");
    assert_eq!(w.said(anna), ["dial", "refuse 491", "answer"]);
    assert!(!w.legs[&anna].agreed, "nobody hears it yet");
    let far = w.legs.get_mut(&anna).unwrap();
    far.state = FarState::Up;
    let (sdp, late) = (None, false);
    w.event(anna, LegEvent::Answered { sdp, late });
    assert!(w.joined(caller, anna));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn the_answer_to_a_refresh_may_hold_and_resume() {
    let (mut w, _, caller, anna) = talking();
    for (direction, heard) in [("sendonly", Some("hold")), ("sendrecv", None)] {
        let far = w.legs.get_mut(&anna).unwrap();
        let ours = far.dial.as_ref().unwrap().sdp.clone();
        let answer = far.negotiation.answer(&ours).unwrap().0;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let sdp = Some(answer.replace("sendrecv", direction).into());
        w.event(anna, LegEvent::Refreshed { sdp });
        assert_eq!(w.hears(caller), heard);
    }
    // One that is of no use changes nothing.
    let sdp = Some(bytes::Bytes::from_static(b"nonsense"));
    w.event(anna, LegEvent::Refreshed { sdp });
    w.event(anna, LegEvent::Refreshed { sdp: None });
    assert!(w.joined(caller, anna));
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn a_phone_that_holds_is_asked_each_minute_and_gives_the_caller_back_when_it_is_dead() {
    let (mut w, call, caller, anna) = talking();
    w.reinvite(anna, "sendonly");
    let probes = |w: &World| {
        let said = w.said(anna).iter();
        said.filter(|word| *word == "probe").count()
    };
    for minute in 1..=3 {
        w.pass(secs(60));
        assert_eq!(probes(&w), minute);
        w.event(anna, LegEvent::Alive(true));
    }
    w.reinvite(anna, "sendrecv");
    w.pass(secs(300));
    assert_eq!(probes(&w), 3, "who talks is not asked");
    w.reinvite(anna, "inactive");
    w.pass(secs(60));
    w.register("anna", 0);
    w.event(anna, LegEvent::Alive(false));
    assert_eq!(w.said(anna).last().unwrap(), "end");
    let boris = w.ringing("boris")[0];
    w.answer(boris);
    assert!(w.joined(caller, boris));
    assert_eq!(w.hears(caller), None);
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));
    assert_eq!(w.state("boris"), OperatorState::WrapUp);
    let _ = name("boris");
    w.assert_empty();
}
