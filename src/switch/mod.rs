//! The switch: the one signalling task. It owns the endpoint, the registrar, the calls and the desk, and carries out what these ask for.
//!
//! `core` decides nothing itself and does no I/O: it hands every message, timer, media report and request with `now` to whom it concerns and
//! queues what must be done outside as [`effect::Effect`]s. `task` is the thin shell with the sockets. So whole calls run in virtual time.

pub mod connections;
pub mod core;
pub mod defence;
pub mod effect;
pub mod handle;
pub mod intake;
pub mod listening;
pub mod overload;
pub mod reach;
pub mod task;

mod asks;
mod calls;
mod dial;
mod flows;
mod info;
mod invite;
mod keep_alive;
mod outbound;
mod peers;
mod permission;
mod quality;
mod reasons;
mod refer;
mod register;
mod registrations;
mod seats;
mod subscriptions;
mod trunks;
mod usage;
