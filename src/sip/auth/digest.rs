//! The digest itself (RFC 7616 §3.4, RFC 2617 §3.2.2) and the parameters of a challenge or of credentials.

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::sip::header::params;

/// An algorithm of the `algorithm` parameter.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// `MD5`, for phones that know nothing else.
    Md5,
    /// `SHA-256` (RFC 7616).
    Sha256,
    /// `SHA-512-256` (RFC 7616); we answer it and do not ask for it.
    Sha512,
}

impl Algorithm {
    /// The algorithm of that name, and whether it is its `-sess` variant; no name is MD5.
    pub(super) fn parse(name: Option<&str>) -> Option<(Algorithm, bool)> {
        let Some(name) = name else {
            return Some((Algorithm::Md5, false));
        };
        [
            ("MD5", (Algorithm::Md5, false)),
            ("MD5-sess", (Algorithm::Md5, true)),
            ("SHA-256", (Algorithm::Sha256, false)),
            ("SHA-256-sess", (Algorithm::Sha256, true)),
            ("SHA-512-256", (Algorithm::Sha512, false)),
            ("SHA-512-256-sess", (Algorithm::Sha512, true)),
        ]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, algorithm)| algorithm)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512 => "SHA-512-256",
        }
    }

    /// The hash of the parts joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Algorithm::Md5 => hash_parts(Md5::new(), parts),
            Algorithm::Sha256 => hash_parts(Sha256::new(), parts),
            Algorithm::Sha512 => hash_parts(Sha512_256::new(), parts),
        }
    }
}

fn hash_parts(mut hash: impl sha2::Digest, parts: &[&str]) -> String {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        for digit in [byte >> 4, byte & 15] {
            hex.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    hex
}

/// A number that only who knows the secret can foretell, the same for the same name every time.
pub(super) fn lot(secret: &str, name: &str) -> u64 {
    let hex = Algorithm::Sha256.hash(&[secret, name]);
    // 15 of the 64 hexadecimal digits always fit.
    hex.get(..15)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or_default()
}

/// All that goes into a response, each as it stands between its quotes.
#[derive(Copy, Clone)]
pub(super) struct Digest<'a> {
    pub(super) algorithm: Algorithm,
    /// The `-sess` variant.
    pub(super) session: bool,
    pub(super) user: &'a str,
    pub(super) realm: &'a str,
    pub(super) password: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    pub(super) cnonce: &'a str,
    /// The nonce count as written, with qop=auth; `None`: without qop (RFC 2069).
    pub(super) count: Option<&'a str>,
}

impl Digest<'_> {
    /// The value of the `response` parameter.
    pub(super) fn response(&self) -> String {
        let mut secret = self.algorithm.hash(&[self.user, self.realm, self.password]);
        if self.session {
            secret = self.algorithm.hash(&[&secret, self.nonce, self.cnonce]);
        }
        let request = self.algorithm.hash(&[self.method, self.uri]);
        match self.count {
            Some(count) => {
                self.algorithm
                    .hash(&[&secret, self.nonce, count, self.cnonce, "auth", &request])
            }
            None => self.algorithm.hash(&[&secret, self.nonce, &request]),
        }
    }
}

/// The parameters of a challenge or of credentials of the Digest scheme, values as they stand between their quotes.
#[derive(Debug)]
pub(super) struct DigestParams<'a>(Vec<(&'a str, &'a str)>);

impl<'a> DigestParams<'a> {
    /// Reads a header value; `None` when it is of another scheme or broken.
    pub(super) fn parse(text: &'a str) -> Option<DigestParams<'a>> {
        let (scheme, rest) = text.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let list = params::elements(rest)?
            .into_iter()
            .filter_map(|element| element.split_once('='))
            .map(|(name, value)| (name.trim(), between_quotes(value.trim())))
            .collect();
        Some(DigestParams(list))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(written, _)| written.eq_ignore_ascii_case(name))
            .map(|&(_, value)| value)
    }
}

fn between_quotes(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616_example() {
        let digest = |algorithm| Digest {
            algorithm,
            session: false,
            user: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            count: Some("00000001"),
        };
        assert_eq!(
            digest(Algorithm::Md5).response(),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            digest(Algorithm::Sha256).response(),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn sha_512_256_is_known() {
        let (algorithm, session) = Algorithm::parse(Some("sha-512-256")).unwrap();
        assert_eq!((algorithm, session), (Algorithm::Sha512, false));
        // FIPS 180-4's example for "abc".
        assert_eq!(
            algorithm.hash(&["abc"]),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
    }

    /// The example of RFC 2617 §3.5, and the same without qop as RFC 2069 has it.
    #[test]
    fn rfc_2617_example() {
        let digest = Digest {
            algorithm: Algorithm::Md5,
            session: false,
            user: "Mufasa",
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            count: Some("00000001"),
        };
        assert_eq!(digest.response(), "6629fae49393a05397450978507c4ef1");
        let old = Digest {
            count: None,
            ..digest
        };
        assert_eq!(old.response(), "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn parameters_are_found_in_any_case() {
        let params =
            DigestParams::parse("digest Realm=\"a, b\" , NONCE = \"x=\",qop=auth,stale").unwrap();
        assert_eq!(params.get("realm"), Some("a, b"));
        assert_eq!(params.get("nonce"), Some("x="));
        assert_eq!(
            (params.get("Qop"), params.get("stale")),
            (Some("auth"), None)
        );
        assert!(DigestParams::parse("Basic abc=").is_none());
        assert!(DigestParams::parse("Digest realm=\"x").is_none());
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "[ -~]{0,80}") {
            let _ = DigestParams::parse(&text);
            let _ = DigestParams::parse(&format!("Digest {text}"));
        }
    }
}
