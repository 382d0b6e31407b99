//! Digest access authentication (RFC 8760, RFC 7616, RFC 3261 §22), both ways.
//!
//! `challenge`: the verifier that issues nonces and checks credentials. `respond`: answering a challenge.

use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::sip::wire::Message;

/// An algorithm of the `algorithm` parameter.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    Md5,
    Sha256,
}

/// The verdict on a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The credentials are right.
    Authenticated { user: String },
    /// Answer 401 with these WWW-Authenticate values. `failed`: credentials with a nonce of ours were wrong (counts as a failed authentication); a bare or stale request is no failure.
    Challenge { values: Vec<String>, failed: bool },
}

/// Issues nonces and checks credentials of requests to us. Nonces are signed, expire, and their `nc` may not repeat.
#[derive(Debug)]
pub struct Verifier {
    _realm: String,
}

impl Verifier {
    /// For one realm.
    pub fn new(_realm: &str, _entropy: Entropy) -> Verifier {
        todo!()
    }
    /// Checks a request. `lookup` gives a user's password and whether he is offered MD5 alone; an unknown user is treated just like a wrong password, in the same time.
    pub fn check(
        &mut self,
        _now: Mono,
        _request: &Message,
        _lookup: impl Fn(&str) -> Option<(String, bool)>,
    ) -> Verdict {
        todo!()
    }
}

/// What we answer challenges with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /** User. */
    pub user: String,
    /** Password. */
    pub password: String,
}
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

/// The header (Authorization or Proxy-Authorization) that answers the challenge in a 401 or 407: the strongest algorithm offered that we know, qop=auth where offered. `None`: no challenge we can answer.
pub fn answer_challenge(
    _response: &Message,
    _method: &str,
    _uri: &str,
    _credentials: &Credentials,
    _nonce_count: u32,
    _entropy: &mut Entropy,
) -> Option<(crate::sip::wire::Name, String)> {
    todo!()
}
