//! Two PBXs as each other's trunk: one registers at the other, and a call crosses both with sound, hold and an end.

mod support;

use std::time::Duration;

use support::certificates::Authority;
use support::pbx::{self, Pbx};
use support::rtp_peer::RtpPeer;
use support::scenario::{self, Phone};
use support::sipp::{Run, Sipp};
use support::sound::{self, Law};
use support::{PHONES, eventually, pause};

const LIMIT: Duration = Duration::from_secs(20);
/// A number of the second PBX.
const THERE: &str = "+74952000001";

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

/// The town office, with the operator anna, who may dial out over the trunk to the shop; it registers there as `town`.
fn town(server: &str, shop: &str) -> String {
    server.to_owned()
        + &pbx::operator("anna", "")
        + &format!(
            r#"
[trunks.shop]
peer = "{shop}"
register = {{ user = "town", password = "secret-town", expires = "60s" }}
options = "5s"

[numbers."+74951000001"]
to = "operator:anna"

[outbound.russia]
prefixes = ["+7"]
trunks = ["shop"]
caller_id = "+74951000001"
allow = ["anna"]
"#
        )
}

/// The shop, with boris and the account of the town.
fn shop(server: &str) -> String {
    server.to_owned()
        + &pbx::operator("boris", "")
        + &pbx::operator("town", "")
        + &format!("\n[numbers.\"{THERE}\"]\nlanding_page = \"/sofas\"\nto = \"operator:boris\"\n")
}

struct Both {
    town: Pbx,
    shop: Pbx,
}

/// Starts both, their trunks by `transport`; the shop learns the town's address by a reload.
async fn start(transport: &str) -> Both {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let tls = (transport == "tls").then_some(&authority);
    let plan = shop(&server(tls));
    let shop = Pbx::start(&plan).await;
    let peer = |pbx: &Pbx| format!("{transport}://{}", pbx.over(transport));
    let town = Pbx::start(&town(&server(tls), &peer(&shop))).await;
    let trunk = format!("\n[trunks.town]\npeer = \"{}\"\n", peer(&town));
    let (status, answer) = shop.reload(&(plan + &trunk)).await;
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
    let come = shop.ended_call("+74951000001").await;
    assert_eq!(come["result"], "answered", "{come}");
    assert_eq!(come["trunk"], "town", "{come}");
    assert_eq!(come["number"], THERE, "{come}");
    assert_eq!(come["operator"], "boris", "{come}");
}

/// Anna puts the call on hold and takes it back: boris hears her again, and the call is one call on both sides.
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
    near.tone(Some(440.0));
    far.send_to(boris.invite(LIMIT).await.media().unwrap());
    far.tone(Some(1_000.0));
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    near.tone(None);
    far.tone(None);
    let seconds = sound::seconds_of(&near.audio(), 1_000.0);
    // 1.5 s before and 1.5 s after the hold of 1.5 s.
    assert!((1.8..4.0).contains(&seconds), "{seconds}");
    let gap = sound::longest_gap(&near.audio(), 1_000.0);
    assert!(gap > 0.8 || near.audio().len() < 8_000 * 4, "{gap}");
    let held = town.ended_call("anna").await;
    let trace = held["trace"].to_string();
    assert!(
        trace.contains("Held") && trace.contains("Resumed"),
        "{trace}"
    );
    pause(200).await;
    let come = shop.ended_call("+74951000001").await;
    assert_eq!(come["result"], "answered", "{come}");
}
