//! `reload`: reads the configuration anew.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;

/// `POST /api/v1/reload`: all or nothing; problems leave the old plan in force.
pub(super) async fn reload(State(api): State<Api>) -> Response {
    match (api.reload)().await {
        Ok(version) => Json(json!({"plan_version": version})).into_response(),
        Err(problems) => {
            let body = json!({
                "error": {
                    "code": "not_reloaded",
                    "message": "The configuration has problems; the old one stays in force. Correct them and reload again; `vats check` shows the same.",
                    "problems": problems,
                }
            });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}
