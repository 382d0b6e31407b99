//! `[webhooks.*]` and `[[test]]`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::destinations::member;
use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::problem::{Span, nearest};
use crate::dialplan::config::values::{Wrong, is_host_name};
use crate::dialplan::dry_run::UNKNOWN;
use crate::dialplan::plan::{PlanTest, Webhook, WebhookKey};
use crate::ledger::event::EventType;
use crate::ledger::id::Name;

pub(super) fn webhook(entry: &Entry<'_>) -> Option<Webhook> {
    let url = entry.read("url", url);
    let secret = entry.secret("secret").and_then(|text| {
        webhook_key(&text)
            .map_err(|wrong| entry.check.error(entry.value_place("secret"), wrong))
            .ok()
    });
    let events = entry.some("events", |text| {
        EventType::parse(text).ok_or_else(|| {
            let wrong = Wrong::new(format!("there is no event \"{text}\""));
            let names = EventType::ALL.iter().map(|event| event.as_str());
            match nearest(text, names.clone()) {
                Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
                None => wrong.hint(format!(
                    "the events are {}",
                    names.collect::<Vec<_>>().join(", ")
                )),
            }
        })
    });
    Some(Webhook {
        name: Name::from(entry.name),
        url: url?,
        secret: secret?,
        events: events?,
    })
}

fn url(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(format!("\"{text}\" is no URL that events can be posted to"))
            .hint("write it as \"https://crm.shop.example/vats\"")
    };
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(wrong)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => {
            port.parse::<u16>().map_err(|_| wrong())?;
            name
        }
        _ => host,
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok());
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !clean || !(bracketed || is_host_name(name)) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn webhook_key(text: &str) -> Result<WebhookKey, Wrong> {
    let hint = "make one with: echo whsec_$(head -c 32 /dev/urandom | base64)";
    let encoded = text
        .strip_prefix("whsec_")
        .ok_or_else(|| Wrong::new("a webhook's secret begins with whsec_").hint(hint))?;
    let key = STANDARD
        .decode(encoded)
        .map_err(|_| Wrong::new("what follows whsec_ is not base64").hint(hint))?;
    if !(16..=64).contains(&key.len()) {
        return Err(Wrong::new(format!(
            "a webhook's key has 16 to 64 bytes, this one {}",
            key.len()
        ))
        .hint(hint));
    }
    Ok(WebhookKey(key))
}

pub(super) fn test(entry: &Entry<'_>) -> Option<(PlanTest, Span)> {
    let name = entry.read("name", |text| Ok(text.to_owned()));
    let to = entry.read("to", |text| Ok(text.to_owned()));
    let from = entry.read("from", |text| Ok(text.to_owned()));
    let at = local_time(entry);
    let keys = presses(entry);
    let absent = |key| {
        entry.list(key, |text| {
            member(entry.check, text).map(|_| Name::from(text.trim_start_matches("operator:")))
        })
    };
    let busy = absent("busy");
    let offline = absent("offline");
    let expect = entry.read("expect", |text| match text {
        UNKNOWN => Ok(text.to_owned()),
        _ => entry.check.destination(text).map(|to| to.to_string()),
    });
    let place = entry.value_place("expect");
    let written = entry.check.place(entry.place("name"));
    let test = PlanTest {
        name: name?,
        to: to?,
        from,
        at: at?,
        keys: keys?,
        busy: busy?,
        offline: offline?,
        expect: expect?,
        place: format!("{}:{}", written.path, written.line),
    };
    Some((test, place))
}

/// `None`: wrong, and reported.
fn local_time(entry: &Entry<'_>) -> Option<Option<jiff::civil::DateTime>> {
    if !entry.has("at") {
        return Some(None);
    }
    let text = entry.date_text("at")?;
    match text.text.parse() {
        Ok(at) => Some(Some(at)),
        Err(_) => {
            let wrong = Wrong::new(format!("\"{}\" is no local time", text.text))
                .hint("write it as \"2026-03-08T23:00\"");
            entry.check.error(text.at, wrong);
            None
        }
    }
}

fn presses(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("keys")?;
    match crate::dialplan::dry_run::not_a_key(&text.text) {
        None => Some(text.text.into_owned()),
        Some(wrong) => {
            let wrong = Wrong::new(format!("a telephone has no key \"{wrong}\""))
                .hint("write keys in order, such as \"12#\", and - to let a menu time out");
            entry.check.error(text.at, wrong);
            None
        }
    }
}
