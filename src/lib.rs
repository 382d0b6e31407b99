//! vats: a cloud virtual PBX.

// Floor 1: what decides.
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
// Floor 2: the machine.
pub mod media;
pub mod net;
pub mod recording;
pub mod store;
// Floor 3: the switch.
pub mod switch;
// Floor 4: the outside.
pub mod api;
pub mod app;
pub mod cli;
pub mod notify;
pub mod observe;
