//! What a REGISTER asks for (RFC 3261 §10.2, §10.3 steps 6 and 7).

use std::time::Duration;

use super::MIN_EXPIRES;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::params;
use crate::sip::uri::Scheme;
use crate::sip::wire::{Message, Name};

/// What is granted when nothing is asked for, before the limit of the transport (RFC 3261 §10.2.1.1).
const DEFAULT_EXPIRES: u64 = 3_600;

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// No Contact: a query.
    Nothing,
    /// `Contact: *` with Expires 0.
    RemoveAll,
    /// These contacts.
    Contacts(Vec<Wish>),
}

/// One contact and what it gets.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) address: NameAddr,
    /// Zero: to be removed.
    pub(super) granted: Duration,
}

/// Why a request is refused as a whole.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Contact is no list of SIP addresses")]
    BadContact,
    #[error("Contact * goes with Expires 0 and with nothing else")]
    BadRemoval,
    #[error("Bindings of less than {} s are not kept", MIN_EXPIRES.as_secs())]
    TooBrief,
    #[error("The first proxy on the way does not keep flows (RFC 5626)")]
    FirstHop,
    #[error("A request with a higher CSeq of this Call-ID came before")]
    OutOfOrder,
}

impl Asked {
    /// Reads a request; at most `most` is granted.
    pub(super) fn read(request: &Message, most: Duration) -> Result<Asked, Refusal> {
        let mut texts = Vec::new();
        for line in request.headers(Name::Contact) {
            texts.extend(params::elements(line).ok_or(Refusal::BadContact)?);
        }
        let expires = request.header(Name::Expires).map(str::trim);
        if texts.contains(&"*") {
            let alone = texts.len() == 1 && expires.and_then(seconds) == Some(0);
            return if alone {
                Ok(Asked::RemoveAll)
            } else {
                Err(Refusal::BadRemoval)
            };
        }
        if texts.is_empty() {
            return Ok(Asked::Nothing);
        }
        let wishes: Result<Vec<Wish>, Refusal> = texts
            .into_iter()
            .map(|text| Wish::read(text, expires, most))
            .collect();
        wishes.map(Asked::Contacts)
    }
}

impl Wish {
    fn read(text: &str, expires: Option<&str>, most: Duration) -> Result<Wish, Refusal> {
        let address = NameAddr::parse(text).map_err(|_| Refusal::BadContact)?;
        if !matches!(address.uri.scheme(), Scheme::Sip | Scheme::Sips) {
            return Err(Refusal::BadContact);
        }
        // Whose the part behind `?` is cannot be told without brackets (RFC 3261 §20.10).
        if !text.contains('<') && address.uri.headers().next().is_some() {
            return Err(Refusal::BadContact);
        }
        // A value that is no number counts as the default (RFC 3261 §10.2.1.1, §20.19).
        let asked = address
            .param("expires")
            .or(expires)
            .map_or(DEFAULT_EXPIRES, |written| {
                seconds(written).unwrap_or(DEFAULT_EXPIRES)
            });
        let asked = Duration::from_secs(asked);
        if !asked.is_zero() && asked < MIN_EXPIRES {
            return Err(Refusal::TooBrief);
        }
        Ok(Wish {
            address,
            granted: asked.min(most),
        })
    }
}

/// A number of seconds; those beyond 32 bits are the most there is.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| {
        text.parse()
            .unwrap_or(u64::from(u32::MAX))
            .min(u64::from(u32::MAX))
    })
}
