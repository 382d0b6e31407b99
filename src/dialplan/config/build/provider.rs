//! The keys of `[trunks.*]` that say how the provider is reached and spoken to.

use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::values::{self, Wrong};
use crate::dialplan::plan::{HostPort, Registration, Secret};
use crate::dialplan::provider::{Account, DiversionHeader, IdentityHeader, NumberFormat};
use crate::sip::endpoint::Transport;
use crate::sip::locate::Wish;

/// The peers and their weights, those that one line or the other names. `None`: wrong, and reported.
pub(super) fn peers(entry: &Entry<'_>) -> Option<(Vec<Wish>, Vec<u16>)> {
    if entry.has("peer") && entry.has("peers") {
        let wrong = Wrong::new("both `peer` and `peers` are given")
            .hint("write them all in `peers`, in order of preference");
        entry.check.error(entry.place("peer"), wrong);
    }
    let peers = if entry.has("peers") {
        entry.some("peers", values::peer)?
    } else if entry.has("peer") {
        vec![entry.read("peer", values::peer)?]
    } else {
        Vec::new()
    };
    if !entry.has("weights") {
        return Some((peers, Vec::new()));
    }
    let weights = entry.integers("weights")?;
    if weights.len() != peers.len() {
        let message = format!("{} weights for {} peers", weights.len(), peers.len());
        let wrong = Wrong::new(message).hint("give one for each of `peers`, in their order");
        entry.check.error(entry.value_place("weights"), wrong);
        return None;
    }
    let weights = weights
        .into_iter()
        .filter_map(|weight| u16::try_from(weight).ok())
        .collect();
    Some((peers, weights))
}

/// What a peer is called in our messages.
pub(super) fn host_and_port(wish: &Wish) -> HostPort {
    let transport = wish.transport.unwrap_or(Transport::Udp);
    HostPort {
        host: wish.host.clone(),
        port: wish.port.unwrap_or(transport.default_port()),
    }
}

/// `None`: wrong, and reported.
pub(super) fn registration(entry: &Entry<'_>) -> Option<Option<Registration>> {
    if !entry.has("register") {
        return Some(None);
    }
    let register = entry.inner("register")?;
    let user = register.read("user", |text| Ok(text.to_owned()));
    let password = register.secret("password");
    let expires = register.duration("expires");
    Some(Some(Registration {
        user: user?,
        password: Secret(password?),
        expires: expires?,
        auth_user: optional(&register, "auth_user")?,
        realm: optional(&register, "realm")?,
    }))
}

/// What answers challenges to calls: `auth`, else the registration. `None`: wrong, and reported.
pub(super) fn account(
    entry: &Entry<'_>,
    register: Option<&Option<Registration>>,
) -> Option<Option<Account>> {
    if !entry.has("auth") {
        let register = register?.as_ref();
        return Some(register.map(|register| {
            Account {
                user: register
                    .auth_user
                    .as_ref()
                    .unwrap_or(&register.user)
                    .clone(),
                password: register.password.clone(),
                realm: register.realm.clone(),
            }
        }));
    }
    let auth = entry.inner("auth")?;
    let user = auth.read("user", |text| Ok(text.to_owned()));
    let password = auth.secret("password");
    Some(Some(Account {
        user: user?,
        password: Secret(password?),
        realm: optional(&auth, "realm")?,
    }))
}

pub(super) fn number_format(entry: &Entry<'_>) -> Option<NumberFormat> {
    let word = entry.word("number_format")?;
    Some(match word.as_str() {
        "digits" => NumberFormat::Digits,
        "dialled" => NumberFormat::Dialled,
        "national" => NumberFormat::National,
        _ => NumberFormat::International,
    })
}

/// The headers that show the caller. Without From among them, From needs an account to name.
pub(super) fn identity(entry: &Entry<'_>) -> Option<Vec<IdentityHeader>> {
    let headers = headers(entry, "identity")?;
    let has_account = entry.has("register") || entry.has("auth");
    if !headers.contains(&IdentityHeader::From) && !has_account {
        let wrong = Wrong::new("without \"from\", From names the account, and there is none")
            .hint("add \"from\", or register or auth");
        entry.check.error(entry.value_place("identity"), wrong);
    }
    Some(headers)
}

pub(super) fn headers(entry: &Entry<'_>, key: &str) -> Option<Vec<IdentityHeader>> {
    let words = entry.words(key)?;
    let headers = words.iter().map(|word| match word.as_str() {
        "p-asserted-identity" => IdentityHeader::PAssertedIdentity,
        "p-preferred-identity" => IdentityHeader::PPreferredIdentity,
        "remote-party-id" => IdentityHeader::RemotePartyId,
        _ => IdentityHeader::From,
    });
    Some(headers.collect())
}

/// May be an empty list.
pub(super) fn diversion(entry: &Entry<'_>) -> Option<Vec<DiversionHeader>> {
    entry.list("diversion", |word| match word {
        "diversion" => Ok(DiversionHeader::Diversion),
        "history-info" => Ok(DiversionHeader::HistoryInfo),
        _ => Err(Wrong::new(format!(
            "`diversion` takes \"diversion\" or \"history-info\", not \"{word}\""
        ))),
    })
}

/// A text that may be left out. `None`: wrong, and reported.
fn optional(entry: &Entry<'_>, key: &str) -> Option<Option<String>> {
    match entry.has(key) {
        true => entry.read(key, |text| Ok(text.to_owned())).map(Some),
        false => Some(None),
    }
}
