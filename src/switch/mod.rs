//! The switch: the one signalling task. It owns the endpoint, the registrar, the calls and the desk, and carries out what they ask for.
pub mod handle;
