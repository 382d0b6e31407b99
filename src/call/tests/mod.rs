//! Whole calls in virtual time, with a real desk.

mod inbound;
mod plan;
mod world;
