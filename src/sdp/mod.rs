//! Session descriptions (RFC 8866) and the offer/answer model (RFC 3264) for one audio stream per leg.
//!
//! [`description`] reads what the far side wrote, [`negotiate`] decides what is offered, answered and agreed on,
//! [`preference`] in which order two legs of a call are offered codecs.
//! [`crypto`] reads and writes keys for encrypted media (RFC 4568). ICE and DTLS are not here.

pub mod codec;
pub mod crypto;
pub mod description;
pub mod negotiate;
pub mod opus_format;
pub mod preference;
