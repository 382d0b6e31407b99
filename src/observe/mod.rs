//! What operators of the PBX see of it: the log and the figures for monitoring. The SIP trace is not here yet.

pub mod logging;
pub mod metrics;
