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
    /// The only realm that is answered; `None`: whichever is asked for.
    pub realm: Option<String>,
}

impl Credentials {
    /// For whichever realm is asked for.
    pub fn new(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
            realm: None,
        }
    }

    fn are_for(&self, realm: &str) -> bool {
        self.realm.as_deref().is_none_or(|only| only == realm)
    }
}

/// Without the password, so that no log has it.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

/// Why a 401 or 407 cannot be answered.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// Only qop=auth-int is offered: the integrity of bodies, which would have to be kept through every change of ours.
    OnlyAuthInt,
    /// No challenge is of the realm that the credentials are for.
    OtherRealm,
    /// No challenge is of a scheme, algorithm or form that we know.
    Unknown,
}

/// What keeps us from answering a 401 or 407; `None`: nothing does.
pub fn why_not(response: &Message, credentials: &Credentials) -> Option<Obstacle> {
    let (asked, _) = names(response.status())?;
    if !realms(response, credentials).is_empty() {
        return None;
    }
    let mut obstacle = Obstacle::Unknown;
    for params in response.headers(asked).filter_map(DigestParams::parse) {
        let is_known = Algorithm::parse(params.get("algorithm")).is_some();
        let only_int = params
            .get("qop")
            .is_some_and(|offered| !offers(offered, "auth"));
        if is_known && only_int {
            return Some(Obstacle::OnlyAuthInt);
        }
        let other = |realm: &str| !credentials.are_for(realm);
        if is_known && params.get("realm").is_some_and(other) {
            obstacle = Obstacle::OtherRealm;
        }
    }
    Some(obstacle)
}

/// The realms of the challenges in a 401 or 407 that we can answer, and whether only their nonce was stale.
pub fn realms<'a>(response: &'a Message, credentials: &Credentials) -> Vec<(&'a str, bool)> {
    let mut found: Vec<(&str, bool)> = Vec::new();
    for challenge in challenges(response) {
        let is_new = !found.iter().any(|(realm, _)| *realm == challenge.realm);
        if is_new && credentials.are_for(challenge.realm) {
            found.push((challenge.realm, challenge.stale));
        }
    }
    found
}

/// The header (Authorization or Proxy-Authorization) that answers the challenge in a 401 or 407: of the first realm that we can answer. As [`answer_realm`].
pub fn answer_challenge(
    response: &Message,
    method: &str,
    uri: &str,
    credentials: &Credentials,
    nonce_count: u32,
    entropy: &mut Entropy,
) -> Option<(Name, String)> {
    let (realm, _) = realms(response, credentials).into_iter().next()?;
    let request = Asked { method, uri };
    answer_realm(
        response,
        realm,
        None,
        request,
        credentials,
        nonce_count,
        entropy,
    )
}

/// The request that carries an answer.
#[derive(Copy, Clone, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its Request-URI.
    pub uri: &'a str,
}

/// The header that answers a realm's challenge in a 401 or 407: of several the strongest algorithm that we know (RFC 7616 §3.7), the topmost among
/// equals; qop=auth where offered. `nonce`: a later one of the server's (`nextnonce`) in the challenge's stead. `nonce_count` is how often
/// the nonce is used with this, from 1. `None`: no challenge that we can answer.
pub fn answer_realm(
    response: &Message,
    realm: &str,
    nonce: Option<&str>,
    request: Asked<'_>,
    credentials: &Credentials,
    nonce_count: u32,
    entropy: &mut Entropy,
) -> Option<(Name, String)> {
    let (_, answered) = names(response.status())?;
    let of_realm = challenges(response).filter(|challenge| challenge.realm == realm);
    // The last maximum is the topmost one of the reversed list.
    let all: Vec<Challenge<'_>> = of_realm.collect();
    let challenge = all
        .into_iter()
        .rev()
        .max_by_key(|challenge| challenge.algorithm)?;
    let nonce = nonce.unwrap_or(challenge.nonce);
    let Asked { method, uri } = request;
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
        nonce,
        cnonce: &cnonce,
        count: challenge.qop.then_some(count.as_str()),
    };
    let mut value = format!(
        "Digest username={}, realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{}\"",
        Quoted(&credentials.user),
        challenge.realm,
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

/// The challenge's header and the one that answers it.
const fn names(code: u16) -> Option<(Name, Name)> {
    match code {
        401 => Some((Name::WwwAuthenticate, Name::Authorization)),
        407 => Some((Name::ProxyAuthenticate, Name::ProxyAuthorization)),
        _ => None,
    }
}

/// The challenges of a 401 or 407 that we can answer.
fn challenges(response: &Message) -> impl Iterator<Item = Challenge<'_>> {
    names(response.status())
        .into_iter()
        .flat_map(|(asked, _)| response.headers(asked))
        .filter_map(Challenge::read)
}

fn offers(offered: &str, wanted: &str) -> bool {
    offered
        .split(',')
        .any(|qop| qop.trim().eq_ignore_ascii_case(wanted))
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
    /// The last answer was right but for its nonce.
    stale: bool,
}

impl<'a> Challenge<'a> {
    fn read(value: &'a str) -> Option<Challenge<'a>> {
        let params = DigestParams::parse(value)?;
        let algorithm_name = params.get("algorithm");
        let (algorithm, session) = Algorithm::parse(algorithm_name)?;
        let qop = match params.get("qop") {
            None => false,
            Some(offered) => {
                if !offers(offered, "auth") {
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
            stale: params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
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
        let credentials = Credentials::new("shop", "secret");
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
    fn the_strongest_that_we_know_is_answered() {
        let (name, value) = answer(
            401,
            Name::WwwAuthenticate,
            &[
                "Basic realm=\"a\"",
                "Digest realm=\"a, b\", nonce=\"n0\", algorithm=SHA3-512, qop=\"auth\"",
                "Digest realm=\"a, b\", nonce=\"n1\", qop=\"auth-int\"",
                "Digest realm=\"a, b\", nonce=\"n3\", algorithm=MD5",
                "Digest realm=\"a, b\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth-int, auth\", opaque=\"\"",
                "Digest realm=\"a, b\", nonce=\"n4\", algorithm=SHA-256",
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
    fn obstacles_are_named() {
        let why = |challenge: &str, realm: Option<&str>| {
            let response = Writer::response(401).header(Name::WwwAuthenticate, challenge);
            let response = Message::parse(response.finish()).unwrap();
            let mut credentials = Credentials::new("shop", "secret");
            credentials.realm = realm.map(str::to_owned);
            why_not(&response, &credentials)
        };
        let int = "Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"";
        let plain = "Digest realm=\"a\", nonce=\"n\", qop=\"auth-int,auth\"";
        assert_eq!(why(int, None), Some(Obstacle::OnlyAuthInt));
        assert_eq!(why(plain, None), None);
        assert_eq!(why(plain, Some("a")), None);
        assert_eq!(why(plain, Some("b")), Some(Obstacle::OtherRealm));
        assert_eq!(why("Basic realm=\"a\"", None), Some(Obstacle::Unknown));
    }

    #[test]
    fn the_password_is_in_no_log() {
        let credentials = Credentials::new("shop", "secret");
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
