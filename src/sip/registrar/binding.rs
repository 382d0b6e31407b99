//! One binding: a contact, the flow it came on, and until when.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Change;
use super::request::{Refusal, Wish};
use crate::ledger::clock::{Mono, Now, Wall};
use crate::ledger::id::Name as Operator;
use crate::ledger::journal::BindingRecord;
use crate::sip::endpoint::event::Flow;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name};

/// Header parameters of a Contact beyond these are not echoed.
const MAX_PARAMS: usize = 16;

/// A registered phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Where it wants to be called.
    pub contact: Uri,
    /// The header parameters of its Contact, without `expires`: `+sip.instance`, `reg-id`, `q` …
    pub params: Vec<(String, Option<String>)>,
    /// The flow of its last REGISTER: requests to it go there.
    pub flow: Flow,
    /// Call-ID of its last REGISTER.
    pub call_id: String,
    /// CSeq of its last REGISTER.
    pub cseq: u32,
    /// How long was granted.
    pub granted: Duration,
    /// When it ends.
    pub expires: Mono,
    /// When it ends, on the wall clock.
    pub expires_at: Wall,
    /// When it was refreshed last, on the wall clock.
    pub refreshed_at: Wall,
    /// Its User-Agent.
    pub user_agent: Option<String>,
    /// The proxies that requests to it pass (RFC 3327), as Route values in order.
    pub path: Vec<String>,
    /// Whether it keeps its flow alive by itself (RFC 5626).
    pub outbound: bool,
}

impl Binding {
    pub(super) fn new(now: Now, request: &Message, flow: Flow, wish: Wish) -> Binding {
        let mut params = wish.address.params;
        params.retain(|(name, _)| name != "expires");
        params.truncate(MAX_PARAMS);
        Binding {
            contact: wish.address.uri,
            params,
            flow,
            call_id: request.call_id().to_owned(),
            cseq: request.cseq(),
            granted: wish.granted,
            expires: now.mono + wish.granted,
            expires_at: now.wall + wish.granted,
            refreshed_at: now.wall,
            user_agent: request.header(Name::UserAgent).map(str::to_owned),
            path: Vec::new(),
            outbound: false,
        }
    }

    /// From what was kept; `None` when it has ended or its contact is unusable.
    pub(super) fn restore(now: Now, record: &BindingRecord, flow: Flow) -> Option<Binding> {
        let left = record.expires_at.as_micros() - now.wall.as_micros();
        // A wall clock that was set back must not lengthen what was granted.
        let left = Duration::from_micros(u64::try_from(left).ok()?).min(record.granted);
        if left.is_zero() {
            return None;
        }
        let granted = i64::try_from(record.granted.as_micros()).ok()?;
        Some(Binding {
            contact: Uri::parse(split_place(&record.contact).0).ok()?,
            params: Vec::new(),
            flow,
            call_id: record.call_id.clone(),
            cseq: record.cseq,
            granted: record.granted,
            expires: now.mono + left,
            expires_at: record.expires_at,
            refreshed_at: Wall::from_micros(record.expires_at.as_micros().saturating_sub(granted)),
            user_agent: record.user_agent.clone(),
            path: record.path.clone(),
            outbound: false,
        })
    }

    /// Whether this is the phone that registers `address` from `flow`: the same instance by the same of its flows (RFC 5626 §6), or the same contact.
    /// Behind NATs two phones may have the same contact: then it is the same one if it comes from the same address or goes on with its Call-ID.
    pub(super) fn is_of(&self, address: &NameAddr, request: &Message, flow: &Flow) -> bool {
        let (ours, theirs) = (self.param(INSTANCE), address.param(INSTANCE));
        if ours.is_some() && theirs.is_some() {
            return ours == theirs && self.param(REG_ID) == address.param(REG_ID);
        }
        self.contact.matches(&address.uri)
            && (self.flow.remote.ip() == flow.remote.ip() || self.call_id == request.call_id())
    }

    /// The phone's own name for itself (`+sip.instance`).
    pub fn instance(&self) -> Option<&str> {
        self.param(INSTANCE)
    }

    fn param(&self, wanted: &str) -> Option<&str> {
        let (_, value) = self.params.iter().find(|(name, _)| name == wanted)?;
        value.as_deref()
    }

    /// Whether its Contact names the address that it comes from, so that nothing translates in between.
    pub fn is_direct(&self) -> bool {
        let host: Option<IpAddr> = self.contact.host().parse().ok();
        host == Some(self.flow.remote.ip())
    }

    /// What tells it from the operator's other phones: its contact, and ` via ` its address where that is another one.
    pub fn place(&self) -> String {
        if self.is_direct() {
            self.contact.to_string()
        } else {
            format!("{}{VIA}{}", self.contact, self.flow.remote)
        }
    }

    /// Whether a request may change it: of the same Call-ID only with a higher CSeq.
    pub(super) fn allows(&self, request: &Message) -> Result<(), Refusal> {
        if self.call_id == request.call_id() && request.cseq() <= self.cseq {
            Err(Refusal::OutOfOrder)
        } else {
            Ok(())
        }
    }

    /// As the response to REGISTER lists it, with the seconds that are left.
    pub(super) fn listed(&self, now: Now) -> String {
        let left = self.expires.since(now.mono).as_millis().div_ceil(1_000);
        let listed = NameAddr {
            display: None,
            uri: self.contact.clone(),
            params: self.params.clone(),
        };
        listed
            .with_param("expires", Some(&left.to_string()))
            .to_string()
    }

    pub(super) fn record(&self, operator: &Operator, local: SocketAddr) -> BindingRecord {
        BindingRecord {
            operator: operator.clone(),
            contact: self.place(),
            transport: self.flow.transport.as_str().to_owned(),
            local,
            remote: self.flow.remote,
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            expires_at: self.expires_at,
            user_agent: self.user_agent.clone(),
            granted: self.granted,
            path: self.path.clone(),
        }
    }

    pub(super) fn removed(&self, operator: &Operator) -> Change {
        Change::Removed {
            operator: operator.clone(),
            contact: self.place(),
        }
    }
}

/// The contact and the address of a [`Binding::place`].
pub fn split_place(place: &str) -> (&str, Option<SocketAddr>) {
    match place.split_once(VIA) {
        Some((contact, remote)) => (contact, remote.parse().ok()),
        None => (place, None),
    }
}

/// No URI holds a blank.
const VIA: &str = " via ";
/// RFC 5626 §4.1, the name in lower case as parameters are kept.
pub(super) const INSTANCE: &str = "+sip.instance";
/// RFC 5626 §4.2.
pub(super) const REG_ID: &str = "reg-id";
