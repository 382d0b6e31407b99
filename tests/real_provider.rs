//! A provider made of another project's server (Kamailio): its registrar, its digest with nonces that live for two seconds, its Record-Route, its forks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::by_hand::{Peer, sdp};
use crate::support::kamailio::Kamailio;
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::script::{Audio, Script};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, eventually, free_port, pause};
use vats::sip::wire::{Method, Name};

const LIMIT: Duration = Duration::from_secs(30);
const PROVIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
const MEDIA: (IpAddr, u16) = (CALLER, 9_000);
const FROM: &str = "+79160000001";

/// A PBX registered at the provider, which has these far sides; `None`, having said so, where there is no Kamailio.
async fn start(far: [SocketAddr; 2]) -> Option<(Pbx, Kamailio)> {
    let plain = pbx::server();
    let udp = plain
        .lines()
        .find_map(|line| line.strip_prefix("sip = [\"udp://"));
    let pbx: SocketAddr = udp.unwrap().trim_end_matches("\"]").parse().unwrap();
    let provider = match Kamailio::provider(PROVIDER, pbx, far).await {
        Ok(provider) => provider,
        Err(why) => {
            println!("skipped: {why}");
            return None;
        }
    };
    let lines = "[server]\nsession_expires = \"6s\"\nmin_session_expires = \"4s\"";
    let toml = plain.replacen("[server]", lines, 1)
        + &format!(
            r#"
[trunks.carrier]
peer = "{}"
register = {{ user = "shop", password = "secret", expires = "60s" }}
options = "5s"
[forwards.one]
to = "+79990000001"
trunk = "carrier"
[forwards.both]
to = "+79990000002"
trunk = "carrier"
[numbers."+74951000001"]
to = "forward:one"
[numbers."+74951000002"]
to = "forward:both"
[numbers."+74951000003"]
to = "echo"
"#,
            provider.address
        );
    let pbx = Pbx::start(&toml).await;
    eventually(
        LIMIT,
        "registered at the provider, which answers OPTIONS",
        || async {
            let trunks = pbx.items("/api/v1/trunks").await;
            let carrier = trunks.iter().find(|trunk| trunk["trunk"] == "carrier")?;
            let lives = carrier["peers"][0]["state"] == "up";
            (carrier["state"] == "registered" && lives).then_some(())
        },
    )
    .await;
    Some((pbx, provider))
}

/// Someone at the provider who follows this script.
async fn far_side(local: SocketAddr, xml: String, provider: &Kamailio) -> Sipp {
    let sipp = Sipp::start(&Run {
        local,
        ..Run::once(xml, local.ip(), provider.address)
    });
    sipp.listening().await;
    sipp
}

fn far() -> [SocketAddr; 2] {
    [(); 2].map(|()| SocketAddr::new(PHONES, free_port(PHONES)))
}

/// The registration is refreshed with a fresh nonce each time; calls come in by it, to the Contact that we registered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_in_by_the_registration() {
    let Some((pbx, provider)) = start(far()).await else {
        return;
    };
    // Granted 20 s: the registration is renewed before they are over, and the nonce of the first one is long stale.
    eventually(LIMIT, "a second registration", || async {
        let saved = provider.log().matches("PROVIDER REGISTER").count();
        (saved >= 4).then_some(())
    })
    .await;
    let media = RtpPeer::open(CALLER, Law::Mu).await;
    let call = Caller::new(
        "+74951000003",
        FROM,
        media.place(),
        Then::HangUpAfter(2_500),
    );
    let mut caller = Sipp::start(&Run::once(call.xml(), CALLER, provider.address));
    media.send_to(caller.answer(LIMIT).await.media().unwrap());
    media.tone(Some(440.0));
    caller.finished(LIMIT).await;
    let echo = sound::seconds_of(&media.audio(), 440.0);
    assert!(echo > 1.5, "{echo} s of echo");
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["trunk"], "carrier", "{row}");
    assert_eq!(row["number"], "+74951000003", "{row}");
}

/// Every request of a long call is challenged: INVITE, the UPDATEs that refresh its session, BYE. The nonces are stale each time, and nothing is lost of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_through_a_proxy_that_challenges_everything() {
    let places = far();
    let Some((pbx, provider)) = start(places).await else {
        return;
    };
    let (near, there) = (
        RtpPeer::open(CALLER, Law::Mu).await,
        RtpPeer::open(PHONES, Law::Mu).await,
    );
    let timer = "Require: timer\nSession-Expires: 6;refresher=uac\n";
    let mut script = Script::callee()
        .respond("180 Ringing", "", None)
        .respond(
            "200 OK",
            &format!("Allow: INVITE, ACK, BYE, UPDATE\n{timer}"),
            Some(Audio::at(there.place())),
        )
        .hear("ACK");
    for _ in 0..4 {
        script = script.hear("UPDATE").answer("200 OK", timer, None);
    }
    let script = script.wait_for_bye();
    let mut called = far_side(places[0], script.xml(), &provider).await;
    let script = Script::caller("+74951000001", FROM)
        .invite("Allow: INVITE, ACK, BYE\n", Some(Audio::at(near.place())))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait(14_600)
        .bye();
    let mut caller = Sipp::start(&Run::once(script.xml(), CALLER, pbx.sip));
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    there.send_to(called.invite(LIMIT).await.media().unwrap());
    there.tone(Some(1_000.0));
    caller.finished(LIMIT).await;
    called.finished(LIMIT).await;
    // When each begins to speak is the harness's business; from then on nothing of it is missing.
    for (from, to, hertz) in [(&there, &near, 1_000.0), (&near, &there, 440.0)] {
        let audio = to.audio();
        let (said, heard) = (from.said(), sound::seconds_of(&audio, hertz));
        assert!(
            heard > said - 2.0,
            "{hertz} Hz: {said} s said, {heard} s heard"
        );
        assert!(heard > 6.0, "{hertz} Hz for {heard} s");
        let gap = sound::longest_gap(&audio, hertz);
        assert!(gap < 0.1, "{hertz} Hz missing for {gap} s");
    }
    let log = provider.log();
    for (method, least) in [("INVITE", 1), ("UPDATE", 4), ("BYE", 1)] {
        let times = log
            .matches(&format!("PROVIDER challenges {method}"))
            .count();
        // Each is challenged once: a stale nonce is no wrong password, and costs one round.
        let came = log.matches(&format!("PROVIDER {method} ")).count();
        // The nonce of an UPDATE that was late is still fresh for the BYE.
        let is_fresh = method == "BYE" && came == 1;
        assert!(
            times >= least || is_fresh,
            "{method} was challenged {times} times"
        );
        assert!(came <= 2 * (times + 1), "{method}: {came} for {times}");
    }
    assert_eq!(pbx.ended_call(FROM).await["result"], "answered");
}

/// The provider rings two far sides: one answers, the other is cancelled by it. Then both answer at once, and the second one hears BYE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_forks() {
    let places = far();
    let Some((pbx, provider)) = start(places).await else {
        return;
    };
    let answers = Phone::Answer(600, MEDIA, Law::Mu).xml();
    let (mut one, mut other) = tokio::join!(
        far_side(places[0], Phone::Ring.xml(), &provider),
        far_side(places[1], answers, &provider)
    );
    let call = Caller::new("+74951000002", FROM, MEDIA, Then::HangUpAfter(500));
    Sipp::call(pbx.sip, &call).finished(LIMIT).await;
    one.finished(LIMIT).await;
    other.finished(LIMIT).await;
    assert_eq!(pbx.ended_call(FROM).await["result"], "answered");

    // The other one answers all the same when it is cancelled: both 200s come through the proxy (RFC 3261 §13.2.2.4).
    drop((one, other));
    let quick = Phone::Answer(300, MEDIA, Law::Mu).xml();
    let mut quick = far_side(places[1], quick, &provider).await;
    let mut late = Peer::bound(&pbx, places[0]);
    late.pbx = provider.address;
    let second = "+79160000002";
    let call = Caller {
        from: second,
        then: Then::HangUpAfter(2_000),
        ..call
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    tokio::task::block_in_place(|| {
        let invite = late.request_within(LIMIT, Method::Invite);
        let contact = format!("sip:late@{}", late.at);
        late.respond(&invite, 180, "late", &contact, "");
        let cancel = late.request(Method::Cancel);
        late.respond(&cancel, 200, "late", &contact, "");
        let route = invite.header(Name::RecordRoute).unwrap();
        let more = format!("Record-Route: {route}\r\nContact: <{contact}>\r\n");
        late.respond_with(&invite, 200, "late", &more, &sdp(late.at, "0"));
        for method in [Method::Ack, Method::Bye] {
            let request = late.request(method);
            assert_eq!(request.to_tag(), Some("late"));
            if method == Method::Bye {
                late.respond(&request, 200, "late", &contact, "");
            }
        }
    });
    caller.finished(LIMIT).await;
    quick.finished(LIMIT).await;
    let row = pbx.ended_call(second).await;
    assert_eq!(row["result"], "answered", "{row}");
    pause(100).await;
    pbx.wait_until_idle(LIMIT).await;
}
