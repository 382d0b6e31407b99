//! A webhook receiver that checks signatures (Standard Webhooks) and can refuse deliveries.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::eventually;

const KEY: &[u8] = b"a key that only this test knows.";

/// One POST as it came.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When.
    pub at: Instant,
    /// `webhook-id`.
    pub id: String,
    /// The CloudEvent.
    pub event: Value,
    /// What it was answered.
    pub answered: u16,
}

impl Delivery {
    /// The event's type.
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap()
    }
}

#[derive(Default)]
struct Inner {
    deliveries: Vec<Delivery>,
    /// Types whose next delivery is answered 500.
    refuse: Vec<String>,
    problems: Vec<String>,
}

/// A receiver on a port of its own.
pub struct Receiver {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Receiver {
    /// Listens; refuses the first delivery of each of these types.
    pub async fn start(refuse: &[&str]) -> Receiver {
        let inner = Arc::new(Mutex::new(Inner {
            refuse: refuse.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Inner::default()
        }));
        let app = Router::new()
            .fallback(axum::routing::post(take))
            .with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Receiver { address, inner }
    }

    /// The `[webhooks.test]` section for these types.
    pub fn section(&self, events: &[&str]) -> String {
        format!(
            "\n[webhooks.test]\nurl = \"http://{}/hook\"\nsecret = \"whsec_{}\"\nevents = {events:?}\n",
            self.address,
            STANDARD.encode(KEY)
        )
    }

    /// Everything that came so far; fails when a signature or a header was wrong.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let inner = self.inner.lock().unwrap();
        assert!(inner.problems.is_empty(), "{:?}", inner.problems);
        inner.deliveries.clone()
    }

    /// The deliveries of a type, for a caller.
    pub fn of(&self, kind: &str, caller: &str) -> Vec<Delivery> {
        let mut all = self.deliveries();
        all.retain(|d| d.kind() == kind && d.event["data"]["caller"] == caller);
        all
    }

    /// The first accepted delivery of a type for a caller.
    pub async fn accepted(&self, kind: &str, caller: &str, limit: Duration) -> Delivery {
        eventually(limit, &format!("{kind} of {caller} arrives"), || async {
            let found = self.of(kind, caller);
            found.into_iter().find(|delivery| delivery.answered == 200)
        })
        .await
    }
}

async fn take(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut inner = inner.lock().unwrap();
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let (Some(id), Some(timestamp), Some(signature)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        inner
            .problems
            .push("a webhook header is missing".to_owned());
        return StatusCode::BAD_REQUEST;
    };
    if !signature
        .split(' ')
        .any(|one| one == sign(id, timestamp, &body))
    {
        inner.problems.push(format!("wrong signature {signature}"));
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        inner.problems.push("the body is not JSON".to_owned());
        return StatusCode::BAD_REQUEST;
    };
    if event["specversion"] != "1.0" || event["id"] != id {
        inner.problems.push(format!("not a CloudEvent: {event}"));
    }
    let kind = event["type"].as_str().unwrap_or_default().to_owned();
    let refused = inner.refuse.iter().position(|one| *one == kind);
    let answer = if let Some(place) = refused {
        inner.refuse.remove(place);
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    inner.deliveries.push(Delivery {
        at: Instant::now(),
        id: id.to_owned(),
        event,
        answered: answer.as_u16(),
    });
    answer
}

fn sign(id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
