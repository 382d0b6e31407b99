//! OPTIONS to phones behind NAT over UDP, whose routers forget them when nothing goes out: the answer is what keeps the way open.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::core::Core;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::Name;
use crate::sip::endpoint::Transport;
use crate::sip::endpoint::command::{Command, Request};
use crate::sip::endpoint::event::RequestId;
use crate::sip::registrar::Binding;
use crate::sip::uri::Uri;
use crate::sip::wire::{Method, Name as HeaderName};

/// Which phone is to be sent an OPTIONS when.
#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    due: BTreeSet<(Mono, Name, SocketAddr)>,
    known: HashSet<(Name, SocketAddr)>,
    last: u64,
}

/// Ids of these requests: no other has this bit.
const OURS: u64 = 1 << 62;

impl KeepAlive {
    /// When the next one is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.due.first().map(|(at, _, _)| *at)
    }
}

/// Whether a phone must be kept reachable by us.
fn needs_it(binding: &Binding) -> bool {
    binding.flow.transport == Transport::Udp && !binding.outbound && !binding.is_direct()
}

impl Core {
    /// An operator's phones have changed: new ones are entered, at a moment of their own each.
    pub(super) fn keep_phones_alive(&mut self, now: Now, operator: &Name) {
        let every = self.plan.server.keep_alive;
        if every.is_zero() {
            return;
        }
        let remotes: Vec<SocketAddr> = self
            .registrar
            .contacts(operator)
            .filter(|binding| needs_it(binding))
            .map(|binding| binding.flow.remote)
            .collect();
        for remote in remotes {
            let phone = (operator.clone(), remote);
            if self.keep_alive.known.insert(phone) {
                // Phones that registered together are not asked together.
                let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
                let at = now.mono + Duration::from_millis(self.entropy.below(millis.max(1)));
                self.keep_alive.due.insert((at, operator.clone(), remote));
            }
        }
    }

    /// Sends what is due. Phones that are gone are forgotten.
    pub(super) fn run_keep_alive(&mut self, now: Now) {
        let every = self.plan.server.keep_alive;
        while let Some((at, _, _)) = self.keep_alive.due.first() {
            if *at > now.mono {
                return;
            }
            let Some((_, operator, remote)) = self.keep_alive.due.pop_first() else {
                return;
            };
            let found = self
                .registrar
                .contacts(&operator)
                .find(|binding| binding.flow.remote == remote && needs_it(binding))
                .cloned();
            match found {
                Some(binding) if !every.is_zero() => {
                    self.ask_whether_alive(now, &operator, binding);
                    let next = now.mono + every;
                    self.keep_alive.due.insert((next, operator, remote));
                }
                _ => {
                    self.keep_alive.known.remove(&(operator, remote));
                }
            }
        }
    }

    fn ask_whether_alive(&mut self, now: Now, operator: &Name, binding: Binding) {
        let domain = &self.plan.server.domain;
        self.keep_alive.last += 1;
        let request = Request {
            id: RequestId(OURS | self.keep_alive.last),
            method: Method::Options,
            flow: binding.flow,
            uri: binding.contact.to_string(),
            from: format!("<{}>", Uri::sip(None, domain, None)),
            to: format!("<{}>", Uri::sip(Some(operator.as_str()), domain, None)),
            call_id: None,
            cseq: 1,
            credentials: None,
            headers: binding
                .path
                .into_iter()
                .map(|proxy| (HeaderName::Route, proxy))
                .collect(),
        };
        // Whatever the answer is, it has come through the router; without one the binding ends by itself.
        self.endpoint
            .handle_command(now, Command::Request(Box::new(request)));
    }
}
