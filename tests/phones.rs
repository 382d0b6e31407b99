//! The built-in test phones, `vats dial` and `vats answer`, through the real binary: whole calls, what they print and how they exit.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::{pause, sound};
use serde_json::Value;

const CALLER: &str = "+79160000000";
const CALLER_TONE: f64 = 440.0;
const OPERATOR_TONE: f64 = 1_000.0;

fn plan() -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "")
        + r#"
[trunks.here]
accept = ["127.0.0.1/32"]

[numbers."+74951000001"]
to = "menu:main"

[numbers."+74951000002"]
to = "operator:anna"

[menus.main]
prompt = "prompts/short.wav"
keys = { 1 = "hunt:sales", 5 = "echo" }
timeout = "5s"
attempts = 1

[hunts.sales]
members = ["anna"]
"#
}

fn wav(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    let (mut sides, rate) = sound::read_wav(&bytes);
    assert_eq!((sides.len(), rate), (1, 8_000), "{}", path.display());
    sides.remove(0)
}

/// The tone was heard so long and without a gap, and the other one was not.
fn heard(samples: &[i16], own: f64, other: f64, seconds: f64) {
    let length = sound::seconds_of(samples, own);
    assert!(
        (length - seconds).abs() <= 0.5,
        "{own} Hz for {length} s, not {seconds} s"
    );
    assert!(sound::longest_gap(samples, own) <= 0.04);
    assert_eq!(sound::seconds_of(samples, other), 0.0);
}

fn millis_between(leg: &Value, from: &str, to: &str) -> i64 {
    let at = |field: &str| {
        let text = leg[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field}: {leg}"));
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    at(to) - at(from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call() {
    let pbx = Pbx::start(&plan()).await;
    let folder = pbx.folder();
    phone::tone(folder, "caller.wav", CALLER_TONE);
    phone::tone(folder, "anna.wav", OPERATOR_TONE);
    let options = [
        "--after",
        "1500ms",
        "--play",
        "anna.wav",
        "--record",
        "anna_heard.wav",
        "--once",
    ];
    let anna = Vats::answer(folder, pbx.sip, "anna", &options).await;
    let options = [
        "--keys",
        "1@1s",
        "--play",
        "caller.wav",
        "--record",
        "caller_heard.wav",
        "--for",
        "7s",
    ];
    let caller = Vats::dial(folder, pbx.sip, "+74951000001", &options);
    let (code, said) = caller.ended().await;
    assert_eq!(code, 0, "{said}");
    for line in [
        "answered",
        "key 1",
        "hung up after 7.0 s",
        "recorded caller_heard.wav",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    for line in ["ringing", CALLER, "answered", "the caller hung up"] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let row = pbx.ended_call(CALLER).await;
    let talked = row["talk_ms"].as_f64().unwrap() / 1_000.0;
    assert!((talked - 4.4).abs() <= 0.4, "{row}");
    let operators = |leg: &&Value| leg["operator"] == "anna";
    let legs = row["legs"].as_array().unwrap();
    let leg = legs.iter().find(operators).expect("anna's leg");
    let rang = millis_between(leg, "rung_at", "connected_at");
    assert!((1_450..=1_800).contains(&rang), "--after 1500ms: {rang} ms");
    heard(
        &wav(&folder.join("caller_heard.wav")),
        OPERATOR_TONE,
        CALLER_TONE,
        talked,
    );
    heard(
        &wav(&folder.join("anna_heard.wav")),
        CALLER_TONE,
        OPERATOR_TONE,
        talked,
    );
    let id = row["recording_id"].as_str().expect("a recording");
    let (status, bytes) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    assert_eq!(status, 200);
    let (sides, _) = sound::read_wav(&bytes);
    heard(&sides[0], CALLER_TONE, OPERATOR_TONE, talked);
    heard(&sides[1], OPERATOR_TONE, CALLER_TONE, talked);
    // `--once` has unregistered.
    pbx.wait_for_state("anna", "offline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_hangs_up_and_is_busy_meanwhile() {
    let pbx = Pbx::start(&plan()).await;
    let folder = pbx.folder();
    let options = ["--after", "0s", "--for", "3s"];
    let anna = Vats::answer(folder, pbx.sip, "anna", &options).await;
    let from = ["--from", "sip:+79161111111@127.0.0.1"];
    let first = Vats::dial(folder, pbx.sip, "+74951000002", &from);
    first.says("answered").await;
    let second = Vats::dial(folder, pbx.sip, "+74951000002", &[]);
    let (code, said) = second.ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refused: 486"), "{said}");
    let (code, said) = first.ended().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the far side hung up"), "{said}");
    let row = pbx.ended_call("+79161111111").await;
    assert_eq!(row["ended_by"], "operator", "{row}");
    assert_eq!(pbx.ended_call(CALLER).await["cause"], "all_busy");

    // Without --once the phone waits for the next call; SIGTERM takes it away at once.
    assert!(anna.said().contains("hung up"), "{}", anna.said());
    pbx.wait_for_state("anna", "available").await;
    anna.signal("TERM");
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    pbx.wait_for_state("anna", "offline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_calls_an_operator() {
    let pbx = Pbx::start(&plan()).await;
    let folder = pbx.folder();
    let _anna = Vats::answer(folder, pbx.sip, "anna", &["--after", "0s"]).await;
    let boris = ["--from", "sip:boris@pbx.test", "--for", "1s", "--password"];
    let wrong = Vats::dial(
        folder,
        pbx.sip,
        "101",
        &[&boris[..], &["nonsense"]].concat(),
    );
    let (code, said) = wrong.ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refused: 401"), "{said}");
    assert!(said.contains("the password is wrong"), "{said}");
    let right = Vats::dial(
        folder,
        pbx.sip,
        "101",
        &[&boris[..], &["secret-boris"]].concat(),
    );
    let (code, said) = right.ended().await;
    assert_eq!(code, 0, "{said}");
    let calls = pbx.items("/api/v1/calls").await;
    assert_eq!(calls[0]["direction"], "internal", "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_gives_up_cancels() {
    let pbx = Pbx::start(&plan()).await;
    let folder = pbx.folder();
    let anna = Vats::answer(folder, pbx.sip, "anna", &["--after", "20s"]).await;
    let caller = Vats::dial(folder, pbx.sip, "+74951000002", &[]);
    caller.says("ringing (180)").await;
    caller.signal("INT");
    let began = Instant::now();
    let (code, said) = caller.ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(began.elapsed() < Duration::from_secs(3), "slow to end");
    anna.says("the caller gave up").await;
    let row = pbx.ended_call(CALLER).await;
    assert_eq!(row["cause"], "abandoned_ringing", "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_said() {
    let pbx = Pbx::start(&plan()).await;
    let folder = pbx.folder();
    let unknown = Vats::dial(folder, pbx.sip, "+74959999999", &[]);
    let password = Vats::answer_with(folder, pbx.sip, "anna", "nonsense", &[]);
    let user = Vats::answer_with(folder, pbx.sip, "nobody", "nonsense", &[]);
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let server = Vats::answer_with(folder, nowhere, "anna", "secret-anna", &[]);
    let pbx_gone = Vats::dial(folder, nowhere, "+74951000001", &[]);
    let keys = Vats::dial(folder, pbx.sip, "+74951000001", &["--keys", "x@1s"]);
    let file = Vats::dial(folder, pbx.sip, "+74951000001", &["--play", "none.wav"]);
    let uri = Vats::start(folder, &["dial", "anna"]);
    for (phone, expected) in [
        (unknown, "refused: 404"),
        (password, "the password is wrong"),
        (user, "the password is wrong"),
        (server, "nothing answers SIP over UDP at 127.0.0.1:9"),
        (pbx_gone, "nothing answers SIP over UDP at 127.0.0.1:9"),
        (keys, "no key with a time"),
        (file, "cannot read none.wav"),
        (uri, "write sip:NUMBER@HOST:PORT"),
    ] {
        let (code, said) = phone.ended().await;
        assert_eq!(code, 1, "{expected}: {said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// As an admin meets it: the sample configuration, and the printed lines typed into other terminals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_commands_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sip = crate::support::free_port("127.0.0.1".parse().unwrap());
    let sample = std::fs::read_to_string("config/vats.toml").unwrap();
    let sample = sample
        .replace("127.0.0.1:5060", &format!("127.0.0.1:{sip}"))
        .replace("127.0.0.1:8080", "127.0.0.1:0");
    std::fs::create_dir_all(folder.join("config")).unwrap();
    std::fs::write(folder.join("config/vats.toml"), sample).unwrap();
    let prompts = std::fs::canonicalize("config/prompts").unwrap();
    std::os::unix::fs::symlink(prompts, folder.join("config/prompts")).unwrap();
    let pbx = Vats::start(folder, &["run"]);
    pbx.says("ready").await;
    let said = pbx.said();
    let line = |label: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("{label} {said}"))
            .trim()
            .to_owned()
    };
    let anna = Vats::typed(folder, &format!("{} --after 500ms", line("to answer:")));
    anna.says("registered as anna").await;
    let caller = Vats::typed(folder, &format!("{} --for 6s", line("to call:")));
    let (code, said) = caller.ended().await;
    assert_eq!(code, 0, "{said}");
    anna.says("the caller hung up").await;
    let look = line("to look:");
    let token = look
        .split("Bearer ")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let secrets = std::fs::read_to_string(folder.join("data/secrets.toml")).unwrap();
    assert!(secrets.contains(token));
    let url = look.split_whitespace().last().unwrap();
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = reqwest::Client::new();
    assert_eq!(client.get(url).send().await.unwrap().status(), 401);
    let calls = client.get(url).bearer_auth(token).send().await.unwrap();
    let calls: Value = calls.json().await.unwrap();
    assert_eq!(calls["items"][0]["result"], "answered", "{calls}");
    assert_eq!(calls["items"][0]["hunt"], "sales", "{calls}");

    // A second one by mistake does not start, and says why.
    let (code, said) = Vats::start(folder, &["run"]).ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is another PBX running?"), "{said}");
    assert!(said.contains(&format!("udp://127.0.0.1:{sip}")), "{said}");
    pause(100).await;
    pbx.signal("INT");
    let (code, said) = pbx.ended().await;
    assert_eq!(code, 0, "{said}");
    assert!(
        !said.contains("ERROR") && !said.contains("panicked"),
        "{said}"
    );
}
