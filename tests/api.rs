//! The HTTP interface over real sockets, with a real store and a switch that answers as told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use vats::api::auth::Access;
use vats::api::{Api, router, serve};
use vats::ledger::call::CallRecord;
use vats::ledger::clock::Wall;
use vats::ledger::entropy::Entropy;
use vats::ledger::id::{CallId, RecordingId, Tenant};
use vats::ledger::journal::{Entry, RecordingKind, RecordingRecord};
use vats::store::journal::{Flushed, Journal};
use vats::store::sqlite::SqliteStore;
use vats::store::{Clock, Store};
use vats::switch::handle::{Ask, Census, Handle, Metrics, OperatorView, Views};

struct Pbx {
    folder: tempfile::TempDir,
    address: SocketAddr,
    client: Client,
    store: Arc<SqliteStore>,
    journal: Journal,
    views: Arc<Views>,
    accepting: Arc<AtomicBool>,
    _stop: oneshot::Sender<()>,
}

impl Pbx {
    async fn start(tokens: &[&str]) -> Pbx {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vats.db");
        let store = SqliteStore::open_file(&file, Entropy::from_number(1));
        let store = Arc::new(store.await.unwrap());
        let clock: Clock = Arc::new(|| Wall::from_micros(1));
        let spool = folder.path().join("spool");
        let (journal, writer) = Journal::open(store.clone(), &spool, &clock).unwrap();
        tokio::spawn(writer.run());
        let views = Arc::new(Views::default());
        let (asks, receiver) = mpsc::channel(8);
        tokio::spawn(switch(receiver));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tokens = tokens.iter().map(ToString::to_string).collect();
        let accepting = Arc::new(AtomicBool::new(true));
        let broken = folder.path().join("broken");
        let api = Api {
            store: store.clone(),
            journal: journal.clone(),
            handle: Handle {
                asks,
                views: Arc::clone(&views),
            },
            recordings: folder.path().join("recordings"),
            access: Arc::new(Access::new(tokens, address)),
            reload: Arc::new(move || {
                let broken = broken.exists();
                Box::pin(async move {
                    if broken {
                        Err(vec!["menus.toml:3:1: no such hunt".to_owned()])
                    } else {
                        Ok(2)
                    }
                })
            }),
            accepting: Arc::clone(&accepting),
            started_at: Wall::from_micros(0),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, router(api), async {
            let _ = stopped.await;
        }));
        let client = Client::builder().no_proxy().build().unwrap();
        Pbx {
            folder,
            address,
            client,
            store,
            journal,
            views,
            accepting,
            _stop: stop,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self
            .client
            .post(self.url(path))
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn missed(&self, number: u32, caller: &str) {
        let at = Wall::from_micros(1_772_960_700_000_000 + i64::from(number) * 1_000_000);
        let mut call: CallRecord = serde_json::from_value(record(number, caller, at)).unwrap();
        call.ended_at = Some(at);
        let legs = vec![
            serde_json::from_value(json!({"leg_id": id(number + 500), "kind": "caller"})).unwrap(),
        ];
        let trace =
            vec![serde_json::from_value(json!({"at_ms": 0, "text": "It arrived"})).unwrap()];
        self.journal.write(Entry::CallEnded {
            call: Box::new(call),
            legs,
            trace,
        });
        assert_eq!(self.journal.flush().await, Flushed::Stored);
    }
}

fn id(number: u32) -> String {
    format!("01900000-0000-7000-8000-{number:012}")
}

fn record(number: u32, caller: &str, at: Wall) -> Value {
    json!({
        "tenant": "default", "call_id": id(number), "direction": "inbound", "caller": caller,
        "party": caller, "number": "+74951000001", "landing_page": "/sofas", "arrived_at": at,
        "result": "missed", "cause": "no_answer", "flags": [], "path": ["hunt:sales"],
        "plan_version": 1, "sequence": 2,
    })
}

async fn switch(mut asks: mpsc::Receiver<Ask>) {
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Originate {
                operator, reply, ..
            } if operator.as_str() == "anna" => {
                reply.send(Ok(CallId::from_u128(7))).unwrap();
            }
            Ask::Originate { reply, .. } => {
                reply
                    .send(Err("There is no such operator".to_owned()))
                    .unwrap();
            }
            Ask::Hangup { call, reply } => reply.send(call == CallId::from_u128(7)).unwrap(),
            Ask::Transfer { to, reply, .. } if to == "hunt:sales" => reply.send(Ok(())).unwrap(),
            Ask::Transfer { reply, .. } => {
                reply.send(Err("No such destination".to_owned())).unwrap()
            }
            Ask::Census { reply } => reply.send(Census::default()).unwrap(),
            Ask::Measure { reply } => reply.send(Metrics::default()).unwrap(),
            Ask::Unban { reply, .. } => reply.send(false).unwrap(),
            // Not asked for here.
            Ask::PauseRecording { reply, .. } => drop(reply),
            Ask::Listen { reply, .. } => drop(reply),
            Ask::MessageHeard { reply, .. } => drop(reply),
            Ask::Supervise { reply, .. } => drop(reply),
            Ask::Install { .. } | Ask::Drain { .. } => {}
        }
    }
}

#[tokio::test]
async fn calls_are_listed_filtered_and_shown() {
    let pbx = Pbx::start(&[]).await;
    for number in 0..3 {
        pbx.missed(number, "+79161234567").await;
    }
    pbx.missed(3, "+79167654321").await;
    let page = pbx.json("/api/v1/calls?limit=3").await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[0]["call_id"], id(3));
    assert_eq!(items[0]["landing_page"], "/sofas");
    assert!(items[0]["answered_at"].is_null());
    let next = page["next"].as_str().unwrap();
    let rest = pbx
        .json(&format!("/api/v1/calls?limit=3&cursor={next}"))
        .await;
    assert_eq!(rest["items"][0]["call_id"], id(0));
    assert!(rest["next"].is_null());
    let found = pbx
        .json("/api/v1/calls?caller=+79161234567&result=missed")
        .await;
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    let none = pbx
        .json("/api/v1/calls?direction=outbound&number=%2B74951000001")
        .await;
    assert!(none["items"].as_array().unwrap().is_empty());

    let call = pbx.json(&format!("/api/v1/calls/{}", id(1))).await;
    assert_eq!(call["repeat_of"], id(0));
    assert_eq!(call["flags"], json!(["repeat_of"]));
    assert_eq!(call["legs"][0]["kind"], "caller");
    assert_eq!(call["trace"][0]["text"], "It arrived");
    assert_eq!(call["recordings"], json!([]));

    let missed = pbx.json("/api/v1/missed").await;
    assert_eq!(missed["items"].as_array().unwrap().len(), 2);
    assert_eq!(missed["items"][1]["calls"].as_array().unwrap().len(), 3);
    assert_eq!(missed["items"][1]["calls"][2]["call_id"], id(0));
}

#[tokio::test]
async fn what_cannot_be_served_says_why_in_json() {
    let pbx = Pbx::start(&[]).await;
    for (path, status, code) in [
        ("/", 404, "unknown_path"),
        ("/api/v1/nothing", 404, "unknown_path"),
        ("/api/v1/calls/1234", 404, "not_found"),
        (
            "/api/v1/calls/01900000-0000-7000-8000-000000000009",
            404,
            "not_found",
        ),
        ("/api/v1/recordings/x/audio", 404, "not_found"),
        ("/api/v1/calls?limit=many", 400, "bad_request"),
        ("/api/v1/calls?colour=red", 400, "bad_request"),
        ("/api/v1/missed?cursor=x", 400, "bad_request"),
        ("/api/v1/reload", 405, "wrong_method"),
    ] {
        let response = pbx.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(
            body["error"]["message"].as_str().unwrap().ends_with('.'),
            "{path}"
        );
    }
}

#[tokio::test]
async fn commands_reach_the_switch() {
    let pbx = Pbx::start(&[]).await;
    let seven = CallId::from_u128(7).to_string();
    let (status, body) = pbx
        .post(
            "/api/v1/calls",
            json!({"operator": "anna", "to": "+79161234567"}),
        )
        .await;
    assert_eq!(
        (status, body["call_id"].as_str().unwrap()),
        (StatusCode::ACCEPTED, seven.as_str())
    );
    let (status, body) = pbx
        .post("/api/v1/calls", json!({"operator": "nobody", "to": "1"}))
        .await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("not_placed"))
    );
    let (status, _) = pbx.post("/api/v1/calls", json!({"operator": "anna"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = pbx
        .post(&format!("/api/v1/calls/{seven}/hangup"), json!({}))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, _) = pbx
        .post(&format!("/api/v1/calls/{}/hangup", id(1)), json!({}))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let transfer = format!("/api/v1/calls/{seven}/transfer");
    let (status, _) = pbx.post(&transfer, json!({"to": "hunt:sales"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let mut live = record(1, "+79161234567", Wall::from_micros(1));
    live["call_id"] = json!(seven);
    pbx.views
        .calls
        .insert(CallId::from_u128(7), serde_json::from_value(live).unwrap());
    let (status, _) = pbx.post(&transfer, json!({"to": "hunt:sales"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, _) = pbx.post(&transfer, json!({"to": "hunt:none"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        pbx.json("/api/v1/calls/live").await["items"][0]["call_id"],
        seven.as_str()
    );

    let (status, body) = pbx.post("/api/v1/reload", json!({})).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"plan_version": 2})));
    std::fs::write(pbx.folder.path().join("broken"), "").unwrap();
    let (status, body) = pbx.post("/api/v1/reload", json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["error"]["problems"][0], "menus.toml:3:1: no such hunt");
}

#[tokio::test]
async fn operators_and_health() {
    let pbx = Pbx::start(&[]).await;
    for name in ["boris", "anna"] {
        let view = OperatorView {
            operator: name.into(),
            name: name.to_uppercase(),
            extension: None,
            state: "available",
            since: Wall::from_micros(0),
            call_id: None,
            phones: vec!["sip:anna@127.0.0.1:5070".to_owned()],
        };
        pbx.views.operators.insert(name.into(), view);
    }
    let operators = pbx.json("/api/v1/operators").await;
    assert_eq!(operators["items"][0]["operator"], "anna");
    assert_eq!(operators["items"][0]["state"], "available");
    assert_eq!(
        pbx.json("/api/v1/trunks").await,
        json!({"items": [], "next": null})
    );
    assert_eq!(pbx.json("/health/live").await["status"], "ok");
    assert_eq!(pbx.json("/health/ready").await["database"], "ok");
    pbx.accepting.store(false, Ordering::Relaxed);
    assert_eq!(
        pbx.get("/health/ready").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn sound_is_served_by_ranges() {
    let pbx = Pbx::start(&[]).await;
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let path = pbx.folder.path().join("recordings/default/2026/x.wav");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let recording = |number: u128, path: &str| RecordingRecord {
        recording_id: RecordingId::from_u128(number),
        tenant: Tenant::default(),
        call_id: CallId::from_u128(1),
        kind: RecordingKind::Conversation,
        voicemail_box: None,
        path: path.to_owned(),
        started_at: Wall::from_micros(0),
        duration_ms: Some(6_250),
        bytes: Some(200_000),
        sha256: Some("ab".repeat(32)),
        rate_hz: 8_000,
        segments: Vec::new(),
        pauses: Vec::new(),
        copy_due: false,
        fault: None,
    };
    let entries = [(5, "default/2026/x.wav"), (6, "../vats.db")]
        .map(|(n, path)| Entry::RecordingEnded(recording(n, path)));
    pbx.store.apply(&entries).await.unwrap();
    let url = format!("/api/v1/recordings/{}", RecordingId::from_u128(5));
    assert_eq!(pbx.json(&url).await["duration_ms"], 6_250);
    let audio = pbx.url(&format!("{url}/audio"));

    let whole = pbx.client.get(&audio).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), bytes);

    let part = |range: &str| pbx.client.get(&audio).header("range", range);
    let response = part("bytes=70000-139999").send().await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(
        response.headers()["content-range"],
        "bytes 70000-139999/200000"
    );
    assert_eq!(response.headers()["content-length"], "70000");
    assert_eq!(response.bytes().await.unwrap(), bytes[70_000..140_000]);
    let response = part("bytes=-10")
        .header("if-range", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(response.bytes().await.unwrap(), bytes[199_990..]);
    let response = part("bytes=-10")
        .header("if-range", "\"other\"")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let response = part("bytes=200000-").send().await.unwrap();
    assert_eq!(response.status(), 416);
    assert_eq!(response.headers()["content-range"], "bytes */200000");

    let head = pbx.client.head(&audio).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "200000");
    assert!(head.bytes().await.unwrap().is_empty());

    let outside = format!("/api/v1/recordings/{}/audio", RecordingId::from_u128(6));
    assert_eq!(pbx.get(&outside).await.status(), 404);
    std::fs::remove_file(path).unwrap();
    assert_eq!(pbx.client.get(&audio).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn without_a_token_only_plain_local_requests_are_served() {
    let pbx = Pbx::start(&[]).await;
    assert_eq!(pbx.get("/api/v1/calls").await.status(), 200);
    for (name, value, code) in [
        ("host", "shop.example", "foreign_host"),
        ("origin", "http://shop.example", "foreign_origin"),
        ("origin", "null", "foreign_origin"),
        ("forwarded", "for=192.0.2.1", "forwarded"),
        ("x-forwarded-for", "192.0.2.1", "forwarded"),
        ("x-forwarded-proto", "https", "forwarded"),
    ] {
        for path in ["/api/v1/calls", "/api/v1/nothing"] {
            let request = pbx.client.get(pbx.url(path)).header(name, value);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 403, "{name}: {value}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"]["code"], code);
        }
        let request = pbx.client.get(pbx.url("/health/live")).header(name, value);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let own = format!("http://{}", pbx.address);
    let request = pbx
        .client
        .get(pbx.url("/api/v1/calls"))
        .header("origin", own);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn with_tokens_one_must_be_shown() {
    let pbx = Pbx::start(&["secret-one", "secret-two"]).await;
    let response = pbx.get("/api/v1/calls").await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer realm=\"vats\""
    );
    assert_eq!(pbx.get("/health/ready").await.status(), 200);
    for (token, status) in [("secret-two", 200), ("secret-tw", 401), ("", 401)] {
        let request = pbx.client.get(pbx.url("/api/v1/calls")).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), status, "{token}");
    }
}

#[tokio::test]
async fn every_described_operation_is_served() {
    let pbx = Pbx::start(&[]).await;
    let document = pbx.json("/api/v1/openapi.json").await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let url = pbx.url(
            &path
                .replace("{call_id}", &id(1))
                .replace("{recording_id}", &id(1)),
        );
        for method in operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
        {
            let verb: Method = method.to_uppercase().parse().unwrap();
            let response = pbx.client.request(verb, &url).send().await.unwrap();
            let status = response.status().as_u16().to_string();
            assert!(
                !operations[method]["responses"][&status].is_null(),
                "{method} {path}: {status}"
            );
            if status == "404" {
                let body: Value = response.json().await.unwrap();
                assert_ne!(body["error"]["code"], "unknown_path", "{method} {path}");
            }
        }
    }
}
