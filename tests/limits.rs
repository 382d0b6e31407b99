//! Limits that hold before and after: connections that get no handshake, bans that run out, and what was talked when the process dies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::by_hand::{Peer, QUIET, SOON, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::softphone::Softphone;
use crate::support::{CALLER, eventually};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use vats::sip::wire::Method;

const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const LIMIT: Duration = Duration::from_secs(10);

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether the PBX keeps a connection open on which nothing is said.
async fn is_kept(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(QUIET, stream.read_u8()).await;
    read.is_err()
}

/// Wrong passwords until there is silence.
fn get_banned(pbx: &Pbx) {
    let mut peer = Peer::new(pbx, SCANNER);
    for number in 0..100 {
        let user = format!("user{number}");
        let request = peer.draw_register(&user, "");
        peer.send(&request);
        let Some(challenge) = peer.hear(SOON) else {
            return;
        };
        let again = peer.with_credentials(&request, &challenge, &user, "1234", 1);
        peer.send(again);
        if peer.hear(QUIET).is_none() {
            return;
        }
    }
    panic!("nobody bans a scanner");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_keeps_connections_out_and_its_end_is_told() {
    let receiver = Receiver::start(&[]).await;
    let toml = pbx::server().replace("\"]\ndomain", "\", \"tcp://127.0.0.1:0\"]\ndomain")
        + "\n[security]\nban = \"4s\"\n"
        + &receiver.section(&["security.banned", "security.unbanned"]);
    let pbx = Pbx::start(&toml).await;
    let tcp = pbx.over("tcp");
    assert!(is_kept(&mut connect(SCANNER, tcp).await).await);
    tokio::task::block_in_place(|| get_banned(&pbx));
    assert_eq!(pbx.items("/api/v1/bans").await.len(), 1);
    assert!(!is_kept(&mut connect(SCANNER, tcp).await).await);
    assert!(is_kept(&mut connect(HOME, tcp).await).await);

    let told = eventually(LIMIT, "the end of the ban", || async {
        let all = receiver.deliveries();
        all.into_iter().find(|d| d.kind() == "security.unbanned")
    })
    .await;
    let data = &told.event["data"];
    assert_eq!(data["address"], "127.0.0.66", "{data}");
    assert_eq!(data["why"], "expired", "{data}");
    assert!(pbx.log().contains("the ban is over: expired"));
    assert!(pbx.items("/api/v1/bans").await.is_empty());
    assert!(is_kept(&mut connect(SCANNER, tcp).await).await);
}

/// A stranger that opens connections and says nothing takes neither the handshakes of others nor theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_use_up_the_handshakes() {
    let toml = pbx::server().replace("\"]\ndomain", "\", \"ws://127.0.0.1:0\"]\ndomain");
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("ws");
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect(SCANNER, there).await);
    }
    assert!(is_kept(&mut connect(HOME, there).await).await);
    let mut kept = 0;
    for stream in &mut silent {
        kept += usize::from(is_kept(stream).await);
    }
    assert_eq!(kept, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_talked_to_the_outside_survives_kill_9() {
    let provider = UdpSocket::bind((CALLER, 0)).unwrap().local_addr().unwrap();
    let toml = pbx::server().replace("accept", &format!("peer = \"{provider}\"\naccept"))
        + &pbx::operator("anna", "outbound = { minutes_per_day = 5 }")
        + "\n[outbound.russia]\nprefixes = [\"+7\"]\ntrunks = [\"acme\"]\nallow = [\"anna\"]\n";
    let mut pbx = Pbx::start(&toml).await;
    let version = pbx.post("/api/v1/reload", &serde_json::Value::Null).await;
    assert_eq!(version.1["plan_version"], 2);
    let far = Peer::bound(&pbx, provider);
    let mut phone = Softphone::register(&pbx, HOME, "anna");
    let placed = phone.call("+79160000004", Vec::new());
    phone.pass(Duration::from_millis(500));
    let arrived = far.request(Method::Invite);
    let media = sdp(SocketAddr::new(CALLER, 9_300), "0");
    far.respond(&arrived, 200, "far", &format!("sip:far@{provider}"), &media);
    far.request(Method::Ack);
    phone.answered(placed);
    phone.pass(Duration::from_millis(7_500));
    pbx.crash();
    pbx.restart();
    let path = pbx.folder().join("data/vats.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    let talked: i64 =
        sqlx::query_scalar("SELECT talked_ms FROM outbound_days WHERE operator = 'anna'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!((2_000..9_000).contains(&talked), "{talked}");
    let version = pbx.post("/api/v1/reload", &serde_json::Value::Null).await;
    assert_eq!(version.1["plan_version"], 4, "versions go on");
}
