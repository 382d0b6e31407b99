//! What operators of the PBX see of it: the log. Metrics and the SIP trace are not here yet.

pub mod logging;
