//! Answering a challenge (RFC 7616 §3.4, RFC 3261 §22.2).

use super::digest::{Algorithm, Digest, DigestParams};
use crate::ledger::entropy::Entropy;
use crate::sip::header::params::Quoted;
use crate::sip::wire::{Message, Name};

/// What we answer challenges with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Without the password, so that no log has it.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

/// The header (Authorization or Proxy-Authorization) that answers the challenge in a 401 or 407: of several the topmost that we can answer (RFC 8760
/// §2.4; MD5 and SHA-256 and their `-sess` forms), qop=auth where offered. `nonce_count` is how often this nonce is used with this, from 1.
/// `None`: no challenge we can answer.
pub fn answer_challenge(
    response: &Message,
    method: &str,
    uri: &str,
    credentials: &Credentials,
    nonce_count: u32,
    entropy: &mut Entropy,
) -> Option<(Name, String)> {
    let (asked, answered) = match response.status() {
        401 => (Name::WwwAuthenticate, Name::Authorization),
        407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        _ => return None,
    };
    let challenge = response.headers(asked).find_map(Challenge::read)?;
    let cnonce = entropy.token();
    let count = format!("{nonce_count:08x}");
    let digest = Digest {
        algorithm: challenge.algorithm,
        session: challenge.session,
        user: &credentials.user,
        realm: challenge.realm,
        password: &credentials.password,
        method,
        uri,
        nonce: challenge.nonce,
        cnonce: &cnonce,
        count: challenge.qop.then_some(count.as_str()),
    };
    let mut value = format!(
        "Digest username={}, realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
        Quoted(&credentials.user),
        challenge.realm,
        challenge.nonce,
        digest.response(),
    );
    if let Some(name) = challenge.algorithm_name {
        value.push_str(&format!(", algorithm={name}"));
    }
    if challenge.qop {
        value.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
    } else if challenge.session {
        value.push_str(&format!(", cnonce=\"{cnonce}\""));
    }
    if let Some(opaque) = challenge.opaque {
        value.push_str(&format!(", opaque=\"{opaque}\""));
    }
    Some((answered, value))
}

/// A challenge that can be answered.
struct Challenge<'a> {
    realm: &'a str,
    nonce: &'a str,
    opaque: Option<&'a str>,
    algorithm_name: Option<&'a str>,
    algorithm: Algorithm,
    session: bool,
    /// Whether qop=auth is offered; otherwise none is.
    qop: bool,
}

impl<'a> Challenge<'a> {
    fn read(value: &'a str) -> Option<Challenge<'a>> {
        let params = DigestParams::parse(value)?;
        let algorithm_name = params.get("algorithm");
        let (algorithm, session) = Algorithm::parse(algorithm_name)?;
        let qop = match params.get("qop") {
            None => false,
            Some(offered) => {
                if !offered
                    .split(',')
                    .any(|qop| qop.trim().eq_ignore_ascii_case("auth"))
                {
                    return None;
                }
                true
            }
        };
        Some(Challenge {
            realm: params.get("realm")?,
            nonce: params.get("nonce")?,
            opaque: params.get("opaque"),
            algorithm_name,
            algorithm,
            session,
            qop,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Writer;

    fn answer(code: u16, name: Name, challenges: &[&str]) -> Option<(Name, String)> {
        let mut writer = Writer::response(code).header(Name::CSeq, "1 REGISTER");
        for challenge in challenges {
            writer = writer.header(name, challenge);
        }
        let response = Message::parse(writer.finish()).unwrap();
        let credentials = Credentials {
            user: "shop".into(),
            password: "secret".into(),
        };
        let mut entropy = Entropy::from_number(1);
        answer_challenge(
            &response,
            "REGISTER",
            "sip:acme",
            &credentials,
            2,
            &mut entropy,
        )
    }

    #[test]
    fn the_topmost_that_we_know_is_answered() {
        let (name, value) = answer(
            401,
            Name::WwwAuthenticate,
            &[
                "Basic realm=\"a\"",
                "Digest realm=\"a\", nonce=\"n0\", algorithm=SHA-512-256, qop=\"auth\"",
                "Digest realm=\"a\", nonce=\"n1\", qop=\"auth-int\"",
                "Digest realm=\"a, b\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth-int, auth\", opaque=\"\"",
                "Digest realm=\"a\", nonce=\"n3\", algorithm=MD5",
            ],
        )
        .unwrap();
        assert_eq!(name, Name::Authorization);
        let params = DigestParams::parse(&value).unwrap();
        assert_eq!(
            (params.get("nonce"), params.get("realm")),
            (Some("n2"), Some("a, b"))
        );
        assert_eq!(
            (params.get("nc"), params.get("qop")),
            (Some("00000002"), Some("auth"))
        );
        assert_eq!(
            (params.get("opaque"), params.get("algorithm")),
            (Some(""), Some("SHA-256"))
        );
        assert_eq!(params.get("response").unwrap().len(), 64);
    }

    #[test]
    fn old_challenges_get_the_old_form() {
        let (name, value) = answer(
            407,
            Name::ProxyAuthenticate,
            &["Digest realm=\"a\",nonce=\"n\""],
        )
        .unwrap();
        assert_eq!(name, Name::ProxyAuthorization);
        // MD5 of md5("shop:a:secret"), "n", md5("REGISTER:sip:acme"), computed with md5sum.
        assert_eq!(
            value,
            "Digest username=\"shop\", realm=\"a\", nonce=\"n\", uri=\"sip:acme\", response=\"eb48112e64be8278939124573eed856b\""
        );
    }

    #[test]
    fn sessions_carry_their_cnonce_without_qop_too() {
        let (_, value) = answer(
            401,
            Name::WwwAuthenticate,
            &["Digest realm=\"a\", nonce=\"n\", algorithm=MD5-sess"],
        )
        .unwrap();
        assert!(value.contains("algorithm=MD5-sess, cnonce=\""));
        assert!(!value.contains("nc="));
    }

    #[test]
    fn what_cannot_be_answered_is_not() {
        assert_eq!(
            answer(401, Name::WwwAuthenticate, &["Digest realm=\"a\""]),
            None
        );
        assert_eq!(
            answer(
                401,
                Name::ProxyAuthenticate,
                &["Digest realm=\"a\",nonce=\"n\""]
            ),
            None
        );
        assert_eq!(
            answer(
                403,
                Name::WwwAuthenticate,
                &["Digest realm=\"a\",nonce=\"n\""]
            ),
            None
        );
    }

    #[test]
    fn the_password_is_in_no_log() {
        let credentials = Credentials {
            user: "shop".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
