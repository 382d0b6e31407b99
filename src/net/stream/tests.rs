use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const OPTIONS: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

fn hub(limits: Limits) -> (Hub, SocketAddr) {
    let mut hub = Hub::new(Arc::new(ArcSwapOption::empty()), limits);
    let socket = bind(Transport::Tcp, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    hub.listen(ListenerId(3), Transport::Tcp, socket);
    (hub, address)
}

const MANY: Limits = Limits {
    connections: 100,
    per_source: 100,
};

async fn accepted(hub: &mut Hub) -> ConnectionId {
    match hub.next().await {
        Heard::Accepted {
            connection,
            listener: ListenerId(3),
            transport: Transport::Tcp,
            ..
        } => connection,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_come_and_go() {
    let (mut hub, address) = hub(MANY);
    let mut client = TcpStream::connect(address).await.unwrap();
    let connection = accepted(&mut hub).await;
    assert!(connection.is_theirs());
    client
        .write_all(format!("\r\n\r\n{OPTIONS}").as_bytes())
        .await
        .unwrap();
    match hub.next().await {
        Heard::Message {
            connection: from,
            bytes,
        } => assert_eq!((from, &bytes[..]), (connection, OPTIONS.as_bytes())),
        other => panic!("{other:?}"),
    }
    hub.send(connection, Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    let mut heard = vec![0; 20];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, b"\r\nSIP/2.0 200 OK\r\n\r\n");
    drop(client);
    assert!(
        matches!(hub.next().await, Heard::Closed { connection: from, .. } if from == connection)
    );
    assert!(hub.is_empty());
}

#[tokio::test]
async fn what_is_queued_is_sent_before_we_close() {
    let (mut hub, address) = hub(MANY);
    let mut client = TcpStream::connect(address).await.unwrap();
    let connection = accepted(&mut hub).await;
    hub.send(connection, Bytes::from_static(b"last words"));
    hub.close(connection);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
}

#[tokio::test]
async fn all_that_is_sent_in_one_step_arrives() {
    let (mut hub, address) = hub(MANY);
    let mut client = TcpStream::connect(address).await.unwrap();
    let connection = accepted(&mut hub).await;
    let bye = Bytes::from(vec![b'x'; 1_024]);
    for _ in 0..4_000 {
        hub.send(connection, bye.clone());
    }
    hub.close(connection);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard.len(), 4_000 * 1_024);
}

#[tokio::test]
async fn a_far_side_that_does_not_read_is_closed_and_holds_nobody_up() {
    let (mut hub, address) = hub(MANY);
    let _client = TcpStream::connect(address).await.unwrap();
    let connection = accepted(&mut hub).await;
    let message = Bytes::from(vec![b'x'; 16 * 1024]);
    // What the kernel takes is not ours to limit.
    for _ in 0..2_000 {
        hub.send(connection, message.clone());
        tokio::task::yield_now().await;
        if hub.is_empty() {
            break;
        }
    }
    match hub.next().await {
        Heard::Closed { why, .. } => assert!(why.contains("does not take"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_says_so() {
    let (mut hub, address) = hub(MANY);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let connect = |number: u64, remote: SocketAddr| Connect {
        connection: ConnectionId::ours(number),
        transport: Transport::Tcp,
        remote,
        local: None,
        name: String::new(),
    };
    hub.connect(connect(1, nobody));
    match hub.next().await {
        Heard::Closed {
            connection,
            why,
            opened: false,
        } => {
            assert_eq!(connection, ConnectionId::ours(1));
            assert!(why.contains("cannot be reached"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // What is sent before it is open waits.
    hub.connect(connect(2, address));
    hub.send(
        ConnectionId::ours(2),
        Bytes::from_static(OPTIONS.as_bytes()),
    );
    accepted(&mut hub).await;
    assert!(
        matches!(hub.next().await, Heard::Message { connection, .. } if connection.is_theirs())
    );
}

#[tokio::test]
async fn too_many_are_closed_at_once() {
    let (mut hub, address) = hub(Limits {
        connections: 100,
        per_source: 1,
    });
    let _first = TcpStream::connect(address).await.unwrap();
    accepted(&mut hub).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(hub.len(), 1);
}

/// A hub that listens over `transport` and is read by nobody.
fn listening(transport: Transport) -> (Hub, SocketAddr) {
    let mut hub = Hub::new(Arc::new(ArcSwapOption::empty()), MANY);
    let socket = bind(transport, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    hub.listen(ListenerId(3), transport, socket);
    (hub, address)
}

/// Whether the other side keeps a connection open that nothing is sent on.
async fn is_kept(client: &mut TcpStream) -> bool {
    let wait = std::time::Duration::from_millis(60);
    let read = tokio::time::timeout(wait, client.read_u8()).await;
    read.is_err()
}

async fn open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    clients
}

#[tokio::test]
async fn handshakes_that_never_end_do_not_pile_up() {
    let (hub, address) = listening(Transport::Ws);
    let mut clients = open(address, 25).await;
    let mut kept = Vec::new();
    for client in &mut clients {
        kept.push(is_kept(client).await);
    }
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 20, "{kept:?}");
    drop(clients);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let mut again = open(address, 1).await;
    assert!(is_kept(&mut again[0]).await);
    let local = again[0].local_addr().unwrap().ip();
    hub.door()
        .vouch(crate::net::access::source::Source::of(local));
    for client in &mut open(address, 24).await {
        assert!(is_kept(client).await);
    }
}

#[tokio::test]
async fn a_source_that_connects_too_often_or_is_banned_gets_no_handshake() {
    let (hub, address) = listening(Transport::Tcp);
    let mut clients = open(address, 70).await;
    let last = clients.last_mut().unwrap();
    assert!(!is_kept(last).await, "the seventieth at once");
    assert!(is_kept(&mut clients[0]).await);
    let source = crate::net::access::source::Source::of(address.ip());
    hub.door().vouch(source);
    assert!(is_kept(&mut open(address, 1).await[0]).await, "a known one");
    hub.door().ban(source);
    assert!(
        !is_kept(&mut open(address, 1).await[0]).await,
        "a banned one"
    );
    assert!(hub.is_empty(), "nothing of it was heard");
}
