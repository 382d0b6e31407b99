//! Who may use the interface (DESIGN.md section 4): with tokens, who shows one; without, this machine alone, and not
//! through a proxy or a foreign web page.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::doors::Peer;
use super::error::Refusal;
use crate::ledger::clock::Mono;
use crate::net::access::attempts::Attempts;
use crate::net::access::source::Source;

/// Wrong tokens of an address that slow it down, within [`GUESSES_IN`].
const GUESSES: u32 = 10;
const GUESSES_IN: Duration = Duration::from_secs(600);
/// How long a right token is remembered.
const GOOD_NAME: Duration = Duration::from_secs(600);
/// Addresses remembered.
const MOST_SOURCES: usize = 4_096;

/// The access rule in force. A reload replaces its tokens.
#[derive(Debug)]
pub struct Access {
    tokens: ArcSwap<Vec<String>>,
    http: SocketAddr,
    guesses: Mutex<Guesses>,
}

/// Wrong tokens by address. Who has shown the right one lately is not held up: a proxy may speak for many.
#[derive(Debug)]
struct Guesses {
    begun: Instant,
    attempts: Attempts<Source>,
    right: HashMap<Source, Mono>,
}

impl Guesses {
    fn now(&self) -> Mono {
        Mono::ZERO + self.begun.elapsed()
    }

    fn is_slowed(&self, source: Source) -> bool {
        let now = self.now();
        let right = self.right.get(&source).is_some_and(|until| *until > now);
        !right && self.attempts.is_slowed(now, &source)
    }

    /// Notes how a guess went.
    fn note(&mut self, source: Source, right: bool) {
        let now = self.now();
        if !right {
            self.attempts.failed(now, &source);
            return;
        }
        if self.right.len() >= MOST_SOURCES {
            self.right.retain(|_, until| *until > now);
        }
        self.right.insert(source, now + GOOD_NAME);
    }
}

impl Access {
    /// The rule for an interface at `http`; no tokens: loopback only.
    pub fn new(tokens: Vec<String>, http: SocketAddr) -> Access {
        Access {
            tokens: ArcSwap::from_pointee(tokens),
            http,
            guesses: Mutex::new(Guesses {
                begun: Instant::now(),
                attempts: Attempts::new(GUESSES, GUESSES_IN, MOST_SOURCES),
                right: HashMap::new(),
            }),
        }
    }

    /// Puts a new plan's tokens in force.
    pub fn set_tokens(&self, tokens: Vec<String>) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Whether it serves this machine alone, which is said at start.
    pub fn is_loopback_only(&self) -> bool {
        self.tokens.load().is_empty()
    }

    /// Decides on a request.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide(&self, asker: &Asker<'_>) -> Result<(), Denied> {
        let tokens = self.tokens.load();
        if tokens.is_empty() {
            return decide_by_place(self.http, asker);
        }
        let Some(shown) = asker.bearer else {
            return Err(Denied::NoToken);
        };
        let source = Source::of(asker.peer);
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.is_slowed(source) {
            return Err(Denied::TooManyGuesses);
        }
        // All are compared, so that the time does not tell which one was nearly right.
        let matches = tokens.iter().fold(0, |found, token| {
            found | token.as_bytes().ct_eq(shown.as_bytes()).unwrap_u8()
        });
        guesses.note(source, matches == 1);
        if matches == 1 {
            Ok(())
        } else {
            Err(Denied::WrongToken)
        }
    }
}

/// What a request says about who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker<'a> {
    /// The address that the connection comes from.
    pub peer: IpAddr,
    /// Every host that the request names: `Host` headers and the target's authority.
    pub hosts: Vec<&'a str>,
    /// Every `Origin`.
    pub origins: Vec<&'a str>,
    /// Whether a header of proxies is there: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `Via`.
    pub forwarded: bool,
    /// The token after `Bearer`.
    pub bearer: Option<&'a str>,
}

impl<'a> Asker<'a> {
    /// Reads a request's headers. What does not read as text counts as foreign.
    pub fn of(peer: IpAddr, uri: &'a Uri, headers: &'a HeaderMap) -> Asker<'a> {
        let texts = |name: header::HeaderName| {
            let values = headers.get_all(name).iter();
            values.map(|value| value.to_str().unwrap_or("?")).collect()
        };
        let mut hosts: Vec<&str> = texts(header::HOST);
        hosts.extend(uri.authority().map(|authority| authority.as_str()));
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        Asker {
            peer,
            hosts,
            origins: texts(header::ORIGIN),
            forwarded: headers.keys().any(|name| {
                [header::FORWARDED, header::VIA].contains(name)
                    || name.as_str() == "x-real-ip"
                    || name.as_str().starts_with("x-forwarded-")
            }),
            bearer,
        }
    }
}

/// Why a request is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// Tokens are configured and none was shown.
    #[error("This needs a token: send `Authorization: Bearer …` with `server.api_token`.")]
    NoToken,
    /// The token is not one of ours.
    #[error(
        "The token is not `server.api_token`: check it, and that the configuration was reloaded after it was added."
    )]
    WrongToken,
    /// Too many wrong tokens came from that address.
    #[error(
        "Too many wrong tokens came from your address: check `server.api_token` and try again in a minute."
    )]
    TooManyGuesses,
    /// No token is configured and the request comes from another machine.
    #[error(
        "No API token is configured, so only this machine is served: set `server.api_token` to use the API from elsewhere."
    )]
    NotLocal,
    /// No token is configured and the request came through a proxy.
    #[error(
        "No API token is configured, so requests that a proxy forwards are refused: set `server.api_token`."
    )]
    Forwarded,
    /// No token is configured and the request names another host.
    #[error(
        "No API token is configured, so the host must be localhost or the address of `server.http`: use that, or set `server.api_token`."
    )]
    ForeignHost,
    /// No token is configured and a web page of another origin asks.
    #[error(
        "No API token is configured, so other web pages may not use the API: set `server.api_token`."
    )]
    ForeignOrigin,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        let (status, code) = match denied {
            Denied::NoToken => (StatusCode::UNAUTHORIZED, "no_token"),
            Denied::WrongToken => (StatusCode::UNAUTHORIZED, "wrong_token"),
            Denied::TooManyGuesses => (StatusCode::TOO_MANY_REQUESTS, "too_many_guesses"),
            Denied::NotLocal => (StatusCode::FORBIDDEN, "not_local"),
            Denied::Forwarded => (StatusCode::FORBIDDEN, "forwarded"),
            Denied::ForeignHost => (StatusCode::FORBIDDEN, "foreign_host"),
            Denied::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign_origin"),
        };
        Refusal::new(status, code, denied.to_string())
    }
}

/// Lets a request through or answers why not. Health is open to all.
pub(super) async fn guard(
    State(access): State<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with("/health/") {
        let asker = Asker::of(peer.ip(), request.uri(), request.headers());
        if let Err(denied) = access.decide(&asker) {
            return Refusal::from(denied).into_response();
        }
    }
    next.run(request).await
}

fn decide_by_place(http: SocketAddr, asker: &Asker<'_>) -> Result<(), Denied> {
    if !asker.peer.to_canonical().is_loopback() {
        return Err(Denied::NotLocal);
    }
    if asker.forwarded {
        return Err(Denied::Forwarded);
    }
    if !asker.hosts.iter().all(|host| is_ours(host, http)) {
        return Err(Denied::ForeignHost);
    }
    // A page of ours has the origin that the request goes to.
    let same = |origin: &&str| {
        let authority = origin.strip_prefix("http://");
        authority.is_some_and(|authority| asker.hosts.contains(&authority))
    };
    if !asker.origins.iter().all(same) {
        return Err(Denied::ForeignOrigin);
    }
    Ok(())
}

/// Whether a host, with or without a port, is localhost, a loopback address or the configured one.
fn is_ours(host: &str, http: SocketAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address: Result<IpAddr, _> = name.parse();
    address.is_ok_and(|address| address.is_loopback() || address == http.ip())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access(tokens: &[&str]) -> Access {
        let tokens = tokens.iter().map(ToString::to_string).collect();
        Access::new(tokens, "127.0.0.1:8080".parse().unwrap())
    }

    fn local<'a>() -> Asker<'a> {
        Asker {
            peer: "127.0.0.1".parse().unwrap(),
            hosts: vec!["127.0.0.1:8080"],
            origins: Vec::new(),
            forwarded: false,
            bearer: None,
        }
    }

    #[test]
    fn without_a_token_this_machine_alone() {
        let access = access(&[]);
        assert_eq!(access.decide(&local()), Ok(()));
        for host in [
            "localhost",
            "LOCALHOST:80",
            "[::1]:8080",
            "127.0.0.1",
            "127.0.0.2:9",
        ] {
            assert_eq!(
                access.decide(&Asker {
                    hosts: vec![host],
                    ..local()
                }),
                Ok(()),
                "{host}"
            );
        }
        let mapped = Asker {
            peer: "::ffff:127.0.0.1".parse().unwrap(),
            ..local()
        };
        assert_eq!(access.decide(&mapped), Ok(()));
        let far = Asker {
            peer: "192.0.2.7".parse().unwrap(),
            ..local()
        };
        assert_eq!(access.decide(&far), Err(Denied::NotLocal));
        let forwarded = Asker {
            forwarded: true,
            ..local()
        };
        assert_eq!(access.decide(&forwarded), Err(Denied::Forwarded));
        for host in [
            "shop.example",
            "localhost.shop.example:80",
            "127.0.0.1.nip.io",
            "",
            "[::1",
            "::2",
        ] {
            let foreign = Asker {
                hosts: vec![host],
                ..local()
            };
            let expected = if host == "[::1" {
                Ok(())
            } else {
                Err(Denied::ForeignHost)
            };
            assert_eq!(access.decide(&foreign), expected, "{host}");
        }
        let two = Asker {
            hosts: vec!["localhost", "shop.example"],
            ..local()
        };
        assert_eq!(access.decide(&two), Err(Denied::ForeignHost));
    }

    #[test]
    fn without_a_token_only_our_own_pages() {
        let access = access(&[]);
        let page = |origin| Asker {
            origins: vec![origin],
            ..local()
        };
        assert_eq!(access.decide(&page("http://127.0.0.1:8080")), Ok(()));
        for origin in [
            "null",
            "http://shop.example",
            "http://127.0.0.1:3000",
            "https://127.0.0.1:8080",
        ] {
            assert_eq!(
                access.decide(&page(origin)),
                Err(Denied::ForeignOrigin),
                "{origin}"
            );
        }
    }

    #[test]
    fn with_tokens_one_must_be_shown_from_anywhere() {
        let access = access(&["first-token", "second-token"]);
        assert_eq!(access.decide(&local()), Err(Denied::NoToken));
        let far = |bearer| Asker {
            peer: "192.0.2.7".parse().unwrap(),
            hosts: vec!["shop.example"],
            forwarded: true,
            bearer: Some(bearer),
            ..local()
        };
        assert_eq!(access.decide(&far("second-token")), Ok(()));
        assert_eq!(access.decide(&far("second-toke")), Err(Denied::WrongToken));
        assert_eq!(access.decide(&far("")), Err(Denied::WrongToken));
        access.set_tokens(vec!["third".to_owned()]);
        assert_eq!(access.decide(&far("second-token")), Err(Denied::WrongToken));
    }

    #[test]
    fn headers_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost".parse().unwrap());
        headers.insert("authorization", "bearer  abc".parse().unwrap());
        headers.insert("x-forwarded-for", "1.2.3.4".parse().unwrap());
        let uri: Uri = "http://shop.example/api".parse().unwrap();
        let asker = Asker::of("127.0.0.1".parse().unwrap(), &uri, &headers);
        assert_eq!(asker.hosts, ["localhost", "shop.example"]);
        assert_eq!(asker.bearer, Some("abc"));
        assert!(asker.forwarded);
    }

    proptest! {
        #[test]
        fn any_host_is_decided(host: String) {
            let asker = Asker { hosts: vec![&host], ..local() };
            let _ = access(&[]).decide(&asker);
        }
    }

    #[test]
    fn guessing_is_slowed_down_for_the_guesser_alone() {
        let access = access(&["the-token"]);
        let show = |host: u8, bearer| Asker {
            peer: IpAddr::from([192, 0, 2, host]),
            bearer: Some(bearer),
            ..local()
        };
        for _ in 0..10 {
            assert_eq!(access.decide(&show(1, "guess")), Err(Denied::WrongToken));
        }
        let held_up = access.decide(&show(1, "the-token"));
        assert_eq!(held_up, Err(Denied::TooManyGuesses));
        assert_eq!(access.decide(&show(2, "the-token")), Ok(()));
        for _ in 0..20 {
            assert_eq!(access.decide(&show(2, "guess")), Err(Denied::WrongToken));
        }
        assert_eq!(access.decide(&show(2, "the-token")), Ok(()));
    }
}
