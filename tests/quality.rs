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
    let loss = data["loss"].as_f64().unwrap();
    assert!((8.5..11.5).contains(&loss), "{data}");
    assert!(data["jitter_ms"].as_u64().is_some(), "{data}");
    assert!(data["rtt_ms"].as_u64().unwrap() < 100, "{data}");
    pause(6_000).await;
    assert_eq!(receiver.deliveries().len(), 1, "once until it recovers");
    peer.hang_up(&ok);

    let quality = quality(&pbx).await;
    let call = pbx.ended_call("+79160000001").await;
    assert_eq!(call["call_id"], data["call_id"]);
    assert_eq!(call["legs"][0]["leg_id"], data["leg_id"]);
    assert!(quality["mos"].as_f64().unwrap() < 3.5, "{quality}");
    let loss = quality["loss"].as_f64().unwrap();
    assert!((9.0..11.0).contains(&loss), "{quality}");
    // What came to the far side was what was sent to it.
    assert!(quality["loss_out"].as_f64().unwrap() < 1.0, "{quality}");
    assert_eq!(quality["srtp"], Value::Null);
    assert!(pbx.log().contains("a leg sounds bad: MOS 3."));
}

/// Reports on the same port and on the one above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_go_both_ways_and_end_with_a_farewell() {
    let receiver = Receiver::start(&[]).await;
    let pbx = start(&receiver).await;
    for mux in [true, false] {
        let mut peer = Peer::new(&pbx, CALLER);
        let media = MediaPeer::open(CALLER, 500);
        let ok = connect(&mut peer, &media, mux);
        media.say(Some(17));
        pause(12_500).await;
        media.say(None);
        pause(300).await;
        peer.hang_up(&ok);
        eventually(LIMIT, "the farewell", || async {
            let heard = media.peek();
            (heard.byes == 1).then_some(())
        })
        .await;
        let heard = media.take();
        assert_eq!(heard.refused, 0);
        assert_eq!(heard.above > 0, !mux, "where reports came to");
        let info = heard.senders.last().expect("sender reports");
        assert!(heard.senders.len() >= 2, "{heard:?}");
        assert!((400..700).contains(&info.packets), "{info:?}");
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
    for call in calls {
        let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
        let quality = eventually(LIMIT, "the leg's quality", || async {
            let quality = pbx.json(&path).await["legs"][0]["quality"].clone();
            (!quality.is_null()).then_some(quality)
        })
        .await;
        assert!(quality["mos"].as_f64().unwrap() > 4.2, "{quality}");
        assert!(quality["rtt_ms"].as_u64().unwrap() < 100, "{quality}");
        assert_eq!(quality["loss"], 0.0, "{quality}");
    }
    assert!(receiver.deliveries().is_empty());
}
