//! Session descriptions (RFC 8866) and the offer/answer model (RFC 3264) for one audio stream per leg.
pub mod negotiate;
