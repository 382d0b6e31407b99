//! What a batch of entries does to rows and events, case by case.

use super::*;
use crate::ledger::call::CallRecord;
use crate::ledger::cause::{CallResult, Cause, Direction, EndedBy, Flag};
use crate::ledger::event::Event;
use crate::ledger::id::{LegId, RecordingId, VoicemailId};
use crate::ledger::journal::RecordingKind;
use crate::ledger::leg::{LegKind, LegOutcome};

/// Seconds after an arbitrary moment.
pub(crate) fn second(seconds: i64) -> Wall {
    Wall::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

/// An inbound call that arrived then; `number` tells calls apart.
pub(crate) fn call(number: u128, caller: Option<&str>, arrived: i64) -> CallRecord {
    CallRecord {
        caller: caller.map(str::to_owned),
        number: Some("+74951000001".to_owned()),
        party: caller.map(str::to_owned),
        landing_page: Some("/sofas".to_owned()),
        trunk: Some("acme".into()),
        path: vec!["menu:main".to_owned(), "hunt:sales".to_owned()],
        ..CallRecord::begun(CallId::from_u128(number), second(arrived))
    }
}

pub(crate) fn ended(mut call: CallRecord, seconds: i64, answered: bool) -> Entry {
    call.ended_at = Some(second(seconds));
    call.ended_by = Some(EndedBy::Caller);
    call.sequence = if answered { 3 } else { 2 };
    call.result = Some(match (answered, call.direction) {
        (true, _) => CallResult::Answered,
        (false, Direction::Inbound) => CallResult::Missed,
        (false, _) => CallResult::NotReached,
    });
    if answered {
        call.answered_at = call.answered_at.or(Some(call.arrived_at));
        call.operator = Some("anna".into());
    } else {
        call.cause = Some(Cause::AbandonedRinging);
    }
    Entry::CallEnded {
        legs: vec![leg(call.call_id.as_u128() * 10, seconds)],
        trace: vec![TraceLine {
            at_ms: 0,
            text: "Number +74951000001 leads to menu:main".to_owned(),
        }],
        call: Box::new(call),
    }
}

pub(crate) fn leg(number: u128, ended: i64) -> LegRecord {
    LegRecord {
        leg_id: LegId::from_u128(number),
        kind: LegKind::Caller,
        operator: None,
        trunk: Some("acme".into()),
        rung_at: Some(second(0)),
        connected_at: None,
        accepted_at: None,
        ended_at: Some(second(ended)),
        outcome: Some(LegOutcome::Abandoned),
        sip_code: Some(487),
        sip_call_id: Some("a84b4c76e66710@example".to_owned()),
        quality: None,
    }
}

fn run(entries: &[Entry], known: Known) -> (Effects, Vec<Event>) {
    let effects = account(entries, known, &mut Entropy::from_number(1)).unwrap();
    let events = effects
        .events
        .iter()
        .map(|event| serde_json::from_str(&event.body).unwrap())
        .collect();
    (effects, events)
}

fn kinds(events: &[Event]) -> Vec<EventType> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn a_missed_call_raises_ended_and_missed_once() {
    let caller = call(1, Some("+79161234567"), 0);
    let entries = [
        Entry::CallStarted(Box::new(caller.clone())),
        ended(caller.clone(), 7, false),
        ended(caller, 9, false),
    ];
    let (effects, events) = run(&entries, Known::default());
    use EventType::{CallEnded, CallMissed, CallStarted};
    assert_eq!(kinds(&events), [CallStarted, CallEnded, CallMissed]);
    assert_eq!(effects.calls.len(), 1);
    assert_eq!(effects.missed.len(), 1);
    let sequences: Vec<_> = events
        .iter()
        .map(|event| event.data["sequence"].clone())
        .collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(events[2].data["ended_at"], second(7).to_string());
    assert!(events[2].data["talk_ms"].is_null());
    assert_eq!(events[2].source, "/tenants/default");
    assert_eq!(events[2].id, effects.events[2].event_id);
}

#[test]
fn event_data_has_every_field_of_the_contract() {
    let (_, events) = run(
        &[Entry::CallStarted(Box::new(call(1, None, 0)))],
        Known::default(),
    );
    let names = "tenant call_id direction caller number party landing_page trunk arrived_at \
        connected_at answered_at ended_at result cause flags wait_total_ms wait_hunt_ms talk_ms \
        operator hunt path recording_id voicemail_id ended_by sip_code plan_version sequence";
    for name in names.split_whitespace() {
        assert!(events[0].data.get(name).is_some(), "{name}");
    }
}

#[test]
fn a_second_call_is_a_repeat_and_an_answered_one_recovers_both() {
    let number = Some("+79161234567");
    let entries = [
        ended(call(1, number, 0), 7, false),
        ended(call(2, number, 10), 20, false),
        ended(call(3, number, 30), 90, true),
        ended(call(4, number, 100), 110, false),
    ];
    let (effects, events) = run(&entries, Known::default());
    use EventType::{CallEnded, CallMissed, CallRecovered};
    assert_eq!(
        kinds(&events),
        [
            CallEnded,
            CallMissed,
            CallEnded,
            CallMissed,
            CallEnded,
            CallRecovered,
            CallEnded,
            CallMissed
        ]
    );
    assert_eq!(effects.calls[0].repeat_of, None);
    assert_eq!(effects.calls[1].repeat_of, Some(CallId::from_u128(1)));
    assert!(effects.calls[1].record.flags.contains(&Flag::RepeatOf));
    assert_eq!(effects.calls[2].repeat_of, Some(CallId::from_u128(2)));
    assert_eq!(effects.calls[3].repeat_of, None);
    let recovered = &events[5].data;
    assert_eq!(recovered["recovered_after_ms"], 23_000);
    assert_eq!(recovered["recovered_calls"].as_array().unwrap().len(), 2);
    assert_eq!(recovered["sequence"], 4);
    let open: Vec<_> = effects
        .missed
        .iter()
        .filter(|missed| missed.recovered_at.is_none())
        .collect();
    assert_eq!(open.len(), 1);
    assert!(open[0].latest);
}

#[test]
fn calling_back_recovers_but_a_talk_that_began_before_does_not() {
    let number = Some("+79161234567");
    let missed = ended(call(1, number, 50), 60, false);
    let mut earlier = call(2, number, 0);
    earlier.answered_at = Some(second(5));
    let mut back = call(3, number, 70);
    back.direction = Direction::Outbound;
    let entries = [missed, ended(earlier, 100, true), ended(back, 130, true)];
    let (effects, events) = run(&entries, Known::default());
    let recovered: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventType::CallRecovered)
        .collect();
    assert_eq!(recovered.len(), 1);
    assert_eq!(
        recovered[0].data["call_id"],
        CallId::from_u128(3).to_string()
    );
    assert!(effects.calls[2].record.flags.is_empty());
}

#[test]
fn a_withheld_caller_is_an_item_per_call() {
    let entries = [
        ended(call(1, None, 0), 5, false),
        ended(call(2, None, 10), 15, false),
    ];
    let (effects, _) = run(&entries, Known::default());
    assert!(effects.missed.iter().all(|missed| missed.latest));
    assert!(effects.calls.iter().all(|call| call.repeat_of.is_none()));
}

#[test]
fn what_comes_after_the_end_is_ignored() {
    let known = Known {
        ended: HashSet::from([CallId::from_u128(1)]),
        ..Known::default()
    };
    let record = call(1, None, 0);
    let entries = [
        Entry::CallChanged(Box::new(record.clone())),
        ended(record, 5, false),
    ];
    let (effects, events) = run(&entries, known);
    assert!(events.is_empty() && effects.calls.is_empty() && effects.legs.is_empty());
}

fn message() -> RecordingRecord {
    RecordingRecord {
        recording_id: RecordingId::from_u128(9),
        tenant: Tenant::default(),
        call_id: CallId::from_u128(1),
        kind: RecordingKind::Voicemail(VoicemailId::from_u128(8)),
        voicemail_box: Some("sales".into()),
        path: "default/x.wav".to_owned(),
        started_at: second(10),
        duration_ms: Some(2_500),
        bytes: Some(80_044),
        sha256: Some("01".to_owned()),
        rate_hz: 8_000,
        segments: Vec::new(),
        pauses: Vec::new(),
        copy_due: false,
        fault: None,
    }
}

#[test]
fn a_message_left_raises_its_event_with_the_caller() {
    let caller = call(1, Some("+79161234567"), 0);
    let entries = [
        Entry::CallStarted(Box::new(caller)),
        Entry::RecordingEnded(message()),
    ];
    let (effects, events) = run(&entries, Known::default());
    assert_eq!(events[1].kind, EventType::VoicemailLeft);
    assert_eq!(events[1].data["caller"], "+79161234567");
    assert_eq!(events[1].data["voicemail_box"], "sales");
    assert_eq!(events[1].data["format"], "wav");
    assert_eq!(effects.recordings.len(), 1);
}

#[test]
fn a_recording_is_ready_once_in_the_file_that_stays() {
    let wav = RecordingRecord {
        kind: RecordingKind::Conversation,
        copy_due: true,
        ..message()
    };
    let (effects, events) = run(&[Entry::RecordingEnded(wav.clone())], Known::default());
    assert_eq!((effects.recordings.len(), events.len()), (1, 0));
    let opus = RecordingRecord {
        path: "default/x.opus".to_owned(),
        bytes: Some(9_000),
        sha256: Some("02".to_owned()),
        copy_due: false,
        ..wav.clone()
    };
    let stays = RecordingRecord {
        copy_due: false,
        ..wav
    };
    for (kept, format) in [(opus, "opus"), (stays, "wav")] {
        let (effects, events) = run(&[Entry::RecordingCopied(kept.clone())], Known::default());
        assert_eq!(
            (events.len(), events[0].kind),
            (1, EventType::RecordingReady)
        );
        let data = &events[0].data;
        assert_eq!(
            (&data["format"], &data["path"]),
            (&format.into(), &kept.path.as_str().into())
        );
        assert_eq!(data["sha256"], kept.sha256.as_deref().unwrap());
        assert_eq!(effects.recordings, [kept]);
    }
}

#[test]
fn a_recording_that_cannot_be_kept_says_why() {
    let fault = "Its file cannot be written: No space left on device.";
    let failed = Entry::RecordingFailed {
        recording: Box::new(RecordingRecord {
            fault: Some(fault.to_owned()),
            duration_ms: None,
            ..message()
        }),
        at: second(11),
    };
    let (effects, events) = run(&[failed], Known::default());
    assert_eq!(effects.recordings[0].state(), "failed");
    assert_eq!(events[0].kind, EventType::RecordingFailed);
    assert_eq!(
        (events[0].time, &events[0].data["fault"]),
        (second(11), &fault.into())
    );
}

#[test]
fn the_last_of_a_binding_wins() {
    let removed = Entry::BindingRemoved {
        operator: "anna".into(),
        contact: "sip:anna@192.0.2.1".to_owned(),
    };
    let saved = Entry::BindingSaved(Box::new(binding()));
    let (effects, _) = run(&[removed.clone(), saved.clone()], Known::default());
    assert_eq!((effects.bindings.len(), effects.unbound.len()), (1, 0));
    let (effects, _) = run(&[saved, removed], Known::default());
    assert_eq!((effects.bindings.len(), effects.unbound.len()), (0, 1));
}

pub(crate) fn binding() -> BindingRecord {
    BindingRecord {
        operator: "anna".into(),
        contact: "sip:anna@192.0.2.1".to_owned(),
        transport: "udp".to_owned(),
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "192.0.2.1:5060".parse().unwrap(),
        call_id: "reg-1".to_owned(),
        cseq: 4_000_000_000,
        expires_at: second(120),
        user_agent: Some("baresip".to_owned()),
        granted: std::time::Duration::from_secs(120),
        path: vec!["<sip:edge.example;lr>".to_owned()],
    }
}
