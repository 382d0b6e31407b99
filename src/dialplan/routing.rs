//! Which entry of the plan a dialled text means: for calls from a trunk, and for what an operator dials.

use super::number::E164;
use super::plan::{NumberFrom, Plan};
use super::trace::{Silent, Trace};
use crate::ledger::id::Name;

/// What was dialled, resolved against the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// One of our numbers: a key of `Plan::numbers`.
    Number(E164),
    /// A colleague, by name or extension.
    Operator(Name),
    /// An outside number that the operator may dial.
    Outbound {
        /// The number.
        number: E164,
        /// Trunks in order of preference.
        trunks: Vec<Name>,
        /// The number shown.
        caller_id: Option<E164>,
    },
    /// `echo`, dialled by an operator.
    Echo,
    /// A number that exists but that this operator may not dial: 603.
    NotAllowed {
        /// One sentence with a remedy.
        why: String,
    },
    /// Nothing of ours: 404.
    Unknown,
}

/// Resolves a call from `trunk`: the first candidate (Request-URI user, To user, P-Called-Party-ID, as `number_from` orders them) that is a number of ours
/// and not bound to another trunk. Also gives the dialled number in E.164 (or as received) for the record.
pub fn from_trunk(
    plan: &Plan,
    trunk: &Name,
    request_uri: &str,
    to: &str,
    p_called_party_id: Option<&str>,
) -> (Entry, String) {
    let (number_from, country) = plan
        .trunks
        .get(trunk)
        .map_or((NumberFrom::Auto, plan.server.country), |trunk| {
            (trunk.number_from, trunk.country)
        });
    let (request_uri, to) = (Some(request_uri), Some(to));
    let candidates = match number_from {
        NumberFrom::Auto => [request_uri, to, p_called_party_id],
        NumberFrom::RequestUri => [request_uri, None, None],
        NumberFrom::To => [to, None, None],
        // A call without the header is still recorded with what it asked for.
        NumberFrom::PCalledPartyId => [p_called_party_id.or(request_uri), None, None],
    };
    let mut dialled: Option<String> = None;
    for text in candidates.into_iter().flatten() {
        let read = E164::read(text, country);
        if let Some(number) = &read
            && let Some(found) = plan.numbers.get(number)
            && found.trunk.as_ref().is_none_or(|only| only == trunk)
        {
            return (Entry::Number(number.clone()), number.to_string());
        }
        if dialled.is_none() && !text.is_empty() {
            dialled = Some(read.map_or_else(|| text.to_owned(), |number| number.to_string()));
        }
    }
    (Entry::Unknown, dialled.unwrap_or_default())
}

/// Resolves what `operator` dialled: a colleague's name or extension, `echo`, a number of ours, or an outside number allowed by `[outbound.*]`.
pub fn from_operator(plan: &Plan, operator: &Name, dialled: &str) -> (Entry, String) {
    from_operator_traced(plan, operator, dialled, &mut Silent)
}

/// As [`from_operator`], telling each rule tried.
pub fn from_operator_traced(
    plan: &Plan,
    operator: &Name,
    dialled: &str,
    trace: &mut dyn Trace,
) -> (Entry, String) {
    let dialled = dialled.trim();
    if dialled == "echo" {
        trace.tried("echo", true, &|| "the caller hears himself".to_owned());
        return (Entry::Echo, dialled.to_owned());
    }
    if dialled.starts_with(['*', '#']) {
        trace.tried("codes", false, &|| {
            format!("{dialled} is no code of this version")
        });
        return (Entry::Unknown, dialled.to_owned());
    }
    if let Some(name) = plan.extensions.get(dialled) {
        trace.tried("extensions", true, &|| format!("{dialled} is {name}'s"));
        return (Entry::Operator(name.clone()), dialled.to_owned());
    }
    trace.tried("extensions", false, &|| {
        format!("no operator has the extension {dialled}")
    });
    if let Some((name, _)) = plan.operators.get_key_value(dialled) {
        trace.tried("operators", true, &|| format!("{name} is an operator"));
        return (Entry::Operator(name.clone()), dialled.to_owned());
    }
    trace.tried("operators", false, &|| {
        format!("no operator is named {dialled}")
    });
    let Some(number) = E164::read(dialled, plan.server.country) else {
        trace.tried("numbers", false, &|| {
            format!("{dialled} is no telephone number")
        });
        return (Entry::Unknown, dialled.to_owned());
    };
    let written = number.to_string();
    if plan.numbers.contains_key(&number) {
        trace.tried("numbers", true, &|| format!("{number} is ours"));
        return (Entry::Number(number), written);
    }
    trace.tried("numbers", false, &|| format!("{number} is not ours"));
    (outside(plan, operator, number, trace), written)
}

/// By the rules of the longest prefix: the first of them, by name, that allows this operator.
fn outside(plan: &Plan, operator: &Name, number: E164, trace: &mut dyn Trace) -> Entry {
    let reach = |prefixes: &[String]| {
        prefixes
            .iter()
            .filter(|prefix| number.as_str().starts_with(prefix.as_str()))
            .map(String::len)
            .max()
    };
    let longest = plan
        .outbound
        .values()
        .filter_map(|rule| reach(&rule.prefixes))
        .max();
    let mut forbidding = None;
    for (name, rule) in &plan.outbound {
        let own = reach(&rule.prefixes);
        if own.is_none() {
            trace.tried("outbound", false, &|| {
                format!("{name}: none of its prefixes begins {number}")
            });
        } else if own < longest {
            trace.tried("outbound", false, &|| {
                format!("{name}: another rule has a longer prefix")
            });
        } else if !rule.allow.contains(operator) {
            trace.tried("outbound", false, &|| {
                format!("{name}: {operator} is not in its allow")
            });
            forbidding.get_or_insert(name);
        } else {
            trace.tried("outbound", true, &|| {
                let trunks: Vec<&str> = rule.trunks.iter().map(Name::as_str).collect();
                format!(
                    "{name}: it allows {operator}, over {}",
                    trunks.join(", then ")
                )
            });
            return Entry::Outbound {
                number,
                trunks: rule.trunks.clone(),
                caller_id: rule.caller_id.clone(),
            };
        }
    }
    if plan.outbound.is_empty() {
        trace.tried("outbound", false, &|| "there is no [outbound.*]".to_owned());
    }
    let why = match forbidding {
        Some(rule) => format!(
            "{operator} may not dial {number}: add {operator} to the allow of [outbound.{rule}]"
        ),
        None => {
            format!("No [outbound.*] rule has a prefix of {number}: add one that allows {operator}")
        }
    };
    Entry::NotAllowed { why }
}
