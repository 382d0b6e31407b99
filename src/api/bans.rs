//! `bans`: sources that get no answer, and lifting a ban; `defence`: what was kept out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Api;
use super::calls::ask;
use super::error::Refusal;
use crate::ledger::journal::BanRecord;
use crate::net::access::source::Source;
use crate::switch::handle::Ask;

/// `GET /api/v1/bans`
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let views = api.handle.views.bans.iter();
    let mut items: Vec<BanRecord> = views.map(|view| view.value().clone()).collect();
    items.sort_by(|one, other| {
        (other.banned_at, &other.address).cmp(&(one.banned_at, &one.address))
    });
    Json(json!({"items": items, "next": null}))
}

/// `DELETE /api/v1/bans/{address}`
pub(super) async fn lift(
    State(api): State<Api>,
    Path(address): Path<String>,
) -> Result<StatusCode, Refusal> {
    let source: Source = address
        .parse()
        .map_err(|_| Refusal::bad(format!("\"{address}\" is no IP address.")))?;
    if ask(&api, |reply| Ask::Unban { source, reply }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::missing("ban", "GET /api/v1/bans lists them."))
    }
}

/// `GET /api/v1/defence`
pub(super) async fn defence(State(api): State<Api>) -> Json<Value> {
    Json(json!(api.handle.views.kept.now()))
}
