//! The sockets that SIP runs over, who may use them, and which address of ours a far side must see. Nothing here reads a message.

pub mod access;
pub mod advertise;
pub mod resolver;
pub mod stamp;
pub mod stream;
pub mod stun;
pub mod tls;
pub mod udp;
