//! `vats check` and `vats route` from the outside: each class of problem with its place, its line and its hint, and the ways of calls.

use std::path::Path;
use std::process::{Command, Output};

/// A small plan without a problem.
const PLAN: &str = r##"[server]
sip = ["udp://127.0.0.1:0"]
http = "127.0.0.1:0"
rtp_ports = "20000-20099"
time_zone = "Europe/Moscow"
music = "prompts/music.wav"

[trunks.acme]
peer = "127.0.0.1:5070"
accept = ["127.0.0.0/8"]

[operators.anna]
password = "secret-of-anna"
extension = "101"

[operators.boris]
password = "generate"
extension = "102"
otherwise = "voicemail:sales"

[numbers."+74951000001"]
landing_page = "/sofas"
to = "menu:main"

[numbers."+74951000002"]
to = "schedule:office"
trunk = "acme"

[menus.main]
prompt = "prompts/menu.wav"
keys = { 1 = "hunt:sales", 2 = "forward:mobile", "#" = "hangup" }
otherwise = "hunt:sales"

[hunts.sales]
members = ["anna", "boris", "forward:mobile"]
wait = "20s"
otherwise = "voicemail:sales"

[schedules.office]
open = ["mon-fri 09:00-21:00", "fri 23:00-02:00"]
holidays = ["2026-01-01"]
when_open = "operator:boris"
when_closed = "announcement:closed"

[forwards.mobile]
to = "8 999 000-00-00"
trunk = "acme"

[announcements.closed]
prompt = "prompts/closed.wav"
then = "voicemail:sales"

[voicemails.sales]
prompt = "prompts/leave_message.wav"

[outbound.russia]
prefixes = ["+7"]
trunks = ["acme"]
caller_id = "+74951000001"
allow = ["anna"]

[[test]]
name = "key 1 is sales"
to = "+74951000001"
keys = "1"
expect = "hunt:sales"
"##;

/// A directory with `vats.toml` and the prompts that it names.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "vats.toml", text);
    prompts(directory.path());
    directory
}

fn prompts(directory: &Path) {
    std::fs::create_dir_all(directory.join("prompts")).unwrap();
    for name in [
        "greeting",
        "menu",
        "please_wait",
        "leave_message",
        "closed",
        "all_busy",
        "goodbye",
        "music",
    ] {
        let wav = vats::audio::wav::write_mono(&[0; 800]).unwrap();
        std::fs::write(directory.join(format!("prompts/{name}.wav")), wav).unwrap();
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
    std::fs::write(directory.join(name), text).unwrap();
}

fn vats(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vats"))
        .args(arguments)
        .arg("--config")
        .arg(".")
        .current_dir(directory)
        .output()
        .unwrap()
}

fn check(text: &str) -> (bool, String) {
    let directory = directory(text);
    let output = vats(directory.path(), &["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

/// A part of the plan replaced; `«` in the replacement stands before the place that must be named.
struct Fault {
    part: &'static str,
    by: &'static str,
    says: &'static str,
    hints: &'static str,
}

/// A table of faults: part => replacement, what must be said, what must be hinted.
macro_rules! faults {
    ($($part:expr => $by:expr, $says:expr, $hints:expr;)*) => {
        &[$(Fault { part: $part, by: $by, says: $says, hints: $hints }),*]
    };
}

/// The plan with the fault in it, and the place as `line:column`.
fn broken(fault: &Fault) -> (String, String) {
    assert!(PLAN.contains(fault.part), "{}", fault.part);
    let marked = PLAN.replacen(fault.part, fault.by, 1);
    let before = &marked[..marked.find('«').expect("a mark")];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (marked.replace('«', ""), format!("{line}:{column}"))
}

fn must_say(faults: &[Fault], succeeds: bool) {
    for fault in faults {
        let (text, place) = broken(fault);
        let (success, said) = check(&text);
        assert_eq!(success, succeeds, "{}\n{said}", fault.by);
        assert!(
            said.contains(&format!("vats.toml:{place}\n")),
            "{} at {place}\n{said}",
            fault.by
        );
        for words in [fault.says, fault.hints] {
            assert!(said.contains(words), "{}: {words}\n{said}", fault.by);
        }
        let line: usize = place.split(':').next().unwrap().parse().unwrap();
        let written = text.lines().nth(line - 1).unwrap().trim_end();
        assert!(said.contains(written), "the line {written}\n{said}");
        assert!(said.contains('^'), "a caret\n{said}");
    }
}

#[test]
fn a_plan_without_problems_passes() {
    let (success, said) = check(PLAN);
    assert!(success, "{said}");
    assert_eq!(said, "");
}

#[test]
fn the_sample_passes() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vats"))
        .args(["check", "--config"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"))
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    let made = elsewhere.path().join("data").exists();
    assert!(!made, "check makes no secrets");
}

#[test]
fn syntax_and_shape() {
    must_say(
        faults! {
            "wait = \"20s\"" => "wait = «20s", "20s", "";
            "[hunts.sales]" => "[hunts.sales«", "", "";
            "[hunts.sales]" => "[«hunt.sales]", "`hunt` is no section", "did you mean `hunts`?";
            "[server]" => "«speed = 1\n[server]", "`speed` is no section", "the sections are server";
            "wait = " => "«wiat = ", "`hunts.sales` has no key `wiat`", "did you mean `wait`?";
            "wait = " => "«colour = 1\nwait = ", "has no key `colour`", "its keys are members, strategy";
            "[hunts.sales]" => "[hunts]\n«wait = 1\n[hunts.sales]", "entries of its own", "[hunts.NAME]";
            "[hunts.sales]" => "[hunts.«\"sales team\"]\n[hunts.sales]", "cannot be a name", "letters, digits";
            "[numbers.\"+74951000001\"]\nlanding_page = \"/sofas\"\nto = \"menu:main\"" => "[numbers.«\"+74951000001\"]", "has no `to`", "add to = …: a destination";
            "wait = \"20s\"" => "wait = «20", "takes a duration such as \"20s\"", "write the unit: \"20s\"";
            "wait = \"20s\"" => "wait = «\"20\"", "\"20\" is no duration", "ms, s, m or h";
            "wait = \"20s\"" => "wait = «\"0s\"", "`wait` must be from 1s to 1h", "";
            "[\"anna\"]\n" => "«\"anna\"\n", "takes a list", "write [\"anna\"]";
            "\"secret-of-anna\"" => "«1234", "not an integer", "write it in quotes: \"1234\"";
            "landing_page = \"/sofas\"" => "landing_page = \"/sofas\"\nrecord = «\"no\"", "true or false, not a string", "";
            "otherwise = \"hunt:sales\"" => "attempts = «0\notherwise = \"hunt:sales\"", "`attempts` must be from 1 to 10", "";
            "wait = \"20s\"" => "wait = \"20s\"\n«wait = \"20s\"", "twice", "";
            "\"anna\", \"boris\"" => "\"anna\", «\"anna\"", "named twice", "name it once";
            "landing_page = \"/sofas\"" => "landing_page = «\"\"", "is empty", "";
            "members = [\"anna\", \"boris\", \"forward:mobile\"]" => "«members = []", "`members` is empty", "an operator's name";
        },
        false,
    );
}

#[test]
fn names_and_destinations() {
    must_say(
        faults! {
            "1 = \"hunt:sales\"" => "1 = «\"hunt:sale\"", "there is no [hunts.sale]", "did you mean \"hunt:sales\"?";
            "1 = \"hunt:sales\"" => "1 = «\"hunts:sales\"", "\"hunts:sales\" is no destination", "did you mean \"hunt:sales\"?";
            "1 = \"hunt:sales\"" => "1 = «\"sales\"", "\"sales\" is no destination", "did you mean \"hunt:sales\"?";
            "1 = \"hunt:sales\"" => "1 = «\"nowhere:x\"", "is no destination", "a destination is menu:NAME";
            "1 = \"hunt:sales\"" => "«12 = \"hunt:sales\"", "no key \"12\"", "\"*\" and \"#\"";
            "keys = { 1 = \"hunt:sales\", 2 = \"forward:mobile\", \"#\" = \"hangup\" }" => "«keys = {}", "the menu main has no keys", "or use an announcement";
            "\"anna\", \"boris\"" => "\"anna\", «\"boriz\"", "there is no [operators.boriz]", "did you mean `boris`?";
            "\"boris\", \"forward:mobile\"" => "\"boris\", «\"mobile\"", "there is no [operators.mobile]", "did you mean \"forward:mobile\"?";
            "\"boris\", \"forward:mobile\"" => "\"boris\", «\"menu:main\"", "cannot be rung", "forward:NAME";
            "trunk = \"acme\"" => "trunk = «\"acne\"", "there is no [trunks.acne]", "did you mean `acme`?";
            "extension = \"102\"" => "extension = «\"101\"", "the extension 101 is given twice", "first given";
            "extension = \"102\"" => "extension = «\"10x\"", "is no extension", "one to six digits";
            "\"+74951000002\"" => "«\"8 495 100-00-01\"", "+74951000001 is defined twice", "first defined";
            "\"+74951000002\"" => "«\"office\"", "\"office\" is no telephone number", "E.164";
            "prompt = \"prompts/closed.wav\"" => "prompt = «\"prompts/open.wav\"", "\"prompts/open.wav\" cannot be played", "relative to the configuration directory";
            "otherwise = \"voicemail:sales\"\n\n[sch" => "otherwise = «3\n\n[sch", "takes a destination such as", "";
        },
        false,
    );
}

#[test]
fn values() {
    must_say(
        faults! {
            "\"20000-20099\"" => "«\"20000\"", "no range of ports", "20000-29999";
            "\"20000-20099\"" => "«\"20099-20000\"", "below the first", "did you mean \"20000-20099\"?";
            "\"20000-20099\"" => "«\"20000-20100\"", "in pairs", "\"20000-20101\"";
            "\"20000-20099\"" => "«\"80-99\"", "below 1024", "";
            "\"udp://127.0.0.1:0\"" => "«\"127.0.0.1:5060\"", "is no listener", "udp://127.0.0.1:5060";
            "\"udp://127.0.0.1:0\"" => "«\"sctp://127.0.0.1:0\"", "no transport of SIP", "tcp://";
            "[\"udp://127.0.0.1:0\"]" => "«[\"wss://127.0.0.1:0\"]", "needs a certificate", "tls = {";
            "[server]" => "[server]\ntls = { certificate = «\"nothing.pem\", key = \"nothing.key\" }", "nothing.pem", "PEM files";
            "\"Europe/Moscow\"" => "«\"Europe/Moskva\"", "is no time zone", "IANA";
            "[server]" => "[server]\ncountry = «\"Russia\"", "is no country", "two letters";
            "\"127.0.0.0/8\"" => "«\"127.0.0.1/8\"", "bits behind", "did you mean \"127.0.0.0/8\"?";
            "peer = \"127.0.0.1:5070\"" => "peer = «\"sip:host\"", "no host and port", "sip.provider.example:5060";
            "peer = \"127.0.0.1:5070\"" => "peer = «\"ws://a\"", "leads to no provider", "udp://, tcp:// or tls://";
            "[trunks.acme]\npeer = \"127.0.0.1:5070\"" => "[trunks.acme]\n«peer = \"127.0.0.1:5070\"\npeers = [\"a.example\"]", "both `peer` and `peers`", "in `peers`";
            "[trunks.acme]\npeer = \"127.0.0.1:5070\"" => "[trunks.acme]\npeers = [\"a.example\", \"b.example\"]\nweights = «[1]", "1 weights for 2 peers", "one for each";
            "[trunks.acme]" => "[trunks.acme]\nidentity = «[\"p-asserted-identity\"]", "there is none", "add \"from\"";
            "[trunks.acme]" => "[trunks.acme]\nnumber_format = «\"nationl\"", "takes \"international\"", "did you mean \"national\"?";
            "[trunks.acme]" => "[trunks.acme]\ndiversion = [«\"divert\"]", "not \"divert\"", "\"history-info\"";
            "[trunks.acme]" => "[trunks.acme]\noptions = «\"1s\"", "must be from 5s", "";
            "[server]" => "[server]\nmedia_io = «\"iouring\"", "takes \"auto\" or \"epoll\" or \"io_uring\"", "did you mean \"io_uring\"?";
            "[trunks.acme]" => "[trunks.acme]\nsrtp = «\"always\"", "takes \"off\" or \"offered\" or \"required\"", "";
            "extension = \"101\"" => "extension = \"101\"\nsrtp = «\"offer\"", "takes \"off\" or \"offered\" or \"required\"", "";
            "[server]" => "[server]\ndns = [«\"dns.example\"]", "no name server", "127.0.0.1:5353";
            "\"secret-of-anna\"" => "«\"env:VATS_NOT_SET\"", "VATS_NOT_SET is not set", "in its environment";
            "\"mon-fri 09:00-21:00\"" => "«\"mon-fre 09:00-21:00\"", "\"fre\" is no day", "mon-fri 09:00-21:00";
            "\"mon-fri 09:00-21:00\"" => "«\"mon-fri 9-21\"", "no time of day", "";
            "\"2026-01-01\"" => "«\"2026-02-30\"", "is no date", "";
            "\"8 999 000-00-00\"" => "«\"101\"", "is no telephone number", "E.164";
            "prefixes = [\"+7\"]" => "prefixes = [«\"8\"]", "does not begin with +", "international form";
            "[outbound.russia]" => "[webhooks.crm]\nurl = «\"crm.example\"\nsecret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZg==\"\nevents = [\"call.missed\"]\n[outbound.russia]", "is no URL", "https://";
            "[outbound.russia]" => "[webhooks.crm]\nurl = \"http://crm.example:8080/vats\"\nsecret = «\"abc\"\nevents = [\"call.missed\"]\n[outbound.russia]", "begins with whsec_", "head -c 32";
            "[outbound.russia]" => "[webhooks.crm]\nurl = \"http://[::1]:8080/vats\"\nsecret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZg==\"\nevents = [«\"call.mised\"]\n[outbound.russia]", "no event \"call.mised\"", "did you mean \"call.missed\"?";
            "keys = \"1\"" => "keys = «\"1a\"", "no key \"a\"", "let a menu time out";
            "keys = \"1\"" => "keys = \"1\"\nat = «\"yesterday\"", "is no local time", "2026-03-08T23:00";
        },
        false,
    );
}

#[test]
fn what_later_versions_bring_is_refused() {
    let later = "not available in this version";
    must_say(
        faults! {
            "[server]" => "[server]\n«watch = true", later, "SIGHUP";
            "[server]" => "[server]\ndatabase = «\"postgres://db/vats\"", later, "sqlite://";
            "[trunks.acme]" => "[trunks.acme]\ncodecs = [«\"g729\"]", later, "\"g722\" or \"opus\"";
            "[menus.main]" => "[«pools.sofas]\nlease = \"5m\"\n[menus.main]", later, "";
            "[menus.main]" => "[menus.main]\n«say = \"Hello\"", later, "prompt";
            "[voicemails.sales]" => "[voicemails.sales]\n«say = \"Hello\"", later, "prompt";
            "wait = \"20s\"" => "strategy = «\"longest-idle\"", later, "\"ring-all\" or \"linear\"";
            "1 = \"hunt:sales\"" => "1 = «\"callback:x\"", later, "";
        },
        false,
    );
}

#[test]
fn what_only_the_whole_plan_shows() {
    must_say(
        faults! {
            "[operators.boris]\npassword = \"generate\"\nextension = \"102\"\notherwise = \"voicemail:sales\"" => "[operators.«boris]\npassword = \"generate\"\notherwise = \"schedule:office\"", "circle without end", "operator:boris";
            "[forwards.mobile]" => "[trunks.mute]\naccept = [\"192.0.2.1\"]\n[forwards.«away]\nto = \"+79990000001\"\ntrunk = \"mute\"\n[forwards.mobile]", "has no peer", "add peer";
            "[trunks.acme]" => "[trunks.«none]\n[trunks.acme]", "has no address", "add peer";
            "[trunks.acme]\npeer = \"127.0.0.1:5070\"" => "[trunks.other]\npeer = \"127.0.0.1:5070\"\n[trunks.acme]\npeer = «\"127.0.0.1:5070\"", "the same peer", "give both a register";
            "expect = \"hunt:sales\"" => "expect = «\"hangup\"", "expects hangup and reaches hunt:sales", "key 1 goes to hunt:sales";
        },
        false,
    );
}

#[test]
fn warnings_do_not_fail() {
    must_say(
        faults! {
            "[hunts.sales]" => "[hunts.«more]\nmembers = [\"anna\"]\nwait = \"15s\"\notherwise = \"hunt:sales\"\n[hunts.sales]", "can wait 35s in hunt:more and hunt:sales", "give up after 20s";
            "caller_id = \"+74951000001\"" => "caller_id = «\"+74957000000\"", "none of [numbers.*]", "numbers of your own";
            "[trunks.acme]" => "[trunks.acme]\nsrtp = «\"offered\"", "travel readable", "tls://sip.provider.example";
            "http = \"127.0.0.1:0\"" => "http = «\"0.0.0.0:0\"", "only this machine", "api_token";
        },
        true,
    );
}

#[test]
fn all_problems_come_at_once() {
    let text = PLAN
        .replace("wait = \"20s\"", "wait = 20")
        .replace("1 = \"hunt:sales\"", "1 = \"hunt:sale\"")
        .replace("extension = \"102\"", "extension = \"101\"");
    let (success, said) = check(&text);
    assert!(!success);
    assert_eq!(said.matches("error: ").count(), 3, "{said}");
    assert!(said.contains("3 errors"));
}

#[test]
fn a_name_in_two_files_names_both_places() {
    let directory = directory(PLAN);
    write(
        directory.path(),
        "conf.d/more.toml",
        "[hunts.support]\nmembers = [\"boris\"]\n\n[hunts.sales]\nmembers = [\"anna\"]\n\n[server]\nsip = []\n",
    );
    let output = vats(directory.path(), &["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("`hunts.sales` is defined twice"), "{said}");
    assert!(said.contains("conf.d/more.toml:4:8"), "{said}");
    assert!(
        said.contains("vats.toml:34:8") && said.contains("first defined"),
        "{said}"
    );
    assert!(said.contains("`server.sip` is defined twice"), "{said}");
}

#[test]
fn a_name_twice_in_one_file_names_both_places() {
    let (success, said) = check(&format!("{PLAN}\n[hunts.sales]\nmembers = [\"anna\"]\n"));
    assert!(!success);
    assert!(said.contains("`sales` is defined twice"), "{said}");
    assert!(
        said.contains("vats.toml:68:8") && said.contains("first defined"),
        "{said}"
    );
}

#[test]
fn files_are_merged() {
    let directory = directory(&PLAN.replace(
        "[voicemails.sales]\nprompt = \"prompts/leave_message.wav\"\n",
        "",
    ));
    write(
        directory.path(),
        "conf.d/voicemail.toml",
        "[voicemails.sales]\nprompt = \"prompts/leave_message.wav\"\n[[test]]\nname = \"two files\"\nto = \"+74951000002\"\nat = 2026-03-08T12:00:00\nexpect = \"voicemail:sales\"\n",
    );
    let output = vats(directory.path(), &["check"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 tests passed"));
}

#[test]
fn a_missing_directory_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let empty = vats(directory.path(), &["check"]);
    assert!(!empty.status.success());
    assert!(String::from_utf8_lossy(&empty.stderr).contains("no *.toml file"));
    let output = Command::new(env!("CARGO_BIN_EXE_vats"))
        .args(["check", "--config", "/nowhere/at/all"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all cannot be read"));
}

fn route(arguments: &[&str]) -> (bool, String) {
    let directory = directory(PLAN);
    let arguments: Vec<&str> = ["route"].iter().chain(arguments).copied().collect();
    let output = vats(directory.path(), &arguments);
    let mut said = String::from_utf8(output.stdout).unwrap();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn routes() {
    let at = "2026-03-09T10:00";
    for (arguments, end) in [
        (
            &["--to", "84951000001", "--keys", "1"][..],
            "hunt:sales: a person answers",
        ),
        (
            &["--to", "+74951000001", "--keys", "2"],
            "forward:mobile: the outside number answers",
        ),
        (
            &[
                "--to",
                "+74951000001",
                "--keys",
                "2",
                "--busy",
                "forward:mobile",
            ],
            "hangup: the call is ended",
        ),
        (
            &["--to", "+74951000001", "--keys", "-5"],
            "hunt:sales: a person",
        ),
        (
            &["--to", "+74951000001", "--keys", "#"],
            "hangup: the call is ended",
        ),
        (
            &[
                "--to",
                "+74951000001",
                "--busy",
                "anna,boris",
                "--offline",
                "forward:mobile",
            ],
            "voicemail:sales: the caller leaves a message, 30.2 s after",
        ),
        (
            &["--to", "+74951000002", "--at", at],
            "operator:boris: a person answers",
        ),
        (
            &["--to", "+74951000002", "--at", at, "--offline", "boris"],
            "voicemail:sales: the caller",
        ),
        (
            &["--to", "+74951000002", "--at", "2026-03-07T01:59"],
            "operator:boris",
        ),
        (
            &["--to", "+74951000002", "--at", "2026-03-07T02:00"],
            "voicemail:sales",
        ),
        (
            &["--to", "102", "--from", "anna"],
            "operator:boris: a person",
        ),
        (
            &["--to", "boris", "--from", "anna", "--busy", "boris"],
            "voicemail:sales",
        ),
        (
            &["--to", "echo", "--from", "anna"],
            "echo: the caller hears himself",
        ),
        (
            &["--to", "84932000000", "--from", "anna"],
            "+74932000000: dialled outside",
        ),
        (
            &["--to", "84951000001", "--from", "anna", "--keys", "1"],
            "hunt:sales",
        ),
    ] {
        let (success, said) = route(arguments);
        assert!(success, "{arguments:?}\n{said}");
        assert!(
            said.contains(&format!("ends at {end}")),
            "{arguments:?}\n{said}"
        );
    }
}

#[test]
fn routes_that_lead_nowhere() {
    for (arguments, end) in [
        (&["--to", "+74959999999"][..], "ends at unknown"),
        (&["--to", "102"], "102 is no telephone number"),
        (
            &["--to", "*72", "--from", "anna"],
            "no code of this version",
        ),
        (
            &["--to", "84932000000", "--from", "boris"],
            "add boris to the allow of [outbound.russia]",
        ),
        (
            &["--to", "+4930123456", "--from", "anna"],
            "No [outbound.*] rule has a prefix of +4930123456",
        ),
        (
            &["--to", "+74951000001", "--busy", "anne"],
            "there is no operator anne",
        ),
        (&["--to", "+74951000001", "--keys", "x"], "no key \"x\""),
        (
            &["--to", "+74951000001", "--at", "noon"],
            "noon is no local time",
        ),
    ] {
        let (success, said) = route(arguments);
        assert!(!success, "{arguments:?}\n{said}");
        assert!(said.contains(end), "{arguments:?}\n{said}");
    }
}
