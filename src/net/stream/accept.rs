//! Accepting connections: limits first, then the handshakes, each within its time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::count::Place;
use super::hub::Shared;
use super::{HANDSHAKE, Heard, connection, web_socket};
use crate::sip::endpoint::{ListenerId, Transport};

/// Out of files or memory: what there is gets this long to become less.
const BREATH: Duration = Duration::from_millis(100);

/// One accepted connection before it is anything.
struct Arrival {
    listener: ListenerId,
    transport: Transport,
    remote: SocketAddr,
    place: Place,
}

/// Accepts until aborted.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: ListenerId,
    transport: Transport,
    socket: TcpListener,
) {
    let mut failing = false;
    loop {
        match socket.accept().await {
            Ok((stream, remote)) => {
                failing = false;
                match shared.count.enter(remote.ip()) {
                    Ok(place) => {
                        let arrival = Arrival {
                            listener,
                            transport,
                            remote,
                            place,
                        };
                        tokio::spawn(welcome(Arc::clone(&shared), stream, arrival));
                    }
                    Err(why) => {
                        tracing::warn!(%transport, %remote, "a connection is refused: {why}");
                    }
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%transport, "connections cannot be accepted: {error}");
                }
                failing = true;
                sleep(BREATH).await;
            }
        }
    }
}

async fn welcome(shared: Arc<Shared>, stream: TcpStream, arrival: Arrival) {
    let (transport, remote) = (arrival.transport, arrival.remote);
    let greeted = match timeout(HANDSHAKE, greet(&shared, stream, transport)).await {
        Ok(greeted) => greeted,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let outcome = match greeted {
        Ok(Greeted::Plain(stream)) => live(&shared, stream, arrival, Vec::new()).await,
        Ok(Greeted::Secure(stream)) => {
            let names = crate::net::tls::names_of(&stream);
            live(&shared, *stream, arrival, names).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(%transport, %remote, "no handshake: {error}");
    }
}

async fn greet(shared: &Shared, stream: TcpStream, transport: Transport) -> io::Result<Greeted> {
    connection::prepare(&stream)?;
    if !transport.is_secure() {
        return Ok(Greeted::Plain(stream));
    }
    let tls = shared.tls.load_full();
    let tls = tls.ok_or_else(|| io::Error::other("there is no certificate"))?;
    Ok(Greeted::Secure(Box::new(tls.accept(stream).await?)))
}

enum Greeted {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Upgrades where it has to be, introduces the connection and lives its life.
async fn live<S>(
    shared: &Arc<Shared>,
    stream: S,
    arrival: Arrival,
    names: Vec<String>,
) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (queue, writer, reports) = shared.line();
    let id = reports.id();
    let Arrival {
        listener,
        transport,
        remote,
        place,
    } = arrival;
    let socket = if transport.is_web_socket() {
        let upgraded = timeout(HANDSHAKE, web_socket::accept(stream)).await;
        Socket::Web(Box::new(
            upgraded.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
        ))
    } else {
        Socket::Bytes(stream)
    };
    let own = reports.clone();
    let (go, begin) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let _place = place;
        // Not before it is introduced.
        if begin.await.is_err() {
            return;
        }
        let why = match socket {
            Socket::Bytes(stream) => connection::run(id, stream, queue, &own, None).await,
            Socket::Web(socket) => web_socket::run(id, *socket, queue, &own).await,
        };
        own.tell(Heard::Closed {
            connection: id,
            why,
        })
        .await;
    });
    let heard = Heard::Accepted {
        connection: id,
        listener,
        transport,
        remote,
        names,
    };
    if reports.introduce(heard, writer(task.abort_handle())).await {
        // Nobody waits for it when the task was aborted.
        let _ = go.send(());
    }
    Ok(())
}

enum Socket<S> {
    Bytes(S),
    Web(Box<web_socket::Socket<S>>),
}
