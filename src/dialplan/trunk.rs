//! What the plan says of a provider's SIP peer.

use std::time::Duration;

use ipnet::IpNet;

use super::number::Country;
use super::plan::{CallerIdPolicy, CodecName, HostPort, NumberFrom, Registration};
use super::provider::{Account, DiversionHeader, IdentityHeader, NumberFormat};
use crate::ledger::id::Name;
use crate::sdp::crypto::Policy;
use crate::sip::endpoint::Transport;
use crate::sip::locate::Wish;

/// `[trunks.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: Name,
    /// The first of `peers`, 5060 where it names no port: what the provider is called in our messages.
    pub peer: Option<HostPort>,
    /// Further source networks.
    pub accept: Vec<IpNet>,
    /// The DNS name that the client certificate of its connections must have.
    pub certificate: Option<String>,
    /// The account we register, if any.
    pub register: Option<Registration>,
    /// Where the dialled number stands.
    pub number_from: NumberFrom,
    /// Whose number a forward shows.
    pub caller_id: CallerIdPolicy,
    /// Codecs in order of preference.
    pub codecs: Vec<CodecName>,
    /// No response for so long: the address is given up.
    pub timeout: Duration,
    /// The most calls at once.
    pub max_calls: Option<u32>,
    /// How this trunk's national numbers are read.
    pub country: Country,
    /// Its far sides may pass calls on (REFER), to numbers of ours and between its own calls.
    pub transfer: bool,
    /// A 3xx of its is obeyed.
    pub redirect: bool,
    /// Where INVITEs go; requests from there are this trunk's.
    pub peers: Vec<Wish>,
    /// Each peer's share of the calls; empty: they are tried in order.
    pub weights: Vec<u16>,
    /// How often each address is asked whether it lives; `None`: only those that failed are.
    pub options: Option<Duration>,
    /// The most calls a second that go out.
    pub calls_per_second: Option<u32>,
    /// What answers challenges; `None`: nothing does.
    pub account: Option<Account>,
    /// How numbers are written towards the provider.
    pub number_format: NumberFormat,
    /// Which headers show the caller to the provider.
    pub identity: Vec<IdentityHeader>,
    /// Where the provider names the caller; the first that does counts.
    pub caller_from: Vec<IdentityHeader>,
    /// Which headers say that a call is a forwarded one.
    pub diversion: Vec<DiversionHeader>,
    /// The session interval that we ask for; `None`: the server's.
    pub session_expires: Option<Duration>,
    /// Provisional responses are acknowledged wherever the provider can (RFC 3262).
    pub reliable: bool,
    /// Whether its media is encrypted.
    pub srtp: Policy,
    /// Our INVITEs make no offer: the provider does.
    pub delayed_offer: bool,
}

impl Trunk {
    /// Whether nobody on the way reads what it is told: all its peers are reached over TLS.
    pub fn is_private(&self) -> bool {
        let is_tls = |peer: &Wish| peer.secure || peer.transport == Some(Transport::Tls);
        !self.peers.is_empty() && self.peers.iter().all(is_tls)
    }
}
