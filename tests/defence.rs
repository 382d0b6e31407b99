//! Scanners, wrong passwords, forged sources, overload and toll fraud, by hand on raw sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::by_hand::{Peer, QUIET, SOON, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::softphone::Softphone;
use crate::support::{CALLER, eventually, pause};
use serde_json::Value;
use vats::sip::endpoint::SessionId;
use vats::sip::wire::{Message, Method, Name};

const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
const LIMIT: Duration = Duration::from_secs(10);

fn plan(more: &str) -> String {
    let people = ["anna", "boris"].map(|name| pbx::operator(name, ""));
    let echo = "\n[numbers.\"+74951000001\"]\nto = \"echo\"\n";
    [
        pbx::server(),
        people.concat(),
        echo.to_owned(),
        more.to_owned(),
    ]
    .concat()
}

/// One attempt to log in, as far as it is answered: the challenge and what the credentials got.
fn attempt(peer: &mut Peer, user: &str, password: &str) -> (Option<Message>, Option<Message>) {
    let contact = "";
    let request = peer.draw_register(user, contact);
    peer.send(&request);
    let Some(challenge) = peer.hear(SOON) else {
        return (None, None);
    };
    assert_eq!(challenge.status(), 401);
    let again = peer.with_credentials(&request, &challenge, user, password, 1);
    peer.send(again);
    (Some(challenge), peer.hear(SOON))
}

/// Scans until it hears nothing more; how many attempts were answered.
fn scan(scanner: &mut Peer) -> usize {
    for user in 0..100 {
        if attempt(scanner, &format!("user{user}"), "1234").1.is_none() {
            return user;
        }
    }
    panic!("a hundred users were tried");
}

fn knock(peer: &mut Peer) {
    let uri = format!("sip:{}", peer.pbx);
    let options = peer.draw("OPTIONS", &uri, "<sip:a@b>", "", "");
    peer.send(options);
}

fn is_silent(peer: &mut Peer) -> bool {
    knock(peer);
    peer.hear(QUIET).is_none()
}

fn answers(peer: &mut Peer) -> bool {
    knock(peer);
    peer.hear(SOON).is_some()
}

/// The ACK to a refusal of this INVITE.
fn acknowledge(peer: &Peer, invite: &str, refusal: &Message) {
    let to = format!("To: {}", refusal.header(Name::To).unwrap());
    let ack: Vec<String> = invite
        .replace("INVITE", "ACK")
        .split("\r\n")
        .map(|line| match line.starts_with("To: ") {
            true => to.clone(),
            false => line.to_owned(),
        })
        .collect();
    peer.send(ack.join("\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_is_banned_and_everybody_is_told() {
    let receiver = Receiver::start(&[]).await;
    let mut pbx = Pbx::start(&plan(&receiver.section(&["security.banned"]))).await;
    let mut scanner = Peer::new(&pbx, SCANNER);
    let answered = scan(&mut scanner);
    assert!((5..10).contains(&answered), "{answered}");
    assert!(is_silent(&mut scanner));
    assert!(
        is_silent(&mut Peer::new(&pbx, SCANNER)),
        "another port of it"
    );
    assert!(answers(&mut Peer::new(&pbx, OTHER)));

    let bans = pbx.items("/api/v1/bans").await;
    assert_eq!(bans.len(), 1);
    assert_eq!(bans[0]["address"], "127.0.0.66");
    assert_eq!(bans[0]["users"], bans[0]["failures"]);
    let reason = bans[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("failed log-ins"), "{reason}");
    let told = eventually(LIMIT, "the ban is told", || async {
        let all = receiver.deliveries();
        all.into_iter().find(|d| d.kind() == "security.banned")
    })
    .await;
    assert_eq!(told.event["data"], bans[0]);
    assert!(pbx.log().contains(&reason));
    let kept = pbx.json("/api/v1/defence").await;
    assert_eq!(
        (&kept["bans"], &kept["failed"]),
        (&1.into(), &bans[0]["failures"])
    );
    assert!(kept["banned"].as_u64().unwrap() >= 2, "{kept}");

    // A restart does not let it in.
    pbx.terminate();
    pbx.ended(LIMIT).await;
    pbx.restart();
    assert_eq!(pbx.items("/api/v1/bans").await, bans);
    assert!(is_silent(&mut Peer::new(&pbx, SCANNER)));

    let lift = format!("http://{}/api/v1/bans/127.0.0.66", pbx.http);
    let client = reqwest::Client::new();
    for status in [204, 404] {
        let answer = client.delete(&lift).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    assert!(pbx.items("/api/v1/bans").await.is_empty());
    assert!(answers(&mut Peer::new(&pbx, SCANNER)));
    pause(500).await;
    pbx.crash();
    pbx.restart();
    assert!(answers(&mut Peer::new(&pbx, SCANNER)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends() {
    let pbx = Pbx::start(&plan("\n[security]\nban = \"5s\"\nfailures = 3\n")).await;
    let mut scanner = Peer::new(&pbx, SCANNER);
    assert!(scan(&mut scanner) <= 3);
    assert!(is_silent(&mut scanner));
    assert_eq!(pbx.items("/api/v1/bans").await.len(), 1);
    eventually(LIMIT, "the ban is over", || async {
        pbx.items("/api/v1/bans").await.is_empty().then_some(())
    })
    .await;
    assert!(answers(&mut scanner));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_phones_are_not_banned() {
    let pbx = Pbx::start(&plan("")).await;
    let mut phone = Peer::new(&pbx, HOME);
    // A wrong password, and then the right one.
    let (_, refused) = attempt(&mut phone, "anna", "mistyped");
    assert_eq!(refused.unwrap().status(), 401);
    let (_, accepted) = attempt(&mut phone, "anna", "secret-anna");
    assert_eq!(accepted.unwrap().status(), 200);
    // Challenges alone are no failures.
    let mut shy = Peer::new(&pbx, OTHER);
    for _ in 0..50 {
        let request = shy.draw_register("boris", "");
        shy.send(request);
        assert_eq!(shy.answer().status(), 401);
    }
    assert!(pbx.items("/api/v1/bans").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_source_bans_nobody() {
    let pbx = Pbx::start(&plan("")).await;
    // The attacker has a nonce of his own and writes the victim's address on his datagrams.
    let mut attacker = Peer::new(&pbx, SCANNER);
    let request = attacker.draw_register("anna", "");
    attacker.send(&request);
    let challenge = attacker.answer();
    let mut victim = Peer::new(&pbx, HOME);
    for number in 0..30 {
        let forged = victim.draw_register("anna", "");
        let forged = victim.with_credentials(&forged, &challenge, "anna", "guess", number + 1);
        victim.send(forged);
        let answer = victim.answer();
        let values: Vec<&str> = answer.headers(Name::WwwAuthenticate).collect();
        assert!(values.iter().all(|value| value.ends_with("stale=true")));
    }
    assert!(pbx.items("/api/v1/bans").await.is_empty());
    assert!(answers(&mut victim));
    assert_eq!(pbx.json("/api/v1/defence").await["failed"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_phone_is_registered_the_failing_user_alone_is_slowed_down() {
    let pbx = Pbx::start(&plan("")).await;
    let mut phone = Peer::new(&pbx, HOME);
    let uri = format!("sip:anna@{}", phone.at);
    let (ok, _) = phone.register(
        "anna",
        "secret-anna",
        &crate::support::by_hand::contact(&uri),
    );
    assert_eq!(ok.status(), 200);
    let mut intruder = Peer::new(&pbx, HOME);
    for _ in 0..30 {
        let (_, answer) = attempt(&mut intruder, "boris", "guess");
        assert_eq!(answer.unwrap().status(), 401);
    }
    assert!(pbx.items("/api/v1/bans").await.is_empty());
    let kept = pbx.json("/api/v1/defence").await;
    assert_eq!((&kept["failed"], &kept["slowed"]), (&10.into(), &20.into()));
    // Not even the right password is looked at now, but the neighbour's is.
    let (_, answer) = attempt(&mut intruder, "boris", "secret-boris");
    assert_eq!(answer.unwrap().status(), 401);
    let (_, answer) = attempt(&mut phone, "anna", "secret-anna");
    assert_eq!(answer.unwrap().status(), 200);
    let (_, answer) = attempt(&mut Peer::new(&pbx, OTHER), "boris", "secret-boris");
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_allow_list_and_trunks_are_never_banned() {
    let pbx = Pbx::start(&plan("\n[security]\nallow = [\"127.0.0.66\"]\n")).await;
    for address in [SCANNER, CALLER] {
        let mut peer = Peer::new(&pbx, address);
        for user in 0..30 {
            let (_, answer) = attempt(&mut peer, &format!("user{user}"), "1234");
            assert_eq!(answer.unwrap().status(), 401);
        }
        assert!(answers(&mut peer));
    }
    assert!(pbx.items("/api/v1/bans").await.is_empty());
}

/// A message without what differs each time: tags, nonces, branches, ids.
fn essence(message: &Message) -> Vec<String> {
    let text = String::from_utf8(message.bytes().to_vec()).unwrap();
    let ours = |line: &&str| {
        ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .all(|name| !line.starts_with(&format!("{name}:")))
    };
    text.lines()
        .filter(ours)
        .map(|line| match line.split_once("nonce=\"") {
            Some((before, rest)) => {
                let (_, after) = rest.split_once('"').unwrap();
                format!("{before}{after}")
            }
            None => line.to_owned(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_learns_which_users_exist() {
    // Everybody has the same kind of phone, so the challenge tells nothing either.
    let pbx = Pbx::start(&plan("")).await;
    let mut stranger = Peer::new(&pbx, OTHER);
    let pair = |known: (Option<Message>, Option<Message>)| {
        [known.0.unwrap(), known.1.unwrap()].map(|message| essence(&message))
    };
    let known = pair(attempt(&mut stranger, "anna", "guess"));
    let unknown = pair(attempt(&mut stranger, "zoe", "guess"));
    assert_eq!(known, unknown);
    for method in [
        "INVITE",
        "SUBSCRIBE",
        "MESSAGE",
        "OPTIONS",
        "REFER",
        "PUBLISH",
    ] {
        let mut heard = Vec::new();
        for user in ["anna", "zoe"] {
            let uri = format!("sip:{user}@pbx.test");
            let request = stranger.draw(method, &uri, &format!("<{uri}>"), "", "");
            stranger.send(&request);
            let answer = stranger.answer();
            if method == "INVITE" {
                assert_eq!(answer.status(), 401);
                acknowledge(&stranger, &request, &answer);
            }
            heard.push(essence(&answer));
        }
        assert_eq!(heard[0], heard[1], "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_of_a_nonce_is_good_for_one_request() {
    let pbx = Pbx::start(&plan("")).await;
    let mut phone = Peer::new(&pbx, HOME);
    let request = phone.draw_register("anna", "");
    phone.send(&request);
    let challenge = phone.answer();
    let mut with = |count: u32| {
        let fresh = phone.draw_register("anna", "");
        let fresh = phone.with_credentials(&fresh, &challenge, "anna", "secret-anna", count);
        phone.send(fresh);
        phone.answer()
    };
    assert_eq!([1, 3, 2].map(|count| with(count).status()), [200; 3]);
    for replayed in [1, 2, 3] {
        let answer = with(replayed);
        assert_eq!(answer.status(), 401);
        let value = answer.header(Name::WwwAuthenticate).unwrap();
        assert!(value.ends_with("stale=true"), "{value}");
    }
    assert_eq!(pbx.json("/api/v1/defence").await["failed"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_address_is_cut_off_for_it_alone() {
    let pbx = Pbx::start(&plan("\n[security]\nrequests = 20\n")).await;
    let mut flooder = Peer::new(&pbx, SCANNER);
    let uri = format!("sip:{}", flooder.pbx);
    for _ in 0..500 {
        let options = flooder.draw("OPTIONS", &uri, "<sip:a@b>", "", "");
        flooder.send(options);
    }
    let answered = flooder.all().len();
    assert!((80..200).contains(&answered), "{answered}");
    assert!(answers(&mut Peer::new(&pbx, OTHER)));
    let kept = pbx.json("/api/v1/defence").await;
    assert!(kept["limited"].as_u64().unwrap() >= 300, "{kept}");
    pause(1_000).await;
    assert!(answers(&mut flooder), "it is limited, not banned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_ceiling_are_refused_and_accounted() {
    let ceiling = plan("").replace("[server]", "[server]\nmax_calls = 2");
    let pbx = Pbx::start(&ceiling).await;
    let mut peer = Peer::new(&pbx, CALLER);
    let media = sdp(SocketAddr::new(CALLER, 9_100), "0");
    let running: Vec<Message> = (0..2)
        .map(|_| peer.connected("+74951000001", &media))
        .collect();
    let invite = peer.call("+74951000001", "", &media);
    let invite = invite.replace("+79160000001", "+79160000099");
    peer.send(&invite);
    let refused = peer.answer();
    assert_eq!(refused.status(), 503);
    let after: u64 = refused.header(Name::RetryAfter).unwrap().parse().unwrap();
    assert!((5..=10).contains(&after), "{after}");
    acknowledge(&peer, &invite, &refused);
    let row = pbx.ended_call("+79160000099").await;
    assert_eq!(
        (&row["result"], &row["cause"]),
        (&"missed".into(), &"overload".into())
    );
    assert_eq!(pbx.json("/api/v1/defence").await["refused_calls"], 1);
    // Those that run are unharmed, and each that ends makes room.
    peer.all();
    let options = peer.within(&running[0], "OPTIONS", 2, "", "");
    peer.send(options);
    assert_eq!(peer.answer().status(), 200);
    peer.hang_up(&running[0]);
    let next = peer.connected("+74951000001", &media);
    peer.hang_up(&next);
    peer.hang_up(&running[1]);
}

/// An operator calls an outside number: the final answer; a refusal is acknowledged.
fn dial_out(phone: &mut Peer, number: &str) -> Message {
    let invite = try_out(phone, number);
    let answer = phone.answer();
    if answer.status() >= 300 {
        acknowledge(phone, &invite, &answer);
    }
    answer
}

/// The INVITE with credentials, on its way.
fn try_out(phone: &mut Peer, number: &str) -> String {
    let uri = format!("sip:{number}@pbx.test");
    let media = sdp(SocketAddr::new(HOME, 9_200), "0");
    let request = phone.draw("INVITE", &uri, "<sip:anna@pbx.test>", "", &media);
    phone.send(&request);
    let challenge = phone.answer();
    assert_eq!(challenge.status(), 401);
    acknowledge(phone, &request, &challenge);
    let again = phone.with_credentials(&request, &challenge, "anna", "secret-anna", 1);
    phone.send(&again);
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_calls_out_within_his_limits() {
    let receiver = Receiver::start(&[]).await;
    let provider = UdpSocket::bind((CALLER, 0)).unwrap().local_addr().unwrap();
    let limits = "outbound = { calls = 1, minutes_per_day = 5 }";
    let toml = [
        pbx::server().replace("accept", &format!("peer = \"{provider}\"\naccept")),
        pbx::operator("anna", limits),
        "\n[outbound.russia]\nprefixes = [\"+7\"]\ntrunks = [\"acme\"]\nallow = [\"anna\"]\n"
            .into(),
        receiver.section(&["security.outbound_limit"]),
    ]
    .concat();
    let mut pbx = Pbx::start(&toml).await;
    let far = Peer::bound(&pbx, provider);
    let mut phone = Peer::new(&pbx, HOME);

    try_out(&mut phone, "+79160000001");
    let arrived = far.request(Method::Invite);
    let media = sdp(SocketAddr::new(CALLER, 9_300), "0");
    far.respond(&arrived, 200, "far", &format!("sip:far@{provider}"), &media);
    let ok = phone.answer();
    assert_eq!(ok.status(), 200);
    let ack = phone.within(&ok, "ACK", 2, "", "");
    phone.send(ack);

    // A second one beside it is too many; so is a number that no rule allows.
    let refused = dial_out(&mut phone, "+79160000002");
    assert_eq!(refused.status(), 603);
    let warning = refused.header(Name::Warning).unwrap();
    assert!(
        warning.contains("operators.anna.outbound.calls"),
        "{warning}"
    );
    assert_eq!(dial_out(&mut phone, "+4930123456").status(), 603);
    let told = eventually(LIMIT, "the limit is told", || async {
        receiver.deliveries().into_iter().next()
    })
    .await;
    assert_eq!(told.kind(), "security.outbound_limit");
    assert_eq!(told.event["data"]["operator"], "anna");
    phone.all();
    pause(1_000).await;
    let bye = phone.within(&ok, "BYE", 9, "", "");
    phone.send(bye);
    assert_eq!(phone.answer().status(), 200);
    let bye = far.request(Method::Bye);
    far.respond(&bye, 200, "", &format!("sip:far@{provider}"), "");
    pbx.wait_until_idle(LIMIT).await;

    // What was talked before a restart counts.
    pbx.terminate();
    pbx.ended(LIMIT).await;
    let talked = talked_today(&pbx).await;
    assert!((1_000..20_000).contains(&talked), "{talked}");
    set_talked_today(&pbx, 5 * 60_000).await;
    pbx.restart();
    let mut phone = Peer::new(&pbx, HOME);
    let refused = dial_out(&mut phone, "+79160000003");
    assert_eq!(refused.status(), 603);
    let warning = refused.header(Name::Warning).unwrap();
    assert!(warning.contains("minutes_per_day"), "{warning}");
}

/// The trunk rings this far side, which answers.
fn taken(far: &Peer) -> Message {
    let arrived = far.request(Method::Invite);
    let media = sdp(SocketAddr::new(CALLER, 9_300), "0");
    let contact = format!("sip:far@{}", far.at);
    far.respond(&arrived, 200, "far", &contact, &media);
    far.request(Method::Ack);
    arrived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_a_call_on_is_no_way_around_the_limits() {
    let provider = UdpSocket::bind((CALLER, 0)).unwrap().local_addr().unwrap();
    let toml = [
        pbx::server().replace("accept", &format!("peer = \"{provider}\"\naccept")),
        pbx::operator("anna", "outbound = { calls = 1 }"),
        "\n[numbers.\"+74951000001\"]\nto = \"operator:anna\"\n".into(),
        "\n[outbound.russia]\nprefixes = [\"+7\"]\ntrunks = [\"acme\"]\nallow = [\"anna\"]\n"
            .into(),
    ]
    .concat();
    let pbx = Pbx::start(&toml).await;
    let far = Peer::bound(&pbx, provider);
    let mut phone = Softphone::register(&pbx, HOME, "anna");
    let mut customer = Peer::new(&pbx, CALLER);

    // Blind: only where she may call, and it is her one call to the outside.
    let (session, ok) = call_anna(&mut customer, &mut phone);
    assert_eq!(phone.refer(session, "<sip:+4930123456@pbx.test>"), 403);
    assert_eq!(phone.refer(session, "<sip:+79160000002@pbx.test>"), 202);
    taken(&far);
    assert_eq!(phone.report(session), 200);
    let more = phone.call("+79160000003", Vec::new());
    assert_eq!(phone.refused(more), 603);
    assert_eq!(pbx.json("/api/v1/defence").await["refused_outbound"], 1);
    customer.hang_up(&ok);
    let bye = far.request(Method::Bye);
    far.respond(&bye, 200, "", &format!("sip:far@{provider}"), "");
    pbx.wait_until_idle(LIMIT).await;
    pbx.wait_for_state("anna", "available").await;

    // Attended: the far side of the call that she has placed herself goes to the customer, and still counts.
    let (session, ok) = call_anna(&mut customer, &mut phone);
    let placed = phone.call("+79160000004", Vec::new());
    // The challenge is answered meanwhile.
    phone.pass(Duration::from_millis(500));
    taken(&far);
    phone.answered(placed);
    let target = phone.replacing(placed);
    assert_eq!(phone.refer(session, &target), 202);
    assert_eq!(phone.report(session), 200);
    phone.pass(Duration::from_millis(500));
    let more = phone.call("+79160000005", Vec::new());
    assert_eq!(phone.refused(more), 603);
    assert_eq!(pbx.json("/api/v1/defence").await["refused_outbound"], 2);
    customer.hang_up(&ok);
    let bye = far.request(Method::Bye);
    far.respond(&bye, 200, "", &format!("sip:far@{provider}"), "");
    pbx.wait_until_idle(LIMIT).await;
    pbx.wait_for_state("anna", "available").await;

    // To whom still rings: that call is given up first, so that it leaves room for the one that takes its place, which counts.
    let (session, ok) = call_anna(&mut customer, &mut phone);
    let placed = phone.call("+79160000006", Vec::new());
    phone.pass(Duration::from_millis(500));
    let ringing = far.request(Method::Invite);
    let contact = format!("sip:far@{provider}");
    far.respond(&ringing, 180, "far", &contact, "");
    phone.hears_ringing(placed);
    let target = phone.replacing(placed);
    assert_eq!(phone.refer(session, &target), 202);
    let cancel = far.request(Method::Cancel);
    far.respond(&cancel, 200, "far", &contact, "");
    far.respond(&ringing, 487, "far", &contact, "");
    taken(&far);
    assert_eq!(phone.report(session), 200);
    let more = phone.call("+79160000007", Vec::new());
    assert_eq!(phone.refused(more), 603);
    assert_eq!(pbx.json("/api/v1/defence").await["refused_outbound"], 3);
    customer.hang_up(&ok);
}

/// A customer calls anna, who answers: her session, and the customer's 200.
fn call_anna(customer: &mut Peer, phone: &mut Softphone) -> (SessionId, Message) {
    let media = sdp(SocketAddr::new(CALLER, 9_100), "0");
    let invite = customer.call("+74951000001", "", &media);
    customer.send(&invite);
    let (session, _) = phone.rings();
    phone.answer(session);
    let ok = customer.answer();
    assert_eq!(ok.status(), 200);
    let ack = customer.within(&ok, "ACK", 1, "", "");
    customer.send(ack);
    (session, ok)
}

async fn database(pbx: &Pbx) -> sqlx::SqlitePool {
    let path = pbx.folder().join("data/vats.db");
    sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

async fn talked_today(pbx: &Pbx) -> i64 {
    let pool = database(pbx).await;
    let row: (i64,) = sqlx::query_as("SELECT talked_ms FROM outbound_days WHERE operator = 'anna'")
        .fetch_one(&pool)
        .await
        .unwrap();
    pool.close().await;
    row.0
}

async fn set_talked_today(pbx: &Pbx, millis: i64) {
    let pool = database(pbx).await;
    sqlx::query("UPDATE outbound_days SET talked_ms = ?")
        .bind(millis)
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

/// What the whole file relies on: an answer comes well within the time after which silence is taken for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defence_says_what_it_kept_out() {
    let pbx = Pbx::start(&plan("")).await;
    let kept = pbx.json("/api/v1/defence").await;
    let counts: Vec<&Value> = kept.as_object().unwrap().values().collect();
    assert!(
        counts.len() >= 9 && counts.iter().all(|count| **count == 0),
        "{kept}"
    );
    let mut peer = Peer::new(&pbx, OTHER);
    let request = peer.draw_register("anna", "");
    peer.send(request);
    assert!(peer.hear(SOON).is_some());
}
