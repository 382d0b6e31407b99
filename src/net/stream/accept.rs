//! Accepting connections: limits first, then the handshakes, each within its time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::count::Place;
use super::hub::Shared;
use super::{HANDSHAKE, Heard, connection, web_socket};
use crate::sip::endpoint::{ListenerId, Transport};

/// Out of files or memory: what there is gets this long to become less.
const BREATH: Duration = Duration::from_millis(100);

/// TLS handshakes cost most of a millisecond each, on the thread that also handles calls: so many a second take a fifth of it, and the kernel keeps those
/// that come faster waiting.
const HANDSHAKES_A_SECOND: u32 = 200;
/// How long is waited for the next one.
const MOMENT: Duration = Duration::from_millis(5);

/// How fast TLS connections are accepted.
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace {
            left: f64::from(HANDSHAKES_A_SECOND),
            at: now,
        }
    }

    fn admits(&mut self, now: Instant) -> bool {
        let most = f64::from(HANDSHAKES_A_SECOND);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * most).min(most);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

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
    let mut pace = Pace::new(Instant::now());
    loop {
        if transport.is_secure() {
            while !pace.admits(Instant::now()) {
                sleep(MOMENT).await;
            }
        }
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
            opened: true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_come_no_faster_than_they_can_be_done() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut admitted = |at: Duration| (0..1_000).filter(|_| pace.admits(start + at)).count();
        assert_eq!(admitted(Duration::ZERO), 200);
        assert_eq!(admitted(Duration::from_millis(500)), 100);
        assert_eq!(admitted(Duration::from_secs(60)), 200);
    }
}
