//! `GET /metrics`: figures for monitoring, behind the API's token like all else.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::Api;
use super::error::Refusal;
use crate::observe::metrics;
use crate::switch::handle::{Ask, Metrics};

/// The page; 503 while the switch is not there to count.
pub(super) async fn page(State(api): State<Api>) -> Response {
    let Some(measured) = measure(&api).await else {
        let why = "the switch is not running: ask again when /health/ready says ok";
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_running", why).into_response();
    };
    let page = metrics::page(&measured, api.journal.counters());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response()
}

async fn measure(api: &Api) -> Option<Metrics> {
    let (reply, answer) = oneshot::channel();
    api.handle.asks.send(Ask::Measure { reply }).await.ok()?;
    answer.await.ok()
}
