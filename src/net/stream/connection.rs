//! One connection of bytes (TCP or TLS): framing in, a queue out, keep-alives, and the times after which it is given up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::{Queue, Reports, Shared};
use super::{Connect, HANDSHAKE, Heard, KEEP_ALIVE, STALLED, web_socket};
use crate::sip::endpoint::ConnectionId;
use crate::sip::wire::framer::{Frame, Framer};

/// A power cut at the far side is noticed after about two minutes: probes begin after this silence.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
/// What the far side's machine does not acknowledge within this time ends the connection: longer than any request of ours waits for its answer
/// (64·T1). The kernel alone would try for a quarter of an hour, with the phone shown as reachable.
const UNACKNOWLEDGED: Duration = Duration::from_secs(33);
/// Room for what one read may bring.
const READ: usize = 4 * 1024;
/// What is sent in one go.
const WRITE: usize = 64 * 1024;
/// What is left to be sent when a connection is to be closed gets this long.
const FAREWELL: Duration = Duration::from_secs(5);

/// Sets what every SIP connection needs.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// Opens a connection of ours and lives its life.
pub(super) async fn open(shared: Arc<Shared>, connect: Connect, queue: Queue, reports: Reports) {
    let (why, opened) = match timeout(HANDSHAKE, reach(&connect)).await {
        Err(_) => (format!("{} does not answer", connect.remote), false),
        Ok(Err(error)) => {
            let why = format!("{} cannot be reached: {error}", connect.remote);
            (why, false)
        }
        Ok(Ok(stream)) if connect.transport.is_secure() => {
            let (remote, name) = (connect.remote, &connect.name);
            match timeout(HANDSHAKE, secure(&shared, stream, name)).await {
                Err(_) => {
                    let why = format!("{remote} does not finish the TLS handshake");
                    (why, false)
                }
                Ok(Err(error)) => (format!("no TLS with {remote} as {name}: {error}"), false),
                Ok(Ok(stream)) => live(stream, &connect, queue, &reports).await,
            }
        }
        Ok(Ok(stream)) => live(stream, &connect, queue, &reports).await,
    };
    reports
        .tell(Heard::Closed {
            connection: connect.connection,
            why,
            opened,
        })
        .await;
}

/// Lives the life of an opened connection: why it ended, and whether it was open.
async fn live<S>(stream: S, connect: &Connect, queue: Queue, reports: &Reports) -> (String, bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = connect.connection;
    if !connect.transport.is_web_socket() {
        let why = run(id, stream, queue, reports, Some(KEEP_ALIVE)).await;
        return (why, true);
    }
    let remote = connect.remote;
    match timeout(HANDSHAKE, web_socket::connect(stream, remote)).await {
        Err(_) => {
            let why = format!("{remote} does not finish the WebSocket handshake");
            (why, false)
        }
        Ok(Err(error)) => (format!("no WebSocket with {remote}: {error}"), false),
        Ok(Ok(socket)) => (web_socket::run(id, socket, queue, reports).await, true),
    }
}

async fn reach(connect: &Connect) -> io::Result<TcpStream> {
    let socket = match connect.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(local) = connect.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(connect.remote).await?;
    prepare(&stream)?;
    Ok(stream)
}

async fn secure(
    shared: &Shared,
    stream: TcpStream,
    name: &str,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tls = shared.tls.load_full();
    let tls = tls.ok_or_else(|| io::Error::other("TLS is not set up; see server.tls"))?;
    tls.connect(stream, name).await
}

/// Reads and writes until either side ends it; returns why. `keep_alive`: how often a quiet connection gets a double CRLF.
pub(super) async fn run<S>(
    id: ConnectionId,
    stream: S,
    mut queue: Queue,
    reports: &Reports,
    keep_alive: Option<Duration>,
) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = split(stream);
    let mut framer = Framer::new();
    let mut out = Outgoing::default();
    let mut readable = true;
    let mut within_since: Option<Instant> = None;
    loop {
        let quiet = keep_alive.map(|after| out.last + after);
        let late = within_since.map(|since| since + STALLED);
        let stuck = out.stuck_since.map(|since| since + STALLED);
        let wake = [quiet, late, stuck]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| Instant::now() + FOREVER);
        if framer.buffer().capacity() - framer.buffer().len() < READ / 4 {
            framer.buffer().reserve(READ);
        }
        tokio::select! {
            // Who sends pings and does not read their answers is not read either.
            read = reader.read_buf(framer.buffer()), if readable && out.bytes.len() < WRITE => {
                match read {
                    Ok(0) => return "the far side closed it".to_owned(),
                    Err(error) => return error.to_string(),
                    Ok(_) => {}
                }
                match hear(id, &mut framer, reports, &mut out).await {
                    Heed::On { whole: 0 } => {}
                    Heed::On { .. } => within_since = None,
                    Heed::Broken => readable = false,
                    Heed::Stop => return String::new(),
                }
                if !framer.is_within() {
                    within_since = None;
                } else if within_since.is_none() {
                    within_since = Some(Instant::now());
                }
            }
            step = write_on(&mut writer, &out.bytes), if out.dirty || !out.bytes.is_empty() => {
                match step {
                    Ok(Some(0)) => return "nothing more can be sent".to_owned(),
                    Ok(Some(count)) => out.wrote(count, &queue),
                    Ok(None) => out.flushed(),
                    Err(error) => return error.to_string(),
                }
            }
            message = queue.messages.recv(), if out.bytes.len() < WRITE => match message {
                Some(message) => out.push(&message),
                None => {
                    // What was queued is in `out` by now; who does not take it is left.
                    let parting = say_goodbye(&mut reader, &mut writer, &out.bytes);
                    let _ = timeout(FAREWELL, parting).await;
                    return "closed by us".to_owned();
                }
            },
            () = sleep_until(wake) => {
                let now = Instant::now();
                if late.is_some_and(|at| at <= now) && readable {
                    return "a message did not end in time".to_owned();
                }
                if stuck.is_some_and(|at| at <= now) {
                    return "the far side does not take what it is sent".to_owned();
                }
                if quiet.is_some_and(|at| at <= now) {
                    out.push(b"\r\n\r\n");
                }
            }
        }
    }
}

/// Writes what there is, or flushes when there is nothing: then `None`.
async fn write_on<W: AsyncWrite + Unpin>(
    writer: &mut W,
    bytes: &[u8],
) -> io::Result<Option<usize>> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(None);
    }
    writer.write(bytes).await.map(Some)
}

/// Sends the rest and closes; what still comes is read away, because unread bytes would reset the connection and take the rest with them.
async fn say_goodbye<R, W>(reader: &mut R, writer: &mut W, rest: &[u8]) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    writer.write_all(rest).await?;
    writer.flush().await?;
    writer.shutdown().await?;
    let mut away = [0; 1024];
    while reader.read(&mut away).await? > 0 {}
    Ok(())
}

/// What to do after frames were passed on.
enum Heed {
    /// So many whole messages came.
    On { whole: usize },
    /// Nothing more can be framed.
    Broken,
    /// Nobody listens any more.
    Stop,
}

/// Passes on what has come in whole.
async fn hear(
    id: ConnectionId,
    framer: &mut Framer,
    reports: &Reports,
    out: &mut Outgoing,
) -> Heed {
    let mut whole = 0;
    loop {
        let heard = match framer.next_frame() {
            Ok(None) => return Heed::On { whole },
            Ok(Some(Frame::Pong)) => continue,
            Ok(Some(Frame::Ping)) => {
                out.push(b"\r\n");
                continue;
            }
            Ok(Some(Frame::Message(bytes))) => Heard::Message {
                connection: id,
                bytes,
            },
            Err(error) => Heard::Broken {
                connection: id,
                head: framer.take_head(),
                error,
            },
        };
        let broken = matches!(heard, Heard::Broken { .. });
        if !reports.tell(heard).await {
            return Heed::Stop;
        }
        if broken {
            return Heed::Broken;
        }
        whole += 1;
    }
}

/// What waits to be written.
#[derive(Debug)]
struct Outgoing {
    bytes: BytesMut,
    /// Written, but not flushed.
    dirty: bool,
    /// When something was last to be sent.
    last: Instant,
    stuck_since: Option<Instant>,
}

impl Default for Outgoing {
    fn default() -> Outgoing {
        Outgoing {
            bytes: BytesMut::new(),
            dirty: false,
            last: Instant::now(),
            stuck_since: None,
        }
    }
}

impl Outgoing {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.last = Instant::now();
        self.stuck_since.get_or_insert(self.last);
    }

    fn wrote(&mut self, count: usize, queue: &Queue) {
        self.bytes.advance(count);
        self.dirty = true;
        self.stuck_since = Some(Instant::now());
        queue.sent(count);
    }

    fn flushed(&mut self) {
        self.dirty = false;
        self.stuck_since = None;
        if self.bytes.capacity() > SPARE {
            self.bytes = BytesMut::new();
        }
    }
}

/// Longer than any connection lives, shorter than what an `Instant` can hold.
const FOREVER: Duration = Duration::from_secs(86_400);
/// A buffer that once held more is given back when it is empty.
const SPARE: usize = 8 * 1024;
