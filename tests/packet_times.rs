//! A far side that takes only short packets is sent such, and nobody else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::noise;
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::sound::Law;
use crate::support::{eventually, free_port};
use vats::sip::wire::Method;

const LIMIT: Duration = Duration::from_secs(30);
const NUMBER: &str = "+74951000001";
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 28));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 29));
const CALLER: u64 = 1;
const ANNA: u64 = 2;

fn plan(anna: SocketAddr) -> String {
    pbx::server()
        + &pbx::operator("anna", &format!("contact = \"sip:anna@{anna}\""))
        + &format!(
            r#"
[trunks.here]
accept = ["{NEAR}/32"]
codecs = ["pcma"]
[numbers."{NUMBER}"]
to = "operator:anna"
"#
        )
}

/// The last second of what somebody heard is what was said, in packets of so many octets.
fn assert_heard(peer: &RtpPeer, octets: usize, said: u64) {
    let heard = peer.heard();
    let last = &heard[heard.len() - 8_000 / octets..];
    for packet in last {
        assert_eq!((packet.payload_type, packet.payload.len()), (8, octets));
    }
    for pair in last.windows(2) {
        let ahead = pair[1].sequence.wrapping_sub(pair[0].sequence);
        let later = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert_eq!(later, u32::from(ahead) * octets as u32);
    }
    let samples: Vec<i16> = last
        .iter()
        .flat_map(|packet| packet.payload.iter().map(|&octet| Law::A.decode(octet)))
        .collect();
    let runs = noise::runs(&samples, &noise::samples(said, 60 * 8_000)).unwrap();
    assert_eq!(noise::stored(&runs), samples.len(), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_short_packets_hears_the_same_octets_in_them() {
    let at = SocketAddr::new(FAR, free_port(FAR));
    let pbx = Pbx::start(&plan(at)).await;
    let anna = Peer::bound(&pbx, at);
    let mut caller = Peer::new(&pbx, NEAR);
    let near = RtpPeer::open(NEAR, Law::A).await;
    let far = RtpPeer::open(FAR, Law::A).await;
    let offer = sdp(near.address, "8") + "a=maxptime:10\r\n";
    let invite = caller.call(NUMBER, "", &offer);
    caller.send(invite);
    let ringing = anna.request_within(LIMIT, Method::Invite);
    let answer = sdp(far.address, "8");
    anna.respond(&ringing, 200, "a", &format!("sip:anna@{at}"), &answer);
    far.send_to(media_of(&ringing));
    far.noise(Some(ANNA));
    let ok = caller.answer();
    assert_eq!(ok.status(), 200);
    let ack = caller.within(&ok, "ACK", 1, "", "");
    caller.send(ack);
    near.send_to(media_of(&ok));
    near.noise(Some(CALLER));
    eventually(LIMIT, "two seconds of each", || async {
        let heard = (near.heard().len(), far.heard().len());
        (heard.0 > 200 && heard.1 > 100).then_some(())
    })
    .await;
    caller.hang_up(&ok);
    let bye = anna.request_within(LIMIT, Method::Bye);
    anna.respond(&bye, 200, "a", &format!("sip:anna@{at}"), "");
    assert_heard(&near, 80, ANNA);
    assert_heard(&far, 160, CALLER);
    pbx.wait_until_idle(LIMIT).await;
}
