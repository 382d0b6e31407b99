//! Phones at home: baresip behind a router that translates addresses, over UDP and TLS. The homes are network namespaces; where the machine does not let
//! us make any, this says so and is skipped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::baresip::{Baresip, Place};
use crate::support::certificates::Authority;
use crate::support::home::{Home, PHONE};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::stream::Stream;
use crate::support::{eventually, pause, sound};
use tempfile::TempDir;
use vats::sip::wire::Name;

const LIMIT: Duration = Duration::from_secs(15);
/// The routers forget a UDP flow after this time without a packet.
const FORGETS: u32 = 4;

struct Street {
    pbx: Pbx,
    homes: Vec<Home>,
    authority: Authority,
    _folder: TempDir,
}

/// A PBX that so many homes reach, each at an address of its own; `None` where the machine does not allow it.
async fn street(count: usize) -> Option<Street> {
    let mut homes = Vec::new();
    for _ in 0..count {
        match Home::build(FORGETS) {
            Ok(home) => homes.push(home),
            Err(why) => {
                println!("skipped: no network namespaces with NAT on this machine: {why}");
                return None;
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let names: Vec<String> = homes.iter().map(|home| home.pbx.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (certificate, key) = authority.sign("pbx", &names);
    let toml: Vec<String> = pbx::server()
        .lines()
        .map(|line| match line.starts_with("sip = ") {
            true => format!(
                "sip = [\"udp://0.0.0.0:0\", \"tls://0.0.0.0:0\"]\nkeep_alive = \"2s\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}",
                certificate.display(),
                key.display()
            ),
            false => line.to_owned(),
        })
        .collect();
    let toml = toml.join("\n")
        + &pbx::operator("anna", "")
        + "\n[trunks.here]\naccept = [\"127.0.0.1/32\"]\n\n[numbers.\"+74951000001\"]\nto = \"operator:anna\"\n";
    Some(Street {
        pbx: Pbx::start(&toml).await,
        homes,
        authority,
        _folder: folder,
    })
}

impl Street {
    /// Anna's baresip in a home, as it would be set up there.
    async fn phone(&self, home: usize, transport: &str, account: &str) -> Baresip {
        let home = &self.homes[home];
        let place = Place {
            namespace: Some(home.phone()),
            address: SocketAddr::new(PHONE.parse().unwrap(), 5060),
            media: 10_000,
            ca: Some(self.authority.file.clone()),
        };
        let there = SocketAddr::new(home.pbx, self.pbx.over(transport).port());
        let outbound = format!("sip:{there};transport={transport}");
        let account = format!(";audio_codecs=PCMU/8000/1{account}");
        let phone = Baresip::start_at(&place, "anna", 1_000.0, &outbound, &account);
        phone.registered().await;
        phone
    }

    async fn phones(&self) -> Vec<String> {
        let operators = self.pbx.items("/api/v1/operators").await;
        let phones = operators[0]["phones"].as_array().unwrap();
        phones
            .iter()
            .map(|phone| phone.as_str().unwrap().to_owned())
            .collect()
    }

    /// Calls anna for three seconds; what the caller heard.
    async fn call(&self) -> Vec<i16> {
        let folder = self.pbx.folder();
        phone::tone(folder, "caller.wav", 440.0);
        let heard: PathBuf = folder.join("heard.wav");
        let there = SocketAddr::new("127.0.0.1".parse().unwrap(), self.pbx.sip.port());
        let options = [
            "--play",
            "caller.wav",
            "--record",
            "heard.wav",
            "--for",
            "3s",
        ];
        let caller = Vats::dial(folder, there, "+74951000001", &options);
        let (code, said) = caller.ended().await;
        assert_eq!(code, 0, "{said}");
        sound::read_wav(&std::fs::read(heard).unwrap()).0.remove(0)
    }
}

/// Whether each heard the other.
async fn assert_both_heard(phone: &Baresip, caller: &[i16]) {
    assert!(sound::seconds_of(caller, 1_000.0) > 1.5);
    assert!(sound::seconds_of(&phone.heard().await, 440.0) > 1.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_over_udp_is_kept_reachable() {
    let Some(street) = street(1).await else {
        return;
    };
    let phone = street.phone(0, "udp", "").await;
    street.pbx.wait_for_state("anna", "available").await;
    let shown = street.phones().await;
    let router = street.homes[0].router.to_string();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        shown[0].contains(PHONE) && shown[0].contains(&format!(" via {router}:")),
        "{shown:?}"
    );
    // The router would have forgotten the phone long ago, but for our OPTIONS.
    pause(u64::from(FORGETS) * 3_000).await;
    let heard = street.call().await;
    assert_both_heard(&phone, &heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_over_tls_is_called_on_its_connection() {
    let Some(street) = street(1).await else {
        return;
    };
    street.phones().await;
    let before = street.pbx.sockets();
    let mut phone = street.phone(0, "tls", ";sipnat=outbound").await;
    street.pbx.wait_for_state("anna", "available").await;
    let heard = street.call().await;
    assert_both_heard(&phone, &heard).await;
    // It is gone, and that is known at once.
    phone.kill();
    street.pbx.wait_for_state("anna", "offline").await;
    eventually(LIMIT, "its sockets are closed", || async {
        (street.pbx.sockets() <= before + 1).then_some(())
    })
    .await;
}

/// The cable is pulled, and the connection does not know it: the first call that is not acknowledged ends it, and the binding with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_died_in_silence() {
    let Some(street) = street(1).await else {
        return;
    };
    let phone = street.phone(0, "tls", ";sipnat=outbound").await;
    street.pbx.wait_for_state("anna", "available").await;
    street.homes[0].cut();
    pause(1_000).await;
    assert_eq!(street.pbx.operator_state("anna").await, "available");
    let there = SocketAddr::new("127.0.0.1".parse().unwrap(), street.pbx.sip.port());
    let caller = Vats::dial(street.pbx.folder(), there, "+74951000001", &[]);
    let limit = Duration::from_secs(50);
    eventually(limit, "anna is known to be offline", || async {
        (street.pbx.operator_state("anna").await == "offline").then_some(())
    })
    .await;
    assert_eq!(caller.ended().await.0, 1);
    drop(phone);
    // Who calls now is told so at once.
    let begun = std::time::Instant::now();
    let caller = Vats::dial(street.pbx.folder(), there, "+74951000001", &[]);
    let (code, said) = caller.ended().await;
    assert!(code == 1 && said.contains("refused: 480"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Two homes give their phones the same private address. Both ring; who answers first has the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_homes_with_the_same_addresses() {
    let Some(street) = street(2).await else {
        return;
    };
    let one = street.phone(0, "udp", "").await;
    let two = street.phone(1, "udp", "").await;
    let shown = street.phones().await;
    assert_eq!(shown.len(), 2, "{shown:?}");
    let heard = street.call().await;
    assert!(sound::seconds_of(&heard, 1_000.0) > 1.5);
    // Baresip answers at once, so both may: the second 200 is ended as soon as it comes.
    let call = street.pbx.ended_call("+79160000000").await;
    assert_eq!(call["result"], "answered", "{call}");
    let legs = call["legs"].as_array().unwrap();
    let hers = legs.iter().filter(|leg| leg["operator"] == "anna");
    assert_eq!(hers.count(), 2, "{call}");
    let rang = |phone: &Baresip| phone.log().contains("sipsess connect");
    assert!(rang(&one) && rang(&two), "{}\n{}", one.log(), two.log());
}

/// Towards a phone outside the local networks Contact, Via and SDP name the public address, on connections too; towards one inside, our own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_address_is_told_outside() {
    let public = "198.51.100.7";
    for (local, told) in [("10.0.0.0/8", Some(public)), ("203.0.113.0/24", None)] {
        let home = match Home::build(FORGETS) {
            Ok(home) => home,
            Err(why) => return println!("skipped: no network namespaces on this machine: {why}"),
        };
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        // Phones that stand where the machine itself has a foot outside.
        let ours = home.pbx.to_string();
        let told = told.unwrap_or(&ours);
        let (certificate, key) = authority.sign("pbx", &[&ours]);
        let toml: Vec<String> = pbx::server()
            .lines()
            .map(|line| match line.starts_with("sip = ") {
                true => format!(
                    "sip = [\"udp://127.0.0.1:0\", \"udp://{ours}:0\", \"tcp://{ours}:0\", \"tls://{ours}:0\"]\n\
                     public_address = \"{public}\"\nlocal_networks = [\"{local}\"]\ntls = {{ certificate = \"{}\", key = \"{}\" }}",
                    certificate.display(),
                    key.display()
                ),
                false => line.to_owned(),
            })
            .collect();
        let toml = toml.join("\n")
            + &pbx::operator("anna", "")
            + "\n[trunks.here]\naccept = [\"127.0.0.1/32\"]\n\n[numbers.\"+74951000001\"]\nto = \"operator:anna\"\n";
        let pbx = Pbx::start(&toml).await;
        for transport in ["tcp", "tls"] {
            let there = pbx.over(transport);
            let mut phone = match transport {
                "tcp" => Stream::tcp(there).await,
                _ => Stream::tls_from(home.pbx, there, &ours, authority.client(None))
                    .await
                    .unwrap(),
            };
            let contact = format!("sip:anna@{};transport={transport}", phone.at);
            let host = phone.at.to_string();
            let ok = phone
                .register("anna", &format!("<{contact}>"), &host, "")
                .await;
            assert_eq!(ok.status(), 200);
            pbx.wait_for_state("anna", "available").await;
            let caller = Vats::dial(
                pbx.folder(),
                pbx.all("udp")[0],
                "+74951000001",
                &["--for", "1s"],
            );
            let invite = phone.request("INVITE").await;
            let at = format!("{told}:{}", there.port());
            let header = |name| invite.header(name).unwrap();
            let via = format!("SIP/2.0/{} {at};", phone.transport);
            assert!(header(Name::Via).starts_with(&via), "{}", header(Name::Via));
            let ours = format!("@{at};transport={transport}>");
            assert!(
                header(Name::Contact).ends_with(&ours),
                "{}",
                header(Name::Contact)
            );
            let body = String::from_utf8(invite.body().to_vec()).unwrap();
            assert!(body.contains(&format!("c=IN IP4 {told}\r\n")), "{body}");
            let sdp = crate::support::by_hand::sdp(SocketAddr::new(home.pbx, 9_000), "0");
            phone.respond(&invite, 200, &contact, &sdp).await;
            phone.request("ACK").await;
            let bye = phone.request("BYE").await;
            phone.respond(&bye, 200, &contact, "").await;
            assert_eq!(caller.ended().await.0, 0);
            drop(phone);
            pbx.wait_for_state("anna", "offline").await;
        }
    }
}
