//! `health`: for supervisors and load balancers, open to all.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use tokio::sync::oneshot;

use super::Api;
use crate::switch::handle::{Ask, Census};

/// `GET /health/live`: the process serves.
pub(super) async fn live(State(api): State<Api>) -> Json<Value> {
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": api.started_at,
    }))
}

/// `GET /health/ready`: new calls are taken. The database may be away: calls do not wait for it, it is only told.
pub(super) async fn ready(State(api): State<Api>) -> Response {
    let accepting = api.accepting.load(Ordering::Relaxed) && !api.handle.asks.is_closed();
    let answers = api.store.ping().await.is_ok();
    let database = match (answers, api.journal.counters().is_spooling()) {
        (true, false) => "ok",
        (true, true) => "catching up",
        (false, _) => "away",
    };
    let (code, status) = if accepting {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not taking calls")
    };
    let body = json!({
        "status": status,
        "database": database,
        "alive": census(&api).await,
    });
    (code, Json(body)).into_response()
}

/// What is alive; none while the switch is not there to count.
async fn census(api: &Api) -> Option<Census> {
    let (reply, answer) = oneshot::channel();
    api.handle.asks.send(Ask::Census { reply }).await.ok()?;
    answer.await.ok()
}
