//! Where a trunk's INVITE says which number was dialled.

use crate::dialplan::plan::NumberFrom;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::wire::{Message, Name};

/// What an INVITE names as dialled: the users of its URIs, unescaped, without parameters; empty where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dialled {
    /// Of the Request-URI.
    pub request_uri: String,
    /// Of To.
    pub to: String,
    /// Of P-Called-Party-ID (RFC 7315 §4.2).
    pub p_called_party_id: Option<String>,
}

impl Dialled {
    /// Reads an INVITE. What is not a URI counts as absent.
    pub fn read(invite: &Message) -> Dialled {
        let request_uri = Uri::parse(invite.request_uri()).ok();
        Dialled {
            request_uri: request_uri.as_ref().and_then(user).unwrap_or_default(),
            to: named(invite, Name::To).unwrap_or_default(),
            p_called_party_id: named(invite, Name::PCalledPartyId),
        }
    }

    /// The places to look, in order of preference, by the trunk's `number_from`. `Auto`: the first of these that is a number of ours.
    pub fn candidates(&self, number_from: NumberFrom) -> Vec<&str> {
        let all = [
            (NumberFrom::RequestUri, Some(self.request_uri.as_str())),
            (NumberFrom::To, Some(self.to.as_str())),
            (
                NumberFrom::PCalledPartyId,
                self.p_called_party_id.as_deref(),
            ),
        ];
        all.into_iter()
            .filter(|(place, _)| number_from == NumberFrom::Auto || number_from == *place)
            .filter_map(|(_, text)| text.filter(|text| !text.is_empty()))
            .collect()
    }
}

fn named(invite: &Message, name: Name) -> Option<String> {
    user(&NameAddr::parse(invite.header(name)?).ok()?.uri)
}

/// The user of a SIP URI or the number of a tel URI, without user parameters. A local number whose `phone-context` is the beginning of a global one
/// is that global number (RFC 3966 §5.1.5).
pub(super) fn user(uri: &Uri) -> Option<String> {
    let user = uri.user()?;
    let (plain, params) = user.split_once(';').unwrap_or((&*user, ""));
    if plain.is_empty() {
        return None;
    }
    let context = match uri.scheme() {
        Scheme::Tel => uri.param("phone-context"),
        _ => params.split(';').find_map(|param| {
            let (name, value) = param.split_once('=')?;
            name.eq_ignore_ascii_case("phone-context").then_some(value)
        }),
    };
    let prefix = context.filter(|context| context.starts_with('+') && !plain.starts_with('+'));
    Some(prefix.map_or_else(
        || plain.to_owned(),
        |prefix| format!("{}{plain}", without_separators(prefix)),
    ))
}

fn without_separators(number: &str) -> String {
    number.replace(['-', '.', '(', ')'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_number_from() {
        let dialled = Dialled {
            request_uri: "5ecret".into(),
            to: "+74951000001".into(),
            p_called_party_id: Some("+74951000002".into()),
        };
        assert_eq!(
            dialled.candidates(NumberFrom::Auto),
            ["5ecret", "+74951000001", "+74951000002"]
        );
        assert_eq!(dialled.candidates(NumberFrom::To), ["+74951000001"]);
        assert_eq!(dialled.candidates(NumberFrom::RequestUri), ["5ecret"]);
        assert!(
            Dialled::default()
                .candidates(NumberFrom::PCalledPartyId)
                .is_empty()
        );
    }

    #[test]
    fn a_local_number_is_completed_by_its_context() {
        let number = |text: &str| user(&Uri::parse(text).unwrap()).unwrap();
        for (uri, read) in [
            ("tel:+7(495)100-00-01;ext=5", "+74951000001"),
            ("tel:100-0001;phone-context=+7-495", "+74951000001"),
            ("tel:101;phone-context=shop.example", "101"),
            (
                "sip:1000001;phone-context=+7495@h;user=phone",
                "+74951000001",
            ),
            ("sip:+74951000001;phone-context=+1@h", "+74951000001"),
            ("sip:anna;isub=1@h", "anna"),
        ] {
            assert_eq!(number(uri), read, "{uri}");
        }
    }
}
