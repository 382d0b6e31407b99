//! Accepting connections: taken from the kernel at once, refused by their source or number, and only then the handshakes, each in its turn and time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::count::{Handshake, Place};
use super::hub::Shared;
use super::{HANDSHAKE, Heard, connection, web_socket};
use crate::ledger::clock::Mono;
use crate::net::access::Standing;
use crate::sip::endpoint::{ListenerId, Transport};

/// Out of files or memory: what there is gets this long to become less.
const BREATH: Duration = Duration::from_millis(100);

/// TLS handshakes cost most of a millisecond each, on the thread that also handles calls: so many a second of strangers, and of others, take a third
/// of it at most.
const HANDSHAKES_A_SECOND: [u32; 2] = [100, 200];
/// Handshakes that a stranger may have under way: who has more is waiting for something else.
const UNFINISHED: usize = 20;

/// When TLS handshakes may begin: strangers wait for one another, and others do not wait for them.
#[derive(Debug)]
pub(super) struct Turns([Lane; 2]);

/// A token bucket that says when, instead of whether.
#[derive(Debug)]
struct Lane {
    /// When it will be full.
    full_at: Instant,
    interval: Duration,
    burst: Duration,
}

impl Turns {
    pub(super) fn new(now: Instant) -> Turns {
        Turns(HANDSHAKES_A_SECOND.map(|rate| Lane {
            full_at: now,
            interval: Duration::from_secs(1) / rate,
            burst: Duration::from_secs(1),
        }))
    }

    /// When one more may begin; `None`: so late that the far side will not wait for it.
    fn next(&mut self, now: Instant, standing: Standing) -> Option<Instant> {
        let lane = &mut self.0[usize::from(standing != Standing::Stranger)];
        let full_at = lane.full_at.max(now) + lane.interval;
        let turn = full_at
            .checked_sub(lane.burst)
            .map_or(now, |at| at.max(now));
        if turn.duration_since(now) >= HANDSHAKE {
            return None;
        }
        lane.full_at = full_at;
        Some(turn)
    }
}

/// One accepted connection before it is anything.
struct Arrival {
    listener: ListenerId,
    transport: Transport,
    remote: SocketAddr,
    standing: Standing,
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
                if let Some((standing, place)) = admit(&shared, transport, remote) {
                    let arrival = Arrival {
                        listener,
                        transport,
                        remote,
                        standing,
                        place,
                    };
                    tokio::spawn(welcome(Arc::clone(&shared), stream, arrival));
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

/// Whether a connection is taken in: by its source first, which costs nothing, then by how many there are.
fn admit(shared: &Shared, transport: Transport, remote: SocketAddr) -> Option<(Standing, Place)> {
    let now = Mono::ZERO + shared.start.elapsed();
    let standing = match shared.door.knock(now, remote.ip()) {
        Ok(standing) => standing,
        Err(why) => {
            // Not louder: whoever comes so often would fill the log.
            tracing::debug!(%transport, %remote, ?why, "a connection is refused");
            return None;
        }
    };
    match shared.count.enter(remote.ip()) {
        Ok(place) => Some((standing, place)),
        Err(why) => {
            tracing::warn!(%transport, %remote, "a connection is refused: {why}");
            None
        }
    }
}

async fn welcome(shared: Arc<Shared>, stream: TcpStream, arrival: Arrival) {
    let (transport, remote) = (arrival.transport, arrival.remote);
    let greeted = match timeout(HANDSHAKE, greet(&shared, stream, &arrival)).await {
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

async fn greet(shared: &Shared, stream: TcpStream, arrival: &Arrival) -> io::Result<Greeted> {
    connection::prepare(&stream)?;
    if !arrival.transport.is_secure() {
        return Ok(Greeted::Plain(stream));
    }
    let _unfinished = unfinished(shared, arrival)?;
    let turn = {
        let mut turns = shared.turns();
        turns.next(Instant::now(), arrival.standing)
    };
    let turn = turn.ok_or_else(|| io::Error::other("too many handshakes are waiting"))?;
    sleep_until(turn).await;
    let tls = shared.tls.load_full();
    let tls = tls.ok_or_else(|| io::Error::other("there is no certificate"))?;
    Ok(Greeted::Secure(Box::new(tls.accept(stream).await?)))
}

/// One handshake more of its source, as long as what is returned lives.
fn unfinished(shared: &Shared, arrival: &Arrival) -> io::Result<Option<Handshake>> {
    if arrival.standing != Standing::Stranger {
        return Ok(None);
    }
    let begun = shared.count.begin(arrival.remote.ip(), UNFINISHED);
    let too_many = || io::Error::other("this address has too many handshakes under way");
    begun.ok_or_else(too_many).map(Some)
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
    let socket = if arrival.transport.is_web_socket() {
        let _unfinished = unfinished(shared, &arrival)?;
        let upgraded = timeout(HANDSHAKE, web_socket::accept(stream)).await;
        Socket::Web(Box::new(
            upgraded.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
        ))
    } else {
        Socket::Bytes(stream)
    };
    let Arrival {
        listener,
        transport,
        remote,
        standing: _,
        place,
    } = arrival;
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
        let mut turns = Turns::new(start);
        let mut waits = |standing, count: usize| -> Vec<Option<Duration>> {
            let mut next = || turns.next(start, standing);
            let wait = |at: Instant| at.duration_since(start);
            (0..count).map(|_| next().map(wait)).collect()
        };
        let strangers = waits(Standing::Stranger, 2_000);
        let at_once = |wait: &&Option<Duration>| **wait == Some(Duration::ZERO);
        assert_eq!(strangers.iter().filter(at_once).count(), 100);
        assert_eq!(strangers[150], Some(Duration::from_millis(510)));
        assert_eq!(
            strangers.iter().filter(|wait| wait.is_some()).count(),
            1_099
        );
        let known = waits(Standing::Known, 200);
        assert_eq!(known.iter().filter(at_once).count(), 200);
    }
}
