//! Which entry of the plan a dialled text means: for calls from a trunk, and for what an operator dials.

use super::features::Supervision;
use super::number::E164;
use super::plan::{Destination, NumberFrom, OutboundRule, Plan};
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
    /// A destination by its name, as the plan writes it or by its name alone.
    Destination(Destination),
    /// A call that rings at this colleague's phone, or at anybody's.
    PickUp(Option<Name>),
    /// A slot for parked calls: this one, or any.
    Slot(Option<String>),
    /// The conversation of this colleague, and how to take part in it.
    Supervise(Name, Supervision),
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
        if let Some(entry) = code(plan, operator, dialled, trace) {
            return (entry, dialled.to_owned());
        }
        trace.tried("codes", false, &|| {
            format!("{dialled} is no code of this version")
        });
        return (Entry::Unknown, dialled.to_owned());
    }
    if let Some(name) = plan.extensions.get(dialled) {
        trace.tried("extensions", true, &|| format!("{dialled} is {name}'s"));
        return (Entry::Operator(name.clone()), dialled.to_owned());
    }
    let mut conferences = plan.conferences.values();
    let conference = conferences.find(|one| one.extension.as_deref() == Some(dialled));
    if let Some(conference) = conference {
        let to = Destination::Conference(conference.name.clone());
        trace.tried("extensions", true, &|| format!("{dialled} is {to}"));
        return (Entry::Destination(to), dialled.to_owned());
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
    if plan.features.slots.iter().any(|slot| slot == dialled) {
        let entry = slot(plan, operator, Some(dialled), trace);
        return (entry, dialled.to_owned());
    }
    if let Some(to) = named(plan, dialled) {
        trace.tried("destinations", true, &|| format!("{dialled} is {to}"));
        return (Entry::Destination(to), dialled.to_owned());
    }
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

/// A code of `[features]`.
fn code(plan: &Plan, operator: &Name, dialled: &str, trace: &mut dyn Trace) -> Option<Entry> {
    let features = &plan.features;
    let modes = [
        (&features.listen, Supervision::Listen),
        (&features.whisper, Supervision::Whisper),
        (&features.barge, Supervision::Barge),
    ];
    for (code, mode) in modes {
        if let Some(whom) = dialled.strip_prefix(code.as_str()) {
            return supervise(plan, operator, whom, mode, trace);
        }
    }
    if let Some(rest) = dialled.strip_prefix(features.pick_up.as_str()) {
        let whom = match rest {
            "" => None,
            rest => Some(colleague(plan, rest)?),
        };
        if !plan
            .operators
            .get(operator)
            .is_some_and(|one| one.may.pick_up)
        {
            trace.tried("features", false, &|| {
                format!("{operator} may not pick calls up")
            });
            let why = format!(
                "{operator} may not pick calls up: add \"pick-up\" to operators.{operator}.may"
            );
            return Some(Entry::NotAllowed { why });
        }
        trace.tried("features", true, &|| {
            format!("{} picks a call up", features.pick_up)
        });
        return Some(Entry::PickUp(whom));
    }
    let rest = dialled.strip_prefix(features.park.as_str())?;
    match rest {
        "" => Some(slot(plan, operator, None, trace)),
        rest if features.slots.iter().any(|slot| slot == rest) => {
            Some(slot(plan, operator, Some(rest), trace))
        }
        _ => None,
    }
}

/// Whom an extension or a name behind a code means.
fn colleague(plan: &Plan, text: &str) -> Option<Name> {
    let named = || plan.operators.get_key_value(text).map(|(name, _)| name);
    plan.extensions.get(text).or_else(named).cloned()
}

fn supervise(
    plan: &Plan,
    operator: &Name,
    whom: &str,
    mode: Supervision,
    trace: &mut dyn Trace,
) -> Option<Entry> {
    let whom = colleague(plan, whom)?;
    let may = plan
        .operators
        .get(operator)
        .is_some_and(|one| one.supervisor);
    if !may {
        trace.tried("features", false, &|| {
            format!("{operator} is no supervisor")
        });
        let why =
            format!("{operator} is no supervisor: add supervisor = true to operators.{operator}");
        return Some(Entry::NotAllowed { why });
    }
    trace.tried("features", true, &|| {
        format!("{operator} supervises {whom}: {}", mode.as_str())
    });
    Some(Entry::Supervise(whom, mode))
}

fn slot(plan: &Plan, operator: &Name, slot: Option<&str>, trace: &mut dyn Trace) -> Entry {
    if !plan.operators.get(operator).is_some_and(|one| one.may.park) {
        trace.tried("features", false, &|| {
            format!("{operator} may not park calls")
        });
        let why =
            format!("{operator} may not park calls: add \"park\" to operators.{operator}.may");
        return Entry::NotAllowed { why };
    }
    trace.tried("features", true, &|| {
        format!("{} is where calls are parked", slot.unwrap_or("any slot"))
    });
    Entry::Slot(slot.map(str::to_owned))
}

/// A destination as the plan writes it, or the hunt, menu or schedule of this name.
pub fn named(plan: &Plan, text: &str) -> Option<Destination> {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    let wanted = Name::from(name);
    let hunt = || {
        plan.hunts
            .contains_key(name)
            .then(|| Destination::Hunt(wanted.clone()))
    };
    let menu = || {
        plan.menus
            .contains_key(name)
            .then(|| Destination::Menu(wanted.clone()))
    };
    let schedule = || {
        plan.schedules
            .contains_key(name)
            .then(|| Destination::Schedule(wanted.clone()))
    };
    match kind {
        "" => hunt().or_else(menu).or_else(schedule),
        "hunt" => hunt(),
        "menu" => menu(),
        "schedule" => schedule(),
        "voicemail" if plan.voicemails.contains_key(name) => Some(Destination::Voicemail(wanted)),
        "announcement" if plan.announcements.contains_key(name) => {
            Some(Destination::Announcement(wanted))
        }
        "conference" if plan.conferences.contains_key(name) => {
            Some(Destination::Conference(wanted))
        }
        "operator" if plan.operators.contains_key(name) => Some(Destination::Operator(wanted)),
        _ => None,
    }
}

/// Whether a number that a trunk's 3xx names may be dialled over it: a rule for this trunk has a prefix of it.
pub fn from_redirect(plan: &Plan, trunk: &Name, text: &str) -> (Entry, String) {
    let settings = plan.trunks.get(trunk);
    let country = settings.map_or(plan.server.country, |trunk| trunk.country);
    let Some(number) = E164::read(text, country) else {
        return (Entry::Unknown, text.to_owned());
    };
    let is_allowed = settings.is_some_and(|trunk| trunk.redirect)
        && plan.outbound.values().any(|rule| {
            rule.trunks.contains(trunk)
                && rule
                    .prefixes
                    .iter()
                    .any(|prefix| number.as_str().starts_with(prefix.as_str()))
        });
    let written = number.to_string();
    if !is_allowed {
        let why = format!(
            "the trunk {trunk} sends the call on to {number}: that takes trunks.{trunk}.redirect = true and an [outbound.*] rule for it"
        );
        return (Entry::NotAllowed { why }, written);
    }
    let entry = Entry::Outbound {
        number,
        trunks: vec![trunk.clone()],
        caller_id: None,
    };
    (entry, written)
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
    fn codes_slots_and_destinations() {
        let more = r##"
[operators.clara]
password = "x"
may = ["transfer"]
[hunts.sales]
members = ["anna"]
[features]
slots = "70-72"
"##;
        let plan = plan(&format!("{PLAN}{more}"));
        let dial = |who: &str, what: &str| from_operator(&plan, &who.into(), what).0;
        assert_eq!(dial("boris", "*8"), Entry::PickUp(None));
        assert_eq!(dial("boris", "*8101"), Entry::PickUp(Some("anna".into())));
        assert_eq!(dial("boris", "*8anna"), Entry::PickUp(Some("anna".into())));
        assert_eq!(dial("boris", "*8999"), Entry::Unknown);
        assert_eq!(dial("boris", "*7"), Entry::Slot(None));
        let slot = Entry::Slot(Some("71".to_owned()));
        assert_eq!(dial("boris", "71"), slot);
        assert_eq!(dial("boris", "*771"), slot);
        assert_eq!(dial("boris", "*799"), Entry::Unknown);
        for (code, word) in [("*8", "pick-up"), ("71", "park"), ("*7", "park")] {
            match dial("clara", code) {
                Entry::NotAllowed { why } => assert!(why.contains(word), "{why}"),
                other => panic!("{code}: {other:?}"),
            }
        }
        let sales = Entry::Destination(Destination::Hunt("sales".into()));
        assert_eq!(dial("anna", "sales"), sales);
        assert_eq!(dial("anna", "hunt:sales"), sales);
        assert_eq!(dial("anna", "menu:sales"), Entry::Unknown);
        assert_eq!(dial("anna", "forward:mobile"), Entry::Unknown);
    }

    #[test]
    fn a_trunk_sends_on_only_where_it_may() {
        let redirecting = PLAN.replace("127.0.0.1:5070\"", "127.0.0.1:5070\"\nredirect = true");
        let plan = plan(&redirecting);
        let sent = |trunk: &str, number: &str| from_redirect(&plan, &trunk.into(), number).0;
        assert!(matches!(
            sent("acme", "89161234567"),
            Entry::Outbound { .. }
        ));
        assert!(matches!(
            sent("acme", "+15550100"),
            Entry::NotAllowed { .. }
        ));
        assert!(matches!(
            sent("other", "+79161234567"),
            Entry::NotAllowed { .. }
        ));
        assert_eq!(sent("acme", "nobody"), Entry::Unknown);
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
