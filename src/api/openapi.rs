//! `openapi.json`: the description of all this, kept beside the code and compared with the routes by a test.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// `GET /api/v1/openapi.json`
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::ledger::cause::{CallResult, Direction, EndedBy};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let described: BTreeSet<&str> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let served: BTreeSet<&str> = crate::api::routes()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(described, served);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| walk(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut references = Vec::new();
        walk(&document, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn records_have_the_described_fields() {
        let call = crate::store::accounting::tests::call(1, None, 0);
        let row = crate::store::row::CallRow {
            record: call,
            repeat_of: None,
        };
        let mut leg = crate::store::accounting::tests::leg(1, 0);
        leg.quality = Some(Box::default());
        // What the API adds for a running call's legs.
        let mut leg = serde_json::json!(leg);
        leg["media"] = serde_json::json!(crate::ledger::quality::LegMedia {
            codec: Some("PCMU"),
            io: "epoll",
            quality: None,
            lately: None,
        });
        for (schema, value) in [
            ("Call", serde_json::json!(row)),
            ("LegMedia", leg["media"].clone()),
            ("LegQuality", leg["quality"].clone()),
            ("Leg", leg),
        ] {
            let document = document();
            let schema = &document["components"]["schemas"][schema]["properties"];
            let described: BTreeSet<&String> = schema.as_object().unwrap().keys().collect();
            let sent: BTreeSet<&String> = value.as_object().unwrap().keys().collect();
            assert_eq!(described, sent);
        }
        let document = document();
        let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
        for direction in [Direction::Inbound, Direction::Outbound, Direction::Internal] {
            assert!(
                words("Direction")
                    .as_array()
                    .unwrap()
                    .contains(&serde_json::json!(direction))
            );
        }
        for result in [
            CallResult::Answered,
            CallResult::Missed,
            CallResult::NotReached,
        ] {
            assert!(
                words("Result")
                    .as_array()
                    .unwrap()
                    .contains(&serde_json::json!(result))
            );
        }
        assert!(
            words("EndedBy")
                .as_array()
                .unwrap()
                .contains(&serde_json::json!(EndedBy::Crash))
        );
    }
}
