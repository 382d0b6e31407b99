//! `[trunks.*]` and `[numbers.*]`.

use std::collections::HashMap;

use ipnet::IpNet;

use super::server::{country as read_country, network};
use super::{Parts, provider};
use crate::dialplan::config::entry::{Entry, number as read_number};
use crate::dialplan::config::problem::{Severity, Span};
use crate::dialplan::config::values::{self, Wrong};
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::{
    AnswerPolicy, CallerIdPolicy, CodecName, HostPort, Number, NumberFrom, Trunk,
};
use crate::ledger::id::Name;

/// `codecs`, in order of preference.
pub(super) fn codecs(entry: &Entry<'_>) -> Option<Vec<CodecName>> {
    let words = entry.words("codecs")?;
    let codecs = words.iter().map(|word| match word.as_str() {
        "pcmu" => CodecName::Pcmu,
        "g722" => CodecName::G722,
        "opus" => CodecName::Opus,
        _ => CodecName::Pcma,
    });
    Some(codecs.collect())
}

pub(super) fn trunk(entry: &Entry<'_>, country: Country) -> Option<Trunk> {
    let reached = provider::peers(entry);
    let accept = entry.list("accept", network);
    let certificate = entry.read("certificate", |text| match values::is_host_name(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Wrong::new(format!("\"{text}\" is no DNS name"))
            .hint("write the name that the provider's client certificate has")),
    });
    let register = provider::registration(entry);
    let number_from = entry.word("number_from").map(|word| match word.as_str() {
        "request-uri" => NumberFrom::RequestUri,
        "to" => NumberFrom::To,
        "p-called-party-id" => NumberFrom::PCalledPartyId,
        _ => NumberFrom::Auto,
    });
    let caller_id = entry.word("caller_id").map(|word| match word.as_str() {
        "caller" => CallerIdPolicy::Caller,
        _ => CallerIdPolicy::Ours,
    });
    let codecs = codecs(entry);
    let timeout = entry.duration("timeout");
    let max_calls = entry.integer("max_calls");
    let transfer = entry.boolean("transfer");
    let redirect = entry.boolean("redirect");
    let session_expires = super::server::session_expires(entry);
    let reliable = entry.boolean("reliable");
    let srtp = super::media::srtp(entry);
    let delayed_offer = entry.word("offer").map(|word| word == "delayed");
    let country = match entry.has("country") {
        true => entry.read("country", read_country),
        false => Some(country),
    };
    let has_peer = entry.has("peer") || entry.has("peers");
    let reachable = has_peer || accept.as_ref().is_some_and(|accept| !accept.is_empty());
    if !reachable {
        let wrong = Wrong::new(format!("the trunk {} has no address", entry.name))
            .hint("add peer = \"sip.provider.example:5060\", or accept = [\"203.0.113.0/24\"]");
        entry.check.error(entry.at, wrong);
    }
    if entry.has("register") && !has_peer && reachable {
        let wrong = Wrong::new("there is nobody to register with")
            .hint("add peer = \"sip.provider.example:5060\"");
        entry.check.error(entry.place("register"), wrong);
    }
    let number_format = provider::number_format(entry);
    let identity = provider::identity(entry);
    let caller_from = provider::headers(entry, "caller_from");
    let diversion = provider::diversion(entry);
    let options = entry.duration("options");
    let calls_per_second = entry.integer("calls_per_second");
    let account = provider::account(entry, register.as_ref());
    let (peers, weights) = reached?;
    let trunk = Trunk {
        name: Name::from(entry.name),
        peer: peers.first().map(provider::host_and_port),
        accept: accept?,
        certificate,
        register: register?,
        number_from: number_from?,
        caller_id: caller_id?,
        codecs: codecs?,
        timeout: timeout?,
        max_calls,
        country: country?,
        transfer: transfer?,
        redirect: redirect?,
        peers,
        weights,
        options,
        calls_per_second,
        account: account?,
        number_format: number_format?,
        identity: identity?,
        caller_from: caller_from?,
        diversion: diversion?,
        session_expires,
        reliable: reliable?,
        srtp: srtp?,
        delayed_offer: delayed_offer?,
    };
    super::media::look_at_keys(entry, &trunk);
    Some(trunk)
}

/// What only two trunks together can do wrong: the same source twice.
pub(super) fn look_at_trunks(parts: &Parts<'_>) {
    let mut peers: Vec<(HostPort, bool, Span)> = Vec::new();
    let mut networks: Vec<(IpNet, Span)> = Vec::new();
    for raw in parts.raw_entries("trunks") {
        let item = |key: &str| raw.table.item(key);
        let text = |node: &crate::dialplan::config::tree::Node| match &node.value {
            crate::dialplan::config::tree::Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let registers = raw.table.item("register").is_some();
        let written = [item("peer"), item("peers")].into_iter().flatten();
        let nodes = written.flat_map(|item| match &item.node.value {
            crate::dialplan::config::tree::Value::List(nodes) => nodes.iter().collect(),
            _ => vec![&item.node],
        });
        let own: Vec<(HostPort, bool, Span)> = nodes
            .filter_map(|node| {
                let peer = values::peer(&text(node)?).ok()?;
                Some((provider::host_and_port(&peer), registers, node.at))
            })
            .collect();
        for (peer, registers, at) in &own {
            let (registers, at) = (*registers, *at);
            // Two accounts at one address are told apart by the registration's contact.
            let other = peers.iter().find(|(other, other_registers, _)| {
                other == peer && !(registers && *other_registers)
            });
            if let Some((_, _, first)) = other {
                let wrong = Wrong::new("another trunk has the same peer, and not both register: its calls cannot be told apart")
                    .hint("give both a register, or make them one trunk");
                let also = Some((*first, "the other one"));
                parts.checker.report(Severity::Error, at, wrong, also);
            }
        }
        peers.extend(own);
        let accept = item("accept").map(|item| &item.node.value);
        if let Some(crate::dialplan::config::tree::Value::List(nodes)) = accept {
            for node in nodes {
                let Some(found) = text(node).and_then(|text| network(&text).ok()) else {
                    continue;
                };
                if let Some((_, first)) = networks.iter().find(|(other, _)| *other == found) {
                    let wrong = Wrong::new(
                        "another trunk accepts the same network: the first one by name gets its calls",
                    );
                    let also = Some((*first, "the other one"));
                    parts
                        .checker
                        .report(Severity::Warning, node.at, wrong, also);
                }
                networks.push((found, node.at));
            }
        }
    }
}

pub(super) fn numbers(parts: &Parts<'_>, country: Country) -> HashMap<E164, Number> {
    let mut numbers = HashMap::new();
    let mut places: HashMap<E164, Span> = HashMap::new();
    for entry in parts.entries("numbers") {
        let number = match read_number(entry.name, country) {
            Ok(number) => Some(number),
            Err(wrong) => {
                entry.check.error(entry.at, wrong);
                None
            }
        };
        let made = self::number(&entry, number.as_ref());
        let Some(number) = number else { continue };
        if let Some(first) = places.insert(number.clone(), entry.at) {
            let wrong = Wrong::new(format!("the number {number} is defined twice"))
                .hint("remove one of them");
            let also = Some((first, "first defined"));
            parts.checker.report(Severity::Error, entry.at, wrong, also);
        }
        if let Some(made) = made {
            numbers.insert(number, made);
        }
    }
    numbers
}

fn number(entry: &Entry<'_>, number: Option<&E164>) -> Option<Number> {
    let landing_page = entry.read("landing_page", |text| Ok(text.to_owned()));
    let to = entry.destination("to");
    let trunk = entry.of("trunk");
    let answer = entry.word("answer").map(|word| match word.as_str() {
        "at once" => AnswerPolicy::AtOnce,
        "when a person answers" => AnswerPolicy::WhenAPersonAnswers,
        _ => AnswerPolicy::WhenNeeded,
    });
    let record = entry.boolean("record");
    Some(Number {
        number: number?.clone(),
        landing_page,
        to: to?,
        trunk,
        answer: answer?,
        record: record?,
    })
}
