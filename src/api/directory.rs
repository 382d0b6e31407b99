//! `operators` and `trunks`: how they stand now.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;
use crate::switch::handle::{OperatorView, TrunkView};

/// `GET /api/v1/operators`
pub(super) async fn operators(State(api): State<Api>) -> Json<Value> {
    let views = api.handle.views.operators.iter();
    let mut items: Vec<OperatorView> = views.map(|view| view.value().clone()).collect();
    items.sort_by(|one, other| one.operator.cmp(&other.operator));
    Json(json!({"items": items, "next": null}))
}

/// `GET /api/v1/trunks`
pub(super) async fn trunks(State(api): State<Api>) -> Json<Value> {
    let views = api.handle.views.trunks.iter();
    let mut items: Vec<TrunkView> = views.map(|view| view.value().clone()).collect();
    items.sort_by(|one, other| one.trunk.cmp(&other.trunk));
    Json(json!({"items": items, "next": null}))
}
