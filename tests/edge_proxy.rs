//! Phones behind an edge proxy (RFC 3327): they register, are called and call through it, whatever transport they speak to it. A proxy of our own,
//! and Kamailio where it is installed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::baresip::{Baresip, Place};
use crate::support::certificates::Authority;
use crate::support::edge::Edge;
use crate::support::kamailio::Kamailio;
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::{self, Law};
use crate::support::watcher::Watcher;
use crate::support::{ANYWHERE, CALLER, PHONES, eventually, free_port, pause};
use vats::sip::wire::{Message, Method, Name};

const LIMIT: Duration = Duration::from_secs(20);
/// Where the proxies live. The trunk `acme` does not accept it: what comes from there is a phone's.
const EDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

fn plan() -> String {
    let plain = pbx::server();
    let udp = plain.lines().find(|line| line.starts_with("sip = "));
    let udp = udp.expect("a listener").to_owned();
    let both = format!(
        "{}, \"tcp://127.0.0.1:0\"]\nkeep_alive = \"1s\"",
        udp.trim_end_matches(']')
    );
    plain.replacen(&udp, &both, 1)
        + &pbx::operator("anna", "")
        + r#"
[numbers."+74951000001"]
to = "operator:anna"
[numbers."+74951000002"]
to = "echo"
[numbers."+74951000003"]
to = "announcement:long"
[announcements.long]
prompt = "prompts/long.wav"
then = "hangup"
"#
}

/// Anna's baresip, with this way to the PBX.
async fn anna(outbound: &str, authority: Option<&Authority>) -> Baresip {
    let place = Place {
        namespace: None,
        address: SocketAddr::new(PHONES, free_port(PHONES)),
        media: free_port(ANYWHERE),
        ca: authority.map(|authority| authority.file.clone()),
    };
    let codec = ";audio_codecs=PCMU/8000/1";
    let phone = Baresip::start_at(&place, "anna", 1_000.0, outbound, codec);
    phone.registered().await;
    phone
}

/// Anna is called and talks, holds and takes back, hangs up; then she calls, and is hung up on.
async fn whole(pbx: &Pbx, phone: &Baresip) {
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let from = "+79160000001";
    let call = Caller::new("+74951000001", from, near.place(), Then::WaitForBye);
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    pause(2_000).await;
    phone.command("hold").await;
    pause(1_000).await;
    phone.command("resume").await;
    pause(1_000).await;
    phone.command("hangup").await;
    caller.finished(LIMIT).await;
    near.tone(None);
    let heard = sound::seconds_of(&near.audio(), 1_000.0);
    assert!(heard > 2.0, "the caller heard anna for {heard} s");
    let heard = sound::seconds_of(&phone.heard().await, 440.0);
    assert!(heard > 1.0, "anna heard the caller for {heard} s");
    let row = pbx.ended_call(from).await;
    let (result, by) = (&row["result"], &row["ended_by"]);
    assert_eq!(
        (result, by),
        (&"answered".into(), &"operator".into()),
        "{row}"
    );
    assert!(row["trace"].to_string().contains("Resumed"), "{row}");

    phone
        .command_with("dial", "sip:+74951000003@pbx.test")
        .await;
    let row = pbx.ended_call("anna").await;
    assert_eq!(row["ended_by"], "system", "{row}");
    eventually(LIMIT, "anna's phone is told of the end", || async {
        let ends = phone.log().matches("terminated (duration").count();
        (ends == 2).then_some(())
    })
    .await;
}

/// The one Route of a request.
fn route(request: &Message) -> &str {
    request.header(Name::Route).unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_stateless_proxy() {
    let mut pbx = Pbx::start(&plan()).await;
    let edge = Edge::start(EDGE, pbx.sip);
    let mut phone = anna(&format!("sip:{};transport=udp", edge.address), None).await;
    pbx.wait_for_state("anna", "available").await;
    let operators = pbx.items("/api/v1/operators").await;
    let shown = operators[0]["phones"].to_string();
    assert!(shown.contains(&format!(" via {}", edge.address)), "{shown}");
    whole(&pbx, &phone).await;
    let token = phone.address.to_string().replace([':', '.'], "-");
    let first = format!("<sip:{token}@{}", edge.address);
    for method in [Method::Invite, Method::Ack, Method::Bye] {
        let all = edge.requests(method);
        assert!(!all.is_empty(), "{method:?}");
        for request in &all {
            assert!(
                route(request).starts_with(&first),
                "{method:?}: {}",
                route(request)
            );
            // The phone's own address, as it stands in its Contact.
            let uri = request.request_uri();
            assert!(uri.contains(&phone.address.to_string()), "{uri}");
        }
    }
    // What keeps a phone behind NAT reachable has to reach it.
    eventually(LIMIT, "an OPTIONS on the way of its Path", || async {
        let all = edge.requests(Method::Options);
        let last = all.last()?;
        assert!(route(last).starts_with(&first), "{}", route(last));
        Some(())
    })
    .await;
    // The Path outlives a restart.
    pause(500).await;
    pbx.crash();
    pbx.restart();
    let before = edge.requests(Method::Invite).len();
    let from = "+79160000002";
    let call = Caller::new(
        "+74951000001",
        from,
        (CALLER, 9_000),
        Then::HangUpAfter(300),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    assert_eq!(pbx.ended_call(from).await["result"], "answered");
    assert_eq!(edge.requests(Method::Invite).len(), before + 1);
    phone.kill();
}

/// A lamp behind the proxy: its subscription and what it is told take the proxy's Record-Route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lamp_behind_the_proxy() {
    let pbx = Pbx::start(&(plan() + &pbx::operator("boris", ""))).await;
    let edge = Edge::start(EDGE, pbx.sip);
    let ringing = Sipp::phone(pbx.sip, "anna", &Phone::Ring, 1).await;
    let mut watcher = Watcher::new(&pbx, PHONES, "boris");
    watcher.peer.pbx = edge.address;
    let subscription = tokio::task::block_in_place(|| {
        let (answer, subscription) = watcher.subscribe("anna", "dialog", 60);
        assert_eq!(answer.status(), 200);
        assert!(answer.header(Name::RecordRoute).is_some());
        watcher.notified();
        subscription
    });
    let call = Caller::new(
        "+74951000001",
        "+79160000001",
        (CALLER, 9_000),
        Then::CancelAfter(500),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    tokio::task::block_in_place(|| {
        watcher.until("<state>early</state>");
        watcher.until("terminated");
        let gone = watcher.renew(&mut subscription.expect("a subscription"), 0);
        assert_eq!(gone.status(), 200);
    });
    caller.finished(LIMIT).await;
    drop(ringing);
    let token = watcher.peer.at.to_string().replace([':', '.'], "-");
    for notify in edge.requests(Method::Notify) {
        let first = format!("<sip:{token}@{}", edge.address);
        assert!(route(&notify).starts_with(&first), "{}", route(&notify));
    }
}

/// A phone speaks TLS to Kamailio, and Kamailio TCP to us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_kamailio() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let certificate = authority.sign("edge", &["127.0.0.4"]);
    let pbx = Pbx::start(&plan()).await;
    let edge = match Kamailio::edge(EDGE, pbx.over("tcp"), &certificate).await {
        Ok(edge) => edge,
        Err(why) => return println!("skipped: {why}"),
    };
    for (transport, address) in [("udp", edge.address), ("tls", edge.secure)] {
        let outbound = format!("sip:{address};transport={transport}");
        let mut phone = anna(&outbound, Some(&authority)).await;
        pbx.wait_for_state("anna", "available").await;
        whole(&pbx, &phone).await;
        phone.command("quit").await;
        pbx.wait_for_state("anna", "offline").await;
        phone.kill();
    }
}
