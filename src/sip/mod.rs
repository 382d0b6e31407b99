//! SIP (RFC 3261) without I/O: messages, transactions, dialogs, sessions, digest, registrar, and the endpoint that joins them.
//!
//! Not here: who may call whom, what a call does (`call`), sockets (`net`).

pub mod auth;
pub mod dialog;
pub mod endpoint;
pub mod header;
pub mod locate;
pub mod notifier;
pub mod registrar;
pub mod session;
pub mod status;
pub mod transaction;
pub mod uri;
pub mod wire;
