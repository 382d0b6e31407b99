//! How a leg sounds: reports both ways, loss that is noticed, told and kept.

use std::time::Duration;

use crate::support::by_hand::Peer;
use crate::support::media_peer::{MediaPeer, SSRC};
use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::{CALLER, eventually, pause};
use serde_json::Value;
use vats::sdp::negotiate::{Codec, Negotiation};
use vats::sip::wire::Message;

const LIMIT: Duration = Duration::from_secs(10);

async fn start(receiver: &Receiver) -> Pbx {
    let plan = "\n[numbers.\"+74951000001\"]\nto = \"echo\"\n";
    Pbx::start(&(pbx::server() + &receiver.section(&["media.quality"]) + plan)).await
}

fn connect(peer: &mut Peer, media: &MediaPeer, mux: bool) -> Message {
    let mut ours = Negotiation::new(media.address, &[Codec::Pcmu], 7);
    let offer = ours.offer();
    let mut offer = std::str::from_utf8(&offer).unwrap().to_owned();
    if !mux {
        offer = offer.replace("a=rtcp-mux\r\n", "");
    }
    let ok = peer.connected("+74951000001", &offer);
    let agreed = ours.accept_answer(&ok.body()).unwrap();
    assert_eq!(agreed.rtcp_mux, mux);
    media.agree(&agreed);
    ok
}

async fn quality(pbx: &Pbx) -> Value {
    let call = pbx.ended_call("+79160000001").await;
    let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
    eventually(LIMIT, "the leg's quality", || async {
        let call = pbx.json(&path).await;
        let quality = call["legs"][0]["quality"].clone();
        (!quality.is_null()).then_some(quality)
    })
    .await
}

/// Nothing is lost on this machine, but when it is busy packets may come too late to be played.
fn sounds_well(quality: &Value) -> bool {
    quality["mos"].as_f64().unwrap() > 4.0 || quality["loss"].as_f64().unwrap() > 0.0
}

fn count(quality: &Value, what: &str) -> f64 {
    quality[what].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_that_loses_a_tenth_is_told_once_and_kept_as_bad() {
    let receiver = Receiver::start(&[]).await;
    let pbx = start(&receiver).await;
    let mut peer = Peer::new(&pbx, CALLER);
    let media = MediaPeer::open(CALLER, 500);
    media.lose_a_tenth();
    let ok = connect(&mut peer, &media, true);
    media.say(Some(17));
    let limit = Duration::from_secs(25);
    let told = eventually(limit, "media.quality", || async {
        receiver.deliveries().into_iter().next()
    })
    .await;
    assert_eq!(told.kind(), "media.quality");
    let data = &told.event["data"];
    let mos = data["mos"].as_f64().unwrap();
    assert!((1.0..3.5).contains(&mos), "{data}");
    // On a busy machine some come too late as well.
    assert!(data["loss"].as_f64().unwrap() >= 8.5, "{data}");
    assert!(data["jitter_ms"].as_u64().is_some(), "{data}");
    assert!(data["rtt_ms"].as_u64().is_some(), "{data}");
    pause(6_000).await;
    assert_eq!(receiver.deliveries().len(), 1, "once until it recovers");
    media.say(None);
    pause(1_000).await;
    peer.hang_up(&ok);

    let quality = quality(&pbx).await;
    let call = pbx.ended_call("+79160000001").await;
    assert_eq!(call["call_id"], data["call_id"]);
    assert_eq!(call["legs"][0]["leg_id"], data["leg_id"]);
    assert!(quality["mos"].as_f64().unwrap() < 3.5, "{quality}");
    assert!(quality["loss"].as_f64().unwrap() >= 9.0, "{quality}");
    let (came, all) = (
        count(&quality, "packets_in"),
        f64::from(media.sequence() - 500),
    );
    assert!((8.9..9.1).contains(&(10.0 * came / all)), "{came} of {all}");
    // What came to the far side was what was sent to it.
    assert!(quality["loss_out"].as_f64().unwrap() < 1.0, "{quality}");
    assert_eq!(quality["srtp"], Value::Null);
    assert!(pbx.log().contains("a leg sounds bad: MOS 3."));
    let (status, page) = pbx.fetch("/metrics").await;
    let page = String::from_utf8(page).unwrap();
    assert_eq!(status, 200, "{page}");
    for line in [
        "vats_calls 0",
        "vats_media_poor_total 1",
        "vats_leg_mos_bucket{le=\"3.50\"} 1",
        "vats_leg_mos_count 1",
    ] {
        assert!(
            page.lines().any(|written| written == line),
            "{line}\n{page}"
        );
    }
}

/// What a media thread tells of its legs when it is asked, without being held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_call_shows_how_its_legs_sound_now() {
    let receiver = Receiver::start(&[]).await;
    let pbx = start(&receiver).await;
    let mut peer = Peer::new(&pbx, CALLER);
    let media = MediaPeer::open(CALLER, 500);
    let ok = connect(&mut peer, &media, true);
    let live = pbx.json("/api/v1/calls/live").await;
    let call = live["items"][0]["call_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/calls/{call}");
    let leg = async || pbx.json(&path).await["legs"][0].clone();
    let before = leg().await;
    assert_eq!(before["media"]["codec"], "PCMU", "{before}");
    assert_eq!(before["quality"], Value::Null, "{before}");
    media.say(Some(17));
    // A whole period to judge, a report of the far side's with the time there and back.
    let limit = Duration::from_secs(40);
    let now = eventually(limit, "what can be told of the leg", || async {
        let now = leg().await;
        let is_known = |sound: &Value| sound["mos"].is_number() && sound["rtt_ms"].is_number();
        (is_known(&now["quality"]) && is_known(&now["media"]["lately"])).then_some(now)
    })
    .await;
    let io = now["media"]["io"].as_str().unwrap();
    assert!(["epoll", "io_uring"].contains(&io), "{now}");
    for sound in [&now["quality"], &now["media"]["lately"]] {
        assert!(sounds_well(sound), "{now}");
        assert!(sound["jitter_ms"].is_number(), "{now}");
        assert_eq!(sound["srtp"], Value::Null, "{now}");
        assert!(sound["packets_in"].as_u64().unwrap() >= 100, "{now}");
    }
    // It goes on counting, whoever asks how often.
    let packets = |leg: &Value| leg["quality"]["packets_in"].as_u64().unwrap();
    let mut last = packets(&now);
    for _ in 0..3 {
        pause(200).await;
        let (one, other) = tokio::join!(leg(), leg());
        assert!(packets(&one) > last && packets(&other) > last, "{one}");
        last = packets(&one);
    }
    media.say(None);
    let all = f64::from(media.sequence() - 500);
    eventually(LIMIT, "all that was sent is counted", || async {
        (count(&leg().await["quality"], "packets_in") == all).then_some(())
    })
    .await;
    peer.hang_up(&ok);
    assert_eq!(count(&quality(&pbx).await, "packets_in"), all);
    assert_eq!(leg().await["media"], Value::Null);
}

/// Reports on the same port and on the one above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_go_both_ways_and_end_with_a_farewell() {
    let receiver = Receiver::start(&[]).await;
    let pbx = start(&receiver).await;
    let mut sent = Vec::new();
    for mux in [true, false] {
        let mut peer = Peer::new(&pbx, CALLER);
        let media = MediaPeer::open(CALLER, 500);
        let ok = connect(&mut peer, &media, mux);
        media.say(Some(17));
        pause(12_500).await;
        media.say(None);
        pause(1_000).await;
        peer.hang_up(&ok);
        eventually(LIMIT, "the farewell", || async {
            let heard = media.peek();
            (heard.byes == 1).then_some(())
        })
        .await;
        let heard = media.take();
        sent.push(f64::from(media.sequence() - 500));
        assert_eq!(heard.refused, 0);
        assert_eq!(heard.above > 0, !mux, "where reports came to");
        let info = heard.senders.last().expect("sender reports");
        assert!(heard.senders.len() >= 2, "{heard:?}");
        assert!(info.packets >= 200, "{info:?}");
        assert_eq!(info.octets, info.packets * 160);
        // Seconds since 1900 on this machine's clock.
        let unix = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let away = (info.ntp >> 32).abs_diff(unix.as_secs() + 2_208_988_800);
        assert!(away < 30, "{away} s away");
        let block = heard.blocks.last().expect("report blocks");
        assert_eq!((block.ssrc, block.lost), (SSRC, 0));
        assert!(block.last_report != 0, "our reports are acknowledged");
        let name = &heard.names[0];
        assert!(heard.names.iter().all(|other| other == name));
    }
    let calls = pbx.items("/api/v1/calls").await;
    let mut came = 0.0;
    for call in calls {
        let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
        let quality = eventually(LIMIT, "the leg's quality", || async {
            let quality = pbx.json(&path).await["legs"][0]["quality"].clone();
            (!quality.is_null()).then_some(quality)
        })
        .await;
        assert!(quality["rtt_ms"].is_number(), "{quality}");
        assert!(sounds_well(&quality), "{quality}");
        came += count(&quality, "packets_in");
    }
    // All that was sent is accounted for; on a busy machine the first packet may overtake what lets it in.
    let (_, page) = pbx.fetch("/metrics").await;
    let page = String::from_utf8(page).unwrap();
    let dropped: f64 = page
        .lines()
        .filter(|line| line.starts_with("vats_media_packets_dropped_total{"))
        .filter_map(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
        .sum();
    assert_eq!(sent.iter().sum::<f64>(), came + dropped, "{sent:?}\n{page}");
    assert!(dropped <= 3.0, "{page}");
    assert!(receiver.deliveries().is_empty());
}
