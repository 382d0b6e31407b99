//! Two PBXs as each other's trunk: one registers at the other, and a call crosses both with sound, hold, transfers of every kind, session refresh
//! and an end.

use std::path::Path;
use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::certificates::Authority;
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{self, Phone};
use crate::support::sipp::{Run, Sipp};
use crate::support::softphone::Softphone;
use crate::support::sound::{self, Law};
use crate::support::{PHONES, eventually, pause};

const LIMIT: Duration = Duration::from_secs(20);
/// Numbers of the second PBX: boris's and clara's.
const THERE: &str = "+74952000001";
/// What the town shows over its trunk: anna's number.
const HERE: &str = "+74951000001";
/// Dora's number, in the town.
const DORA: &str = "+74951000002";
const ANNA_TONE: f64 = 440.0;
const BORIS_TONE: f64 = 1_000.0;
/// Clara in the shop, or dora in the town: whoever takes the call in the end.
const LAST_TONE: f64 = 1_500.0;
/// What the town's held parties hear; the shop's hear `prompts/long.wav`.
const TOWN_MUSIC: f64 = 700.0;
const SHOP_MUSIC: f64 = 300.0;

/// `[server]` with a TLS listener beside UDP, and the authority that both trust.
fn server(tls: Option<&Authority>) -> String {
    let plain = pbx::server();
    let Some(authority) = tls else { return plain };
    let (certificate, key) = authority.sign("pbx", &["127.0.0.1"]);
    let udp = plain.lines().find(|line| line.starts_with("sip = "));
    let udp = udp.expect("a listener").to_owned();
    let both = format!(
        "{}, \"tls://127.0.0.1:0\"]\ntls = {{ certificate = \"{}\", key = \"{}\", ca = \"{}\" }}",
        udp.trim_end_matches(']'),
        certificate.display(),
        key.display(),
        authority.file.display()
    );
    plain.replacen(&udp, &both, 1)
}

/// The town office, with the operators anna and dora, who may dial out over the trunk to the shop; it registers there as `town`.
fn town(server: &str, shop: &str) -> String {
    server.to_owned()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("dora", "extension = \"102\"")
        + &format!(
            r#"
[trunks.shop]
peer = "{shop}"
register = {{ user = "town", password = "secret-town", expires = "60s" }}
options = "5s"

[numbers."{HERE}"]
to = "operator:anna"
[numbers."{DORA}"]
to = "operator:dora"

[outbound.russia]
prefixes = ["+7"]
trunks = ["shop"]
caller_id = "{HERE}"
allow = ["anna", "dora"]
"#
        )
}

/// The shop, with boris, clara and the account of the town.
fn shop(server: &str) -> String {
    server.to_owned()
        + &pbx::operator("boris", "extension = \"101\"")
        + &pbx::operator("clara", "extension = \"102\"")
        + &pbx::operator("town", "")
        + &format!("\n[numbers.\"{THERE}\"]\nlanding_page = \"/sofas\"\nto = \"operator:boris\"\n")
}

/// What the shop learns when the town's address is known: boris may dial there.
fn town_of_the_shop(peer: &str) -> String {
    format!(
        r#"
[trunks.town]
peer = "{peer}"
[outbound.town]
prefixes = ["+7495100"]
trunks = ["town"]
caller_id = "{THERE}"
allow = ["boris"]
"#
    )
}

struct Both {
    town: Pbx,
    shop: Pbx,
}

/// Starts both, their trunks by `transport`.
async fn start(transport: &str) -> Both {
    start_with(transport, "").await
}

/// As `start`, with these lines in both `[server]`s; the shop learns the town's address by a reload.
async fn start_with(transport: &str, lines: &str) -> Both {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let tls = (transport == "tls").then_some(&authority);
    let tune = folder.path().join("town.wav");
    sound::write_tone(&tune, TOWN_MUSIC, 3.0);
    let server = |music: &Path| {
        let more = format!("[server]\nmusic = \"{}\"\n{lines}", music.display());
        server(tls).replacen("[server]", &more, 1)
    };
    let plan = shop(&server(Path::new("prompts/long.wav")));
    let shop = Pbx::start(&plan).await;
    let peer = |pbx: &Pbx| format!("{transport}://{}", pbx.over(transport));
    let town = Pbx::start(&town(&server(&tune), &peer(&shop))).await;
    let (status, answer) = shop.reload(&(plan + &town_of_the_shop(&peer(&town)))).await;
    assert_eq!(status, 200, "{answer}");
    eventually(LIMIT, "the town is registered at the shop", || async {
        let trunks = town.items("/api/v1/trunks").await;
        let found = trunks.iter().find(|trunk| trunk["trunk"] == "shop")?;
        let up = found["peers"][0]["state"] == "up" && found["peers"][0]["transport"] == transport;
        (found["state"] == "registered" && up).then_some(())
    })
    .await;
    Both { town, shop }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_crosses_both() {
    let Both { town, shop } = start("udp").await;
    cross(&town, &shop).await;
}

/// All signalling between them by TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_crosses_both_by_tls() {
    let Both { town, shop } = start("tls").await;
    cross(&town, &shop).await;
}

async fn cross(town: &Pbx, shop: &Pbx) {
    let phones = shop.items("/api/v1/operators").await;
    let registered = phones.iter().find(|one| one["operator"] == "town").unwrap();
    let contact = registered["phones"][0].as_str().unwrap();
    assert!(contact.contains("@127.0.0.1:"), "{contact}");
    let near = RtpPeer::open(PHONES, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::A).await;
    let answer = Phone::Answer(200, far.place(), Law::A);
    let mut boris = Sipp::phone(shop.sip, "boris", &answer, 1).await;
    let xml = scenario::operator_dials("anna", THERE, near.place(), 3_000);
    let mut anna = Sipp::start(&Run::once(xml, PHONES, town.sip));
    near.send_to(anna.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    far.send_to(boris.invite(LIMIT).await.media().unwrap());
    far.tone(Some(1_000.0));
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    near.tone(None);
    far.tone(None);
    assert!(sound::seconds_of(&near.audio(), 1_000.0) > 2.0);
    assert!(sound::seconds_of(&far.audio(), 440.0) > 2.0);
    let out = town.ended_call("anna").await;
    assert_eq!(out["result"], "answered", "{out}");
    assert_eq!(out["trunk"], "shop", "{out}");
    // The shop knows the caller by the number that the town shows.
    let come = shop.ended_call(HERE).await;
    assert_eq!(come["result"], "answered", "{come}");
    assert_eq!(come["trunk"], "town", "{come}");
    assert_eq!(come["number"], THERE, "{come}");
    assert_eq!(come["operator"], "boris", "{come}");
}

/// Anna puts the call on hold and takes it back: boris hears the town's music and then her again, and the call is one call on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_crosses_both() {
    let Both { town, shop } = start("udp").await;
    let near = RtpPeer::open(PHONES, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let answer = Phone::Answer(100, far.place(), Law::Mu);
    let mut boris = Sipp::phone(shop.sip, "boris", &answer, 1).await;
    let xml = scenario::operator_holds("anna", THERE, near.place(), 1_500);
    let mut anna = Sipp::start(&Run::once(xml, PHONES, town.sip));
    near.send_to(anna.answer(LIMIT).await.media().unwrap());
    near.tone(Some(ANNA_TONE));
    far.send_to(boris.invite(LIMIT).await.media().unwrap());
    far.tone(Some(BORIS_TONE));
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    near.tone(None);
    far.tone(None);
    let seconds = sound::seconds_of(&near.audio(), BORIS_TONE);
    // 1.5 s before and 1.5 s after the hold of 1.5 s.
    assert!((1.8..4.0).contains(&seconds), "{seconds}");
    let gap = sound::longest_gap(&near.audio(), BORIS_TONE);
    assert!(gap > 0.8 || near.audio().len() < 8_000 * 4, "{gap}");
    let heard = far.audio();
    let music = sound::seconds_of(&heard, TOWN_MUSIC);
    assert!((1.0..2.2).contains(&music), "{music} s of music");
    assert_eq!(sound::seconds_of(&heard, SHOP_MUSIC), 0.0);
    let end = sound::seconds_of(&heard[heard.len() - 8_000..], ANNA_TONE);
    assert!(end > 0.8, "{end} s of anna in the last second");
    let held = town.ended_call("anna").await;
    let trace = held["trace"].to_string();
    assert!(
        trace.contains("Held") && trace.contains("Resumed"),
        "{trace}"
    );
    pause(200).await;
    let come = shop.ended_call(HERE).await;
    assert_eq!(come["result"], "answered", "{come}");
}

/// A real phone at the called end holds and resumes, over TLS: the caller at the other PBX hears the music of the shop, and then the phone again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_at_the_far_end_holds() {
    let Both { town, shop } = start("tls").await;
    let boris = Baresip::start(shop.sip, "boris", BORIS_TONE, "PCMU/8000/1").await;
    let anna = dials(&town, "anna", THERE, "8s");
    shop.wait_for_state("boris", "talking").await;
    pause(1_500).await;
    boris.command("hold").await;
    pause(2_500).await;
    boris.command("resume").await;
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    let heard = heard(&town, "anna");
    let music = sound::seconds_of(&heard, SHOP_MUSIC);
    assert!((1.7..3.3).contains(&music), "{music} s of music");
    assert_eq!(sound::seconds_of(&heard, TOWN_MUSIC), 0.0);
    let before = sound::seconds_of(&heard[..8_000 * 2], BORIS_TONE);
    assert!(before > 0.7, "{before} s of boris in the first two seconds");
    let after = sound::seconds_of(&heard[8_000 * 5..], BORIS_TONE);
    assert!(after > 1.2, "{after} s of boris after the hold");
}

/// An operator dials with the built-in phone, plays her tone and records `NAME_heard.wav`.
fn dials(pbx: &Pbx, name: &str, number: &str, length: &str) -> Vats {
    phone::tone(pbx.folder(), &format!("{name}.wav"), ANNA_TONE);
    let from = format!("sip:{name}@pbx.test");
    let (tone, record) = (format!("{name}.wav"), format!("{name}_heard.wav"));
    let password = format!("secret-{name}");
    let options = [
        "--from",
        &from,
        "--password",
        &password,
        "--play",
        &tone,
        "--record",
        &record,
        "--for",
        length,
    ];
    Vats::dial(pbx.folder(), pbx.sip, number, &options)
}

/// What `dials` or `takes` recorded.
fn heard(pbx: &Pbx, name: &str) -> Vec<i16> {
    let bytes = std::fs::read(pbx.folder().join(format!("{name}_heard.wav"))).unwrap();
    sound::read_wav(&bytes).0.remove(0)
}

/// An operator's built-in phone, with a tone of its own.
async fn takes(pbx: &Pbx, name: &str, hertz: f64, more: &[&str]) -> Vats {
    phone::tone(pbx.folder(), &format!("{name}.wav"), hertz);
    let (tone, record) = (format!("{name}.wav"), format!("{name}_heard.wav"));
    let options = ["--after", "200ms", "--play", &tone, "--record", &record];
    Vats::answer(pbx.folder(), pbx.sip, name, &[&options[..], more].concat()).await
}

async fn everybody_is_free(both: &Both) {
    for (pbx, names) in [
        (&both.town, ["anna", "dora"]),
        (&both.shop, ["boris", "clara"]),
    ] {
        pbx.wait_until_idle(LIMIT).await;
        for name in names {
            let state = pbx.operator_state(name).await;
            assert!(
                ["available", "offline"].contains(&&state[..]),
                "{name}: {state}"
            );
        }
    }
}

/// Seconds that the recorded phone heard of the first and of the last party.
fn both_were_heard(heard: &[i16]) {
    let (first, last) = (
        sound::seconds_of(heard, BORIS_TONE),
        sound::seconds_of(heard, LAST_TONE),
    );
    assert!((0.7..3.0).contains(&first), "boris for {first} s");
    assert!(last > 2.0, "whoever came after him for {last} s");
}

/// Boris passes the caller from the town on to clara beside him: the town notices nothing but another voice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_the_other_side_is_passed_on() {
    let both = start("udp").await;
    let (town, shop) = (&both.town, &both.shop);
    let clara = takes(shop, "clara", LAST_TONE, &[]).await;
    let boris = takes(shop, "boris", BORIS_TONE, &["--transfer", "102@1500ms"]).await;
    let anna = dials(town, "anna", THERE, "7s");
    boris.says("the target: 200").await;
    clara.says("passed on by <sip:boris@pbx.test>").await;
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    clara.says("the caller hung up").await;
    both_were_heard(&heard(town, "anna"));
    let seconds = sound::seconds_of(&heard(shop, "clara"), ANNA_TONE);
    assert!(seconds > 2.0, "clara heard anna for {seconds} s");
    let row = shop.ended_call(HERE).await;
    let path = serde_json::json!(["operator:boris", "operator:clara"]);
    assert_eq!((&row["result"], &row["path"]), (&"answered".into(), &path));
    assert_eq!(town.items("/api/v1/calls").await.len(), 1);
    let row = town.ended_call("anna").await;
    assert_eq!(row["ended_by"], "caller", "{row}");
    everybody_is_free(&both).await;
}

/// Boris sends the caller back to dora in the town: the call crosses their trunk three times and is still one call at each end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_passed_back_across_the_trunk() {
    let both = start("tls").await;
    let (town, shop) = (&both.town, &both.shop);
    let dora = takes(town, "dora", LAST_TONE, &[]).await;
    let back = format!("{DORA}@1500ms");
    let boris = takes(shop, "boris", BORIS_TONE, &["--transfer", &back]).await;
    let anna = dials(town, "anna", THERE, "7s");
    boris.says("the target: 200").await;
    shop.wait_for_state("boris", "available").await;
    assert_eq!(town.operator_state("dora").await, "talking");
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    dora.says("the caller hung up").await;
    both_were_heard(&heard(town, "anna"));
    let seconds = sound::seconds_of(&heard(town, "dora"), ANNA_TONE);
    assert!(seconds > 2.0, "dora heard anna for {seconds} s");
    let row = shop.ended_call(HERE).await;
    assert_eq!(row["result"], "answered", "{row}");
    let legs = row["legs"].as_array().unwrap();
    let on_trunk = legs.iter().filter(|leg| leg["trunk"] == "town").count();
    assert_eq!(on_trunk, 2, "{row}");
    let row = town.ended_call(THERE).await;
    assert_eq!(
        (&row["operator"], &row["number"]),
        (&"dora".into(), &DORA.into())
    );
    everybody_is_free(&both).await;
}

/// Who may not dial across the trunk may not pass anybody on across it, and the caller stays with him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_on_across_the_trunk_takes_permission() {
    let both = start("udp").await;
    let (town, shop) = (&both.town, &both.shop);
    // The shop's outbound numbers are those of the town alone.
    let far = "+79161234567@1s".to_owned();
    let boris = takes(shop, "boris", BORIS_TONE, &["--transfer", &far]).await;
    let anna = dials(town, "anna", THERE, "4s");
    boris.says("passing on is refused (403)").await;
    assert_eq!(anna.ended().await.0, 0);
    let seconds = sound::seconds_of(&heard(town, "anna"), BORIS_TONE);
    assert!(seconds > 3.0, "anna heard boris for {seconds} s");
    everybody_is_free(&both).await;
}

/// Boris asks clara first, then dora across the trunk, and joins the caller with each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_passed_on_after_a_consultation() {
    let both = start("udp").await;
    let (town, shop) = (&both.town, &both.shop);
    let clara = takes(shop, "clara", LAST_TONE, &[]).await;
    let dora = takes(town, "dora", LAST_TONE, &[]).await;
    let mut boris = Softphone::register(shop, PHONES, "boris");
    for (dialled, asked) in [("102", &clara), (DORA, &dora)] {
        let anna = dials(town, "anna", THERE, "5s");
        let (first, _) = boris.rings();
        boris.answer(first);
        let second = boris.call(dialled, Vec::new());
        boris.answered(second);
        let there = boris.replacing(second);
        assert_eq!(boris.refer(first, &there), 202);
        assert_eq!(boris.report(first), 200);
        boris.ended(first);
        boris.ended(second);
        let (code, said) = anna.ended().await;
        assert_eq!(code, 0, "{said}");
        asked.says("the caller hung up").await;
        let seconds = sound::seconds_of(&heard(town, "anna"), LAST_TONE);
        assert!(seconds > 2.0, "{dialled}: {seconds} s");
        everybody_is_free(&both).await;
    }
    for (pbx, name) in [(shop, "clara"), (town, "dora")] {
        let seconds = sound::seconds_of(&heard(pbx, name), ANNA_TONE);
        assert!(seconds > 2.0, "{name} heard anna for {seconds} s");
    }
}

/// Anna, who called, passes boris in the shop on to dora beside her: blind, then after a consultation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_called_side_is_passed_on() {
    let both = start("udp").await;
    let (town, shop) = (&both.town, &both.shop);
    let dora = takes(town, "dora", LAST_TONE, &["--for", "3s"]).await;
    let boris = takes(shop, "boris", BORIS_TONE, &[]).await;
    let mut anna = Softphone::register(town, PHONES, "anna");
    for is_attended in [false, true] {
        let first = anna.call(THERE, Vec::new());
        anna.answered(first);
        if is_attended {
            let second = anna.call("102", Vec::new());
            anna.answered(second);
            let there = anna.replacing(second);
            assert_eq!(anna.refer(first, &there), 202);
            assert_eq!(anna.report(first), 200);
            anna.ended(second);
        } else {
            assert_eq!(anna.refer(first, "<sip:102@pbx.test>"), 202);
            assert_eq!(anna.report(first), 200);
        }
        anna.ended(first);
        assert_eq!(shop.operator_state("boris").await, "talking");
        town.wait_until_idle(LIMIT).await;
        everybody_is_free(&both).await;
        let seconds = sound::seconds_of(&heard(shop, "boris"), LAST_TONE);
        assert!(seconds > 1.0, "boris heard dora for {seconds} s");
        let seconds = sound::seconds_of(&heard(town, "dora"), BORIS_TONE);
        assert!(seconds > 1.0, "dora heard boris for {seconds} s");
    }
    boris.says("the caller hung up").await;
    dora.says("hung up").await;
}

/// Session intervals of seconds in both: a call outlives them, and a PBX that dies in it is noticed by the other, whose session nobody refreshes any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_across_both_are_refreshed_and_run_out() {
    let lines = "session_expires = \"6s\"\nmin_session_expires = \"4s\"\n";
    let Both { mut town, shop } = start_with("udp", lines).await;
    // Without session timers, and never asked: what ends the call is the trunk's session alone.
    let boris = takes(&shop, "boris", BORIS_TONE, &[]).await;
    let _anna = dials(&town, "anna", THERE, "60s");
    shop.wait_for_state("boris", "talking").await;
    pause(13_000).await;
    assert_eq!(town.items("/api/v1/calls/live").await.len(), 1);
    assert_eq!(shop.operator_state("boris").await, "talking");
    town.crash();
    let row = shop.ended_call_within(HERE, LIMIT).await;
    let legs = row["legs"].as_array().unwrap();
    assert_eq!(legs[0]["trunk"], "town", "{row}");
    let trace = row["trace"].to_string();
    assert!(
        trace.contains("session") || trace.contains("refresh"),
        "{trace}"
    );
    boris.says("the caller hung up").await;
}
