//! Answering the challenges to one request: each realm once, and again when only the nonce was stale (RFC 3261 §22).

use crate::ledger::entropy::Entropy;
use crate::sip::auth::{Credentials, answer_challenge};
use crate::sip::endpoint::command::Headers;
use crate::sip::wire::{Message, Name};

/// The challenges that a request has met so far.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    met: Vec<Challenge>,
    tries: u8,
}

#[derive(Clone, Debug)]
struct Challenge {
    realm: String,
    response: Message,
    nonce_count: u32,
}

impl Challenges {
    /// The header lines with which the request is worth another try after this 401 or 407; `None`: it is refused.
    pub fn answer(
        &mut self,
        response: &Message,
        method: &str,
        uri: &str,
        credentials: Option<&Credentials>,
        entropy: &mut Entropy,
    ) -> Option<Headers> {
        let credentials = credentials?;
        self.tries += 1;
        if self.tries > MAX_TRIES || !self.note(response) {
            return None;
        }
        self.met
            .iter_mut()
            .map(|challenge| {
                challenge.nonce_count += 1;
                answer_challenge(
                    &challenge.response,
                    method,
                    uri,
                    credentials,
                    challenge.nonce_count,
                    entropy,
                )
            })
            .collect()
    }

    /// Notes a challenge; false when its realm has rejected our answer already.
    fn note(&mut self, response: &Message) -> bool {
        let name = match response.status() {
            407 => Name::ProxyAuthenticate,
            _ => Name::WwwAuthenticate,
        };
        let text = response.header(name).unwrap_or("");
        let realm = parameter(text, "realm").unwrap_or("").to_owned();
        let challenge = Challenge {
            realm,
            response: response.clone(),
            nonce_count: 0,
        };
        match self.met.iter_mut().find(|met| met.realm == challenge.realm) {
            Some(met) => {
                let stale = parameter(text, "stale")
                    .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
                *met = challenge;
                stale
            }
            None => {
                self.met.push(challenge);
                true
            }
        }
    }
}

/// Whether a status is a challenge.
pub const fn is_challenge(code: u16) -> bool {
    matches!(code, 401 | 407)
}

/// The value of a challenge's parameter, unquoted.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let rest = challenge.split_once(char::is_whitespace)?.1;
    let mut quoted = false;
    rest.split(move |letter| {
        if letter == '"' {
            quoted = !quoted;
        }
        letter == ',' && !quoted
    })
    .filter_map(|part| part.split_once('='))
    .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
    .map(|(_, value)| value.trim().trim_matches('"'))
}

/// A server that calls every nonce stale is not humoured for ever.
const MAX_TRIES: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_beside_quoted_commas() {
        let text = r#"Digest realm="a, b", nonce="n", Stale=TRUE"#;
        assert_eq!(parameter(text, "realm"), Some("a, b"));
        assert_eq!(parameter(text, "stale"), Some("TRUE"));
        assert_eq!(parameter(text, "opaque"), None);
    }
}
