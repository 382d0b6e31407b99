//! SRTP with keys in SDP: own peers in both directions, baresip, keys that stay and keys that change, and what is refused.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::baresip::{Baresip, Place};
use crate::support::by_hand::{Peer, SOON, contact, sdp};
use crate::support::media_peer::MediaPeer;
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, eventually, free_port, pause};
use vats::rtp::srtp::Suite;
use vats::sdp::crypto::Policy;
use vats::sdp::negotiate::{Codec, KeySeed, Negotiation};
use vats::sip::wire::{Message, Method, Name};

const LIMIT: Duration = Duration::from_secs(10);
const PLAN: &str = r#"
[numbers."+74951000001"]
to = "echo"
[numbers."+74951000002"]
to = "operator:anna"
"#;

async fn start(trunk: &str, operator: &str) -> Pbx {
    let server = pbx::server() + &format!("srtp = \"{trunk}\"\n");
    let anna = pbx::operator("anna", &format!("srtp = \"{operator}\""));
    Pbx::start(&(server + &anna + PLAN)).await
}

fn seed(first: u8) -> KeySeed {
    std::array::from_fn(|suite| std::array::from_fn(|at| first + (suite * 50 + at) as u8 % 100))
}

fn negotiation(at: SocketAddr, policy: Policy, keys: u8) -> Negotiation {
    Negotiation::new(at, &[Codec::Pcmu], 7).secured(policy, true, seed(keys))
}

fn warnings(refusal: &Message) -> String {
    let all: Vec<&str> = refusal.headers(Name::Warning).collect();
    all.join(" | ")
}

async fn echoes(media: &MediaPeer, byte: u8) {
    media.say(Some(byte));
    eventually(LIMIT, &format!("{byte} comes back"), || async {
        (media.heard(byte) >= 20).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_call_keeps_its_counters_over_a_re_invite_and_takes_new_keys_at_once() {
    let pbx = start("offered", "off").await;
    let mut peer = Peer::new(&pbx, CALLER);
    // The counter wraps after 26 packets: from then on only who remembers that can decrypt.
    let media = MediaPeer::open(CALLER, 65_510);
    let mut ours = negotiation(media.address, Policy::Required, 1);
    let offer = ours.offer();
    let offer = std::str::from_utf8(&offer).unwrap().to_owned();
    assert!(offer.contains("RTP/SAVP"), "{offer}");
    let ok = peer.connected("+74951000001", &offer);
    let agreed = ours.accept_answer(&ok.body()).unwrap();
    let crypto = agreed.crypto.clone().expect("protection");
    assert_eq!(crypto.send.suite(), Suite::AeadAes256Gcm);
    assert!(agreed.rtcp_mux);
    media.agree(&agreed);
    echoes(&media, 11).await;
    eventually(LIMIT, "the counter wraps", || async {
        (media.sequence() < 1_000).then_some(())
    })
    .await;

    // With the same keys.
    let again = ours.offer();
    let again = std::str::from_utf8(&again).unwrap();
    let invite = peer.within(&ok, "INVITE", 2, &offer_headers(&peer), again);
    peer.send(&invite);
    let answer = peer.answer();
    assert_eq!(answer.status(), 200);
    let ack = peer.within(&answer, "ACK", 2, "", "");
    peer.send(&ack);
    let agreed = ours.accept_answer(&answer.body()).unwrap();
    assert_eq!(agreed.crypto.as_ref(), Some(&crypto));
    echoes(&media, 22).await;

    // With new ones: ours by our choice, the PBX's stay.
    let mut renewed = negotiation(media.address, Policy::Required, 90);
    let offer = renewed.offer();
    let offer = std::str::from_utf8(&offer).unwrap();
    let invite = peer.within(&ok, "INVITE", 3, &offer_headers(&peer), offer);
    peer.send(&invite);
    let answer = peer.answer();
    let ack = peer.within(&answer, "ACK", 3, "", "");
    peer.send(&ack);
    let agreed = renewed.accept_answer(&answer.body()).unwrap();
    let renewed = agreed.crypto.as_ref().expect("protection");
    assert_ne!(renewed.send, crypto.send);
    assert_eq!(renewed.receive, crypto.receive);
    // What is still sent with the old key is not taken for sound.
    media.say(Some(33));
    pause(200).await;
    assert_eq!(media.heard(33), 0);
    media.agree(&agreed);
    echoes(&media, 44).await;

    let heard = media.take();
    assert_eq!(heard.refused, 0, "the PBX's own counters never failed");
    peer.hang_up(&ok);
    let call = pbx.ended_call("+79160000001").await;
    let quality = quality_of(&pbx, &call).await;
    assert_eq!(quality["srtp"], "AEAD_AES_256_GCM");
}

fn offer_headers(peer: &Peer) -> String {
    format!(
        "Contact: <sip:x@{}>\r\nContent-Type: application/sdp\r\n",
        peer.at
    )
}

/// How the call's first leg sounded: it is known a moment after the call's end.
async fn quality_of(pbx: &Pbx, call: &serde_json::Value) -> serde_json::Value {
    let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
    eventually(LIMIT, "the leg's quality", || async {
        let call = pbx.json(&path).await;
        let quality = call["legs"][0]["quality"].clone();
        (!quality.is_null()).then_some(quality)
    })
    .await
}

/// With lifetimes for the keys in it.
fn mortal(sdp: &[u8], packets: u32) -> String {
    let lines = std::str::from_utf8(sdp).unwrap().lines();
    let line = |line: &str| match line.starts_with("a=crypto:") {
        true => format!("{line}|{packets}\r\n"),
        false => format!("{line}\r\n"),
    };
    lines.map(line).collect()
}

/// RFC 3711 §9.2: a key that is soon used up is asked for anew, and what is protected with it afterwards is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_short_life_is_renewed_or_the_call_ends() {
    let long = Duration::from_secs(40);
    let pbx = start("offered", "off").await;
    let mut peer = Peer::new(&pbx, CALLER);
    let media = MediaPeer::open(CALLER, 100);
    let mut ours = negotiation(media.address, Policy::Required, 1);
    let offer = mortal(&ours.offer(), 512);
    let ok = peer.connected("+74951000001", &offer);
    media.agree(&ours.accept_answer(&ok.body()).unwrap());
    echoes(&media, 11).await;

    let invite = tokio::task::block_in_place(|| peer.request_within(long, Method::Invite));
    media.say(None);
    pause(100).await;
    let mut renewed = negotiation(media.address, Policy::Required, 60);
    let (answer, agreed) = renewed.answer(&invite.body()).unwrap();
    let uri = format!("sip:x@{}", peer.at);
    peer.respond(&invite, 200, "", &uri, &mortal(&answer, 512));
    tokio::task::block_in_place(|| peer.request(Method::Ack));
    media.agree(&agreed);
    echoes(&media, 22).await;

    // The next time it brings none.
    let invite = tokio::task::block_in_place(|| peer.request_within(long, Method::Invite));
    peer.respond(&invite, 488, "", &uri, "");
    let bye = tokio::task::block_in_place(|| peer.request_within(long, Method::Bye));
    let reason = bye.header(Name::Reason).unwrap().to_owned();
    assert!(reason.contains("key of the encrypted audio"), "{reason}");
    peer.respond(&bye, 200, "", &uri, "");
    assert_eq!(media.take().refused, 0);
    let call = pbx.ended_call("+79160000001").await;
    assert_eq!(call["ended_by"], "system", "{call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_suite_and_plain_media_side_by_side() {
    let pbx = start("offered", "off").await;
    for (round, suite) in Suite::ALL.into_iter().enumerate() {
        let mut peer = Peer::new(&pbx, CALLER);
        let media = MediaPeer::open(CALLER, 100);
        let mut ours = negotiation(media.address, Policy::Required, round as u8 + 1);
        let offer = ours.offer();
        let offer = std::str::from_utf8(&offer).unwrap();
        // Only this suite, and beside plain RTP/AVP in every other round.
        let mut kept: String = offer
            .lines()
            .filter(|line| !line.starts_with("a=crypto") || line.contains(suite.as_str()))
            .map(|line| format!("{line}\r\n"))
            .collect();
        if round % 2 == 1 {
            kept = kept.replace("RTP/SAVP", "RTP/AVP");
        }
        let ok = peer.connected("+74951000001", &kept);
        let agreed = ours.accept_answer(&ok.body()).unwrap();
        assert_eq!(agreed.crypto.as_ref().unwrap().send.suite(), suite);
        media.agree(&agreed);
        echoes(&media, 55).await;
        assert_eq!(media.take().refused, 0, "{suite:?}");
        peer.hang_up(&ok);
    }
    let mut peer = Peer::new(&pbx, CALLER);
    let media = MediaPeer::open(CALLER, 100);
    let mut plain = negotiation(media.address, Policy::Off, 1);
    let offer = plain.offer();
    let ok = peer.connected("+74951000001", std::str::from_utf8(&offer).unwrap());
    let agreed = plain.accept_answer(&ok.body()).unwrap();
    assert!(agreed.crypto.is_none());
    media.agree(&agreed);
    echoes(&media, 66).await;
    peer.hang_up(&ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_must_be_encrypted_and_a_caller_who_is_not() {
    let pbx = start("off", "required").await;
    let mut caller = Peer::new(&pbx, CALLER);
    let mut phone = Peer::new(&pbx, PHONES);
    let uri = format!("sip:anna@{}", phone.at);
    assert_eq!(
        phone
            .register("anna", "secret-anna", &contact(&uri))
            .0
            .status(),
        200
    );

    let (near, far) = (MediaPeer::open(CALLER, 1), MediaPeer::open(PHONES, 1));
    let mut plain = negotiation(near.address, Policy::Off, 1);
    let offer = plain.offer();
    let call = caller.call("+74951000002", "", std::str::from_utf8(&offer).unwrap());
    caller.send(&call);
    let invite = phone.request(Method::Invite);
    let body = String::from_utf8(invite.body().to_vec()).unwrap();
    assert!(
        body.contains("RTP/SAVP") && body.matches("a=crypto").count() == 4,
        "{body}"
    );
    let mut secure = negotiation(far.address, Policy::Required, 5);
    let (answer, agreed) = secure.answer(&invite.body()).unwrap();
    far.agree(&agreed);
    phone.respond(
        &invite,
        200,
        "t",
        &uri,
        std::str::from_utf8(&answer).unwrap(),
    );
    phone.request(Method::Ack);
    let ok = caller.answer();
    assert_eq!(ok.status(), 200);
    let ack = caller.within(&ok, "ACK", 1, "", "");
    caller.send(&ack);
    near.agree(&plain.accept_answer(&ok.body()).unwrap());
    near.say(Some(21));
    far.say(Some(43));
    eventually(LIMIT, "both hear each other", || async {
        (near.heard(43) >= 50 && far.heard(21) >= 50).then_some(())
    })
    .await;
    assert_eq!((near.take().refused, far.take().refused), (0, 0));
    caller.hang_up(&ok);
    let bye = phone.request_within(SOON, Method::Bye);
    phone.respond(&bye, 200, "", &uri, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_agreed_on_is_refused_with_a_sentence() {
    let pbx = start("required", "off").await;
    let at: SocketAddr = SocketAddr::new(CALLER, 9_000);
    let plain = sdp(at, "0");
    let secure = plain.replace("RTP/AVP", "RTP/SAVP");
    let good = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let cases = [
        (plain, "only encrypted audio is taken here"),
        (secure.clone(), "the far side names no key"),
        (
            format!("{secure}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=\r\n"),
            "its key has not the length",
        ),
        (
            format!("{secure}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{good}|2^99\r\n"),
            "lifetime",
        ),
        (
            format!("{secure}a=crypto:one AES_CM_128_HMAC_SHA1_80 inline:{good}\r\n"),
            "its tag is not a number",
        ),
        (
            format!("{secure}a=crypto:1 AES_CM_256_HMAC_SHA1_80 inline:{good}\r\n"),
            "no protection in common",
        ),
    ];
    for (offer, sentence) in cases {
        let mut peer = Peer::new(&pbx, CALLER);
        let invite = peer.call("+74951000001", "", &offer);
        peer.send(&invite);
        let refusal = peer.answer();
        assert_eq!(refusal.status(), 488, "{offer}");
        let warnings = warnings(&refusal);
        assert!(warnings.contains("399 pbx.test"), "{warnings}");
        assert!(warnings.contains(sentence), "{warnings}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_with_mandatory_srtp() {
    let pbx = start("off", "required").await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let place = Place {
        namespace: None,
        address: SocketAddr::new(PHONES, free_port(PHONES)),
        media: free_port(PHONES),
        ca: None,
    };
    let outbound = format!("sip:{};transport=udp", pbx.sip);
    let account = ";audio_codecs=PCMU/8000/1;mediaenc=srtp-mand";
    let phone = Baresip::start_at(&place, "anna", 1_000.0, &outbound, account);
    phone.registered().await;
    let number = "+79160000009";
    let call = Caller::new(
        "+74951000002",
        number,
        near.place(),
        Then::HangUpAfter(4_000),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.send_to(media);
    near.tone(Some(440.0));
    caller.finished(LIMIT).await;
    near.tone(None);
    assert!(sound::seconds_of(&near.audio(), 1_000.0) >= 1.5);
    assert!(sound::seconds_of(&phone.heard().await, 440.0) >= 1.5);
    let call = pbx.ended_call(number).await;
    let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
    let quality = eventually(LIMIT, "the phone's quality", || async {
        let call = pbx.json(&path).await;
        let legs = call["legs"].as_array()?.clone();
        let phone = legs.into_iter().find(|leg| leg["operator"] == "anna")?;
        (!phone["quality"].is_null()).then(|| phone["quality"].clone())
    })
    .await;
    assert!(quality["srtp"].as_str().is_some(), "{quality}");
    // Nothing is lost here, but on a busy machine packets may come too late to be played.
    let is_late = quality["loss"].as_f64().unwrap() > 0.0;
    assert!(
        is_late || quality["mos"].as_f64().unwrap() > 4.0,
        "{quality}"
    );
    assert!(quality["packets_in"].as_u64().unwrap() >= 75, "{quality}");
}
