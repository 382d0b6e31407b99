//! Who calls, as a request says it (RFC 3325, RFC 3323), and what we show to a trunk.

use super::dialled::user;
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::{CallerIdPolicy, Trunk};
use crate::dialplan::provider::IdentityHeader;
use crate::sip::endpoint::command::Headers;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::wire::{Message, Name};

/// The longest caller or display name that is kept, in characters.
const LONGEST: usize = 64;

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calling {
    /// E.164 where it is a telephone number, else the user as received; `None`: withheld.
    pub number: Option<String>,
    /// The display name; `None` with a withheld number.
    pub display_name: Option<String>,
}

/// The caller of a trunk's INVITE, from the headers of its `caller_from` in their order; withheld when Privacy or Remote-Party-ID asks
/// for it, or when From is anonymous and nothing else names him.
pub fn from_trunk(invite: &Message, trunk: &Trunk) -> Calling {
    let all = |name| -> Vec<NameAddr> {
        invite
            .headers(name)
            .filter_map(|line| NameAddr::parse_list(line).ok())
            .flatten()
            .collect()
    };
    let privacy = invite.headers(Name::Privacy).collect::<Vec<_>>().join(";");
    let named = Named {
        privacy: &privacy,
        asserted: all(Name::PAssertedIdentity),
        party: all(Name::RemotePartyId),
        from: invite
            .header(Name::From)
            .and_then(|from| NameAddr::parse(from).ok()),
    };
    calling(&named, &trunk.caller_from, trunk.country)
}

/// Who an INVITE says that calls.
struct Named<'a> {
    privacy: &'a str,
    asserted: Vec<NameAddr>,
    party: Vec<NameAddr>,
    from: Option<NameAddr>,
}

impl Named<'_> {
    /// The identities of one header.
    fn by(&self, header: IdentityHeader) -> Vec<&NameAddr> {
        match header {
            IdentityHeader::PAssertedIdentity => self.asserted.iter().collect(),
            IdentityHeader::RemotePartyId => self.calling_parties().collect(),
            IdentityHeader::From | IdentityHeader::PPreferredIdentity => self
                .from
                .iter()
                .filter(|from| !is_anonymous(&from.uri))
                .collect(),
        }
    }

    /// Those Remote-Party-IDs that are about the caller.
    fn calling_parties(&self) -> impl Iterator<Item = &NameAddr> {
        self.party.iter().filter(|party| {
            party
                .param("party")
                .is_none_or(|party| party.eq_ignore_ascii_case("calling"))
        })
    }

    fn is_withheld(&self, order: &[IdentityHeader]) -> bool {
        let full = |party: &NameAddr| {
            party.param("privacy").is_some_and(|privacy| {
                ["full", "uri"]
                    .iter()
                    .any(|word| privacy.eq_ignore_ascii_case(word))
            })
        };
        asks_for_privacy(self.privacy)
            || order.contains(&IdentityHeader::RemotePartyId) && self.calling_parties().any(full)
    }
}

/// The display name of an operator's INVITE: for colleagues who are called. Its number is the operator's name, by authentication.
pub fn display_name(invite: &Message) -> Option<String> {
    let from = NameAddr::parse(invite.header(Name::From)?).ok()?;
    tidy(from.display.as_deref()?)
}

fn calling(named: &Named<'_>, order: &[IdentityHeader], country: Country) -> Calling {
    if named.is_withheld(order) {
        return Calling::default();
    }
    let is_number = |who: &&NameAddr| number(&who.uri, country).is_some();
    let chosen = order.iter().find_map(|header| {
        let all = named.by(*header);
        all.iter().copied().find(is_number).or(all.first().copied())
    });
    let Some(who) = chosen else {
        return Calling::default();
    };
    let as_received = || user(&who.uri).as_deref().and_then(tidy);
    let number = number(&who.uri, country)
        .map(|number| number.to_string())
        .or_else(as_received);
    let display_name = who.display.as_deref().and_then(tidy);
    Calling {
        display_name: display_name.filter(|_| number.is_some()),
        number,
    }
}

/// `id` (RFC 3325 §9.3), `user` and `header` (RFC 3323 §4.2) withhold the caller; `none`, `session` and `critical` do not.
fn asks_for_privacy(privacy: &str) -> bool {
    privacy.split([';', ',']).any(|word| {
        matches!(
            word.trim().to_ascii_lowercase().as_str(),
            "id" | "user" | "header"
        )
    })
}

/// RFC 3323 §4.1: `anonymous@anonymous.invalid`; providers also send `anonymous` at their own host.
fn is_anonymous(uri: &Uri) -> bool {
    uri.host().eq_ignore_ascii_case("anonymous.invalid")
        || uri
            .user()
            .is_none_or(|user| user.is_empty() || user.eq_ignore_ascii_case("anonymous"))
}

fn number(uri: &Uri, country: Country) -> Option<E164> {
    match uri.scheme() {
        Scheme::Other => None,
        Scheme::Sip | Scheme::Sips | Scheme::Tel => E164::read(&user(uri)?, country),
    }
}

/// Without control characters, trimmed and cut; `None` when nothing is left.
fn tidy(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(|c| !c.is_control()).collect();
    let cut: String = kept.trim().chars().take(LONGEST).collect();
    (!cut.is_empty()).then_some(cut)
}

/// Whose number a forward over this trunk shows. `ours` is the number of ours that was dialled.
pub fn on_forward(
    policy: CallerIdPolicy,
    ours: Option<&str>,
    caller: Option<&str>,
) -> Option<String> {
    match policy {
        CallerIdPolicy::Ours => ours.map(str::to_owned),
        CallerIdPolicy::Caller => caller.map(str::to_owned),
    }
}

/// What an INVITE to a trunk carries about the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// From without tag: a name-addr.
    pub from: String,
    /// P-Asserted-Identity and its sisters, and Privacy for an anonymous caller.
    pub headers: Headers,
}

/// Shows `caller` to a trunk in the headers of its `identity`; `None`: anonymous (RFC 3323), with the account, if we have one there, asserted
/// under Privacy. `domain` is ours; at a provider where we have an account, identities stand at the provider's host.
pub fn towards_trunk(
    trunk: &Trunk,
    domain: &str,
    caller: Option<&str>,
    display_name: Option<&str>,
) -> Shown {
    let provider = trunk.peer.as_ref().filter(|_| trunk.register.is_some());
    let host = provider.map_or(domain, |peer| peer.host.as_str());
    let at_host = |user: &str, display: Option<&str>, params: &str| {
        let address = NameAddr {
            display: display.and_then(tidy),
            uri: Uri::sip(Some(user), host, None),
            params: Vec::new(),
        };
        format!("{address}{params}")
    };
    let registered = trunk.register.as_ref().map(|account| account.user.as_str());
    let account = registered.or(trunk.account.as_ref().map(|account| account.user.as_str()));
    let number = caller.map(|caller| trunk.number_format.write(caller, trunk.country));
    let shows = |header| trunk.identity.contains(&header);
    let from = match (&number, account) {
        (Some(number), _) if shows(IdentityHeader::From) => at_host(number, display_name, ""),
        (_, Some(account)) if !shows(IdentityHeader::From) => at_host(account, display_name, ""),
        _ => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
    };
    let mut headers = Headers::new();
    if number.is_none() {
        headers.push((Name::Privacy, "id".to_owned()));
    }
    // Whom the network may know of, whatever Privacy keeps from the called one.
    let known = number.as_deref().or(registered);
    for (header, name) in [
        (IdentityHeader::PAssertedIdentity, Name::PAssertedIdentity),
        (IdentityHeader::PPreferredIdentity, Name::PPreferredIdentity),
    ] {
        if let Some(known) = known.filter(|_| shows(header)) {
            headers.push((name, at_host(known, None, "")));
        }
    }
    if let Some(known) = known.filter(|_| shows(IdentityHeader::RemotePartyId)) {
        let privacy = if number.is_some() { "off" } else { "full" };
        let params = format!(";party=calling;screen=yes;privacy={privacy}");
        headers.push((Name::RemotePartyId, at_host(known, None, &params)));
    }
    Shown { from, headers }
}

#[cfg(test)]
mod tests {
    use super::super::identify::tests::trunk;
    use super::*;
    use crate::dialplan::plan::Secret;
    use crate::dialplan::provider::{Account, NumberFormat};

    const ORDER: [IdentityHeader; 3] = [
        IdentityHeader::PAssertedIdentity,
        IdentityHeader::RemotePartyId,
        IdentityHeader::From,
    ];

    fn list(text: &str) -> Vec<NameAddr> {
        if text.is_empty() {
            return vec![];
        }
        NameAddr::parse_list(text).unwrap()
    }

    fn who(privacy: &str, asserted: &str, from: &str) -> Calling {
        read(privacy, asserted, "", from, &ORDER)
    }

    fn read(
        privacy: &str,
        asserted: &str,
        party: &str,
        from: &str,
        order: &[IdentityHeader],
    ) -> Calling {
        let named = Named {
            privacy,
            asserted: list(asserted),
            party: list(party),
            from: NameAddr::parse(from).ok(),
        };
        calling(&named, order, Country::RU)
    }

    #[test]
    fn remote_party_id_names_the_caller_too() {
        let party = "\"Ivan\" <sip:84951234567@x>;party=calling;screen=yes;privacy=off";
        let found = |order: &[IdentityHeader]| read("", "", party, "<sip:99@y>", order).number;
        assert_eq!(found(&ORDER).as_deref(), Some("+74951234567"));
        assert_eq!(found(&[IdentityHeader::From]).as_deref(), Some("99"));
        let called = "<sip:84951234567@x>;party=called";
        let other = read("", "", called, "<sip:99@y>", &ORDER);
        assert_eq!(other.number.as_deref(), Some("99"));
        let hidden = "<sip:84951234567@x>;party=calling;privacy=full";
        assert_eq!(
            read("", "", hidden, "<sip:99@y>", &ORDER),
            Calling::default()
        );
    }

    #[test]
    fn asserted_identity_beats_from_and_numbers_become_e164() {
        let both = who(
            "",
            "\"Ivan\" <sip:84951234567@x>, <tel:+74951234567>",
            "<sip:99@y>",
        );
        assert_eq!(both.number.as_deref(), Some("+74951234567"));
        assert_eq!(both.display_name.as_deref(), Some("Ivan"));
        let from = who(
            "",
            "",
            "\"Pyotr\" <sip:89161234567;cpc=ordinary@y;user=phone>",
        );
        assert_eq!(from.number.as_deref(), Some("+79161234567"));
        assert_eq!(
            who("", "", "<sip:door-1@y>").number.as_deref(),
            Some("door-1")
        );
    }

    #[test]
    fn privacy_withholds() {
        assert_eq!(
            who("id", "<tel:+74951234567>", "<sip:1@y>"),
            Calling::default()
        );
        assert_eq!(
            who("user; critical", "", "<sip:+74951234567@y>").number,
            None
        );
        assert!(who("none", "", "<sip:+74951234567@y>").number.is_some());
        let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        assert_eq!(who("", "", anonymous), Calling::default());
        assert!(who("", "<tel:+74951234567>", anonymous).number.is_some());
        assert_eq!(who("", "", "<sip:anonymous@provider.example>").number, None);
    }

    #[test]
    fn forwards_show_ours_or_the_callers() {
        let (ours, caller) = (Some("+74951000001"), Some("+79161234567"));
        assert_eq!(
            on_forward(CallerIdPolicy::Ours, ours, caller).as_deref(),
            ours
        );
        assert_eq!(
            on_forward(CallerIdPolicy::Caller, ours, caller).as_deref(),
            caller
        );
        assert_eq!(on_forward(CallerIdPolicy::Caller, ours, None), None);
    }

    #[test]
    fn anonymous_shows_nothing_of_the_caller() {
        let shown = towards_trunk(&trunk("acme", None, &[]), "pbx.example", None, Some("Ivan"));
        assert!(!shown.from.contains("Ivan"));
        assert!(shown.from.contains("anonymous.invalid"));
        assert_eq!(shown.headers, [(Name::Privacy, "id".to_owned())]);
    }

    #[test]
    fn each_provider_its_headers_and_its_numbers() {
        let mut acme = trunk("acme", Some(("sip.acme.example", 5060)), &[]);
        acme.identity = vec![
            IdentityHeader::PPreferredIdentity,
            IdentityHeader::RemotePartyId,
        ];
        acme.number_format = NumberFormat::Dialled;
        acme.account = Some(Account {
            user: "shop".into(),
            password: Secret("x".into()),
            realm: None,
        });
        let shown = towards_trunk(&acme, "pbx.example", Some("+74951000001"), None);
        assert_eq!(shown.from, "<sip:shop@pbx.example>");
        let number = "<sip:84951000001@pbx.example>";
        assert_eq!(
            shown.headers,
            [
                (Name::PPreferredIdentity, number.to_owned()),
                (
                    Name::RemotePartyId,
                    format!("{number};party=calling;screen=yes;privacy=off")
                )
            ]
        );
        let hidden = towards_trunk(&acme, "pbx.example", None, None);
        assert_eq!(hidden.from, "<sip:shop@pbx.example>");
        assert_eq!(hidden.headers, [(Name::Privacy, "id".to_owned())]);
    }

    #[test]
    fn a_number_is_shown_and_asserted() {
        let acme = trunk("acme", None, &[]);
        let shown = towards_trunk(&acme, "pbx.example", Some("+74951000001"), None);
        assert_eq!(shown.from, "<sip:+74951000001@pbx.example>");
        assert_eq!(
            shown.headers,
            [(
                Name::PAssertedIdentity,
                "<sip:+74951000001@pbx.example>".to_owned()
            )]
        );
    }
}
