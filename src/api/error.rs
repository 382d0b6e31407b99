//! Refusals: a status, a code for programs and a sentence for people.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::StoreError;

/// A request that is not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    /// A refusal with its parts.
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400: the request does not read.
    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 404: `what` is not there.
    pub(super) fn missing(what: &str, remedy: &str) -> Refusal {
        let message = format!("There is no such {what}. {remedy}");
        Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404: nothing is served at this path.
    pub(super) fn unknown_path() -> Refusal {
        let message = "Nothing is served at this path. /api/v1/openapi.json lists what is.";
        Refusal::new(StatusCode::NOT_FOUND, "unknown_path", message)
    }

    /// 405: the path is served, but not with this method.
    pub(super) fn wrong_method() -> Refusal {
        let message =
            "This path does not take this method. /api/v1/openapi.json says which it takes.";
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
    }

    /// 503: the switch does not answer.
    pub(super) fn switch_away() -> Refusal {
        let message = "The switch does not answer now: it is stopping or overloaded. Try again in a few seconds.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "switch_away", message)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        tracing::error!(%error, "a request could not be served from the store");
        let message = "The database does not answer now. Calls go on; try again in a few seconds, and see the log if it stays so.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_away", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": {"code": self.code, "message": self.message}}));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = header::HeaderValue::from_static("60");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer realm=\"vats\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
