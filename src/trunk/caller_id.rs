//! Who calls, as a request says it (RFC 3325, RFC 3323), and what we show to a trunk.

use super::dialled::user;
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::{CallerIdPolicy, Trunk};
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

/// The caller of a trunk's INVITE: P-Asserted-Identity, else From; withheld when Privacy asks for it or From is anonymous and nothing is asserted.
pub fn from_trunk(invite: &Message, country: Country) -> Calling {
    let privacy = invite.headers(Name::Privacy).collect::<Vec<_>>().join(";");
    let asserted: Vec<NameAddr> = invite
        .headers(Name::PAssertedIdentity)
        .filter_map(|line| NameAddr::parse_list(line).ok())
        .flatten()
        .collect();
    let from = invite.header(Name::From).map(NameAddr::parse);
    calling(&privacy, &asserted, from.and_then(Result::ok), country)
}

/// The display name of an operator's INVITE: for colleagues who are called. Its number is the operator's name, by authentication.
pub fn display_name(invite: &Message) -> Option<String> {
    let from = NameAddr::parse(invite.header(Name::From)?).ok()?;
    tidy(from.display.as_deref()?)
}

fn calling(
    privacy: &str,
    asserted: &[NameAddr],
    from: Option<NameAddr>,
    country: Country,
) -> Calling {
    if asks_for_privacy(privacy) {
        return Calling::default();
    }
    let is_number = |who: &&NameAddr| number(&who.uri, country).is_some();
    let chosen = asserted
        .iter()
        .find(is_number)
        .or(asserted.first())
        .or(from.as_ref().filter(|from| !is_anonymous(&from.uri)));
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
    /// P-Asserted-Identity, and Privacy for an anonymous caller.
    pub headers: Headers,
}

/// Shows `caller` to a trunk; `None`: anonymous (RFC 3323), with the account, if we have one there, asserted under Privacy.
/// `domain` is ours; at a provider where we have an account, identities stand at the provider's host.
pub fn towards_trunk(
    trunk: &Trunk,
    domain: &str,
    caller: Option<&str>,
    display_name: Option<&str>,
) -> Shown {
    let provider = trunk.peer.as_ref().filter(|_| trunk.register.is_some());
    let host = provider.map_or(domain, |peer| peer.host.as_str());
    let at_host = |user: &str, display: Option<&str>| {
        let address = NameAddr {
            display: display.and_then(tidy),
            uri: Uri::sip(Some(user), host, None),
            params: Vec::new(),
        };
        address.to_string()
    };
    let Some(caller) = caller else {
        let account = trunk.register.as_ref().map(|account| &account.user);
        let mut headers: Headers = vec![(Name::Privacy, "id".to_owned())];
        headers.extend(account.map(|user| (Name::PAssertedIdentity, at_host(user, None))));
        return Shown {
            from: "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
            headers,
        };
    };
    Shown {
        from: at_host(caller, display_name),
        headers: vec![(Name::PAssertedIdentity, at_host(caller, None))],
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify::tests::trunk;
    use super::*;

    fn who(privacy: &str, asserted: &str, from: &str) -> Calling {
        let asserted = if asserted.is_empty() {
            vec![]
        } else {
            NameAddr::parse_list(asserted).unwrap()
        };
        calling(privacy, &asserted, NameAddr::parse(from).ok(), Country::RU)
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
