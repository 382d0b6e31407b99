//! Client-initiated flows (RFC 5626) and the proxies on the way to a phone (RFC 3327), as a REGISTER asks for them.

use super::binding::{Binding, INSTANCE, REG_ID};
use super::request::Refusal;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::params;
use crate::sip::wire::{Message, Name};

/// How often a phone should show that its connection lives, in seconds (RFC 5626 §4.4).
const FLOW_TIMER: u32 = 120;
/// What a REGISTER's answer says that we know.
const KNOWN: &str = "path, outbound";

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Whether its flow is to be kept and used.
    flow: bool,
    path: Vec<String>,
}

impl Outbound {
    /// Reads a request; refused when a flow is asked for that a proxy on the way does not keep.
    pub(super) fn read(request: &Message) -> Result<Outbound, Refusal> {
        let path: Vec<String> = request
            .headers(Name::Path)
            .filter_map(params::elements)
            .flatten()
            .take(MOST_PROXIES)
            .map(str::to_owned)
            .collect();
        let flow = supports(request, "outbound") && names_flow(request);
        let direct = vias(request) < 2;
        // The last Path value is the proxy next to the phone (RFC 5626 §5.1).
        let kept = path.last().is_some_and(|edge| {
            NameAddr::parse(edge).is_ok_and(|edge| edge.uri.param("ob").is_some())
        });
        if flow && !direct && !kept {
            return Err(Refusal::FirstHop);
        }
        Ok(Outbound { flow, path })
    }

    /// Notes it in the binding that comes of the request.
    pub(super) fn mark(&self, binding: &mut Binding) {
        binding.path.clone_from(&self.path);
        binding.outbound = self.flow;
    }

    /// What the answer says of it.
    pub(super) fn answer(&self) -> Vec<(Name, String)> {
        let mut headers = vec![(Name::Supported, KNOWN.to_owned())];
        for proxy in &self.path {
            headers.push((Name::Path, proxy.clone()));
        }
        if self.flow {
            headers.push((Name::Require, "outbound".to_owned()));
            headers.push((Name::FlowTimer, FLOW_TIMER.to_string()));
        }
        headers
    }
}

fn supports(request: &Message, extension: &str) -> bool {
    let lines = request.headers(Name::Supported);
    lines
        .flat_map(|line| line.split(','))
        .any(|tag| tag.trim().eq_ignore_ascii_case(extension))
}

/// Whether the one Contact is an instance's numbered flow.
fn names_flow(request: &Message) -> bool {
    let mut contacts = request
        .headers(Name::Contact)
        .filter_map(params::elements)
        .flatten();
    let (Some(contact), None) = (contacts.next(), contacts.next()) else {
        return false;
    };
    NameAddr::parse(contact).is_ok_and(|contact| {
        let number = contact.param(REG_ID).and_then(|id| id.parse::<u32>().ok());
        contact.param(INSTANCE).is_some() && number.is_some_and(|number| number > 0)
    })
}

fn vias(request: &Message) -> usize {
    let lines = request.headers(Name::Via);
    lines
        .filter_map(params::elements)
        .map(|values| values.len())
        .sum()
}

/// Longer ways are nobody's.
const MOST_PROXIES: usize = 8;
