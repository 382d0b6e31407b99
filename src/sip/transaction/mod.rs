//! Transactions (RFC 3261 §17 with the Accepted states of RFC 6026): client and server, INVITE and non-INVITE.
//!
//! [`layer::Layer`] holds them all, matches messages to them, resends, times out and lingers. Two chores that the RFC gives to the
//! transaction user are done here, because they are retransmission too: the 2xx to an INVITE is resent until its ACK, and the ACK to a
//! 2xx is resent when the 2xx comes again. So the user sees every 2xx exactly once.
//!
//! Not here: what a request means, dialogs, credentials.

pub mod client;
pub mod layer;
pub mod server;
pub mod timer;
pub mod via;

mod derive;
mod key;

use std::fmt;
use std::time::Duration;

use crate::ledger::entropy::Entropy;
use crate::sip::endpoint::command::Routing;
use crate::sip::endpoint::event::{RequestId, SessionId};
use crate::sip::wire::{Message, Method};

/// RFC 3261 §17.1.1.1: an estimate of the round trip.
pub const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions.
pub const T2: Duration = Duration::from_secs(4);
/// The longest that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: how long a transaction waits before it gives up, and how long most of them linger.
pub const T1_64: Duration = Duration::from_secs(32);

/// A client transaction, which is to say its branch; the CANCEL of an INVITE shares the INVITE's branch (RFC 3261 §9.1).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId {
    branch: u64,
    cancel: bool,
}

impl ClientId {
    /// A new one with a branch of its own.
    pub fn new(entropy: &mut Entropy) -> ClientId {
        ClientId {
            branch: entropy.u64(),
            cancel: false,
        }
    }

    /// That of the CANCEL for this INVITE.
    pub const fn of_cancel(self) -> ClientId {
        ClientId {
            branch: self.branch,
            cancel: true,
        }
    }

    /// The one that a text names which begins with a branch's cookie.
    fn of_branch(text: &str) -> Option<ClientId> {
        let rest = text.strip_prefix(COOKIE)?;
        let digits = rest.get(..16)?;
        let ends = !rest
            .as_bytes()
            .get(16)
            .is_some_and(u8::is_ascii_alphanumeric);
        Some(ClientId {
            branch: hexadecimal(digits).filter(|_| ends)?,
            cancel: false,
        })
    }

    /// The transaction that a response names (RFC 3261 §17.1.3); `None` when its branch was never ours.
    pub fn of_response(response: &Message) -> Option<ClientId> {
        let digits = response.branch().strip_prefix(COOKIE)?;
        Some(ClientId {
            branch: hexadecimal(digits)?,
            cancel: response.method() == Method::Cancel,
        })
    }
}

/// Prints the branch parameter's value.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COOKIE}{:016x}", self.branch)
    }
}

/// A server transaction.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId(pub u64);

/// For whom a client transaction works: where its responses go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// The INVITE that creates a session; the routing serves a 2xx that comes when the session is gone.
    Invite(SessionId, Routing),
    /// A re-INVITE of ours.
    Reinvite(SessionId),
    /// The BYE of a session.
    Bye(SessionId),
    /// An OPTIONS within a session's dialog.
    Probe(SessionId),
    /// A request outside a session.
    Request(RequestId),
    /// A NOTIFY about a REFER, within a session's dialog.
    Refer(SessionId),
    /// A REFER of ours within a session's dialog.
    ReferSent(SessionId),
    /// A NOTIFY of a subscription.
    Notify(RequestId),
    /// Nobody asks (CANCEL).
    Nobody,
    /// An UPDATE that refreshes a session.
    Update(SessionId),
    /// The PRACK of a reliable provisional response.
    Prack(SessionId),
}

/// Why a client transaction ended without a final response.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Timer B or F.
    Timeout,
    /// The flow closed before any response.
    Transport,
}

impl Failure {
    /// The status that it counts as (RFC 3261 §8.1.3.1).
    pub const fn code(self) -> u16 {
        match self {
            Failure::Timeout => 408,
            Failure::Transport => 503,
        }
    }
}

/// The magic cookie of RFC 3261 §8.1.1.7.
pub(crate) const COOKIE: &str = "z9hG4bK";

/// Reads exactly sixteen lower-case hexadecimal digits, as our tags and branches are written.
pub(crate) fn hexadecimal(digits: &str) -> Option<u64> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 16 || !digits.bytes().all(lower) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}
