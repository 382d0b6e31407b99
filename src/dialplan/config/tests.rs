//! The checker against texts: what a plan comes to, and that no text makes it panic. `tests/check.rs` has each class of problem with its place.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dialplan::graph;
use crate::dialplan::plan::{
    AnswerPolicy, CodecName, Destination, Features, May, Member, NumberFrom, Strategy,
};
use crate::sdp::crypto::Policy;
use crate::sdp::crypto::Policy;

/// Every prompt exists, and every variable and secret.
struct Everything;

impl Edge for Everything {
    fn clip(&self, path: &str) -> Result<Arc<Clip>, String> {
        Ok(Clip::from_samples(path, &[0; 80]))
    }
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "CRM_SECRET" => Some("whsec_MDEyMzQ1Njc4OWFiY2RlZg==".into()),
            _ => Some(format!("value of {name}")),
        }
    }
    fn secret(&self, key: &str) -> Option<String> {
        Some(format!("made for {key}"))
    }
    fn host_name(&self) -> Option<String> {
        Some("PBX.example".into())
    }
    fn time_zone(&self, name: &str) -> Option<jiff::tz::TimeZone> {
        jiff::tz::TimeZone::get(name).ok()
    }
}

fn examine_text(text: &str) -> Checked {
    let source = SourceFile {
        path: "vats.toml".into(),
        text: text.into(),
    };
    examine(&[source], &Everything, 7)
}

/// The plan that a text comes to, with silent prompts.
pub(crate) fn plan(text: &str) -> Plan {
    let checked = examine_text(text);
    let problems: Vec<String> = checked.problems.iter().map(Problem::to_string).collect();
    checked
        .plan
        .unwrap_or_else(|| panic!("{}", problems.join("\n")))
}

const SAMPLE: &str = include_str!("../../../config/vats.toml");

/// The keys of DESIGN.md section 4 that this version has.
const CONTRACT: &str = r##"
[server]
sip = ["udp://0.0.0.0:5060", "udp://[::]:5060"]
domain = "PBX.shop.example"
rtp_ports = "20000-29999"
public_address = "203.0.113.7"
local_networks = ["10.0.0.0/8", "192.168.0.0/16"]
http = "127.0.0.1:8080"
api_token = "env:TOKEN"
database = "sqlite://data/vats.db"
drain = "60s"
time_zone = "Europe/Moscow"
country = "RU"
music = "prompts/music.wav"
max_call = "4h"
[recordings]
path = "recordings"
format = "wav"
[trunks.acme]
peer = "sip.acme.example:5060"
accept = ["203.0.113.0/24", "198.51.100.1"]
register = { user = "74950000000", password = "env:ACME_PASSWORD", expires = "5m" }
number_from = "to"
caller_id = "caller"
codecs = ["pcmu"]
timeout = "3s"
max_calls = 100
country = "DE"
[operators.anna]
name = "Anna"
password = "generate"
extension = "101"
contact = "sip:anna@192.0.2.10:5060"
ring = "20s"
otherwise = "voicemail:sales"
wrap_up = "10s"
auth = "md5"
[numbers."8 495 100-00-01"]
landing_page = "/sofas"
to = "menu:main"
trunk = "acme"
answer = "when a person answers"
record = false
[menus.main]
prompt = "prompts/greeting.wav"
keys = { 1 = "hunt:sales", 0 = "operator:anna", "*" = "echo" }
timeout = "5s"
attempts = 3
otherwise = "hunt:sales"
[hunts.sales]
members = ["anna", "forward:mobile"]
strategy = "linear"
ring = "10s"
wait = "20s"
music = "prompts/music.wav"
when_nobody = "voicemail:sales"
otherwise = "voicemail:sales"
[schedules.office]
open = ["mon-fri 09:00-21:00", "sat 10:00-18:00"]
holidays = ["2026-01-01"]
when_open = "menu:main"
when_closed = "voicemail:sales"
[forwards.mobile]
to = "+79990000000"
trunk = "acme"
ring = "25s"
otherwise = "voicemail:sales"
[announcements.closed]
prompt = "prompts/closed.wav"
[voicemails.sales]
prompt = "prompts/leave_message.wav"
max = "2m"
[outbound.russia]
prefixes = ["+7"]
trunks = ["acme"]
caller_id = "+74951000001"
allow = ["anna"]
[webhooks.crm]
url = "https://crm.shop.example/vats"
secret = "env:CRM_SECRET"
events = ["call.missed", "call.ended", "recording.ready"]
[[test]]
name = "Sunday night goes to voicemail"
to = "+74951000001"
at = "2026-03-08T23:00"
keys = "1-"
expect = "voicemail:sales"
"##;

#[test]
fn the_contract_becomes_a_plan() {
    let plan = plan(CONTRACT);
    assert_eq!(plan.version, 7);
    assert_eq!(plan.server.domain, "pbx.shop.example");
    assert_eq!(plan.server.rtp_ports, 20000..=29999);
    assert_eq!(plan.server.sip.len(), 2);
    assert_eq!(plan.server.api_tokens, ["value of TOKEN"]);
    assert_eq!(plan.server.max_call, Duration::from_secs(4 * 3600));
    assert!(plan.server.ringback.duration_ms() >= 2_000);
    let trunk = &plan.trunks["acme"];
    let peer = trunk.peer.as_ref().unwrap();
    assert_eq!((peer.host.as_str(), peer.port), ("sip.acme.example", 5060));
    assert_eq!(trunk.number_from, NumberFrom::To);
    assert_eq!(trunk.codecs, [CodecName::Pcmu]);
    assert_eq!(trunk.country.as_str(), "DE");
    assert_eq!(
        trunk.register.as_ref().unwrap().password.0,
        "value of ACME_PASSWORD"
    );
    let anna = &plan.operators["anna"];
    assert!(anna.md5_only);
    assert_eq!(anna.password.0, "made for operators.anna.password");
    assert_eq!(plan.extensions["101"].as_str(), "anna");
    let number = &plan.numbers["+74951000001"];
    assert_eq!(number.answer, AnswerPolicy::WhenAPersonAnswers);
    assert!(!number.record);
    let menu = &plan.menus["main"];
    assert_eq!(menu.keys[&'*'], Destination::Echo);
    assert_eq!(menu.attempts, 3);
    let hunt = &plan.hunts["sales"];
    assert_eq!(hunt.strategy, Strategy::Linear);
    assert_eq!(hunt.members[1], Member::Forward("mobile".into()));
    assert_eq!(plan.announcements["closed"].then, Destination::Hangup);
    assert_eq!(plan.webhooks["crm"].secret.0, b"0123456789abcdef");
    let line = CONTRACT
        .lines()
        .position(|line| line.contains("Sunday night"));
    assert_eq!(
        plan.tests[0].place,
        format!("vats.toml:{}", line.unwrap() + 1)
    );
}

#[test]
fn security_and_limits_are_read() {
    let plan = plan(
        r#"
[server]
max_calls = 500
[security]
allow = ["192.0.2.0/24", "198.51.100.7"]
failures = 5
ban = "2h"
[trunks.acme]
peer = "192.0.2.9"
[operators.anna]
password = "x"
outbound = { calls = 2, minutes_per_day = 90 }
[operators.boris]
password = "x"
[outbound.russia]
prefixes = ["+7"]
trunks = ["acme"]
allow = ["anna"]
max_calls = 7
"#,
    );
    assert_eq!(plan.server.max_calls, Some(500));
    let security = &plan.security;
    assert_eq!((security.allow.len(), security.failures), (2, 5));
    assert_eq!(
        (security.requests, security.ban),
        (100, Duration::from_secs(7_200))
    );
    assert_eq!(security.window, Duration::from_secs(600));
    let anna = plan.operators["anna"].outbound;
    assert_eq!((anna.calls, anna.minutes_per_day), (Some(2), Some(90)));
    assert_eq!(plan.operators["boris"].outbound.calls, None);
    assert_eq!(plan.outbound["russia"].max_calls, Some(7));
    let plain = self::plan("");
    assert_eq!(plain.security, crate::dialplan::plan::Security::default());
}

#[test]
fn the_sample_has_no_problem() {
    let checked = examine_text(SAMPLE);
    assert_eq!(checked.problems, []);
    assert_eq!(
        checked.expectations.len(),
        checked.plan.unwrap().tests.len()
    );
}

#[test]
fn an_empty_configuration_is_a_plan_of_defaults() {
    let plan = plan("");
    assert_eq!(plan.server.domain, "pbx.example");
    assert_eq!(plan.server.sip.len(), 1);
    assert_eq!(plan.server.sip[0].to_string(), "udp://0.0.0.0:5060");
    assert_eq!(plan.server.country.as_str(), "RU");
    assert!(plan.server.api_tokens.is_empty() && plan.server.music.is_none());
}

#[test]
fn media_is_encrypted_where_it_is_said_and_readable_keys_are_warned_of() {
    let trunk = |peer: &str, srtp: &str| {
        let text = format!("[trunks.acme]\npeer = \"{peer}\"\nsrtp = \"{srtp}\"\n");
        let checked = examine_text(&text);
        let messages: Vec<String> = checked.problems.into_iter().map(|p| p.message).collect();
        messages.join("; ")
    };
    assert_eq!(trunk("sip.acme.example", "off"), "");
    assert_eq!(trunk("tls://sip.acme.example", "required"), "");
    for srtp in ["offered", "required"] {
        let said = trunk("udp://sip.acme.example", srtp);
        assert!(said.contains("travel readable"), "{said}");
    }
    assert!(trunk("sip.acme.example", "always").contains("srtp"));
    let plan =
        plan("[trunks.acme]\naccept = [\"192.0.2.1\"]\n[operators.anna]\npassword = \"x\"\n");
    assert_eq!(plan.trunks["acme"].srtp, Policy::Off);
    assert_eq!(plan.operators["anna"].srtp, Policy::Offered);
    assert!(!plan.trunks["acme"].is_private());
}

#[test]
fn session_intervals_have_defaults_and_fit_each_other() {
    let plan = plan(
        "[trunks.acme]\naccept = [\"192.0.2.1\"]\nsession_expires = \"0s\"\nreliable = true\n[operators.anna]\npassword = \"x\"\n",
    );
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(plan.server.session_expires, minutes(30));
    assert_eq!(plan.server.min_session_expires, Duration::from_secs(90));
    let trunk = &plan.trunks["acme"];
    assert_eq!(trunk.session_expires, Some(Duration::ZERO));
    assert!(trunk.reliable);
    assert_eq!(plan.operators["anna"].session_expires, None);
    for (text, said) in [
        ("session_expires = \"60s\"", "below"),
        ("session_expires = \"1s\"", "2s at least"),
        ("min_session_expires = \"1h\"", "below"),
        ("min_session_expires = \"10s\"", "RFC 4028"),
    ] {
        let checked = examine_text(&format!("[server]\n{text}\n"));
        assert_eq!(checked.problems.len(), 1, "{text}");
        let message = &checked.problems[0].message;
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn the_database_is_found_before_the_check() {
    let source = |text: &str| SourceFile {
        path: "a.toml".into(),
        text: text.into(),
    };
    assert_eq!(
        database(&[source("[server]\ndatabase = \"sqlite://x/y.db\"")]),
        "sqlite://x/y.db"
    );
    assert_eq!(database(&[source("[server")]), "sqlite://data/vats.db");
    assert_eq!(database(&[]), "sqlite://data/vats.db");
}

#[test]
fn circles_with_a_wait_are_no_fault() {
    let text = "[announcements.a]\nprompt = \"x.wav\"\nthen = \"hunt:a\"\n[operators.anna]\npassword = \"x\"\n[hunts.a]\nmembers = [\"anna\"]\notherwise = \"announcement:a\"\n";
    let plan = plan(text);
    assert!(graph::circles(&plan).is_empty());
    let wait = graph::longest_wait(&plan, &Destination::Hunt("a".into())).0;
    assert_eq!(wait, Duration::from_secs(20));
}

#[test]
fn deep_chains_do_not_overflow_the_stack() {
    let mut text = String::new();
    for number in 0..5_000 {
        text.push_str(&format!(
            "[schedules.s{number}]\nopen = [\"mon 09:00-10:00\"]\nwhen_open = \"schedule:s{0}\"\nwhen_closed = \"schedule:s{0}\"\n",
            number + 1
        ));
    }
    text.push_str("[schedules.s5000]\nopen = [\"mon 09:00-10:00\"]\nwhen_open = \"hangup\"\nwhen_closed = \"schedule:s0\"\n");
    let checked = examine_text(&text);
    assert_eq!(checked.problems.len(), 1);
    assert!(checked.problems[0].message.contains("circle"));
}

#[test]
fn nesting_without_end_is_an_error() {
    let brackets = format!("a = {}", "[".repeat(100_000));
    let dots = format!("a{} = 1", ".a".repeat(100_000));
    let tables = "[a.b]\n".repeat(1_000);
    for text in [brackets, dots, tables] {
        assert!(examine_text(&text).plan.is_none());
    }
}

/// A part of one text put into another, or characters taken out or put in.
fn mutate(text: &str, edits: &[(u32, u32, u8, String)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, length, how, insert) in edits {
        let at = *at as usize % (characters.len() + 1);
        let end = (at + *length as usize % 40).min(characters.len());
        match how % 4 {
            0 => drop(characters.drain(at..end)),
            1 => drop(characters.splice(at..at, insert.chars())),
            2 => {
                let copy: Vec<char> = characters[at..end].to_vec();
                let to = (at * 7919) % (characters.len() + 1);
                drop(characters.splice(to..to, copy));
            }
            _ => drop(characters.splice(at..end, insert.chars())),
        }
    }
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(
        sample in any::<bool>(),
        edits in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u8>(), "[\\[\\]\"'{}=.,#a-z0-9\\n \\\\+é]{0,6}"), 1..6),
    ) {
        let text = mutate(if sample { SAMPLE } else { CONTRACT }, &edits);
        let checked = examine_text(&text);
        prop_assert_eq!(checked.plan.is_some(), checked.problems.iter().all(|problem| problem.severity == Severity::Warning));
        for problem in &checked.problems {
            prop_assert!(!problem.message.contains("a fault of vats"));
            if let Some(place) = &problem.place {
                prop_assert!(text.get(place.span.clone()).is_some());
            }
        }
    }
}

#[test]
fn features_and_what_operators_may() {
    let plan = plan(
        r##"
[trunks.acme]
peer = "127.0.0.1:5070"
transfer = true
[operators.anna]
password = "x"
may = ["transfer"]
[operators.boris]
password = "x"
[voicemails.sales]
prompt = "prompts/a.wav"
lamp = ["anna"]
[features]
pick_up = "*20"
slots = "71-73"
park_timeout = "2m"
"##,
    );
    assert_eq!(plan.features.pick_up, "*20");
    assert_eq!(plan.features.park, "*7");
    assert_eq!(plan.features.slots, ["71", "72", "73"]);
    assert_eq!(plan.features.park_timeout, Duration::from_secs(120));
    let anna = plan.operators["anna"].may;
    assert!(anna.transfer && !anna.pick_up && !anna.park);
    assert_eq!(plan.operators["boris"].may, May::ALL);
    assert!(plan.trunks["acme"].transfer && !plan.trunks["acme"].redirect);
    assert_eq!(plan.voicemails["sales"].lamp, ["anna".into()]);
    assert_eq!(self::plan("").features, Features::default());
    for (text, said) in [
        ("[features]\npick_up = \"8\"", "no code"),
        ("[features]\npark = \"*81\"", "cannot be told apart"),
        ("[features]\nslots = \"1-999\"", "no range of slots"),
        (
            "[operators.anna]\npassword = \"x\"\nmay = [\"fly\"]",
            "nothing that an operator may",
        ),
    ] {
        let problems = examine_text(text).problems;
        let is_said = problems.iter().any(|one| one.to_string().contains(said));
        assert!(is_said, "{text}: {problems:?}");
    }
}
