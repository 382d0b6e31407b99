//! The registrar (RFC 3261 §10.3, parts of RFC 5626): which phones an operator has, and the flow each can be reached on.
//!
//! Who may register was decided before (`auth`); keeping bindings over a restart is the store's, which is told by `Change`s.

mod binding;
mod outbound;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::binding::{Binding, split_place};
use self::outbound::Outbound;
use self::request::{Asked, Refusal};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::Name as Operator;
use crate::ledger::journal::BindingRecord;
use crate::ledger::wheel::{Ticket, Wheel};
use crate::sip::endpoint::ConnectionId;
use crate::sip::endpoint::event::{Flow, ListenerId, Transport};
use crate::sip::endpoint::filed::Filed;
use crate::sip::header::warning::Warning;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name};

/// A shorter wish is refused with 423.
pub const MIN_EXPIRES: Duration = Duration::from_secs(10);
/// The most that is granted over UDP, where nothing else tells that a phone is gone and NAT bindings are short-lived.
pub const MAX_EXPIRES_UDP: Duration = Duration::from_secs(120);
/// The most that is granted over a connection, whose end is noticed.
pub const MAX_EXPIRES_STREAM: Duration = Duration::from_secs(3_600);
/// The most bindings of an operator; the one refreshed longest ago makes room.
pub const MAX_BINDINGS: usize = 10;

/// What the store is to keep or to drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A binding was added or refreshed.
    Saved(BindingRecord),
    /// A binding ended.
    Removed {
        /// The operator.
        operator: Operator,
        /// The contact URI as registered.
        contact: String,
    },
}

/// The answer to a REGISTER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The status of the response.
    pub code: u16,
    /// Its header lines: every binding with what is left of it, or why not.
    pub headers: Vec<(Name, String)>,
    /// What changed, in order; empty when the request was refused.
    pub changes: Vec<Change>,
}

/// All bindings of all operators.
#[derive(Debug, Default)]
pub struct Registrar {
    /// Per operator; no empty lists.
    bindings: HashMap<Operator, Phones>,
    /// Whose bindings are on a connection.
    on: Filed<ConnectionId, Operator>,
    /// The addresses of our listeners, for the records.
    locals: HashMap<ListenerId, SocketAddr>,
    /// When the first binding of each operator ends.
    ends: Wheel<Operator>,
}

/// An operator's bindings, refreshed last first.
#[derive(Debug)]
struct Phones {
    list: Vec<Binding>,
    armed: Option<Ticket>,
}

impl Registrar {
    /// Without bindings.
    pub fn new() -> Registrar {
        Registrar::default()
    }

    /// Tells the address that a listener is bound to, which `BindingRecord::local` gets; without it the flow's advertised address stands there.
    pub fn set_local(&mut self, listener: ListenerId, local: SocketAddr) {
        self.locals.insert(listener, local);
    }

    /// Takes in a REGISTER for `operator`'s address-of-record that came on `flow`. All of it counts or none.
    pub fn handle(
        &mut self,
        now: Now,
        operator: &Operator,
        request: &Message,
        flow: Flow,
    ) -> Registered {
        let before = self.take(operator);
        let (old, mut live): (Vec<_>, Vec<_>) = before
            .into_iter()
            .partition(|binding| binding.expires <= now.mono);
        let outcome = Outbound::read(request).and_then(|outbound| {
            let asked = Asked::read(request, most(flow.transport))?;
            let after = apply(now, request, flow, asked, &live, &outbound)?;
            Ok((after, outbound))
        });
        let mut changes: Vec<Change> = old
            .iter()
            .map(|binding| binding.removed(operator))
            .collect();
        let (code, headers) = match outcome {
            Ok((after, outbound)) => {
                changes.extend(self.differences(operator, &live, &after));
                live = after;
                let mut headers = accepted(now, &live);
                headers.extend(outbound.answer());
                (200, headers)
            }
            Err(refusal) => refused(refusal),
        };
        self.put(operator.clone(), live);
        Registered {
            code,
            headers,
            changes,
        }
    }

    /// `poll_timeout` has passed: ends the bindings whose time is over.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((_, operator)) = self.ends.take_due(now.mono) {
            let mut list = self.take(&operator);
            list.retain(|binding| {
                let lives = binding.expires > now.mono;
                if !lives {
                    changes.push(binding.removed(&operator));
                }
                lives
            });
            self.put(operator, list);
        }
        changes
    }

    /// An operator's bindings, out of the tables.
    fn take(&mut self, operator: &Operator) -> Vec<Binding> {
        let Some(phones) = self.bindings.remove(operator) else {
            return Vec::new();
        };
        if let Some(ticket) = phones.armed {
            self.ends.cancel(ticket);
        }
        for connection in connections(&phones.list) {
            self.on.remove(connection, operator);
        }
        phones.list
    }

    /// An operator's bindings, into the tables.
    fn put(&mut self, operator: Operator, list: Vec<Binding>) {
        let Some(end) = first_end(&list) else {
            return;
        };
        for connection in connections(&list) {
            self.on.insert(connection, operator.clone());
        }
        let armed = Some(self.ends.insert(end, operator.clone()));
        self.bindings.insert(operator, Phones { list, armed });
    }

    /// Drops the bindings of operators for whom `keeps` does not hold: they are in the plan no more.
    pub fn forget(&mut self, keeps: impl Fn(&Operator) -> bool) -> Vec<Change> {
        let gone: Vec<Operator> = self
            .bindings
            .keys()
            .filter(|operator| !keeps(operator))
            .cloned()
            .collect();
        let mut changes = Vec::new();
        for operator in gone {
            let list = self.take(&operator);
            changes.extend(list.iter().map(|binding| binding.removed(&operator)));
        }
        changes
    }

    /// A connection is closed: ends the bindings on it (RFC 5626 §5.3).
    pub fn drop_flow(&mut self, flow: &Flow) -> Vec<Change> {
        if flow.connection.is_none() {
            return Vec::new();
        }
        let cut = |binding: &Binding| binding.flow.connection == flow.connection;
        let mut changes = Vec::new();
        for operator in self.on.at(&flow.connection) {
            let mut list = self.take(&operator);
            let lost = list.iter().filter(|binding| cut(binding));
            changes.extend(lost.map(|binding| binding.removed(&operator)));
            list.retain(|binding| !cut(binding));
            self.put(operator, list);
        }
        changes
    }

    /// When to call `handle_timeout`; it may be called with nothing to do.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.ends.next()
    }

    /// Takes the bindings kept over a restart. `flow_of` finds the flow of a record among today's listeners; records that have ended, that have no flow
    /// any more or no usable contact are dropped and named in the result.
    pub fn restore(
        &mut self,
        now: Now,
        records: Vec<BindingRecord>,
        flow_of: impl Fn(&BindingRecord) -> Option<Flow>,
    ) -> Vec<Change> {
        let mut dropped = Vec::new();
        for record in records {
            let restored = flow_of(&record).and_then(|flow| Binding::restore(now, &record, flow));
            let Some(binding) = restored else {
                dropped.push(Change::Removed {
                    operator: record.operator,
                    contact: record.contact,
                });
                continue;
            };
            let mut list = self.take(&record.operator);
            list.push(binding);
            list.sort_by_key(|binding| std::cmp::Reverse(binding.refreshed_at));
            self.put(record.operator, list);
        }
        dropped
    }

    /// An operator's phones, refreshed last first.
    pub fn contacts(&self, operator: &Operator) -> impl Iterator<Item = &Binding> {
        let phones = self.bindings.get(operator);
        phones.into_iter().flat_map(|phones| &phones.list)
    }

    /// Every operator who has a phone, with his phones.
    pub fn operators(&self) -> impl Iterator<Item = (&Operator, &[Binding])> {
        self.bindings
            .iter()
            .map(|(operator, phones)| (operator, phones.list.as_slice()))
    }

    /// The flow of a registered contact (RFC 3261 §19.1.4 says which URIs are equal); of several the one refreshed last.
    pub fn find(&self, contact: &Uri) -> Option<Flow> {
        self.bindings
            .values()
            .flat_map(|phones| &phones.list)
            .filter(|binding| binding.contact.matches(contact))
            .max_by_key(|binding| binding.refreshed_at)
            .map(|binding| binding.flow)
    }

    /// As `find`, among one operator's phones: behind NATs the same contact may be two operators'. `remote`: the phone that came from there, where
    /// the operator has several with that contact.
    pub fn find_of(
        &self,
        operator: &Operator,
        contact: &Uri,
        remote: Option<SocketAddr>,
    ) -> Option<&Binding> {
        self.contacts(operator)
            .filter(|binding| binding.contact.matches(contact))
            .max_by_key(|binding| (Some(binding.flow.remote) == remote, binding.refreshed_at))
    }

    /// An operator's phones, each once: of several flows of one phone (RFC 5626 §4.2) the one refreshed last.
    pub fn phones(&self, operator: &Operator) -> Vec<&Binding> {
        let mut phones: Vec<&Binding> = Vec::new();
        for binding in self.contacts(operator) {
            let known = binding
                .instance()
                .is_some_and(|instance| phones.iter().any(|one| one.instance() == Some(instance)));
            if !known {
                phones.push(binding);
            }
        }
        phones
    }

    /// What turns `before` into `after`, for the store.
    fn differences(
        &self,
        operator: &Operator,
        before: &[Binding],
        after: &[Binding],
    ) -> Vec<Change> {
        let removed = before
            .iter()
            .filter(|old| !after.iter().any(|new| new.place() == old.place()))
            .map(|old| old.removed(operator));
        let saved = after.iter().filter(|new| !before.contains(new)).map(|new| {
            let local = self.locals.get(&new.flow.listener).copied();
            Change::Saved(new.record(operator, local.unwrap_or(new.flow.advertised)))
        });
        removed.chain(saved).collect()
    }
}

/// The connections that bindings are on; some more than once.
fn connections(list: &[Binding]) -> impl Iterator<Item = ConnectionId> {
    let all = list.iter().map(|binding| binding.flow.connection);
    all.filter(|connection| !connection.is_none())
}

fn first_end(list: &[Binding]) -> Option<Mono> {
    list.iter().map(|binding| binding.expires).min()
}

/// The most that is granted on a transport.
fn most(transport: Transport) -> Duration {
    match transport {
        Transport::Udp => MAX_EXPIRES_UDP,
        _ => MAX_EXPIRES_STREAM,
    }
}

/// The bindings after the request (RFC 3261 §10.3 steps 6 and 7).
fn apply(
    now: Now,
    request: &Message,
    flow: Flow,
    asked: Asked,
    before: &[Binding],
    outbound: &Outbound,
) -> Result<Vec<Binding>, Refusal> {
    let mut after = before.to_vec();
    let contacts = match asked {
        Asked::Nothing => return Ok(after),
        Asked::RemoveAll => {
            for binding in before {
                binding.allows(request)?;
            }
            return Ok(Vec::new());
        }
        Asked::Contacts(contacts) => contacts,
    };
    for wish in contacts {
        // The order counts against what was there before; one request may name a contact twice.
        for binding in before {
            if binding.is_of(&wish.address, request, &flow) {
                binding.allows(request)?;
            }
        }
        after.retain(|binding| !binding.is_of(&wish.address, request, &flow));
        if !wish.granted.is_zero() {
            let mut binding = Binding::new(now, request, flow, wish);
            outbound.mark(&mut binding);
            after.insert(0, binding);
        }
    }
    after.truncate(MAX_BINDINGS);
    Ok(after)
}

fn accepted(now: Now, bindings: &[Binding]) -> Vec<(Name, String)> {
    let date = now.wall.timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT");
    bindings
        .iter()
        .map(|binding| (Name::Contact, binding.listed(now)))
        .chain([(Name::Date, date.to_string())])
        .collect()
}

fn refused(refusal: Refusal) -> (u16, Vec<(Name, String)>) {
    let sentence = refusal.to_string();
    let warning = (Name::Warning, Warning::new("vats", &sentence).to_string());
    match refusal {
        Refusal::TooBrief => (
            423,
            vec![
                (Name::MinExpires, MIN_EXPIRES.as_secs().to_string()),
                warning,
            ],
        ),
        Refusal::OutOfOrder => (500, vec![warning]),
        Refusal::FirstHop => (439, vec![warning]),
        Refusal::BadContact | Refusal::BadRemoval => (400, vec![warning]),
    }
}
