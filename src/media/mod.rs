//! The media plane: worker threads without tokio that relay, play and tap RTP. Nothing here decides what a call does.
//!
//! A packet's way: `worker` wakes on a leg's socket, [`leg::Leg::receive`] says whose it is and what it carries, the
//! worker copies voice into the leg's [`tap`], and [`leg::Leg::hear`] of the leg it is linked to makes the packet that
//! goes out. Prompts come from a 20 ms tick instead. The signalling task holds the [`plane::Plane`]: it owns ports,
//! bridges and placement, and talks with each worker over two lock-free rings; whatever a worker is done with goes back
//! on the second one, so a worker neither allocates nor frees, takes no lock and writes no log once a leg is placed.
//!
//! Three legs or more, and supervisors, sit in a [`room`] instead, which is mixed once a beat.
//!
//! [`stream::Stream`] stands between all this and the network: it takes the protection off what comes and puts it on what
//! goes, and makes the reports.

mod bridges;
mod command;
pub mod counters;
pub mod io;
pub mod leg;
mod load;
pub mod plane;
mod player;
mod port;
mod ports;
mod recent;
mod room;
pub mod stream;
mod studio;
pub mod tap;
pub mod transcode;
mod worker;

pub use counters::{Census, Reason};
pub use plane::{Plane, PlaneSettings};
