//! One binding: a contact, the flow it came on, and until when.

use std::net::SocketAddr;
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
            contact: Uri::parse(&record.contact).ok()?,
            params: Vec::new(),
            flow,
            call_id: record.call_id.clone(),
            cseq: record.cseq,
            granted: record.granted,
            expires: now.mono + left,
            expires_at: record.expires_at,
            refreshed_at: Wall::from_micros(record.expires_at.as_micros().saturating_sub(granted)),
            user_agent: record.user_agent.clone(),
        })
    }

    /// Whether this is the phone that registers `address`: the same contact, or the same instance on the same outbound flow (RFC 5626 §6).
    pub(super) fn is_of(&self, address: &NameAddr) -> bool {
        if self.contact.matches(&address.uri) {
            return true;
        }
        let own = |wanted: &str| {
            let (_, value) = self.params.iter().find(|(name, _)| name == wanted)?;
            value.as_deref()
        };
        own("+sip.instance").is_some()
            && own("+sip.instance") == address.param("+sip.instance")
            && own("reg-id") == address.param("reg-id")
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
            contact: self.contact.to_string(),
            transport: self.flow.transport.as_str().to_owned(),
            local,
            remote: self.flow.remote,
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            expires_at: self.expires_at,
            user_agent: self.user_agent.clone(),
            granted: self.granted,
        }
    }

    pub(super) fn removed(&self, operator: &Operator) -> Change {
        Change::Removed {
            operator: operator.clone(),
            contact: self.contact.to_string(),
        }
    }
}
