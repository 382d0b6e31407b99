//! `missed`: callers who were not reached since.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;
use super::error::Refusal;
use super::query::Parameters;
use crate::ledger::id::Tenant;

/// `GET /api/v1/missed`
pub(super) async fn list(
    State(api): State<Api>,
    mut parameters: Parameters,
) -> Result<Json<Value>, Refusal> {
    let page = parameters.page()?;
    parameters.finish()?;
    let page = api
        .current()
        .await
        .missed(&Tenant::default(), &page)
        .await?;
    let next = page.next.map(|next| next.to_string());
    Ok(Json(json!({"items": page.items, "next": next})))
}
