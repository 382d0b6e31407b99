//! Whole calls in virtual time, with a real desk.

mod conversation;
mod destinations;
mod details;
mod inbound;
mod operators;
mod passing;
mod plan;
mod random;
mod sessions;
mod switch;
mod world;
