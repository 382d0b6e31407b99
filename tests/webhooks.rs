//! Webhooks end to end: a real store file, a real HTTP receiver, real time.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinHandle;
use vats::dialplan::plan::{Webhook, WebhookKey};
use vats::ledger::clock::Wall;
use vats::ledger::entropy::Entropy;
use vats::ledger::event::EventType;
use vats::ledger::journal::Entry;
use vats::notify::Notifier;
use vats::store::sqlite::SqliteStore;
use vats::store::{Clock, Store};

const KEY: &[u8] = b"a key of twenty-four byt";

/// One request as it arrived.
#[derive(Clone)]
struct Request {
    at: Instant,
    headers: HeaderMap,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    fn event(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn assert_signed(&self) {
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let expected =
            base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(self.header("webhook-signature"), format!("v1,{expected}"));
        assert_eq!(self.header("content-type"), "application/cloudevents+json");
        assert_eq!(self.event()["id"], id);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(timestamp.parse().unwrap()) < 60);
    }
}

type Answers = Arc<dyn Fn(usize) -> (StatusCode, Duration) + Send + Sync>;

/// A receiver that answers its n-th request as told.
#[derive(Clone)]
struct Receiver {
    seen: Arc<Mutex<Vec<Request>>>,
    busy: Arc<Mutex<(usize, usize)>>,
    answers: Answers,
    url: String,
}

impl Receiver {
    async fn start(
        answers: impl Fn(usize) -> (StatusCode, Duration) + Send + Sync + 'static,
    ) -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            seen: Arc::default(),
            busy: Arc::default(),
            answers: Arc::new(answers),
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
        };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize, within: Duration) -> Vec<Request> {
        let deadline = Instant::now() + within;
        while self.seen().len() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} requests",
                self.seen().len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.seen()
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, HeaderMap) {
    let number = {
        let mut seen = receiver.seen.lock().unwrap();
        seen.push(Request {
            at: Instant::now(),
            headers,
            body,
        });
        seen.len()
    };
    {
        let mut busy = receiver.busy.lock().unwrap();
        busy.0 += 1;
        busy.1 = busy.1.max(busy.0);
    }
    let (status, delay) = (receiver.answers)(number);
    tokio::time::sleep(delay).await;
    receiver.busy.lock().unwrap().0 -= 1;
    let mut headers = HeaderMap::new();
    if status.is_redirection() {
        headers.insert("location", "/elsewhere".parse().unwrap());
    }
    (status, headers)
}

fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Wall::from_micros(since.as_micros() as i64)
    })
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        name: "crm".into(),
        url: url.to_owned(),
        secret: WebhookKey(KEY.to_vec()),
        events: vec![EventType::CallMissed],
    }
}

async fn start(folder: &Path, url: &str) -> (Arc<SqliteStore>, Notifier, JoinHandle<()>) {
    let file = folder.join("vats.db");
    let store = SqliteStore::open_file(&file, Entropy::from_number(clock()().as_micros() as u64));
    let store = Arc::new(store.await.unwrap());
    let webhooks = vec![webhook(url)];
    let entropy = Entropy::from_number(2);
    let started = Notifier::start(store.clone(), webhooks, clock(), entropy)
        .await
        .unwrap();
    (store, started.0, started.1)
}

fn missed(number: u32) -> Entry {
    let now = clock()();
    let call = json!({
        "tenant": "default",
        "call_id": format!("01900000-0000-7000-8000-{number:012}"),
        "direction": "inbound",
        "caller": "+79161234567",
        "party": "+79161234567",
        "number": "+74951000001",
        "landing_page": "/sofas",
        "arrived_at": now,
        "ended_at": now,
        "result": "missed",
        "cause": "no_answer",
        "flags": [],
        "path": ["hunt:sales"],
        "plan_version": 1,
        "sequence": 2,
    });
    Entry::CallEnded {
        call: Box::new(serde_json::from_value(call).unwrap()),
        legs: Vec::new(),
        trace: Vec::new(),
    }
}

const OK: (StatusCode, Duration) = (StatusCode::OK, Duration::ZERO);
const REFUSED: (StatusCode, Duration) = (StatusCode::INTERNAL_SERVER_ERROR, Duration::ZERO);

#[tokio::test]
async fn a_refused_event_comes_again_five_seconds_later_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|number| if number == 1 { REFUSED } else { OK }).await;
    let (store, notifier, task) = start(folder.path(), &receiver.url).await;
    let written = Instant::now();
    store.apply(&[missed(1)]).await.unwrap();
    let first = receiver.wait_for(1, Duration::from_secs(2)).await[0].clone();
    assert!(first.at - written < Duration::from_millis(500));
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(notifier);
    task.await.unwrap();
    store.close().await;

    let (_store, _notifier, _task) = start(folder.path(), &receiver.url).await;
    let seen = receiver.wait_for(2, Duration::from_secs(8)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.seen().len(), 2);
    for request in &seen {
        request.assert_signed();
        let event = request.event();
        assert_eq!(event["type"], "call.missed");
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["data"]["landing_page"], "/sofas");
        assert_eq!(event["data"]["sequence"], 3);
    }
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!(seen[0].body, seen[1].body);
    let gap = seen[1].at - seen[0].at;
    assert!(
        gap >= Duration::from_secs(5) && gap < Duration::from_millis(5_600),
        "{gap:?}"
    );
}

#[tokio::test]
async fn what_was_in_flight_when_the_process_died_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let slow = (StatusCode::OK, Duration::from_secs(5));
    let receiver = Receiver::start(move |number| if number == 1 { slow } else { OK }).await;
    let (store, notifier, task) = start(folder.path(), &receiver.url).await;
    store.apply(&[missed(1)]).await.unwrap();
    receiver.wait_for(1, Duration::from_secs(2)).await;
    task.abort();
    drop(notifier);
    store.close().await;

    let (_store, _notifier, _task) = start(folder.path(), &receiver.url).await;
    let seen = receiver.wait_for(2, Duration::from_secs(2)).await;
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

#[tokio::test]
async fn gone_disables_the_endpoint_until_its_url_changes() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Receiver::start(|_| (StatusCode::GONE, Duration::ZERO)).await;
    let (store, notifier, task) = start(folder.path(), &gone.url).await;
    store.apply(&[missed(1)]).await.unwrap();
    gone.wait_for(1, Duration::from_secs(2)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.apply(&[missed(2)]).await.unwrap();
    drop(notifier);
    task.await.unwrap();
    store.close().await;

    let (_store, notifier, _task) = start(folder.path(), &gone.url).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(gone.seen().len(), 1);
    let other = Receiver::start(|_| OK).await;
    notifier.configure(vec![webhook(&other.url)]);
    assert_eq!(other.wait_for(2, Duration::from_secs(2)).await.len(), 2);
    assert_eq!(gone.seen().len(), 1);
}

#[tokio::test]
async fn at_most_sixteen_are_in_flight_and_each_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (StatusCode::NO_CONTENT, Duration::from_millis(50))).await;
    let (store, _notifier, _task) = start(folder.path(), &receiver.url).await;
    let entries: Vec<Entry> = (0..100).map(missed).collect();
    store.apply(&entries).await.unwrap();
    receiver.wait_for(100, Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut ids: Vec<String> = receiver
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 100);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    let most = receiver.busy.lock().unwrap().1;
    assert!((2..=16).contains(&most), "{most}");
}

#[tokio::test]
async fn a_failing_endpoint_gets_one_probe_at_a_time_and_redirects_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (StatusCode::FOUND, Duration::from_millis(20))).await;
    let (store, _notifier, _task) = start(folder.path(), &receiver.url).await;
    let entries: Vec<Entry> = (0..40).map(missed).collect();
    store.apply(&entries).await.unwrap();
    // 16 in flight, and one more for each of the first four that failed before the fifth; then one probe and silence.
    receiver.wait_for(16, Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = receiver.seen().len();
    assert!((16..=20).contains(&first), "{first}");
    receiver.wait_for(first + 1, Duration::from_secs(15)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.seen().len(), first + 1);
}
