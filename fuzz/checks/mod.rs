//! What must hold for any bytes: shared by the fuzz targets and by `tests/parsers.rs`, which runs the same checks on a stable toolchain.
#![allow(dead_code, reason = "each fuzz target uses one of the checks")]

mod digest;
mod endpoint;
mod framing;
mod message;
mod sdp;
mod uri;

pub use digest::digest;
pub use endpoint::endpoint;
pub use framing::framing;
pub use message::message;
pub use sdp::sdp;
pub use uri::uri;
