//! What needs neither a socket nor a clock: parsers, torture, the dial plan, whole calls in virtual time.

#[path = "support/netem.rs"]
mod netem;
#[path = "support/plan_edge.rs"]
mod plan_edge;
#[path = "support/sip_net.rs"]
mod sip_net;

mod overload;
mod parsers;
mod plan;
mod sip_oracle;
mod sip_virtual_time;
mod torture;
mod whole_calls;
