//! Which entry of the plan a dialled text means: for calls from a trunk, and for what an operator dials.

use super::number::E164;
use super::plan::{NumberFrom, OutboundRule, Plan};
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

/// The rule by which an operator may dial an outside number: of those with the longest prefix the first, by name, that allows him.
pub fn outbound_rule<'a>(
    plan: &'a Plan,
    operator: &Name,
    number: &E164,
) -> Option<&'a OutboundRule> {
    let longest = plan
        .outbound
        .values()
        .filter_map(|rule| reach(rule, number))
        .max()?;
    plan.outbound
        .values()
        .find(|rule| reach(rule, number) == Some(longest) && rule.allow.contains(operator))
}

/// The length of a rule's longest prefix of the number.
fn reach(rule: &OutboundRule, number: &E164) -> Option<usize> {
    rule.prefixes
        .iter()
        .filter(|prefix| number.as_str().starts_with(prefix.as_str()))
        .map(String::len)
        .max()
}

/// By the rules of the longest prefix: the first of them, by name, that allows this operator.
fn outside(plan: &Plan, operator: &Name, number: E164, trace: &mut dyn Trace) -> Entry {
    let longest = plan
        .outbound
        .values()
        .filter_map(|rule| reach(rule, &number))
        .max();
    let mut forbidding = None;
    for (name, rule) in &plan.outbound {
        let own = reach(rule, &number);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::config::tests::plan;

    const PLAN: &str = r##"
[trunks.acme]
peer = "127.0.0.1:5070"
[trunks.other]
accept = ["192.0.2.0/24"]
number_from = "p-called-party-id"
[trunks.french]
accept = ["198.51.100.0/24"]
country = "FR"
[operators.anna]
password = "x"
extension = "101"
[operators.boris]
password = "x"
[numbers."+74951000001"]
to = "echo"
[numbers."+74951000002"]
to = "echo"
trunk = "acme"
[numbers."+33123456789"]
to = "echo"
[outbound.all]
prefixes = ["+7"]
trunks = ["acme"]
allow = ["anna", "boris"]
[outbound.dear]
prefixes = ["+7809"]
trunks = ["acme"]
caller_id = "+74951000001"
allow = ["boris"]
[outbound.more]
prefixes = ["+7", "+49"]
trunks = ["acme"]
allow = ["boris"]
"##;

    fn number(text: &str) -> E164 {
        E164::read(text, crate::dialplan::number::Country::RU).unwrap()
    }

    #[test]
    fn a_trunk_reaches_our_numbers() {
        let plan = plan(PLAN);
        let acme = Name::from("acme");
        let ours = Entry::Number(number("+74951000001"));
        let dialled = "+74951000001".to_owned();
        let from = |uri, to, called| from_trunk(&plan, &acme, uri, to, called);
        assert_eq!(
            from("84951000001", "x", None),
            (ours.clone(), dialled.clone())
        );
        assert_eq!(
            from("account", "+74951000001", None),
            (ours.clone(), dialled.clone())
        );
        assert_eq!(from("account", "x", Some("4951000001")), (ours, dialled));
        assert_eq!(
            from("8 495 999-99-99", "x", None),
            (Entry::Unknown, "+74959999999".into())
        );
        assert_eq!(
            from("account", "x", None),
            (Entry::Unknown, "account".into())
        );
        assert_eq!(from("", "", None), (Entry::Unknown, String::new()));
    }

    #[test]
    fn a_trunk_is_read_by_its_own_settings() {
        let plan = plan(PLAN);
        let other = Name::from("other");
        // Bound to acme.
        let (entry, _) = from_trunk(&plan, &other, "x", "x", Some("+74951000002"));
        assert_eq!(entry, Entry::Unknown);
        // Only P-Called-Party-ID counts.
        let (entry, dialled) = from_trunk(&plan, &other, "+74951000001", "x", Some("+74950000000"));
        assert_eq!((entry, dialled.as_str()), (Entry::Unknown, "+74950000000"));
        let (entry, _) = from_trunk(&plan, &other, "x", "x", Some("+74951000001"));
        assert_eq!(entry, Entry::Number(number("+74951000001")));
        let (entry, _) = from_trunk(&plan, &"french".into(), "01 23 45 67 89", "x", None);
        assert_eq!(entry, Entry::Number(number("+33123456789")));
    }

    #[test]
    fn an_operator_dials() {
        let plan = plan(PLAN);
        let dial = |who: &str, what: &str| from_operator(&plan, &who.into(), what).0;
        assert_eq!(dial("boris", "101"), Entry::Operator("anna".into()));
        assert_eq!(dial("anna", "boris"), Entry::Operator("boris".into()));
        assert_eq!(dial("anna", "echo"), Entry::Echo);
        assert_eq!(dial("anna", "*98"), Entry::Unknown);
        assert_eq!(dial("anna", "999"), Entry::Unknown);
        assert_eq!(
            dial("anna", "84951000002"),
            Entry::Number(number("+74951000002"))
        );
        assert_eq!(
            from_operator(&plan, &"anna".into(), "8 495 100-00-02").1,
            "+74951000002"
        );
    }

    #[test]
    fn the_longest_prefix_decides_who_may_dial() {
        let plan = plan(PLAN);
        let dial = |who: &str, what: &str| from_operator(&plan, &who.into(), what).0;
        assert!(matches!(
            dial("anna", "89161234567"),
            Entry::Outbound {
                caller_id: None,
                ..
            }
        ));
        let Entry::Outbound {
            number: dialled,
            trunks,
            caller_id,
        } = dial("boris", "88091234567")
        else {
            panic!("boris may")
        };
        assert_eq!(dialled, number("+78091234567"));
        assert_eq!(trunks, [Name::from("acme")]);
        assert_eq!(caller_id, Some(number("+74951000001")));
        let Entry::NotAllowed { why } = dial("anna", "88091234567") else {
            panic!("anna may not")
        };
        assert!(why.contains("[outbound.dear]"), "{why}");
        assert!(matches!(
            dial("boris", "+4930123456"),
            Entry::Outbound { .. }
        ));
        assert!(matches!(
            dial("anna", "+4930123456"),
            Entry::NotAllowed { .. }
        ));
        assert!(matches!(
            dial("boris", "+15550100"),
            Entry::NotAllowed { .. }
        ));
    }
}
