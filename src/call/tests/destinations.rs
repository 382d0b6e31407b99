//! Destinations one by one, and when a call is answered.

use super::plan::{BEEP, PROMPT, e164, name, plan, secs};
use super::world::{FarState, World};
use crate::call::input::LegEvent;
use crate::call::media::MediaEvent;
use crate::desk::notice::OperatorState;
use crate::dialplan::plan::{AnswerPolicy, CallerIdPolicy, Plan};
use crate::ledger::cause::{CallResult, Cause};
use crate::ledger::leg::LegOutcome;

fn world_with(change: impl FnOnce(&mut Plan)) -> World {
    let mut w = World::new(plan(change));
    w.register("anna", 1);
    w
}

fn world() -> World {
    world_with(|_| {})
}

fn answer_when(number: &str, policy: AnswerPolicy) -> World {
    world_with(|plan| plan.numbers.get_mut(&e164(number)).unwrap().answer = policy)
}

#[test]
fn a_menu_times_out_and_wrong_keys_are_attempts() {
    let mut w = world();
    let (call, caller) = w.call("+74950000001");
    w.pass(PROMPT + secs(4));
    assert_eq!(w.hears(caller), None, "it waits for a key");
    w.pass(secs(1));
    assert_eq!(w.hears(caller), Some("menu"), "second attempt");
    w.pass(secs(1));
    w.key(caller, '7');
    assert_eq!(w.record(call).path, ["menu:main", "hunt:sales"]);
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::AbandonedRinging));
}

#[test]
fn a_wrong_key_interrupts_and_plays_again() {
    let mut w = world();
    let (call, caller) = w.call("+74950000001");
    w.pass(secs(2));
    w.key(caller, '5');
    w.pass(secs(2));
    assert_eq!(w.hears(caller), Some("menu"), "from its beginning");
    w.pass(secs(1) + secs(4));
    assert_eq!(w.record(call).path, ["menu:main"]);
    w.pass(secs(1));
    assert_eq!(w.record(call).path, ["menu:main", "hunt:sales"]);
    w.bye(caller);
    w.assert_empty();
}

#[test]
fn a_choice_of_information_or_the_end_is_served() {
    let mut w = world();
    let (call, caller) = w.call("+74950000001");
    w.key(caller, '3');
    w.pass(secs(1));
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    let (call, caller) = w.call("+74950000001");
    w.key(caller, '9');
    assert_eq!(w.said(caller), ["200", "end"]);
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    w.assert_empty();
}

#[test]
fn keys_come_from_one_source() {
    let mut w = world();
    let (call, caller) = w.call("+74950000001");
    w.event(caller, LegEvent::Key('2'));
    assert_eq!(
        w.record(call).path,
        ["menu:main"],
        "RFC 4733 was negotiated"
    );
    w.media(caller, MediaEvent::Key('1'));
    assert_eq!(w.record(call).path, ["menu:main", "hunt:sales"]);
}

#[test]
fn an_announcement_alone_serves() {
    let mut w = world();
    let (call, caller) = w.call("+74950000007");
    w.pass(PROMPT);
    assert_eq!(w.said(caller), ["200", "end"]);
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    let (call, caller) = w.call("+74950000007");
    w.pass(secs(1));
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::AbandonedGreeting));
    w.assert_empty();
}

#[test]
fn a_closed_office_is_missed() {
    let mut w = world();
    let (call, caller) = w.call("+74950000008");
    assert_eq!(w.hears(caller), Some("closed"));
    w.pass(PROMPT);
    assert_eq!(w.said(caller), ["200", "end Closed"]);
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    assert_eq!(w.record(call).cause, Some(Cause::Closed));
    assert_eq!(
        w.record(call).path,
        ["schedule:never", "announcement:closed", "hangup"]
    );
    w.assert_empty();
}

#[test]
fn echo_serves() {
    let mut w = world();
    let (call, caller) = w.call("+74950000009");
    assert!(w.legs[&caller].echo);
    w.bye(caller);
    assert_eq!(w.record(call).result, Some(CallResult::Served));
    w.assert_empty();
}

#[test]
fn voicemail_by_number() {
    let mut w = world();
    let (call, caller) = w.call("+74950000006");
    w.pass(PROMPT + BEEP);
    assert_eq!(w.tape, ["message", "attach Left"]);
    w.pass(secs(60));
    assert_eq!(w.said(caller), ["200", "end"], "the longest message");
    assert_eq!(w.record(call).cause, Some(Cause::Voicemail));
    assert!(w.record(call).voicemail_id.is_some());

    let (call, caller) = w.call("+74950000006");
    w.key(caller, '#');
    assert_eq!(w.hears(caller), Some("beep"), "the prompt is skipped");
    w.pass(BEEP + secs(3));
    w.key(caller, '#');
    assert!(w.record(call).voicemail_id.is_some());
    assert!(w.is_over(call));

    let (call, caller) = w.call("+74950000006");
    w.pass(PROMPT + BEEP + std::time::Duration::from_millis(900));
    w.bye(caller);
    assert_eq!(w.tape.last().unwrap(), "discard");
    assert_eq!(w.record(call).voicemail_id, None);
    assert_eq!(w.record(call).result, Some(CallResult::Missed));
    w.assert_empty();
}

#[test]
fn one_operator_and_his_otherwise() {
    let mut w = world();
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    assert_eq!(w.said(caller).len(), 0);
    w.ring(anna);
    assert_eq!(w.said(caller), ["180"]);
    w.pass(secs(20));
    assert_eq!(w.said(anna), ["dial", "end"]);
    assert_eq!(w.state("anna"), OperatorState::Available);
    assert_eq!(w.hears(caller), Some("leave_message"));
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::NoAnswer));
    let anna = w.ended[&call].1.iter().find(|leg| leg.operator.is_some());
    assert_eq!(anna.unwrap().outcome, Some(LegOutcome::NoAnswer));

    let (_, first) = w.call("+74950000004");
    w.answer(w.ringing("anna")[0]);
    let (busy, caller) = w.call("+74950000004");
    w.bye(caller);
    assert_eq!(w.record(busy).cause, Some(Cause::AllBusy));
    w.bye(first);

    w.register("anna", 0);
    let (offline, caller) = w.call("+74950000004");
    w.bye(caller);
    assert_eq!(w.record(offline).cause, Some(Cause::NoOperators));
    w.assert_empty();
}

#[test]
fn all_phones_of_an_operator_ring() {
    let mut w = world();
    w.register("anna", 3);
    let (_, caller) = w.call("+74950000015");
    let phones = w.ringing("anna");
    assert_eq!(phones.len(), 3);
    w.refuse(phones[0], 486);
    assert_eq!(w.ringing("anna").len(), 2, "one phone is not the operator");
    w.answer(phones[1]);
    assert_eq!(w.said(phones[2]), ["dial", "end elsewhere"]);
    w.bye(caller);

    w.pass(secs(10));
    let (call, caller) = w.call("+74950000015");
    let phones = w.ringing("anna");
    w.refuse(phones[2], 603);
    assert_eq!(w.said(phones[0]), ["dial", "end"], "declined for all");
    assert_eq!(w.said(caller), ["reject 480"]);
    assert_eq!(w.record(call).cause, Some(Cause::NoAnswer));

    let (call, _) = w.call("+74950000015");
    for phone in w.ringing("anna") {
        w.refuse(phone, 404);
    }
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));
    w.assert_empty();
}

#[test]
fn a_forward_passes_ringing_early_media_and_refusals_on() {
    let mut w = world();
    let (call, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    let shown = w.legs[&out].dial.as_ref().unwrap().clone();
    assert_eq!(shown.caller.as_deref(), Some("+74950000014"), "ours");
    assert_eq!(shown.max_forwards, 69);
    w.ring(out);
    w.early(out);
    assert_eq!(w.said(caller), ["180", "183+"]);
    assert!(w.joined(caller, out), "its audio too");
    w.refuse(out, 404);
    assert_eq!(w.said(caller), ["180", "183+", "reject 404"]);
    assert_eq!(w.record(call).sip_code, Some(404));
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));

    let (call, caller) = w.call("+74950000014");
    let out = w.ringing("acme")[0];
    w.early(out);
    w.answer(out);
    assert!(w.joined(caller, out));
    w.bye(out);
    assert_eq!(w.record(call).result, Some(CallResult::Answered));

    let (call, caller) = w.call("+74950000005");
    w.ring(w.ringing("acme")[0]);
    w.pass(secs(15));
    assert_eq!(w.hears(caller), Some("leave_message"));
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::NoAnswer));

    let (call, caller) = w.call("+74950000014");
    let sentence = format!("{}: acme", Cause::TrunkCapacity.sentence());
    w.refuse_as(w.ringing("acme")[0], 503, &sentence, false);
    assert_eq!(w.said(caller), ["reject 503"]);
    assert_eq!(w.record(call).cause, Some(Cause::TrunkCapacity));
    w.assert_empty();
}

#[test]
fn a_forward_may_show_the_caller() {
    let mut w = world_with(|plan| {
        plan.trunks.get_mut(&name("acme")).unwrap().caller_id = CallerIdPolicy::Caller;
    });
    w.call("+74950000014");
    let out = w.ringing("acme")[0];
    let shown = w.legs[&out].dial.as_ref().unwrap().caller.clone();
    assert_eq!(shown.as_deref(), Some("+79161234567"));
}

#[test]
fn a_hunt_member_may_be_outside() {
    let mut w = world();
    let (call, caller) = w.call("+74950000013");
    let (anna, out) = (w.ringing("anna")[0], w.ringing("acme")[0]);
    w.early(out);
    assert_eq!(w.said(caller), ["180"], "never one fork's early media");
    w.answer(out);
    assert_eq!(w.said(anna), ["dial", "end elsewhere"]);
    assert!(w.joined(caller, out));
    assert_eq!(w.state("anna"), OperatorState::Available);
    w.bye(caller);
    assert_eq!(w.record(call).operator, None);
    w.assert_empty();
}

#[test]
fn a_hunt_with_music_answers_first() {
    let mut w = world();
    let (_, caller) = w.call("+74950000011");
    assert_eq!(w.said(caller), ["200"]);
    assert_eq!(w.hears(caller), Some("music"));
    w.answer(w.ringing("anna")[0]);
    assert_eq!(w.hears(caller), None);
}

#[test]
fn a_circle_is_cut() {
    let mut w = world();
    let (call, caller) = w.call("+74950000012");
    assert_eq!(w.said(caller), ["reject 500"]);
    assert_eq!(w.record(call).cause, Some(Cause::SystemError));
    assert_eq!(w.record(call).path.len(), 32);
    w.assert_empty();
}

#[test]
fn answer_at_once() {
    let mut w = answer_when("+74950000004", AnswerPolicy::AtOnce);
    let (_, caller) = w.call("+74950000004");
    assert_eq!(w.said(caller), ["200"]);
    assert_eq!(w.hears(caller), Some("ringback"));
    w.answer(w.ringing("anna")[0]);
    assert_eq!(w.hears(caller), None);
}

#[test]
fn answer_when_a_person_answers() {
    let mut w = answer_when("+74950000001", AnswerPolicy::WhenAPersonAnswers);
    let (call, caller) = w.call("+74950000001");
    assert_eq!(w.said(caller), ["183+"], "the menu is early media");
    assert_eq!(w.hears(caller), Some("menu"));
    w.key(caller, '1');
    assert_eq!(w.hears(caller), Some("ringback"));
    w.answer(w.ringing("anna")[0]);
    assert_eq!(w.said(caller), ["183+", "200"]);
    assert_eq!(w.record(call).connected_at, Some(w.now.wall));
    // Voicemail must hear the caller, so it connects.
    let (_, caller) = w.call("+74950000001");
    w.key(caller, '1');
    w.pass(secs(20));
    assert_eq!(w.said(caller), ["183+", "200"]);
}

#[test]
fn an_invite_without_an_offer_gets_ours() {
    let mut w = world();
    let mut arrival = w.arrival("+74950000001");
    arrival.offer = None;
    let (_, caller) = w.arrive(arrival);
    assert_eq!(w.said(caller), ["200"]);
    assert!(!w.legs[&caller].agreed);
    assert_eq!(w.hears(caller), None, "nothing is agreed yet");
    let sdp = Some(w.answer_to_ours(caller));
    w.event(caller, LegEvent::Acked { sdp });
    assert_eq!(w.hears(caller), Some("menu"));

    let mut arrival = w.arrival("+74950000001");
    arrival.offer = None;
    let (call, caller) = w.arrive(arrival);
    w.event(caller, LegEvent::Acked { sdp: None });
    assert_eq!(w.said(caller), ["200", "end NoCodec"]);
    assert_eq!(w.record(call).cause, Some(Cause::NoCodec));
}

#[test]
fn an_answer_without_a_common_codec_is_a_failure() {
    let mut w = world();
    let (call, caller) = w.call("+74950000015");
    let anna = w.ringing("anna")[0];
    w.legs.get_mut(&anna).unwrap().state = FarState::Up;
    let late = false;
    w.event(anna, LegEvent::Answered { sdp: None, late });
    assert_eq!(w.said(anna), ["dial", "end NoCodec"]);
    assert_eq!(w.said(caller), ["reject 488"]);
    assert_eq!(w.record(call).cause, Some(Cause::NoCodec));
    w.assert_empty();
}

#[test]
fn a_callers_phone_without_a_port_is_refused() {
    let mut w = world();
    w.no_ports = true;
    let (call, caller) = w.call("+74950000002");
    assert_eq!(w.said(caller), ["reject 503"]);
    assert_eq!(w.record(call).cause, Some(Cause::Overload));
    w.assert_empty();
}

/// A hunt whose members all failed for one reason of ours is accounted with that reason.
#[test]
fn why_nobody_could_be_rung() {
    let full = format!("{} (acme, max_calls)", Cause::TrunkCapacity.sentence());
    let only = |w: &mut World, code: u16, reason: &str, responded: bool| {
        let (call, caller) = w.call("+74950000013");
        let leg = w.ringing("acme")[0];
        w.refuse_as(leg, code, reason, responded);
        w.bye(caller);
        w.record(call).cause
    };
    let mut w = World::new(plan(|_| {}));
    assert_eq!(only(&mut w, 503, &full, false), Some(Cause::TrunkCapacity));
    assert_eq!(only(&mut w, 488, "No", true), Some(Cause::NoCodec));
    assert_eq!(only(&mut w, 503, "No", true), Some(Cause::Unreachable));
    assert_eq!(only(&mut w, 486, "Busy", true), Some(Cause::NoAnswer));
}

#[test]
fn two_reasons_are_none() {
    let mut w = world();
    let (call, caller) = w.call("+74950000013");
    let phone = w.ringing("anna")[0];
    let mobile = w.ringing("acme")[0];
    w.refuse_as(phone, 488, "No", true);
    w.refuse_as(mobile, 404, "Not Found", true);
    w.bye(caller);
    assert_eq!(w.record(call).cause, Some(Cause::Unreachable));
    let (call, caller) = w.call("+74950000013");
    let phone = w.ringing("anna")[0];
    let mobile = w.ringing("acme")[0];
    w.refuse_as(mobile, 488, "No", true);
    w.refuse_as(phone, 603, "Decline", true);
    w.bye(caller);
    assert_eq!(
        w.record(call).cause,
        Some(Cause::NoAnswer),
        "a person said no"
    );
}

/// A forward tells the provider which number of ours was called, and why the call goes on.
#[test]
fn a_forward_says_where_it_comes_from() {
    let mut w = world();
    w.call("+74950000005");
    let leg = w.ringing("acme")[0];
    let diverted = w.legs[&leg].dial.as_ref().unwrap().diverted.clone();
    let diverted = diverted.expect("an inbound call goes on");
    assert_eq!(
        (diverted.number.as_str(), diverted.why),
        ("+74950000005", None)
    );
}
