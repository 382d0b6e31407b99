//! vats: a cloud virtual PBX for online shops.
//!
//! The map of the crate, bottom to top. A module uses its lower neighbours and the floors below, never above.
//!
//! **Floor 1 decides** and does no I/O; time and randomness are arguments: [`ledger`], [`sip`], [`sdp`], [`rtp`], [`audio`],
//! [`dialplan`], [`desk`], [`trunk`], [`call`], [`destination`].
//!
//! **Floor 2 is the machine**: [`clock`], [`net`], [`media`], [`recording`], [`store`].
//!
//! **Floor 3 is the switch**, the one signalling task: [`switch`].
//!
//! **Floor 4 is the outside**: [`notify`], [`api`], [`observe`], [`app`], [`cli`].

pub mod audio;
pub mod call;
pub mod desk;
pub mod destination;
pub mod dialplan;
pub mod ledger;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod trunk;

pub mod clock;
pub mod media;
pub mod net;
pub mod recording;
pub mod store;

pub mod switch;

pub mod api;
pub mod app;
pub mod cli;
pub mod notify;
pub mod observe;
