//! Calls that are passed on, joined, picked up, parked and sent elsewhere, through the real binary and real phones.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::by_hand::{Peer, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::softphone::Softphone;
use crate::support::{CALLER, PHONES, eventually, free_port, pause, sound};
use serde_json::Value;
use vats::sip::wire::{Method, Name};

const NUMBER: &str = "+74951000001";
const FROM: &str = "+79160000000";
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const CALLER_TONE: f64 = 440.0;
const ANNA_TONE: f64 = 1_000.0;
const BORIS_TONE: f64 = 1_500.0;

fn plan(more: &str) -> String {
    plan_with_outside(more, 5_999)
}

fn plan_with_outside(more: &str, outside: u16) -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"")
        + &pbx::operator("clara", "extension = \"103\"\nmay = []")
        + &format!(
            r#"
[trunks.here]
accept = ["127.0.0.1/32"]
[trunks.out]
peer = "{OUTSIDE}:{outside}"
[numbers."{NUMBER}"]
to = "operator:anna"
[numbers."+74951000002"]
to = "operator:clara"
[outbound.russia]
prefixes = ["+7"]
trunks = ["out"]
allow = ["anna"]
{more}
"#
        )
}

fn caller(pbx: &Pbx, length: &str) -> Vats {
    let options = ["--for", length, "--play", "caller.wav"];
    phone::tone(pbx.folder(), "caller.wav", CALLER_TONE);
    Vats::dial(pbx.folder(), pbx.sip, NUMBER, &options)
}

async fn boris(pbx: &Pbx, after: &str) -> Vats {
    phone::tone(pbx.folder(), "boris.wav", BORIS_TONE);
    let options = ["--after", after, "--play", "boris.wav"];
    Vats::answer(pbx.folder(), pbx.sip, "boris", &options).await
}

async fn anna(pbx: &Pbx, transfer: &str) -> Vats {
    phone::tone(pbx.folder(), "anna.wav", ANNA_TONE);
    let options = [
        "--after",
        "0s",
        "--play",
        "anna.wav",
        "--transfer",
        transfer,
    ];
    Vats::answer(pbx.folder(), pbx.sip, "anna", &options).await
}

fn as_operator(name: &str) -> Vec<String> {
    [
        "--from",
        &format!("sip:{name}@pbx.test"),
        "--password",
        &format!("secret-{name}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn operator_dials(pbx: &Pbx, name: &str, number: &str, more: &[&str]) -> Vats {
    let account = as_operator(name);
    let mut options: Vec<&str> = account.iter().map(String::as_str).collect();
    options.extend(more);
    Vats::dial(pbx.folder(), pbx.sip, number, &options)
}

fn outcome_of<'a>(row: &'a Value, operator: &str) -> &'a Value {
    let legs = row["legs"].as_array().unwrap();
    legs.iter()
        .find(|leg| leg["operator"] == operator)
        .unwrap_or_else(|| panic!("no leg of {operator}: {row}"))
}

async fn everybody_is_free(pbx: &Pbx, operators: &[&str]) {
    pbx.wait_until_idle(Duration::from_secs(10)).await;
    for operator in operators {
        pbx.wait_for_state(operator, "available").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_transfer_keeps_the_recording_going() {
    let pbx = Pbx::start(&plan("")).await;
    let boris = boris(&pbx, "1s").await;
    let anna = anna(&pbx, "102@2s").await;
    let (code, said) = caller(&pbx, "7s").ended().await;
    assert_eq!(code, 0, "{said}");
    anna.says("the target: 100").await;
    anna.says("the target: 180").await;
    anna.says("the target: 200").await;
    anna.says("the caller hung up").await;
    boris.says("passed on by <sip:anna@pbx.test>").await;
    boris.says(FROM).await;
    boris.says("the caller hung up").await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(row["operator"], "anna", "who answered first");
    assert_eq!(
        row["path"],
        serde_json::json!(["operator:anna", "operator:boris"])
    );
    for operator in ["anna", "boris"] {
        let leg = outcome_of(&row, operator);
        assert_eq!(leg["outcome"], "answered", "{leg}");
        assert!(leg["accepted_at"].is_string(), "{leg}");
    }
    let id = row["recording_id"].as_str().expect("a recording");
    let (status, bytes) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    assert_eq!(status, 200);
    let (sides, _) = sound::read_wav(&bytes);
    let left = sound::seconds_of(&sides[0], CALLER_TONE);
    assert!(left >= 5.8, "the caller is heard for {left} s");
    assert!(sound::longest_gap(&sides[0], CALLER_TONE) <= 0.06);
    let first = sound::seconds_of(&sides[1], ANNA_TONE);
    let second = sound::seconds_of(&sides[1], BORIS_TONE);
    assert!((1.2..=2.6).contains(&first), "anna is heard for {first} s");
    assert!((2.5..=4.6).contains(&second), "boris for {second} s");
    assert_eq!(pbx.recordings().len(), 1);
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_nobody_takes_comes_back() {
    let pbx = Pbx::start(&plan("")).await;
    // boris is not registered.
    let anna = anna(&pbx, "102@1s").await;
    let caller = caller(&pbx, "4s");
    anna.says("the target: 480").await;
    let (code, said) = caller.ended().await;
    assert_eq!(code, 0, "{said}");
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["ended_by"], "caller", "{row}");
    let id = row["recording_id"].as_str().expect("a recording");
    let (_, bytes) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    let (sides, _) = sound::read_wav(&bytes);
    let heard = sound::seconds_of(&sides[1], ANNA_TONE);
    assert!(heard >= 3.0, "anna is heard again: {heard} s");
    everybody_is_free(&pbx, &["anna"]).await;
}

/// The outside, with a place for what it is told: answers the first INVITE that comes.
struct Outside(Peer, std::net::UdpSocket);

impl Outside {
    fn new(pbx: &Pbx, port: u16) -> Outside {
        let mut peer = Peer::new(pbx, OUTSIDE);
        peer.socket = std::net::UdpSocket::bind((OUTSIDE, port)).unwrap();
        peer.at = peer.socket.local_addr().unwrap();
        Outside(peer, std::net::UdpSocket::bind((OUTSIDE, 0)).unwrap())
    }

    /// The number that is dialled; it answers.
    fn answers(&self) -> String {
        let invite = self.0.request(Method::Invite);
        let contact = format!("sip:out@{}", self.0.at);
        let body = sdp(self.1.local_addr().unwrap(), "0 8");
        self.0.respond(&invite, 180, "o", &contact, "");
        self.0.respond(&invite, 200, "o", &contact, &body);
        self.0.request(Method::Ack);
        invite.request_uri().to_owned()
    }

    fn hears_bye(&self) {
        let bye = self.0.request(Method::Bye);
        self.0.respond(&bye, 200, "o", "sip:o@o", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_only_where_the_one_who_passes_on_may_call() {
    let port = free_port(OUTSIDE);
    let pbx = Pbx::start(&plan_with_outside("", port)).await;
    let outside = Outside::new(&pbx, port);
    let first = anna(&pbx, "89161234567@1s").await;
    let call = caller(&pbx, "4s");
    let uri = tokio::task::block_in_place(|| outside.answers());
    assert!(uri.contains("+79161234567"), "{uri}");
    first.says("the target: 200").await;
    first.says("the caller hung up").await;
    tokio::task::block_in_place(|| outside.hears_bye());
    assert_eq!(call.ended().await.0, 0);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["direction"], "inbound", "{row}");
    assert_eq!(row["trunk"], "here", "{row}");
    first.signal("TERM");
    first.ended().await;

    let second = anna(&pbx, "+4930123456@1s").await;
    let call = caller(&pbx, "3s");
    second.says("passing on is refused (403)").await;
    assert_eq!(call.ended().await.0, 0);
    everybody_is_free(&pbx, &["anna"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_pass_on_is_refused() {
    let pbx = Pbx::start(&plan("")).await;
    let mut clara = Softphone::register(&pbx, PHONES, "clara");
    let mut caller = Peer::new(&pbx, CALLER);
    let invite = caller.call("+74951000002", "", &sdp(caller.at, "0"));
    caller.send(invite);
    let (session, _) = clara.rings();
    clara.answer(session);
    let ok = caller.answer();
    let ack = caller.within(&ok, "ACK", 1, "", "");
    caller.send(ack);
    assert_eq!(clara.refer(session, "<sip:102@pbx.test>"), 403);
    // The trunk's side may not either, and hears it in a way that leaves the call alone.
    let refer = caller.within(&ok, "REFER", 2, "Refer-To: <sip:102@pbx.test>\r\n", "");
    caller.send(refer);
    let refused = caller.answer();
    assert_eq!(refused.status(), 403);
    assert!(refused.header(Name::Warning).unwrap().contains("transfer"));
    caller.hang_up(&ok);
    clara.ended(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attended_transfer_and_what_it_may_name() {
    let pbx = Pbx::start(&plan("")).await;
    let boris = boris(&pbx, "0s").await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let caller = caller(&pbx, "6s");
    let (first, _) = anna.rings();
    anna.answer(first);
    let second = anna.call("102", Vec::new());
    anna.answered(second);
    // A dialog that is not there: the call goes on.
    let nothing = "<sip:102@pbx.test?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>";
    assert_eq!(anna.refer(first, nothing), 202);
    assert_eq!(anna.report(first), 481);
    let there = anna.replacing(second);
    assert_eq!(anna.refer(first, &there), 202);
    assert_eq!(anna.report(first), 200);
    anna.ended(first);
    anna.ended(second);
    pbx.wait_for_state("anna", "available").await;
    assert_eq!(pbx.operator_state("boris").await, "talking");
    assert_eq!(caller.ended().await.0, 0);
    boris.says("the caller hung up").await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(outcome_of(&row, "boris")["outcome"], "answered");
    let id = row["recording_id"].as_str().expect("a recording");
    let (_, bytes) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    let (sides, _) = sound::read_wav(&bytes);
    assert!(
        sound::seconds_of(&sides[1], BORIS_TONE) >= 2.0,
        "boris is heard on the caller's recording"
    );
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_whom_still_rings() {
    let pbx = Pbx::start(&plan("")).await;
    let boris = boris(&pbx, "2s").await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let caller = caller(&pbx, "6s");
    let (first, _) = anna.rings();
    anna.answer(first);
    let second = anna.call("102", Vec::new());
    anna.hears_ringing(second);
    let there = anna.replacing(second);
    assert_eq!(anna.refer(first, &there), 202);
    anna.ended(second);
    assert_eq!(anna.report(first), 200);
    anna.ended(first);
    boris.says("passed on by").await;
    assert_eq!(caller.ended().await.0, 0);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(outcome_of(&row, "boris")["outcome"], "answered", "{row}");
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ringing_call_is_picked_up_by_code_and_by_replaces() {
    let pbx = Pbx::start(&plan("")).await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let nobody = operator_dials(&pbx, "boris", "*8101", &[]);
    let (code, said) = nobody.ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refused: 404"), "{said}");
    let forbidden = operator_dials(&pbx, "clara", "*8101", &[]);
    assert!(forbidden.ended().await.1.contains("refused: 603"));

    let first = caller(&pbx, "3s");
    let (ringing, _) = anna.rings();
    pbx.wait_for_state("anna", "ringing").await;
    let boris = operator_dials(&pbx, "boris", "*8101", &[]);
    anna.ended(ringing);
    assert_eq!(boris.ended().await.0, 0);
    assert_eq!(first.ended().await.0, 0);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["operator"], "boris", "{row}");
    pbx.wait_until_idle(Duration::from_secs(5)).await;

    let second = caller(&pbx, "3s");
    let (ringing, _) = anna.rings();
    let mut boris = Softphone::register(&pbx, PHONES, "boris");
    let name = anna.replaces(ringing);
    // Both tags the wrong way round are the same dialog; early-only is fulfilled.
    let replaces = vec![(Name::Replaces, format!("{name};early-only"))];
    let session = boris.call("101", replaces);
    boris.answered(session);
    anna.ended(ringing);
    let again = boris.call("101", vec![(Name::Replaces, name)]);
    assert_eq!(boris.refused(again), 481);
    let broken = boris.call("101", vec![(Name::Replaces, "nonsense".to_owned())]);
    assert_eq!(boris.refused(broken), 400);
    boris.ended(session);
    assert_eq!(second.ended().await.0, 0);
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_moves_to_another_phone_of_the_same_operator() {
    let pbx = Pbx::start(&plan("")).await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let mut boris = Softphone::register(&pbx, PHONES, "boris");
    let caller = caller(&pbx, "4s");
    let (desk, _) = anna.rings();
    anna.answer(desk);
    let name = anna.replaces(desk);
    let stolen = boris.call("101", vec![(Name::Replaces, name.clone())]);
    assert_eq!(boris.refused(stolen), 403);
    let only = format!("{name};early-only");
    let early = anna.call("101", vec![(Name::Replaces, only)]);
    assert_eq!(anna.refused(early), 486);
    let pulled = anna.call("101", vec![(Name::Replaces, name)]);
    anna.answered(pulled);
    anna.ended(desk);
    anna.ended(pulled);
    assert_eq!(caller.ended().await.0, 0);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_call_is_taken_or_comes_back() {
    let features = "[features]\npark_timeout = \"5s\"\nslots = \"71-72\"\n";
    let pbx = Pbx::start(&plan(features)).await;
    let empty = operator_dials(&pbx, "boris", "71", &[]);
    assert!(empty.ended().await.1.contains("refused: 404"));
    let anna = anna(&pbx, "*7@1s").await;
    let first = caller(&pbx, "5s");
    anna.says("the target: 200").await;
    pbx.wait_for_state("anna", "available").await;
    let live = pbx.items("/api/v1/calls/live").await;
    let path = live[0]["path"].as_array().unwrap();
    assert_eq!(path.last().unwrap(), "park:71", "the slot is shown");
    let boris = operator_dials(&pbx, "boris", "71", &["--record", "boris_heard.wav"]);
    assert_eq!(boris.ended().await.0, 0);
    assert_eq!(first.ended().await.0, 0);
    let bytes = std::fs::read(pbx.folder().join("boris_heard.wav")).unwrap();
    let heard = sound::seconds_of(&sound::read_wav(&bytes).0[0], CALLER_TONE);
    assert!(heard >= 1.0, "boris hears the caller for {heard} s");

    let second = caller(&pbx, "12s");
    eventually(Duration::from_secs(10), "anna is rung again", || async {
        let rung = anna.said().matches("ringing: a call").count();
        (rung >= 3).then_some(())
    })
    .await;
    anna.signal("TERM");
    anna.ended().await;
    assert_eq!(second.ended().await.0, 0);
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_forwards_is_obeyed_within_its_operators_permissions() {
    let port = free_port(OUTSIDE);
    let pbx = Pbx::start(&plan_with_outside("", port)).await;
    let outside = Outside::new(&pbx, port);
    let forwarding = ["--forward", "89161234567"];
    let anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &forwarding).await;
    let call = caller(&pbx, "3s");
    let uri = tokio::task::block_in_place(|| outside.answers());
    assert!(uri.contains("+79161234567"), "{uri}");
    tokio::task::block_in_place(|| outside.hears_bye());
    assert_eq!(call.ended().await.0, 0);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(
        (&row["result"], &row["operator"]),
        (&"answered".into(), &"anna".into())
    );
    assert_eq!(outcome_of(&row, "anna")["trunk"], "out", "{row}");
    anna.signal("TERM");
    anna.ended().await;

    let forbidden = ["--forward", "+4930123456"];
    let _anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &forbidden).await;
    let (code, said) = caller(&pbx, "3s").ended().await;
    assert_eq!(code, 1, "{said}");
    pause(100).await;
    everybody_is_free(&pbx, &["anna"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_speaks_another_codec() {
    let pbx = Pbx::start(&plan("")).await;
    let boris = Baresip::start(pbx.sip, "boris", BORIS_TONE, "PCMU/8000/1").await;
    let anna = anna(&pbx, "102@1s").await;
    phone::tone(pbx.folder(), "caller.wav", CALLER_TONE);
    let options = [
        "--for",
        "5s",
        "--play",
        "caller.wav",
        "--record",
        "caller_heard.wav",
    ];
    let call = Vats::dial(pbx.folder(), pbx.sip, NUMBER, &options);
    anna.says("the target: 200").await;
    assert_eq!(call.ended().await.0, 0);
    let bytes = std::fs::read(pbx.folder().join("caller_heard.wav")).unwrap();
    let (sides, _) = sound::read_wav(&bytes);
    let heard = sound::seconds_of(&sides[0], BORIS_TONE);
    assert!(heard >= 2.0, "the caller hears boris for {heard} s");
    let heard = sound::seconds_of(&boris.heard().await, CALLER_TONE);
    assert!(heard >= 2.0, "boris hears the caller for {heard} s");
    everybody_is_free(&pbx, &["anna", "boris"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_may_passes_on_to_numbers_of_ours_only() {
    let trusting = plan("").replace(
        "[trunks.here]",
        "[trunks.pbx]\naccept = [\"127.0.0.6/32\"]\ntransfer = true\n[trunks.here]",
    );
    let pbx = Pbx::start(&trusting).await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let mut clara = Softphone::register(&pbx, PHONES, "clara");
    let mut caller = Peer::new(&pbx, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)));
    let invite = caller.call("+74951000002", "", &sdp(caller.at, "0"));
    caller.send(invite);
    let (session, _) = clara.rings();
    clara.answer(session);
    let ok = caller.answer();
    let ack = caller.within(&ok, "ACK", 1, "", "");
    caller.send(ack);
    let outside = "Refer-To: <sip:+79161234567@x>\r\nRefer-Sub: false\r\n";
    let refer = caller.within(&ok, "REFER", 2, outside, "");
    caller.send(refer);
    assert_eq!(caller.answer().status(), 202);
    pause(200).await;
    assert_eq!(pbx.operator_state("clara").await, "talking", "unknown here");
    let ours = format!("Refer-To: <sip:{NUMBER}@x>\r\nRefer-Sub: false\r\n");
    let refer = caller.within(&ok, "REFER", 3, &ours, "");
    caller.send(refer);
    assert_eq!(caller.answer().status(), 202);
    let (rung, _) = anna.rings();
    anna.answer(rung);
    // The one who asked is out; anna talks with clara.
    let bye = caller.request(Method::Bye);
    caller.respond(&bye, 200, "x", "sip:x@x", "");
    clara.hang_up(session);
    anna.ended(rung);
}
