//! Digest access authentication (RFC 8760, RFC 7616, RFC 3261 §22), both ways.
//!
//! `digest`: the arithmetic and the parameter list. `verifier`: issues nonces and checks credentials of requests to us. `answer`: answering a challenge.
//! Who may do what once he is known, and how many failures are too many, is decided elsewhere.

mod answer;
mod digest;
mod nonce;
mod verifier;

pub use answer::{Asked, Credentials, Obstacle, answer_challenge, answer_realm, realms, why_not};
pub use digest::Algorithm;
pub use verifier::{Verdict, Verifier};
