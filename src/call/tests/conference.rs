//! Conferences: who comes in, who does not, and who is told.

use super::plan::{name, plan, secs};
use super::world::World;
use crate::call::input::Command;
use crate::dialplan::plan::Destination;
use crate::ledger::cause::{CallResult, Cause};

#[test]
fn callers_meet_in_a_room_and_are_served() {
    let mut w = World::new(plan(|_| {}));
    let (first, a) = w.call("+74950000031");
    let (second, b) = w.call("+74950000031");
    let (third, c) = w.call("+74950000031");
    assert!(w.joined(a, b) && w.joined(b, c));
    let bridge = w.legs[&a].bridge.unwrap();
    assert_eq!(w.announced.len(), 3);
    assert!(
        w.announced
            .iter()
            .all(|(at, clip)| *at == bridge && clip == "comes")
    );
    // A fourth does not fit in.
    let (fourth, d) = w.call("+74950000031");
    assert!(w.is_over(fourth));
    assert_eq!(w.said(d), ["200", "end"]);
    assert_eq!(w.record(fourth).result, Some(CallResult::Served));
    w.bye(b);
    assert_eq!(w.announced.last().unwrap().1, "leaves");
    assert!(w.joined(a, c));
    let (_, e) = w.call("+74950000031");
    assert!(w.joined(a, e));
    w.pass(secs(60));
    for leg in [a, c, e] {
        w.bye(leg);
    }
    for call in [first, second, third] {
        assert_eq!(w.record(call).result, Some(CallResult::Served));
        assert_eq!(w.record(call).path, ["conference:daily"]);
    }
    // The next one begins a new room.
    let (_, f) = w.call("+74950000031");
    assert_ne!(w.legs[&f].bridge, Some(bridge));
    w.bye(f);
    w.assert_empty();
}

#[test]
fn a_pin_is_asked_for() {
    let mut w = World::new(plan(|_| {}));
    let (call, a) = w.call("+74950000032");
    assert_eq!(w.hears(a), Some("pin, please"));
    for key in ['4', '7', '1', '1'] {
        w.key(a, key);
    }
    assert_eq!(w.hears(a), None);
    assert!(w.legs[&a].bridge.is_some());
    let (wrong, b) = w.call("+74950000032");
    for key in ['1', '2', '3', '4'] {
        w.key(b, key);
    }
    assert_eq!(w.hears(b), Some("pin, please"));
    w.key(b, '4');
    w.key(b, '#');
    assert_eq!(w.hears(b), Some("pin, please"));
    w.pass(secs(20));
    assert!(w.is_over(wrong));
    assert_eq!(w.legs[&b].bridge, None);
    assert_eq!(w.record(wrong).result, Some(CallResult::Served));
    // Keys in the conference mean nothing.
    w.key(a, '9');
    w.command(call, Command::Hangup);
    w.assert_empty();
}

#[test]
fn who_leaves_for_another_destination_leaves_the_room() {
    let mut w = World::new(plan(|_| {}));
    let (call, a) = w.call("+74950000031");
    let (_, b) = w.call("+74950000031");
    w.transfer(call, Destination::Announcement(name("closed")));
    assert_eq!(w.hears(a), Some("closed"));
    assert_eq!(w.legs[&a].bridge, None);
    w.transfer(call, Destination::Conference(name("daily")));
    assert!(w.joined(a, b));
    w.transfer(call, Destination::Hunt(name("dead")));
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    assert_ne!(w.record(call).cause, Some(Cause::NoOperators));
    w.bye(b);
    w.assert_empty();
}

#[test]
fn all_who_are_there_share_a_recording() {
    let mut w = World::new(plan(|_| {}));
    let (first, a) = w.call("+74950000033");
    let (second, b) = w.call("+74950000033");
    assert_eq!(w.tape, ["share", "attach Left", "attach Left"]);
    let shared = w.legs[&a].shared;
    assert!(shared.is_some() && w.legs[&b].shared == shared);
    // The first one leaves, and it goes on.
    w.bye(a);
    assert_eq!(w.legs[&b].shared, shared);
    let (third, c) = w.call("+74950000033");
    assert_eq!(w.legs[&c].shared, shared);
    w.tape.clear();
    w.bye(b);
    w.bye(c);
    assert_eq!(w.tape, ["detach", "detach"], "nobody ends it");
    for call in [first, second, third] {
        assert_eq!(w.record(call).recording_id, shared);
    }
    // The next conference is another one.
    let (_, d) = w.call("+74950000033");
    assert_ne!(w.legs[&d].shared, shared);
    w.bye(d);
    w.assert_empty();
}

#[test]
fn a_recorded_call_goes_on_beside_the_conferences_file() {
    let mut w = World::new(plan(|_| {}));
    w.register("anna", 1);
    let (call, a) = w.call("+74950000002");
    let phone = w.ringing("anna")[0];
    w.answer(phone);
    let own = w.legs[&a].tapped;
    assert!(own.is_some() && w.legs[&phone].tapped == own);
    w.transfer(call, Destination::Conference(name("recorded")));
    let shared = w.legs[&a].shared;
    assert!(shared.is_some() && shared != own);
    assert_eq!(w.legs[&a].tapped, own);
    w.transfer(call, Destination::Announcement(name("closed")));
    assert_eq!((w.legs[&a].tapped, w.legs[&a].shared), (own, None));
    w.transfer(call, Destination::Conference(name("recorded")));
    assert_eq!(w.legs[&a].tapped, own);
    w.tape.clear();
    w.bye(a);
    assert_eq!(
        w.tape,
        ["detach", "detach", "stop"],
        "the call's own is ended"
    );
    assert_eq!(w.record(call).recording_id, own);
    w.assert_empty();
}
