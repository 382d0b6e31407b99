//! Checking the credentials of requests to us (RFC 7616 §3.4, RFC 3261 §22).

use subtle::ConstantTimeEq;

use super::digest::{self, Algorithm, Digest, DigestParams};
use super::nonce::Nonces;
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name};

/// The verdict on a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The credentials are right.
    Authenticated {
        /// The user whom `lookup` knew.
        user: String,
    },
    /// Answer 401 with these WWW-Authenticate values, in this order.
    Challenge {
        /// One value per header line, the preferred algorithm first (RFC 8760 §2.4).
        values: Vec<String>,
        /// Credentials with a nonce of ours were wrong (counts as a failed authentication); a bare or stale request is no failure.
        failed: bool,
    },
}

/// Issues nonces and checks credentials of requests to us. Nonces are signed, expire after five minutes, and their `nc` may not repeat.
pub struct Verifier {
    realm: String,
    opaque: String,
    nonces: Nonces,
    /// Checked against when the user is unknown, so that the work is the same.
    decoy: String,
    /// How many of how many users are offered MD5 alone.
    md5_only: (u64, u64),
}

/// Credentials that can be checked: ours by realm, and of a kind that we offer.
struct Presented<'a> {
    algorithm: Algorithm,
    user: &'a str,
    uri: &'a str,
    nonce: &'a str,
    response: &'a str,
    cnonce: &'a str,
    /// Nonce count as written and as a number; `None`: without qop.
    count: Option<(&'a str, u32)>,
}

/// Why credentials did not do.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Fault {
    /// None came, or none that we could check.
    Bare,
    /// The nonce is too old, not ours, or its count was used before.
    Stale,
    /// The nonce is ours, the rest is wrong.
    Wrong,
}

impl Verifier {
    /// For one realm.
    pub fn new(realm: &str, mut entropy: Entropy) -> Verifier {
        Verifier {
            realm: realm.replace(['"', '\\', '\r', '\n'], ""),
            opaque: entropy.token(),
            decoy: entropy.token(),
            md5_only: (0, 0),
            nonces: Nonces::new(entropy),
        }
    }

    /// Tells how many of the users are offered MD5 alone: as large a share of unknown ones is challenged so too, each always in the same way, so that
    /// a challenge does not tell that its user exists.
    pub fn set_md5_only(&mut self, some: usize, all: usize) {
        self.md5_only = (
            u64::try_from(some).unwrap_or(u64::MAX),
            u64::try_from(all).unwrap_or(u64::MAX),
        );
    }

    fn is_md5_only(&self, user: &str, known: Option<bool>) -> bool {
        let (some, all) = self.md5_only;
        let lot = digest::lot(&self.decoy, user);
        known.unwrap_or(all > 0 && lot % all < some)
    }

    /// The user whose credentials for our realm a request carries, as written.
    pub fn user_of<'a>(&self, request: &'a Message) -> Option<&'a str> {
        self.presented(request).map(|presented| presented.user)
    }

    fn presented<'a>(&self, request: &'a Message) -> Option<Presented<'a>> {
        [Name::Authorization, Name::ProxyAuthorization]
            .into_iter()
            .flat_map(|name| request.headers(name))
            .filter_map(DigestParams::parse)
            .filter(|params| params.get("realm") == Some(&self.realm))
            .find_map(|params| Presented::read(&params))
    }

    /// The challenge that wrong credentials get, without a look at the request's.
    pub fn refuse(
        &mut self,
        now: Mono,
        origin: &[u8],
        request: &Message,
        lookup: impl Fn(&str) -> Option<(String, bool)>,
    ) -> Verdict {
        let user = self.user_of(request).unwrap_or_default();
        let bare = user.split('@').next().unwrap_or_default();
        let known = lookup(bare).map(|(_, md5_only)| md5_only);
        let md5_only = self.is_md5_only(bare, known);
        self.challenge(now, origin, md5_only, Fault::Bare)
    }

    /// As [`Verifier::check_from`], wherever the request comes from.
    pub fn check(
        &mut self,
        now: Mono,
        request: &Message,
        lookup: impl Fn(&str) -> Option<(String, bool)>,
    ) -> Verdict {
        self.check_from(now, &[], request, lookup)
    }

    /// Checks a request (Authorization and Proxy-Authorization alike). `lookup` gives a user's password and whether he is offered MD5 alone; an unknown
    /// user is treated just like a wrong password, in the same time. A user may be written with his domain (`anna@domain`).
    ///
    /// Nonces hold for the `origin` that they were sent to: credentials with one that another got are stale, not wrong.
    pub fn check_from(
        &mut self,
        now: Mono,
        origin: &[u8],
        request: &Message,
        lookup: impl Fn(&str) -> Option<(String, bool)>,
    ) -> Verdict {
        let Some(presented) = self.presented(request) else {
            let caller = request
                .header(Name::From)
                .and_then(user_of)
                .unwrap_or_default();
            let known = lookup(&caller).map(|(_, md5_only)| md5_only);
            let md5_only = self.is_md5_only(&caller, known);
            return self.challenge(now, origin, md5_only, Fault::Bare);
        };
        // Both look-ups are always made, known or not.
        let bare = presented.user.split('@').next().unwrap_or_default();
        let (whole, part) = (lookup(presented.user), lookup(bare));
        let user = if whole.is_some() {
            presented.user
        } else {
            bare
        };
        let known = whole.or(part);
        let md5_only = self.is_md5_only(user, known.as_ref().map(|(_, md5_only)| *md5_only));
        match self.verify(now, origin, request, &presented, known) {
            Ok(()) => Verdict::Authenticated {
                user: user.to_owned(),
            },
            Err(fault) => self.challenge(now, origin, md5_only, fault),
        }
    }

    fn verify(
        &mut self,
        now: Mono,
        origin: &[u8],
        request: &Message,
        presented: &Presented<'_>,
        known: Option<(String, bool)>,
    ) -> Result<(), Fault> {
        let nonce = self
            .nonces
            .read(now, origin, presented.nonce)
            .ok_or(Fault::Stale)?;
        let is_known = known.is_some();
        let (password, md5_only) = known.unwrap_or_else(|| (self.decoy.clone(), false));
        let digest = Digest {
            algorithm: presented.algorithm,
            session: false,
            user: presented.user,
            realm: &self.realm,
            password: &password,
            method: request.method_text(),
            uri: presented.uri,
            nonce: presented.nonce,
            cnonce: presented.cnonce,
            count: presented.count.map(|(written, _)| written),
        };
        let given = presented.response.to_ascii_lowercase();
        let right = bool::from(digest.response().as_bytes().ct_eq(given.as_bytes()));
        let offered = presented.algorithm == Algorithm::Md5 || !md5_only;
        if !(right & is_known & offered & uri_fits(presented.uri, request.request_uri())) {
            return Err(Fault::Wrong);
        }
        // Without qop there is no count: such a nonce does for one request.
        let count = presented.count.map_or(0, |(_, count)| count);
        if self.nonces.take(now, nonce, count) {
            Ok(())
        } else {
            Err(Fault::Stale)
        }
    }

    fn challenge(&mut self, now: Mono, origin: &[u8], md5_only: bool, fault: Fault) -> Verdict {
        let nonce = self.nonces.issue(now, origin);
        let algorithms = match md5_only {
            true => &[Algorithm::Md5][..],
            false => &[Algorithm::Sha256, Algorithm::Md5][..],
        };
        let stale = if fault == Fault::Stale {
            ", stale=true"
        } else {
            ""
        };
        let values = algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm=\"{}\", nonce=\"{nonce}\", opaque=\"{}\", qop=\"auth\", algorithm={}{stale}",
                    self.realm,
                    self.opaque,
                    algorithm.as_str(),
                )
            })
            .collect();
        Verdict::Challenge {
            values,
            failed: fault == Fault::Wrong,
        }
    }
}

/// Without the key and the decoy.
impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({})", self.realm)
    }
}

impl<'a> Presented<'a> {
    fn read(params: &DigestParams<'a>) -> Option<Presented<'a>> {
        let (algorithm, session) = Algorithm::parse(params.get("algorithm"))?;
        let count = match params.get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let written = params.get("nc")?;
                Some((written, u32::from_str_radix(written, 16).ok()?))
            }
            Some(_) => return None,
            None => None,
        };
        if session || (count.is_none() && algorithm != Algorithm::Md5) {
            return None;
        }
        let cnonce = match count {
            Some(_) => params.get("cnonce")?,
            None => "",
        };
        Some(Presented {
            algorithm,
            user: params.get("username")?,
            uri: params.get("uri")?,
            nonce: params.get("nonce")?,
            response: params.get("response")?,
            cnonce,
            count,
        })
    }
}

/// The user in From, who is most likely the one to be asked for a password.
fn user_of(from: &str) -> Option<String> {
    let from = NameAddr::parse(from).ok()?;
    Some(from.uri.user()?.into_owned())
}

/// Whether credentials made for `said` do for a request to `asked`. Phones and load generators write the host by name or address, with or without port and
/// user; another user is another request.
fn uri_fits(said: &str, asked: &str) -> bool {
    if said == asked {
        return true;
    }
    let (Ok(said), Ok(asked)) = (Uri::parse(said), Uri::parse(asked)) else {
        return false;
    };
    match (said.user(), asked.user()) {
        (Some(said), Some(asked)) => said == asked,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
