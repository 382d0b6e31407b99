//! Query parameters: unknown ones and unreadable values are refused by name.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use super::error::Refusal;
use crate::ledger::clock::Wall;
use crate::store::page::{CallFilter, PageRequest};

/// The parameters of a request. Each is taken once; what is left is unknown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Parameters, Refusal> {
        Query::<BTreeMap<String, String>>::from_request_parts(parts, state)
            .await
            .map(|Query(parameters)| Parameters(parameters))
            .map_err(|_| Refusal::bad("The query does not read: write name=value pairs, percent-encoded, joined by &."))
    }
}

impl Parameters {
    /// The filter of a list of calls.
    pub(super) fn call_filter(&mut self) -> Result<CallFilter, Refusal> {
        Ok(CallFilter {
            tenant: crate::ledger::id::Tenant::default(),
            result: self.word(
                "result",
                "answered, missed, served, rejected or not_reached",
            )?,
            direction: self.word("direction", "inbound, outbound or internal")?,
            caller: self.number("caller"),
            party: self.number("party"),
            number: self.number("number"),
            landing_page: self.0.remove("landing_page"),
            from: self.time("from")?,
            to: self.time("to")?,
        })
    }

    /// `limit` and `cursor`.
    pub(super) fn page(&mut self) -> Result<PageRequest, Refusal> {
        let limit: Option<NonZeroU32> = self.parse("limit", "a number from 1 to 500")?;
        let after = self.parse("cursor", "the `next` of the page before")?;
        Ok(PageRequest::new(limit.map(NonZeroU32::get), after))
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::bad(format!(
                "There is no parameter {name:?} here. /api/v1/openapi.json lists those there are."
            ))),
        }
    }

    /// A telephone number, whose plus sign an unencoded query turns into a space.
    fn number(&mut self, name: &str) -> Option<String> {
        let text = self.0.remove(name)?;
        Some(match text.strip_prefix(' ') {
            Some(digits) => format!("+{digits}"),
            None => text,
        })
    }

    fn time(&mut self, name: &str) -> Result<Option<Wall>, Refusal> {
        let Some(text) = self.0.remove(name) else {
            return Ok(None);
        };
        // The plus sign of an offset may have become a space.
        let text = text.replace(' ', "+");
        let timestamp: Result<jiff::Timestamp, _> = text.parse();
        match timestamp {
            Ok(timestamp) => Ok(Some(Wall::from_micros(timestamp.as_microsecond()))),
            Err(_) => Err(unreadable(name, "a time such as 2026-03-08T09:05:00Z")),
        }
    }

    fn word<T>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Refusal>
    where
        T: for<'de> Deserialize<'de>,
    {
        let Some(text) = self.0.remove(name) else {
            return Ok(None);
        };
        let word: StrDeserializer<'_, WordError> = text.as_str().into_deserializer();
        T::deserialize(word)
            .map(Some)
            .map_err(|_| unreadable(name, expected))
    }

    fn parse<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
        let text = self.0.remove(name);
        text.map(|text| text.parse().map_err(|_| unreadable(name, expected)))
            .transpose()
    }
}

fn unreadable(name: &str, expected: &str) -> Refusal {
    Refusal::bad(format!(
        "The parameter {name:?} does not read: write {expected}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::cause::CallResult;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters(
            pairs
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect(),
        )
    }

    #[test]
    fn filters_read() {
        let mut query = parameters(&[
            ("result", "missed"),
            ("party", " 79161234567"),
            ("from", "2026-03-08T09:05:00 03:00"),
            ("limit", "7"),
        ]);
        let filter = query.call_filter().unwrap();
        assert_eq!(filter.result, Some(CallResult::Missed));
        assert_eq!(filter.party.as_deref(), Some("+79161234567"));
        assert_eq!(filter.from.unwrap().to_string(), "2026-03-08T06:05:00.000Z");
        assert_eq!(query.page().unwrap().limit, 7);
        query.finish().unwrap();
    }

    #[test]
    fn what_does_not_read_is_named() {
        for pair in [("result", "lost"), ("from", "yesterday"), ("direction", "")] {
            let refusal = parameters(&[pair]).call_filter().unwrap_err();
            assert!(refusal.message.contains(pair.0), "{}", refusal.message);
        }
        for pair in [("limit", "many"), ("cursor", "x")] {
            assert!(parameters(&[pair]).page().is_err());
        }
        assert!(parameters(&[("colour", "red")]).finish().is_err());
    }
}
