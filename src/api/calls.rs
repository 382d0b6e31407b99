//! `calls`: the list, one call, the running ones, and commands on them.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Api;
use super::error::Refusal;
use super::query::Parameters;
use super::recordings;
use crate::dialplan::features::Supervision;
use crate::ledger::call::CallRecord;
use crate::ledger::id::{CallId, LegId, Name, Tenant};
use crate::ledger::quality::LegMedia;
use crate::switch::handle::Ask;

/// `GET /api/v1/calls`
pub(super) async fn list(
    State(api): State<Api>,
    mut parameters: Parameters,
) -> Result<Json<Value>, Refusal> {
    let filter = parameters.call_filter()?;
    let page = parameters.page()?;
    parameters.finish()?;
    let page = api.current().await.calls(&filter, &page).await?;
    let next = page.next.map(|next| next.to_string());
    Ok(Json(json!({"items": page.items, "next": next})))
}

/// `GET /api/v1/calls/live`
pub(super) async fn live(State(api): State<Api>) -> Json<Value> {
    let mut calls: Vec<CallRecord> = api
        .handle
        .views
        .calls
        .iter()
        .map(|call| call.value().clone())
        .collect();
    calls.sort_by_key(|call| std::cmp::Reverse((call.arrived_at, call.call_id)));
    Json(json!({"items": calls, "next": null}))
}

/// `GET /api/v1/calls/{call_id}`
pub(super) async fn one(
    State(api): State<Api>,
    Path(call): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let call = call_id(&call)?;
    let Some(mut detail) = api.current().await.call(&Tenant::default(), call).await? else {
        return Err(no_call());
    };
    // A running call may be a moment ahead of its row.
    if detail.call.record.ended_at.is_none()
        && let Some(live) = api.handle.views.calls.get(&call)
    {
        detail.call.record = live.value().clone();
    }
    let mut media = Vec::new();
    if detail.call.record.ended_at.is_none() {
        media = sounding(&api, call).await;
    }
    for leg in &mut detail.legs {
        let now = media.iter().find(|(id, _)| *id == leg.leg_id);
        if let Some(quality) = now.and_then(|(_, media)| media.quality.clone()) {
            leg.quality.get_or_insert(Box::new(quality));
        }
    }
    let mut legs = json!(detail.legs);
    for (shown, leg) in legs.as_array_mut().into_iter().flatten().zip(&detail.legs) {
        let now = media.iter().find(|(id, _)| *id == leg.leg_id);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("media".to_owned(), json!(now.map(|(_, media)| media)));
        }
    }
    let recordings: Vec<Value> = detail.recordings.iter().map(recordings::shown).collect();
    let mut shown = json!(detail.call);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("legs".to_owned(), legs);
        shown.insert("trace".to_owned(), json!(detail.trace));
        shown.insert("recordings".to_owned(), json!(recordings));
    }
    Ok(Json(shown))
}

/// How the legs of a running call sound now; none when that cannot be told in time, which is no reason to show nothing else.
async fn sounding(api: &Api, call: CallId) -> Vec<(LegId, LegMedia)> {
    let asked = ask(api, |reply| Ask::Listen { call, reply });
    match timeout(MOMENT, asked).await {
        Ok(Ok(told)) => told,
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Originate {
    operator: String,
    to: String,
}

/// `POST /api/v1/calls`
pub(super) async fn originate(State(api): State<Api>, body: Bytes) -> Result<Response, Refusal> {
    let Originate { operator, to } = read(&body, r#"{"operator": "anna", "to": "+79161234567"}"#)?;
    let operator = Name::from(operator);
    let placed = ask(&api, |reply| Ask::Originate {
        operator,
        to,
        reply,
    })
    .await?;
    let call =
        placed.map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "not_placed", why))?;
    Ok((StatusCode::ACCEPTED, Json(json!({"call_id": call}))).into_response())
}

/// `POST /api/v1/calls/{call_id}/hangup`
pub(super) async fn hangup(
    State(api): State<Api>,
    Path(call): Path<String>,
) -> Result<Response, Refusal> {
    let call = call_id(&call)?;
    if ask(&api, |reply| Ask::Hangup { call, reply }).await? {
        Ok((StatusCode::ACCEPTED, Json(json!({"call_id": call}))).into_response())
    } else {
        Err(not_running())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    to: String,
}

/// `POST /api/v1/calls/{call_id}/transfer`
pub(super) async fn transfer(
    State(api): State<Api>,
    Path(call): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let call = call_id(&call)?;
    let Transfer { to } = read(&body, r#"{"to": "hunt:sales"}"#)?;
    if !api.handle.views.calls.contains_key(&call) {
        return Err(not_running());
    }
    ask(&api, |reply| Ask::Transfer { call, to, reply })
        .await?
        .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "not_transferred", why))?;
    Ok((StatusCode::ACCEPTED, Json(json!({"call_id": call}))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    state: RecordingState,
}

#[derive(Copy, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RecordingState {
    Paused,
    Running,
}

/// `POST /api/v1/calls/{call_id}/recording`
pub(super) async fn recording(
    State(api): State<Api>,
    Path(call): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let call = call_id(&call)?;
    let Recording { state } = read(&body, r#"{"state": "paused"} or {"state": "running"}"#)?;
    if !api.handle.views.calls.contains_key(&call) {
        return Err(not_running());
    }
    let paused = state == RecordingState::Paused;
    let recording = ask(&api, |reply| Ask::PauseRecording {
        call,
        paused,
        reply,
    })
    .await?
    .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "not_recorded", why))?;
    let shown = json!({"call_id": call, "recording_id": recording, "state": state});
    Ok(Json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Supervise {
    operator: String,
    mode: String,
}

/// `POST /api/v1/calls/{call_id}/supervise`
pub(super) async fn supervise(
    State(api): State<Api>,
    Path(call): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let call = call_id(&call)?;
    let Supervise { operator, mode } = read(&body, r#"{"operator": "anna", "mode": "listen"}"#)?;
    let Some(mode) = Supervision::parse(&mode) else {
        let why = format!("\"{mode}\" is no mode: it is listen, whisper or barge.");
        return Err(Refusal::bad(why));
    };
    if !api.handle.views.calls.contains_key(&call) {
        return Err(not_running());
    }
    let operator = Name::from(operator);
    let placed = ask(&api, |reply| Ask::Supervise {
        call,
        operator,
        mode,
        reply,
    })
    .await?;
    let by = placed
        .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "not_supervised", why))?;
    let shown = json!({"call_id": call, "supervisor_call_id": by});
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}

/// Asks the switch and waits for its answer, for a while.
pub(super) async fn ask<T>(
    api: &Api,
    ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        api.handle.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    };
    match timeout(PATIENCE, asked).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) | Err(_) => Err(Refusal::switch_away()),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::bad(format!(
            "The body does not read: {error}. Send JSON such as {example}."
        ))
    })
}

fn call_id(text: &str) -> Result<CallId, Refusal> {
    text.parse().map_err(|_| no_call())
}

fn no_call() -> Refusal {
    Refusal::missing("call", "GET /api/v1/calls lists them.")
}

fn not_running() -> Refusal {
    Refusal::missing("running call", "GET /api/v1/calls/live lists them.")
}

/// How long a media thread may take to tell.
const MOMENT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);
