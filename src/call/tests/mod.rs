//! Whole calls in virtual time, with a real desk.

mod conference;
mod conversation;
mod destinations;
mod details;
mod inbound;
mod operators;
mod passing;
mod plan;
mod random;
mod sessions;
mod supervising;
mod switch;
mod world;
