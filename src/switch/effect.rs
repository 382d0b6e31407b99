//! What the core wants done by the machine below it.

use tokio::sync::oneshot;

use crate::call::media::MediaAct;
use crate::call::output::RecordAct;
use crate::ledger::journal::Entry;
use crate::net::stream::Connect;
use crate::sip::endpoint::{ConnectionId, Transmit};
use crate::sip::locate::Wish;

/// One thing to be done outside the core, in order.
#[derive(Debug)]
pub enum Effect {
    /// Send a SIP message.
    Transmit(Transmit),
    /// On the media plane.
    Media(MediaAct),
    /// On the recorder.
    Record(RecordAct),
    /// Into the journal.
    Journal(Entry),
    /// Locate a server (RFC 3263); the answer comes back through `Core::handle_located`.
    Resolve {
        /// Who asks.
        what: Lookup,
        /// What is to be reached.
        wish: Wish,
    },
    /// Open a connection; what happens on it comes back through `Core::handle_heard`.
    Connect(Connect),
    /// Close a connection, once what was sent on it has left.
    Disconnect(ConnectionId),
    /// The last call is over and every trunk is unregistered.
    Drained(oneshot::Sender<()>),
}

/// Who asked for a name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Lookup {
    /// A dialog's next hop (`Event::ResolveNeeded`).
    Dialog {
        /// Comes back in the answer.
        id: u64,
        /// The host name, which a certificate must be for.
        host: String,
    },
    /// An operator's fixed contact, by host and port.
    Contact(String, u16),
    /// A trunk's peer.
    Trunk(Wish),
}
