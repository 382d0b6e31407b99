//! Trunks: who sent a request, our registrations at providers, numbers on the way in and out, and how many calls run over each.
//!
//! Pure: what is to be sent comes out as plain values, which the switch turns into commands for the endpoint. Names are resolved elsewhere.

pub mod allowance;
pub mod caller_id;
pub mod capacity;
pub mod dialled;
pub mod diversion;
pub mod identify;
pub mod peers;
pub mod registration;
