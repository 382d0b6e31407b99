//! `a=crypto` (RFC 4568, with the suites of RFC 7714): keys for SRTP within the description.
//!
//! What is said is taken word for word: a line that cannot be read is an error, a line that asks for something that is
//! not done here (another suite, clear reports, several keys) is passed over.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::rtp::srtp::{MasterKey, Mki, Suite};

/// Whether a leg's media is protected: `srtp` of a trunk or an operator.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Never.
    #[default]
    Off,
    /// Where the far side wants it, or can and nobody on the way reads our key.
    Offered,
    /// Always.
    Required,
}

/// What both sides agreed on to protect a stream with. Never shown with its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CryptoAgreed {
    /// Of what we send.
    pub send: MasterKey,
    /// Of what the far side sends.
    pub receive: MasterKey,
    /// The name that the far side's packets give their key; empty as a rule.
    pub mki: Mki,
    /// How many packets, of audio as of reports, the far side's key may protect.
    pub lifetime: u64,
}

/// An `a=crypto` line that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CryptoLine {
    /// Tells the lines of an offer apart; the answer repeats it.
    pub tag: u32,
    /// Suite, key and salt of its writer's packets.
    pub key: MasterKey,
    /// The name that its writer's packets give their key.
    pub mki: Mki,
    /// How many packets the key may protect.
    pub lifetime: u64,
}

/// What is wrong with an `a=crypto` line.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CryptoError {
    #[error("it needs a tag, a suite and a key")]
    Incomplete,
    #[error("its tag is not a number of up to nine digits")]
    Tag,
    #[error("its key does not begin with `inline:`")]
    Method,
    #[error("its key is not in base64")]
    Base64,
    #[error("its key has not the length that the suite wants")]
    Length,
    #[error(
        "its key's lifetime is neither a number nor a power of two within what the suite allows"
    )]
    Lifetime,
    #[error(
        "its master key identifier is not `value:length` with 1 to 128 bytes that hold the value"
    )]
    Mki,
    #[error("two lines have the same tag")]
    SameTag,
}

impl CryptoLine {
    /// A line of ours.
    pub fn new(tag: u32, key: MasterKey) -> CryptoLine {
        CryptoLine {
            tag,
            key,
            mki: Mki::default(),
            lifetime: LONGEST_LIFE,
        }
    }

    /// Reads an attribute's value; `None` when it is well formed and asks for something that is not done here.
    pub fn parse(value: &str) -> Result<Option<CryptoLine>, CryptoError> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next().ok_or(CryptoError::Incomplete)?;
        let tag = number(tag, 9).ok_or(CryptoError::Tag)? as u32;
        let suite = fields.next().ok_or(CryptoError::Incomplete)?;
        let keys = fields.next().ok_or(CryptoError::Incomplete)?;
        let mut read = None;
        let suite = Suite::of_name(suite);
        let mut count = 0;
        for key in keys.split(';') {
            // A semicolon may end the list too.
            if key.is_empty() && count > 0 {
                continue;
            }
            count += 1;
            let (method, material) = key.split_once(':').ok_or(CryptoError::Method)?;
            if !method.eq_ignore_ascii_case("inline") {
                return Err(CryptoError::Method);
            }
            if let Some(suite) = suite {
                read = inline(suite, material)?;
            }
        }
        // Which of several keys a packet uses could change with each: such lines are rare, and the next one will do.
        let can_be_met = count == 1 && fields.all(is_harmless);
        Ok(read
            .filter(|_| can_be_met)
            .map(|(key, mki, lifetime)| CryptoLine {
                tag,
                key,
                mki,
                lifetime,
            }))
    }

    /// The attribute's value.
    pub fn write(&self) -> String {
        let suite = self.key.suite().as_str();
        let material = BASE64.encode(self.key.material());
        format!("{} {suite} inline:{material}", self.tag)
    }
}

/// The first line that can be used, in the far side's order (RFC 4568 §5.1.2); an error if any cannot be read.
pub fn choose(values: &[String]) -> Result<Option<CryptoLine>, CryptoError> {
    let mut chosen = None;
    let mut tags = Vec::with_capacity(values.len());
    for value in values {
        let line = CryptoLine::parse(value)?;
        // Read once already.
        let tag = value
            .split_ascii_whitespace()
            .next()
            .and_then(|tag| number(tag, 9));
        if tags.contains(&tag) {
            return Err(CryptoError::SameTag);
        }
        tags.push(tag);
        chosen = chosen.or(line);
    }
    Ok(chosen)
}

/// `key-and-salt["|"lifetime]["|"value":"length]`; `None` with a name of the key that is too long for us.
fn inline(suite: Suite, text: &str) -> Result<Option<(MasterKey, Mki, u64)>, CryptoError> {
    let mut parts = text.split('|');
    let material = parts.next().unwrap_or_default();
    let material = BASE64.decode(material).map_err(|_| CryptoError::Base64)?;
    let key = MasterKey::new(suite, &material).ok_or(CryptoError::Length)?;
    let mut next = parts.next();
    let mut lifetime = LONGEST_LIFE;
    if let Some(told) = next.filter(|part| !part.contains(':')) {
        lifetime = read_lifetime(told)?;
        next = parts.next();
    }
    let mki = next.map(read_mki).transpose()?.unwrap_or_default();
    match parts.next() {
        Some(_) => Err(CryptoError::Mki),
        None => Ok(Mki::new(&mki).map(|mki| (key, mki, lifetime))),
    }
}

/// Packets that the key may protect.
fn read_lifetime(text: &str) -> Result<u64, CryptoError> {
    let lifetime = match text.strip_prefix("2^") {
        Some(power) => number(power, 2)
            .filter(|power| *power <= LONGEST_POWER)
            .map(|power| 1 << power),
        None => number(text, 15),
    };
    lifetime
        .filter(|lifetime| (1..=LONGEST_LIFE).contains(lifetime))
        .ok_or(CryptoError::Lifetime)
}

/// `value:length`, the value as a big-endian number in so many bytes.
fn read_mki(text: &str) -> Result<Vec<u8>, CryptoError> {
    let (value, length) = text.split_once(':').ok_or(CryptoError::Mki)?;
    let length = number(length, 3).filter(|length| (1..=128).contains(length));
    let length = length.ok_or(CryptoError::Mki)? as usize;
    if value.is_empty() || value.len() > LONGEST_VALUE {
        return Err(CryptoError::Mki);
    }
    let mut bytes = vec![0u8; length];
    for digit in value.bytes() {
        if !digit.is_ascii_digit() {
            return Err(CryptoError::Mki);
        }
        // Times ten plus the digit, from the last byte on.
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return Err(CryptoError::Mki);
        }
    }
    Ok(bytes)
}

/// Session parameters that change nothing here: a wish for the replay window's size, the derivation rate zero that is
/// meant anyway, and what its writer marks as dispensable (RFC 4568 §6.3).
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-')
        || parameter
            .strip_prefix("WSH=")
            .is_some_and(|size| number(size, 6).is_some())
        || parameter == "KDR=0"
}

/// A decimal number of up to so many digits, and nothing else.
fn number(text: &str, digits: usize) -> Option<u64> {
    let fits = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Some phones leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// An SRTP key protects 2^48 packets at most (RFC 3711 §9.2).
pub const LONGEST_LIFE: u64 = 1 << LONGEST_POWER;
const LONGEST_POWER: u64 = 48;
/// Digits of a value of 128 bytes.
const LONGEST_VALUE: usize = 309;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn parse(rest: &str) -> Result<Option<CryptoLine>, CryptoError> {
        CryptoLine::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{rest}"))
    }

    #[test]
    fn the_rfc_s_examples() {
        let line = parse(&format!("{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP")).unwrap();
        assert_eq!(line, None, "an order that is not done here");
        let line = parse(&format!("{KEY}|2^20|1:4")).unwrap().unwrap();
        assert_eq!(line.tag, 1);
        assert_eq!(line.key.suite(), Suite::AesCm128HmacSha1Tag80);
        assert_eq!(line.mki, Mki::new(&[0, 0, 0, 1]).unwrap());
        assert_eq!(line.key.material().get(..8), Some(&b"YS___sem"[..]));
        assert_eq!(
            parse(&format!("{KEY}|1066:4")).unwrap().unwrap().mki,
            Mki::new(&[0, 0, 4, 42]).unwrap()
        );
        assert_eq!(line.lifetime, 1 << 20);
        let bare = parse(KEY).unwrap().unwrap();
        assert_eq!((bare.mki, bare.lifetime), (Mki::default(), 1 << 48));
        assert_eq!(
            parse(&format!("{KEY}|5000")).unwrap().unwrap().lifetime,
            5000
        );
        let f8 =
            format!("2 F8_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4 KDR=23");
        assert_eq!(CryptoLine::parse(&f8), Ok(None));
    }

    #[test]
    fn parameters_that_change_something_pass_a_line_over() {
        for (parameter, fine) in [
            ("WSH=64", true),
            ("KDR=0", true),
            ("-X=1", true),
            ("KDR=1", false),
            ("UNENCRYPTED_SRTP", false),
            ("UNENCRYPTED_SRTCP", false),
            ("UNAUTHENTICATED_SRTP", false),
            ("X", false),
        ] {
            let line = parse(&format!("{KEY} {parameter}")).unwrap();
            assert_eq!(line.is_some(), fine, "{parameter}");
        }
        assert_eq!(parse(&format!("{KEY}|1:1;inline:{KEY}|2:1")), Ok(None));
        assert!(parse(&format!("{KEY};")).unwrap().is_some());
    }

    #[test]
    fn each_refusal_has_its_reason() {
        use CryptoError::*;
        let cases = [
            ("", Incomplete),
            ("1", Incomplete),
            ("1 AES_CM_128_HMAC_SHA1_80", Incomplete),
            ("x AES_CM_128_HMAC_SHA1_80 inline:", Tag),
            ("1234567890 AES_CM_128_HMAC_SHA1_80 inline:", Tag),
            ("1 AES_CM_128_HMAC_SHA1_80 outline:AAAA", Method),
            ("1 AES_CM_128_HMAC_SHA1_80 AAAA", Method),
            ("1 UNKNOWN what", Method),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:A!AA", Base64),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", Length),
        ];
        for (value, error) in cases {
            assert_eq!(CryptoLine::parse(value), Err(error), "{value}");
        }
        for lifetime in ["", "2^49", "2^", "2^x", "0", "-1", "1e3", "999999999999999"] {
            assert_eq!(
                parse(&format!("{KEY}|{lifetime}")),
                Err(Lifetime),
                "{lifetime}"
            );
        }
        assert!(parse(&format!("{KEY}|2^48")).unwrap().is_some());
        for mki in [
            "1:0",
            "1:129",
            ":1",
            "1:",
            "x:1",
            "256:1",
            "1:1|",
            "1:1|1:1",
            "2^20|2^20",
        ] {
            assert_eq!(parse(&format!("{KEY}|{mki}")), Err(Mki), "{mki}");
        }
        assert!(parse(&format!("{KEY}|255:1")).unwrap().is_some());
        assert!(parse(&format!("{KEY}|255:16")).unwrap().is_some());
        assert_eq!(parse(&format!("{KEY}|255:17")), Ok(None));
    }

    #[test]
    fn the_first_line_that_can_be_used_is_chosen() {
        let lines = [
            "1 F8_128_HMAC_SHA1_80 inline:AAAA".to_owned(),
            format!("3 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
            format!("2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        ];
        let chosen = choose(&lines).unwrap().unwrap();
        assert_eq!(
            (chosen.tag, chosen.key.suite()),
            (3, Suite::AesCm128HmacSha1Tag32)
        );
        assert_eq!(choose(&lines[..1]), Ok(None));
        assert_eq!(
            choose(&[lines[1].clone(), lines[1].clone()]),
            Err(CryptoError::SameTag)
        );
        assert_eq!(
            choose(&[
                lines[1].clone(),
                "2 AES_CM_128_HMAC_SHA1_80 inline:AAAA".into()
            ]),
            Err(CryptoError::Length)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(suite in 0usize..4, tag in 0u32..1_000_000_000, random: [u8; 32]) {
            let mut material = [0; 46];
            material[..32].copy_from_slice(&random);
            let line = CryptoLine::new(tag, MasterKey::from_random(Suite::ALL[suite], material));
            let read = CryptoLine::parse(&line.write()).unwrap().unwrap();
            prop_assert_eq!(read.key.material(), line.key.material());
            prop_assert_eq!(read.tag, line.tag);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", tail in "[0-9:|^;A-Za-z=]{0,60}") {
            let _ = CryptoLine::parse(&text);
            let _ = parse(&format!("{KEY}|{tail}"));
            let _ = choose(&[text, tail]);
        }
    }
}
