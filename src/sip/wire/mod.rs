//! Messages on the wire (RFC 3261 §7): one pass over the bytes gives an index, nothing is copied; and a writer.
//!
//! What header values mean is `header`'s and `uri`'s; who answers a defect is the endpoint's.

pub mod framer;
mod index;
mod message;
pub mod method;
mod multipart;
pub mod name;
mod normalise;
pub(in crate::sip) mod scan;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torture;
mod writer;

pub use message::{Message, ParseError};
pub use method::Method;
pub use name::Name;
pub use writer::Writer;
