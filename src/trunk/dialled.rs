//! Where a trunk's INVITE says which number was dialled.

use crate::dialplan::plan::NumberFrom;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
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

/// The user of a SIP URI or the number of a tel URI, without user parameters (`;phone-context=…`, RFC 3966).
pub(super) fn user(uri: &Uri) -> Option<String> {
    let user = uri.user()?;
    let plain = user.split(';').next().unwrap_or_default();
    (!plain.is_empty()).then(|| plain.to_owned())
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
}
