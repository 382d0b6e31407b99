//! SIP over connections: TCP, TLS and WebSockets (RFC 3261 §18, RFC 7118), each one small task beside the signalling task.
//!
//! The tasks run on the signalling runtime: a connection's work is a few microseconds a message, and what it reads is needed on that
//! thread anyway; another thread would add a wake-up to every message. Both directions are bounded: a connection that is not heard waits
//! in its reading, and one that does not read what it is sent is closed.
//!
//! Which connection a message belongs on is the switch's to say; what is in it, nobody's here.

mod accept;
mod connection;
mod count;
mod hub;
#[cfg(test)]
mod tests;
mod web_socket;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::sip::endpoint::{ConnectionId, ListenerId, Transport};
use crate::sip::wire::framer::FrameError;

pub(crate) use self::hub::bind;
pub use self::hub::{Hub, Limits};

/// What happened on connections.
#[derive(Debug)]
pub enum Heard {
    /// The far side opened one; handshakes are over.
    Accepted {
        /// It.
        connection: ConnectionId,
        /// The listener it came to.
        listener: ListenerId,
        /// Over what.
        transport: Transport,
        /// From where.
        remote: SocketAddr,
        /// The DNS names of the far side's verified certificate; empty without one.
        names: Vec<String>,
    },
    /// A whole message came.
    Message {
        /// On this connection.
        connection: ConnectionId,
        /// The message.
        bytes: Bytes,
    },
    /// What came cannot be framed; nothing more is read. To be answered and closed.
    Broken {
        /// On this connection.
        connection: ConnectionId,
        /// The head of the message.
        head: Bytes,
        /// What is wrong.
        error: FrameError,
    },
    /// It is closed, or could not be opened.
    Closed {
        /// It.
        connection: ConnectionId,
        /// Why, as a sentence.
        why: String,
        /// Whether it was open before.
        opened: bool,
    },
}

/// A connection to be opened by us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connect {
    /// Its id from now on.
    pub connection: ConnectionId,
    /// Any but UDP.
    pub transport: Transport,
    /// Where to.
    pub remote: SocketAddr,
    /// From which address of ours; `None`: whichever the kernel takes.
    pub local: Option<IpAddr>,
    /// What the far side's certificate must be for: a host name or an IP address.
    pub name: String,
}

/// The TCP connection and the handshakes have to be done within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A message that has begun has to end, and what is sent has to be taken, within this time.
const STALLED: Duration = Duration::from_secs(30);
/// On connections that we opened and that were quiet for so long, a double CRLF is sent (RFC 5626 §4.4.1).
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// What may wait to be sent on one connection, in bytes; a far side that lets more pile up is closed. Wide enough for the BYEs of all calls on a
/// trunk in one step, while the connection's task has no turn: a far side that takes nothing is given up after `STALLED`.
const MOST_QUEUED: usize = 16 * 1024 * 1024;
