//! What the core wants done by the machine below it.

use tokio::sync::oneshot;

use crate::call::media::MediaAct;
use crate::call::output::RecordAct;
use crate::ledger::journal::Entry;
use crate::net::stream::Connect;
use crate::sip::endpoint::{ConnectionId, Transmit};

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
    /// Look a host name up; the answer comes back through `Core::handle_resolved`.
    Resolve {
        /// Who asks.
        what: Lookup,
        /// The name.
        host: String,
        /// The port that goes with the addresses.
        port: u16,
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
    Dialog(u64),
    /// A trunk's peer or an operator's fixed contact, by host and port.
    Peer(String, u16),
}
