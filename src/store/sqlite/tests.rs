use super::*;
use crate::ledger::cause::{CallResult, Cause, Direction, EndedBy};
use crate::ledger::event::EventType;
use crate::ledger::id::{RecordingId, VoicemailId};
use crate::ledger::journal::{Messages, RecordingKind};
use crate::ledger::leg::LegOutcome;
use crate::store::accounting::tests::{binding, call, ended, leg, second};
use crate::store::outbox::Outcome;
use crate::store::page::Cursor;

async fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let url = format!("sqlite://{}/data/vats.db", folder.path().display());
    SqliteStore::open(&url, Entropy::from_number(1))
        .await
        .unwrap()
}

async fn bodies(store: &SqliteStore, kind: EventType) -> Vec<serde_json::Value> {
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM events WHERE type = ? ORDER BY position")
            .bind(kind.as_str())
            .fetch_all(&store.readers)
            .await
            .unwrap();
    bodies
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect()
}

#[tokio::test]
async fn a_call_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let mut record = call(1, Some("+79161234567"), 0);
    store
        .apply(&[Entry::CallStarted(Box::new(record.clone()))])
        .await
        .unwrap();
    record.answered_at = Some(second(3));
    record.wait_total_ms = Some(3_000);
    record.recording_id = Some(RecordingId::from_u128(77));
    let end = ended(record.clone(), 60, true);
    store.apply(std::slice::from_ref(&end)).await.unwrap();
    let Entry::CallEnded { call, legs, trace } = end else {
        unreachable!()
    };
    let detail = store
        .call(&Tenant::default(), record.call_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(detail.call.record, *call);
    assert_eq!(detail.legs, legs);
    assert_eq!(detail.trace, trace);
    assert!(
        store
            .call(&Tenant::default(), CallId::from_u128(5))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn pages_go_newest_first_and_filters_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let entries: Vec<Entry> = (0..25)
        .map(|n| {
            let mut record = call(
                100 + n,
                Some(&format!("+7916000000{}", n % 5)),
                n as i64 / 2,
            );
            if n % 2 == 0 {
                record.direction = Direction::Outbound;
            }
            ended(record, 100, n % 3 == 0)
        })
        .collect();
    store.apply(&entries).await.unwrap();
    let mut seen = Vec::new();
    let mut request = PageRequest::new(Some(10), None);
    loop {
        let page = store.calls(&CallFilter::default(), &request).await.unwrap();
        seen.extend(page.items.iter().map(|call| call.record.call_id));
        let Some(next) = page.next else { break };
        request.after = Some(next.to_string().parse::<Cursor>().unwrap());
    }
    let expected: Vec<CallId> = (0..25).rev().map(|n| CallId::from_u128(100 + n)).collect();
    assert_eq!(seen, expected);

    let all = PageRequest::default();
    let filter = CallFilter {
        result: Some(CallResult::Missed),
        party: Some("+79160000001".to_owned()),
        from: Some(second(1)),
        to: Some(second(9)),
        ..CallFilter::default()
    };
    let page = store.calls(&filter, &all).await.unwrap();
    let found: Vec<u128> = page
        .items
        .iter()
        .map(|call| call.record.call_id.as_u128())
        .collect();
    assert_eq!(found, [111]);
}

#[tokio::test]
async fn lists_are_read_from_an_index_without_sorting() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let text = || Some("x".to_owned());
    let missed = Some(CallResult::Missed);
    let filters = [
        ("time", CallFilter::default()),
        (
            "direction",
            CallFilter {
                direction: Some(Direction::Inbound),
                ..CallFilter::default()
            },
        ),
        (
            "caller",
            CallFilter {
                caller: text(),
                ..CallFilter::default()
            },
        ),
        (
            "party",
            CallFilter {
                party: text(),
                ..CallFilter::default()
            },
        ),
        (
            "number",
            CallFilter {
                number: text(),
                ..CallFilter::default()
            },
        ),
        (
            "landing_page",
            CallFilter {
                landing_page: text(),
                ..CallFilter::default()
            },
        ),
        (
            "result",
            CallFilter {
                result: missed,
                ..CallFilter::default()
            },
        ),
        (
            "result",
            CallFilter {
                result: missed,
                direction: Some(Direction::Inbound),
                ..CallFilter::default()
            },
        ),
        (
            "landing_page",
            CallFilter {
                landing_page: text(),
                result: missed,
                ..CallFilter::default()
            },
        ),
        (
            "party",
            CallFilter {
                party: text(),
                from: Some(second(0)),
                ..CallFilter::default()
            },
        ),
    ];
    let after = Cursor {
        at: second(9),
        call: CallId::from_u128(1),
    };
    for (index, filter) in filters {
        let query = read::calls_query(&filter, &PageRequest::new(None, Some(after)));
        let sql = format!("EXPLAIN QUERY PLAN {}", query.sql().as_str());
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&store.readers)
            .await
            .unwrap();
        let plan: Vec<String> = rows
            .iter()
            .map(|row| sqlx::Row::get(row, "detail"))
            .collect();
        let plan = plan.join("; ");
        let index = format!("USING INDEX calls_by_{index} ");
        assert!(plan.contains(&index), "{filter:?}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
    }
}

#[tokio::test]
async fn the_missed_list_shows_each_caller_once_until_reached() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let tenant = Tenant::default();
    let (a, b) = (Some("+79161234567"), Some("+79167654321"));
    for entry in [
        ended(call(1, a, 0), 5, false),
        ended(call(2, b, 10), 15, false),
        ended(call(3, a, 20), 25, false),
        ended(call(4, None, 30), 35, false),
        ended(call(5, None, 40), 45, false),
    ] {
        store.apply(&[entry]).await.unwrap();
    }
    let page = store
        .missed(&tenant, &PageRequest::default())
        .await
        .unwrap();
    let shown: Vec<_> = page
        .items
        .iter()
        .map(|item| (item.caller.as_deref(), item.calls.len(), item.count))
        .collect();
    assert_eq!(shown, [(None, 1, 1), (None, 1, 1), (a, 2, 2), (b, 1, 1)]);
    assert_eq!(
        page.items[2].calls[1].call.record.call_id,
        CallId::from_u128(1)
    );
    let first = store
        .missed(&tenant, &PageRequest::new(Some(3), None))
        .await
        .unwrap();
    let rest = PageRequest::new(Some(3), first.next);
    let rest = store.missed(&tenant, &rest).await.unwrap();
    assert_eq!(rest.items.len(), 1);
    assert!(rest.next.is_none());

    store
        .apply(&[ended(call(6, a, 50), 99, true)])
        .await
        .unwrap();
    let page = store
        .missed(&tenant, &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 3);
    let recovered = bodies(&store, EventType::CallRecovered).await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["data"]["recovered_after_ms"], 45_000);
}

#[tokio::test]
async fn a_crash_closes_what_was_open() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(&folder).await;
    let waiting = call(1, Some("+79161234567"), 0);
    let mut talking = call(2, Some("+79167654321"), 10);
    talking.answered_at = Some(second(20));
    talking.sequence = 2;
    let mut dialling = call(3, Some("+79160000000"), 12);
    dialling.direction = Direction::Outbound;
    let mut open_leg = leg(20, 0);
    open_leg.ended_at = None;
    open_leg.outcome = None;
    open_leg.accepted_at = Some(second(20));
    let recording = RecordingRecord {
        recording_id: RecordingId::from_u128(9),
        tenant: Tenant::default(),
        call_id: talking.call_id,
        kind: RecordingKind::Voicemail(VoicemailId::from_u128(3)),
        voicemail_box: None,
        path: "default/2026/11/21/x.wav".to_owned(),
        started_at: second(20),
        duration_ms: None,
        bytes: None,
        sha256: None,
        rate_hz: 8_000,
        segments: Vec::new(),
        pauses: Vec::new(),
        copy_due: false,
        fault: None,
    };
    first
        .apply(&[
            Entry::CallStarted(Box::new(waiting)),
            Entry::CallStarted(Box::new(call(2, Some("+79167654321"), 10))),
            Entry::CallStarted(Box::new(dialling)),
            Entry::CallAnswered(Box::new(talking)),
            Entry::LegChanged(CallId::from_u128(2), Box::new(open_leg)),
            Entry::RecordingStarted(recording.clone()),
            Entry::Alive(second(31)),
        ])
        .await
        .unwrap();
    drop(first);

    let store = store(&folder).await;
    let closed = store.close_after_crash(second(500)).await.unwrap();
    assert_eq!(closed.calls.len(), 3);
    assert_eq!(closed.unfinished, [recording]);
    let tenant = Tenant::default();
    let row = |n| store.call(&tenant, CallId::from_u128(n));
    let missed = row(1).await.unwrap().unwrap().call.record;
    assert_eq!(
        (missed.result, missed.cause),
        (Some(CallResult::Missed), Some(Cause::SystemError))
    );
    assert_eq!(
        (missed.ended_at, missed.ended_by),
        (Some(second(31)), Some(EndedBy::Crash))
    );
    let answered = row(2).await.unwrap().unwrap();
    assert_eq!(answered.call.record.result, Some(CallResult::Answered));
    assert_eq!(answered.call.record.talk_ms, Some(11_000));
    assert_eq!(answered.legs[0].ended_at, Some(second(31)));
    assert_eq!(answered.legs[0].outcome, Some(LegOutcome::Answered));
    let outbound = row(3).await.unwrap().unwrap().call.record;
    assert_eq!(outbound.result, Some(CallResult::NotReached));
    assert_eq!(bodies(&store, EventType::CallEnded).await.len(), 3);
    assert_eq!(bodies(&store, EventType::CallMissed).await.len(), 1);
    assert!(
        store
            .close_after_crash(second(600))
            .await
            .unwrap()
            .calls
            .is_empty()
    );
    assert_eq!(bodies(&store, EventType::CallEnded).await.len(), 3);
}

#[tokio::test]
async fn bindings_survive_until_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store
        .apply(&[Entry::BindingSaved(Box::new(binding()))])
        .await
        .unwrap();
    assert_eq!(store.bindings(second(0)).await.unwrap(), [binding()]);
    assert!(store.bindings(second(120)).await.unwrap().is_empty());
    assert!(store.bindings(second(0)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_outbox_holds_what_webhooks_subscribed_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let crm = Name::from("crm");
    store.subscribe(Subscriptions::new([(
        crm.clone(),
        vec![EventType::CallMissed],
    )]));
    store
        .apply(&[ended(call(1, None, 0), 5, false)])
        .await
        .unwrap();
    let due = store.due(&crm, second(0), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert!(due[0].body.contains("\"call.missed\""));
    let mut settlement = Settlement {
        webhook: crm.clone(),
        event: due[0].event,
        attempts: 1,
        at: second(6),
        status: Some(500),
        error: Some("500".to_owned()),
        outcome: Outcome::Again(second(11)),
    };
    store
        .settle(std::slice::from_ref(&settlement), &[])
        .await
        .unwrap();
    assert!(store.due(&crm, second(10), 10).await.unwrap().is_empty());
    assert_eq!(
        store.next_due(&crm, second(0)).await.unwrap(),
        Some(second(11))
    );
    assert_eq!(
        store.due(&crm, second(11), 10).await.unwrap()[0].attempts,
        1
    );
    settlement.outcome = Outcome::Delivered;
    store.settle(&[settlement], &[]).await.unwrap();
    assert_eq!(store.next_due(&crm, second(0)).await.unwrap(), None);

    let days = |days: i64| second(days * 86_400);
    while store.prune(days(8)).await.unwrap() {}
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries")
        .fetch_one(&store.readers)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(bodies(&store, EventType::CallMissed).await.len(), 1);
    while store.prune(days(31)).await.unwrap() {}
    assert!(bodies(&store, EventType::CallMissed).await.is_empty());
}

#[tokio::test]
async fn only_sqlite_is_known_and_facts_are_kept() {
    let open = |url: &'static str| SqliteStore::open(url, Entropy::from_number(1));
    assert!(matches!(
        open("postgres://x").await,
        Err(StoreError::UnknownDatabase(_))
    ));
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let position = Position { run: 5, number: 9 };
    let reloaded = Entry::ConfigReloaded {
        tenant: Tenant::default(),
        plan_version: 4,
        at: second(1),
    };
    let entries = [Entry::Alive(second(2)), reloaded];
    store.apply_at(&entries, Some(position)).await.unwrap();
    assert_eq!(store.position().await.unwrap(), Some(position));
    assert_eq!(store.last_sign_of_life().await.unwrap(), Some(second(2)));
    assert_eq!(store.plan_version().await.unwrap(), Some(4));
    store.ping().await.unwrap();
}

#[tokio::test]
async fn messages_are_new_until_they_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let message = |number: u128| {
        Entry::RecordingEnded(RecordingRecord {
            recording_id: RecordingId::from_u128(number),
            tenant: Tenant::default(),
            call_id: CallId::from_u128(1),
            kind: RecordingKind::Voicemail(VoicemailId::from_u128(100 + number)),
            voicemail_box: Some("sales".into()),
            path: format!("default/{number}.wav"),
            started_at: second(10),
            duration_ms: Some(2_500),
            bytes: None,
            sha256: None,
            rate_hz: 8_000,
            segments: Vec::new(),
            pauses: Vec::new(),
            copy_due: false,
            fault: None,
        })
    };
    let heard = |seconds| Entry::MessageHeard {
        recording_id: RecordingId::from_u128(1),
        at: second(seconds),
    };
    let tenant = Tenant::default();
    store.apply(&[message(1), message(2)]).await.unwrap();
    store.apply(&[heard(20), heard(30)]).await.unwrap();
    let counts = store.messages(&tenant).await.unwrap();
    let expected = Messages { fresh: 1, heard: 1 };
    assert_eq!(counts.get("sales"), Some(&expected));
    let at = |number| store.heard(RecordingId::from_u128(number));
    assert_eq!(
        at(1).await.unwrap(),
        Some(second(20)),
        "the first time counts"
    );
    assert_eq!(at(2).await.unwrap(), None);
}

/// Prints what a whole call costs; run with `--nocapture` to see it.
#[tokio::test]
async fn a_thousand_calls_are_written_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store.subscribe(Subscriptions::new([(
        "crm".into(),
        vec![EventType::CallEnded],
    )]));
    let mut entries = Vec::new();
    for n in 0..1_000 {
        let record = call(1_000 + n, Some(&format!("+7916{n:07}")), n as i64);
        entries.push(Entry::CallStarted(Box::new(record.clone())));
        let mut answered = record.clone();
        answered.answered_at = Some(second(n as i64 + 5));
        entries.push(Entry::CallAnswered(Box::new(answered.clone())));
        let mut end = ended(answered, n as i64 + 60, true);
        if let Entry::CallEnded { legs, .. } = &mut end {
            legs.push(leg(1_000_000 + n, n as i64 + 60));
        }
        entries.push(end);
    }
    let started = std::time::Instant::now();
    for batch in entries.chunks(500) {
        store.apply(batch).await.unwrap();
    }
    println!("{} µs per call", started.elapsed().as_micros() / 1_000);
    let (filter, request) = (CallFilter::default(), PageRequest::new(Some(500), None));
    let page = store.calls(&filter, &request).await.unwrap();
    assert_eq!(page.items.len(), 500);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_at_once_is_asked_again_and_not_for_ever() {
    let mut asked = 0;
    let answers_third = patiently(async || {
        asked += 1;
        if asked < 3 {
            return Err(sqlx::Error::PoolTimedOut);
        }
        Ok(asked)
    });
    assert_eq!(answers_third.await.unwrap(), 3);

    let mut asked = 0;
    let never = patiently(async || {
        asked += 1;
        Err::<(), _>(sqlx::Error::PoolTimedOut)
    });
    assert!(matches!(never.await, Err(sqlx::Error::PoolTimedOut)));
    assert_eq!(asked, ATTEMPTS);

    let mut asked = 0;
    let refused = patiently(async || {
        asked += 1;
        Err::<(), _>(sqlx::Error::WorkerCrashed)
    });
    assert!(
        refused.await.is_err(),
        "another fault is not mended by waiting"
    );
    assert_eq!(asked, 1);
}
