//! All connections of the process as the signalling task sees them: what is heard comes out of one bounded queue, what is sent goes into one per connection.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::accept::Turns;
use super::count::Count;
use super::{Connect, Heard, MOST_QUEUED, accept, connection};
use crate::net::access::door::Door;
use crate::net::tls::Tls;
use crate::sip::endpoint::{ConnectionId, ListenerId, Transport};

/// What may wait for the signalling task, in messages of all connections together.
const MOST_HEARD: usize = 256;

/// How many connections are accepted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits.
    pub per_source: usize,
}

/// All connections.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    heard: mpsc::Receiver<Report>,
    /// What is known without having been heard.
    known: VecDeque<Heard>,
    writers: HashMap<ConnectionId, Writer>,
    acceptors: Vec<AbortHandle>,
}

/// What all connection tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    reports: mpsc::Sender<Report>,
    pub(super) tls: Arc<ArcSwapOption<Tls>>,
    pub(super) count: Count,
    pub(super) door: Arc<Door>,
    /// The beginning of the time that the door is told.
    pub(super) start: Instant,
    turns: Mutex<Turns>,
    last: AtomicU64,
}

impl Shared {
    /// Who may begin a TLS handshake when.
    pub(super) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// One more connection's queue, what makes the sending end of it once the task is known, and how the task tells the hub.
    pub(super) fn line(&self) -> (Queue, impl FnOnce(AbortHandle) -> Writer, Reports) {
        let serial = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, messages) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&queued);
        let writer = move |task| Writer {
            queue: sender,
            queued: own,
            serial,
            task,
        };
        let reports = Reports {
            sender: self.reports.clone(),
            serial,
        };
        (Queue { messages, queued }, writer, reports)
    }
}

impl Reports {
    /// The id of the connection, if the far side opened it.
    pub(super) fn id(&self) -> ConnectionId {
        ConnectionId::theirs(self.serial)
    }
}

/// What a connection's task tells the hub: something heard, and with `Accepted` how to write.
#[derive(Debug)]
pub(super) struct Report {
    heard: Heard,
    /// Of the task: one that we open again has the same id but another task, which must not be taken for the one that ended.
    serial: u64,
    writer: Option<Writer>,
}

/// By which one connection's task tells the hub.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    sender: mpsc::Sender<Report>,
    serial: u64,
}

impl Reports {
    /// Tells; false when nobody listens any more (at shutdown).
    pub(super) async fn tell(&self, heard: Heard) -> bool {
        self.send(heard, None).await
    }

    /// Introduces a connection that the far side opened.
    pub(super) async fn introduce(&self, heard: Heard, writer: Writer) -> bool {
        self.send(heard, Some(writer)).await
    }

    async fn send(&self, heard: Heard, writer: Option<Writer>) -> bool {
        let report = Report {
            heard,
            serial: self.serial,
            writer,
        };
        self.sender.send(report).await.is_ok()
    }
}

/// The sending end of a connection. Dropped, the connection sends what is queued and closes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Bytes>,
    queued: Arc<AtomicUsize>,
    serial: u64,
    task: AbortHandle,
}

/// The connection's end of its queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) messages: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<AtomicUsize>,
}

impl Queue {
    /// So much of it has been written; what was not queued, as keep-alives, may be counted in.
    pub(super) fn sent(&self, count: usize) {
        let less = |queued: usize| Some(queued.saturating_sub(count));
        // Never refused: `less` always has an answer.
        let _ = self
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Hub {
    /// Without connections. `tls` may be exchanged at any time: it holds for connections from then on.
    pub fn new(tls: Arc<ArcSwapOption<Tls>>, limits: Limits) -> Hub {
        let (reports, heard) = mpsc::channel(MOST_HEARD);
        Hub {
            shared: Arc::new(Shared {
                reports,
                tls,
                count: Count::new(limits.connections, limits.per_source),
                door: Arc::default(),
                start: Instant::now(),
                turns: Mutex::new(Turns::new(Instant::now())),
                last: AtomicU64::new(0),
            }),
            heard,
            known: VecDeque::new(),
            writers: HashMap::new(),
            acceptors: Vec::new(),
        }
    }

    /// Who may open a connection; to be told who is banned and who is known.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.shared.door)
    }

    /// Accepts connections from now on; within a tokio runtime.
    pub fn listen(&mut self, listener: ListenerId, transport: Transport, socket: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(accept::serve(shared, listener, transport, socket));
        self.acceptors.push(task.abort_handle());
    }

    /// Opens a connection; what is sent on it meanwhile waits. That it failed is heard as `Closed`.
    pub fn connect(&mut self, connect: Connect) {
        let id = connect.connection;
        let (queue, writer, reports) = self.shared.line();
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(connection::open(shared, connect, queue, reports));
        self.writers.insert(id, writer(task.abort_handle()));
    }

    /// Sends a message on a connection; one that is gone has been, or will be, heard as `Closed`.
    pub fn send(&mut self, connection: ConnectionId, bytes: Bytes) {
        let Some(writer) = self.writers.get(&connection) else {
            return;
        };
        let length = bytes.len();
        let before = writer.queued.fetch_add(length, Ordering::Relaxed);
        if before + length > MOST_QUEUED {
            let why = "the far side does not take what it is sent";
            self.cut(connection, why);
            return;
        }
        // A task that has ended reports so by itself.
        let _ = writer.queue.send(bytes);
    }

    /// Closes a connection once what is queued has been sent; nothing more of it is heard.
    pub fn close(&mut self, connection: ConnectionId) {
        self.writers.remove(&connection);
    }

    /// How many connections there are, opening ones included.
    pub fn len(&self) -> usize {
        self.writers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writers.is_empty()
    }

    /// What happened next.
    pub async fn next(&mut self) -> Heard {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As `next`, for polling beside other things.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if let Some(known) = self.known.pop_front() {
                return Poll::Ready(known);
            }
            // Never closed: `shared` has a sender.
            let Poll::Ready(Some(report)) = self.heard.poll_recv(cx) else {
                return Poll::Pending;
            };
            let connection = match &report.heard {
                Heard::Accepted { connection, .. }
                | Heard::Message { connection, .. }
                | Heard::Broken { connection, .. }
                | Heard::Closed { connection, .. } => *connection,
            };
            if let Some(writer) = report.writer {
                self.writers.insert(connection, writer);
            }
            let writer = self.writers.get(&connection);
            if writer.is_none_or(|writer| writer.serial != report.serial) {
                continue;
            }
            if matches!(report.heard, Heard::Closed { .. }) {
                self.writers.remove(&connection);
            }
            return Poll::Ready(report.heard);
        }
    }

    fn cut(&mut self, connection: ConnectionId, why: &str) {
        if let Some(writer) = self.writers.remove(&connection) {
            writer.task.abort();
            self.known.push_back(Heard::Closed {
                connection,
                why: why.to_owned(),
                opened: true,
            });
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in &self.acceptors {
            task.abort();
        }
        for writer in self.writers.values() {
            writer.task.abort();
        }
    }
}

/// Opens a listening socket.
pub(crate) fn bind(transport: Transport, address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // After a restart old connections may linger on the port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {transport}://{address}: {error}"),
        )
    })
}

const BACKLOG: i32 = 1024;
