//! Answering the challenges to one request: each realm once, and again when only the nonce was stale (RFC 3261 §22).

use crate::ledger::entropy::Entropy;
use crate::sip::auth::{Asked, Credentials, Obstacle, answer_realm, realms, why_not};
use crate::sip::endpoint::command::Headers;
use crate::sip::wire::{Message, Name};

/// The challenges that a request has met so far, or those of a dialog.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    met: Vec<Challenge>,
    tries: u8,
}

#[derive(Clone, Debug)]
struct Challenge {
    realm: String,
    response: Message,
    /// The server's next nonce, when it named one.
    nonce: Option<String>,
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
        if self.tries > MAX_TRIES || !self.note(response, credentials) {
            return None;
        }
        self.lines(method, uri, credentials, entropy)
    }

    /// The header lines for one more request, before it is challenged (RFC 3261 §22.2); none without a challenge so far.
    pub fn before(
        &mut self,
        method: &str,
        uri: &str,
        credentials: Option<&Credentials>,
        entropy: &mut Entropy,
    ) -> Headers {
        credentials
            .and_then(|credentials| self.lines(method, uri, credentials, entropy))
            .unwrap_or_default()
    }

    /// What another request of the dialog has met holds for those after it: its nonces are newer.
    pub fn learn(&mut self, other: &Challenges) {
        for challenge in &other.met {
            match self.met.iter_mut().find(|met| met.realm == challenge.realm) {
                Some(met) => met.clone_from(challenge),
                None => self.met.push(challenge.clone()),
            }
        }
    }

    /// A request with credentials was accepted: takes the next nonce from its Authentication-Info (RFC 7616 §3.5).
    pub fn accepted(&mut self, response: &Message) {
        let next = response
            .header(Name::AuthenticationInfo)
            .and_then(|value| parameter(value, "nextnonce"));
        // It does not say which realm it is of; with several there is no telling.
        if let (Some(next), [only]) = (next, self.met.as_mut_slice()) {
            only.nonce = Some(next.to_owned());
            only.nonce_count = 0;
        }
    }

    fn lines(
        &mut self,
        method: &str,
        uri: &str,
        credentials: &Credentials,
        entropy: &mut Entropy,
    ) -> Option<Headers> {
        self.met
            .iter_mut()
            .map(|challenge| {
                challenge.nonce_count += 1;
                answer_realm(
                    &challenge.response,
                    &challenge.realm,
                    challenge.nonce.as_deref(),
                    Asked { method, uri },
                    credentials,
                    challenge.nonce_count,
                    entropy,
                )
            })
            .collect()
    }

    /// Notes the challenges of a response; false when there is none that we can answer, or a realm has rejected our answer already.
    fn note(&mut self, response: &Message, credentials: &Credentials) -> bool {
        let asked = realms(response, credentials);
        let mut is_worth_it = !asked.is_empty();
        for (realm, stale) in asked {
            let challenge = Challenge {
                realm: realm.to_owned(),
                response: response.clone(),
                nonce: None,
                nonce_count: 0,
            };
            match self.met.iter_mut().find(|met| met.realm == realm) {
                Some(met) => {
                    *met = challenge;
                    is_worth_it &= stale;
                }
                None => self.met.push(challenge),
            }
        }
        is_worth_it
    }
}

/// Why a final 401 or 407 was not answered, or not with success, in a sentence; `None`: it is no challenge.
pub fn unanswerable(response: &Message, credentials: Option<&Credentials>) -> Option<&'static str> {
    if !is_challenge(response.status()) {
        return None;
    }
    let Some(credentials) = credentials else {
        return Some("The far side asks for credentials, and none are configured for it");
    };
    Some(match why_not(response, credentials) {
        Some(Obstacle::OnlyAuthInt) => {
            "The far side asks for authentication with qop=auth-int alone, which this PBX does not do"
        }
        Some(Obstacle::OtherRealm) => {
            "The far side asks for credentials of another realm than the configured one"
        }
        Some(Obstacle::Unknown) => {
            "The far side asks for authentication in a way that this PBX does not know"
        }
        None => "The far side refused the user or password",
    })
}

/// Whether a status is a challenge.
pub const fn is_challenge(code: u16) -> bool {
    matches!(code, 401 | 407)
}

/// The value of a parameter in a list of them, unquoted.
fn parameter<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut quoted = false;
    list.split(move |letter| {
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

    use crate::sip::wire::Writer;

    const BYE: &str = "BYE";

    fn refusal(challenges: &[&str]) -> Message {
        let mut writer = Writer::response(407).header(Name::CSeq, "1 INVITE");
        for challenge in challenges {
            writer = writer.header(Name::ProxyAuthenticate, challenge);
        }
        Message::parse(writer.finish()).unwrap()
    }

    fn value<'a>(lines: &'a Headers, name: &str) -> Vec<&'a str> {
        lines
            .iter()
            .map(|(_, line)| parameter(line.trim_start_matches("Digest "), name).unwrap())
            .collect()
    }

    #[test]
    fn parameters_are_found_beside_quoted_commas() {
        let text = r#"realm="a, b", nonce="n", Stale=TRUE"#;
        assert_eq!(parameter(text, "realm"), Some("a, b"));
        assert_eq!(parameter(text, "stale"), Some("TRUE"));
        assert_eq!(parameter(text, "opaque"), None);
    }

    #[test]
    fn a_nonce_is_counted_until_the_server_names_the_next() {
        let shop = Credentials::new("shop", "secret");
        let mut entropy = Entropy::from_number(1);
        let mut known = Challenges::default();
        let challenge = refusal(&["Digest realm=\"a\", nonce=\"n1\", qop=\"auth\""]);
        let mut entropy_again = Entropy::from_number(2);
        let lines = known
            .answer(&challenge, "INVITE", "sip:x", Some(&shop), &mut entropy)
            .unwrap();
        assert_eq!(value(&lines, "nc"), ["00000001"]);
        let mut before =
            |known: &mut Challenges| known.before(BYE, "sip:x", Some(&shop), &mut entropy_again);
        assert_eq!(value(&before(&mut known), "nc"), ["00000002"]);
        let accepted =
            Writer::response(200).header(Name::AuthenticationInfo, "qop=auth, nextnonce=\"n2\"");
        known.accepted(&Message::parse(accepted.finish()).unwrap());
        let lines = before(&mut known);
        assert_eq!(
            (value(&lines, "nc"), value(&lines, "nonce")),
            (vec!["00000001"], vec!["n2"])
        );
        assert!(before(&mut Challenges::default()).is_empty());
    }

    #[test]
    fn several_realms_are_all_answered() {
        let shop = Credentials::new("shop", "secret");
        let mut known = Challenges::default();
        let both = refusal(&[
            "Digest realm=\"a\", nonce=\"n1\"",
            "Digest realm=\"b\", nonce=\"n2\"",
        ]);
        let mut answer = |response: &Message| {
            let mut entropy = Entropy::from_number(1);
            known.answer(response, BYE, "sip:x", Some(&shop), &mut entropy)
        };
        assert_eq!(value(&answer(&both).unwrap(), "realm"), ["a", "b"]);
        let stale = refusal(&["Digest realm=\"b\", nonce=\"n3\", stale=true"]);
        assert_eq!(value(&answer(&stale).unwrap(), "nonce"), ["n1", "n3"]);
        assert_eq!(answer(&both), None, "both rejected what we have");
    }

    #[test]
    fn why_a_challenge_is_not_answered() {
        let shop = Credentials::new("shop", "secret");
        let int = refusal(&["Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\""]);
        assert!(
            unanswerable(&int, Some(&shop))
                .unwrap()
                .contains("auth-int")
        );
        assert!(
            unanswerable(&int, None)
                .unwrap()
                .contains("none are configured")
        );
    }
}
