//! `[operators.*]` and `[outbound.*]`.

use std::collections::HashMap;

use super::Parts;
use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::problem::{Severity, Span};
use crate::dialplan::config::tree::Value;
use crate::dialplan::config::values::{self, Wrong};
use crate::dialplan::features::{self, Features, May};
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::{Operator, OutboundRule, Secret};
use crate::ledger::id::Name;

pub(super) fn operator(entry: &Entry<'_>) -> Option<Operator> {
    if entry.name == "echo" {
        let wrong =
            Wrong::new("no operator can be named echo: it is what one dials to hear oneself");
        entry.check.error(entry.at, wrong.hint("give another name"));
    }
    let name = match entry.has("name") {
        true => entry.read("name", |text| Ok(text.to_owned())),
        false => Some(entry.name.to_owned()),
    };
    let password = entry.secret("password");
    let extension = entry.read("extension", extension);
    let contact = entry.read("contact", sip_uri);
    let ring = entry.duration("ring");
    let otherwise = entry.destination("otherwise");
    let wrap_up = entry.duration("wrap_up");
    let auth = entry.word("auth");
    let may = may(entry);
    let supervisor = entry.boolean("supervisor");
    let session_expires = super::server::session_expires(entry);
    let outbound = super::security::outbound_limits(entry);
    let srtp = super::media::srtp(entry);
    let codecs = super::lines::codecs(entry);
    Some(Operator {
        id: Name::from(entry.name),
        name: name?,
        password: Secret(password?),
        extension,
        contact,
        ring: ring?,
        otherwise: otherwise?,
        wrap_up: wrap_up?,
        md5_only: auth? == "md5",
        may: may?,
        supervisor: supervisor?,
        session_expires,
        outbound,
        srtp: srtp?,
        codecs: codecs?,
    })
}

fn may(entry: &Entry<'_>) -> Option<May> {
    let words = ["transfer", "pick-up", "park"];
    let given = entry.list("may", |text| {
        match words.iter().find(|word| **word == text) {
            Some(word) => Ok(*word),
            None => Err(
                Wrong::new(format!("\"{text}\" is nothing that an operator may"))
                    .hint("it takes transfer, pick-up and park"),
            ),
        }
    })?;
    Some(May {
        transfer: given.contains(&"transfer"),
        pick_up: given.contains(&"pick-up"),
        park: given.contains(&"park"),
    })
}

pub(super) fn features(entry: &Entry<'_>) -> Option<Features> {
    let pick_up = entry.read("pick_up", code);
    let park = entry.read("park", code);
    let slots = entry.read("slots", |text| {
        features::slots(text).ok_or_else(|| {
            Wrong::new(format!("\"{text}\" is no range of slots"))
                .hint("write at most a hundred extensions of as many digits: \"701-720\"")
        })
    });
    let park_timeout = entry.duration("park_timeout");
    let pause_recording = entry.read("pause_recording", code);
    let (listen, whisper, barge) = (
        entry.read("listen", code),
        entry.read("whisper", code),
        entry.read("barge", code),
    );
    let features = Features {
        pick_up: pick_up?,
        park: park?,
        slots: slots?,
        park_timeout: park_timeout?,
        listen: listen?,
        whisper: whisper?,
        barge: barge?,
        pause_recording,
    };
    let dialled = [
        ("pick_up", &features.pick_up),
        ("park", &features.park),
        ("listen", &features.listen),
        ("whisper", &features.whisper),
        ("barge", &features.barge),
    ];
    let mut are_apart = true;
    for (index, (_, one)) in dialled.iter().enumerate() {
        for (key, other) in dialled.iter().skip(index + 1) {
            if one.starts_with(other.as_str()) || other.starts_with(one.as_str()) {
                let wrong = Wrong::new(format!("{one} and {other} cannot be told apart"))
                    .hint("neither code may begin with the other");
                entry.check.error(entry.place(key), wrong);
                are_apart = false;
            }
        }
    }
    are_apart.then_some(features)
}

fn code(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('*').unwrap_or_default();
    if (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("\"{text}\" is no code"))
        .hint("a code is * and one to three digits, such as \"*8\""))
}

/// Extension to operator; an extension that means two people is reported.
pub(super) fn extensions(parts: &Parts<'_>) -> HashMap<String, Name> {
    let mut extensions: HashMap<String, Name> = HashMap::new();
    let mut places: HashMap<&str, Span> = HashMap::new();
    for raw in parts.raw_entries("operators") {
        let Some(item) = raw.table.item("extension") else {
            continue;
        };
        let Value::Text(text) = &item.node.value else {
            continue;
        };
        let at = item.node.at;
        let hint = "each extension belongs to one operator";
        if let Some(first) = places.insert(text, at) {
            let wrong = Wrong::new(format!("the extension {text} is given twice")).hint(hint);
            let also = Some((first, "first given"));
            parts.checker.report(Severity::Error, at, wrong, also);
        }
        let namesake = parts
            .checker
            .defined("operators", text)
            .filter(|_| *text != raw.name);
        if let Some(namesake) = namesake {
            let wrong =
                Wrong::new(format!("the extension {text} is another operator's name")).hint(hint);
            let also = Some((namesake, "that operator"));
            parts.checker.report(Severity::Error, at, wrong, also);
        }
        extensions.insert(text.clone(), Name::from(raw.name.as_str()));
    }
    extensions
}

/// A conference's extension must not be an operator's, nor another conference's.
pub(super) fn look_at_conference_extensions(parts: &Parts<'_>, operators: &HashMap<String, Name>) {
    let mut places: HashMap<&str, Span> = HashMap::new();
    for raw in parts.raw_entries("conferences") {
        let Some(item) = raw.table.item("extension") else {
            continue;
        };
        let Value::Text(text) = &item.node.value else {
            continue;
        };
        let at = item.node.at;
        let first = places.insert(text, at);
        if first.is_none() && !operators.contains_key(text) {
            continue;
        }
        let wrong = Wrong::new(format!("the extension {text} is given twice"))
            .hint("each extension belongs to one operator or conference");
        let also = first.map(|first| (first, "first given"));
        parts.checker.report(Severity::Error, at, wrong, also);
    }
}

pub(super) fn outbound(entry: &Entry<'_>, country: Country) -> Option<OutboundRule> {
    let prefixes = entry.some("prefixes", values::prefix);
    let trunks = entry.many_of("trunks");
    let caller_id = entry.number("caller_id", country);
    let allow = entry.many_of("allow");
    let max_calls = entry.integer("max_calls");
    if let Some(caller_id) = &caller_id {
        warn_if_foreign(entry, caller_id, country);
    }
    Some(OutboundRule {
        name: Name::from(entry.name),
        prefixes: prefixes?,
        trunks: trunks?,
        caller_id,
        allow: allow?,
        max_calls,
    })
}

/// Providers refuse, or bill, numbers that are not the customer's.
fn warn_if_foreign(entry: &Entry<'_>, caller_id: &E164, country: Country) {
    let ours = entry
        .check
        .names_of("numbers")
        .any(|number| E164::read(number, country).as_ref() == Some(caller_id));
    if !ours {
        let wrong = Wrong::new(format!("{caller_id} is none of [numbers.*]"))
            .hint("providers usually show only numbers of your own");
        entry.check.warn(entry.value_place("caller_id"), wrong);
    }
}

pub(super) fn extension(text: &str) -> Result<String, Wrong> {
    if (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("\"{text}\" is no extension"))
        .hint("an extension is one to six digits, such as \"101\""))
}

/// Shape only: the SIP layer reads it in full when it is dialled.
fn sip_uri(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(format!("\"{text}\" is no SIP URI of this version"))
            .hint("write it as \"sip:anna@192.0.2.10:5060\"")
    };
    let rest = text.strip_prefix("sip:").ok_or_else(wrong)?;
    let address = rest.split_once('@').map_or(rest, |(_, host)| host);
    let host = address.split(';').next().unwrap_or("");
    values::host_port(host).map_err(|_| wrong())?;
    let clean = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
    if !text.bytes().all(clean) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}
