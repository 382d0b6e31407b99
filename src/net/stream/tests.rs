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
