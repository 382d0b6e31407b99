//! The trunks of the plan in force: their addresses, registrations, lines in use and views.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::effect::{Effect, Lookup};
use super::handle::TrunkView;
use crate::dialplan::plan::{HostPort, Registration as Account, Trunk};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, Name};
use crate::ledger::journal::Entry;
use crate::sip::auth::Credentials;
use crate::sip::endpoint::command::{Command, Request};
use crate::sip::endpoint::event::RequestId;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Method, Name as HeaderName};
use crate::trunk::capacity::Capacity;
use crate::trunk::identify::Known;
use crate::trunk::registration::{Answer, Registration, Send, State};

/// Host names of peers are looked up again after this time.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);

/// What the switch knows of its trunks.
#[derive(Debug, Default)]
pub(super) struct Trunks {
    accounts: BTreeMap<Name, Registered>,
    contact_users: BTreeMap<Name, String>,
    addresses: BTreeMap<Name, Vec<SocketAddr>>,
    lines: Capacity,
    /// Which trunk's REGISTER a response belongs to.
    requests: BTreeMap<RequestId, Name>,
    next_request: u64,
    look_up_at: Option<Mono>,
}

/// A trunk's registration and the account that it is for.
#[derive(Debug)]
struct Registered {
    account: Account,
    peer: HostPort,
    machine: Registration,
}

impl Trunks {
    /// The first address of a trunk's peer.
    pub fn address(&self, trunk: &Name) -> Option<SocketAddr> {
        self.addresses
            .get(trunk)
            .and_then(|addresses| addresses.first())
            .copied()
    }

    /// Every address of every trunk's peer.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.values().flatten().copied()
    }

    /// The opaque user of our Contact at a trunk that we register with.
    pub fn contact_user(&self, trunk: &Name) -> Option<&str> {
        self.contact_users.get(trunk).map(String::as_str)
    }

    /// What answers a trunk's challenges.
    pub fn credentials(&self, trunk: &Name) -> Option<Credentials> {
        let account = &self.accounts.get(trunk)?.account;
        Some(Credentials {
            user: account.user.clone(),
            password: account.password.0.clone(),
        })
    }

    /// When a registration or a look-up is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let registrations = self
            .accounts
            .values()
            .filter_map(|account| account.machine.poll_timeout());
        registrations.chain(self.look_up_at).min()
    }
}

impl Core {
    /// What `trunk::identify` needs.
    pub(super) fn known_trunks(&self) -> Known<'_> {
        Known {
            trunks: &self.plan.trunks,
            contact_users: &self.trunks.contact_users,
            addresses: &self.trunks.addresses,
        }
    }

    /// Whether a trunk has a line free.
    pub(super) fn has_line(&self, trunk: &Name) -> bool {
        let most = self
            .plan
            .trunks
            .get(trunk.as_str())
            .and_then(|trunk| trunk.max_calls);
        most.is_none_or(|most| self.trunks.lines.calls(trunk) < most)
    }

    /// Notes that a leg runs over a trunk.
    pub(super) fn occupy_line(&mut self, leg: LegId, trunk: &Name) {
        // The limit was asked for before; a leg that exists is counted whatever the limit says by now.
        let _ = self.trunks.lines.take(trunk, leg, None);
        self.show_lines(trunk);
    }

    /// The leg is over: its trunk, if any, has a line more.
    pub(super) fn release_line(&mut self, leg: LegId) {
        if let Some(trunk) = self.trunks.lines.give_back(leg) {
            self.show_lines(&trunk);
        }
    }

    fn show_lines(&self, trunk: &Name) {
        if let Some(mut view) = self.views.trunks.get_mut(trunk) {
            view.calls = self.trunks.lines.calls(trunk);
        }
    }

    /// Puts the plan's trunks in force: registrations that are gone or changed end, new ones begin.
    pub(super) fn apply_trunks(&mut self, now: Now) {
        let plan = Arc::clone(&self.plan);
        let gone: Vec<Name> = self
            .trunks
            .accounts
            .iter()
            .filter(|(name, registered)| !registered.is_still(plan.trunks.get(name.as_str())))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.drive(now, &name, Registration::unregister);
            // The provider's answer finds no account any more: what it would change is said now.
            self.show_trunk(now, &name, State::Unregistered.as_str(), None);
            self.trunks.accounts.remove(&name);
            self.trunks.contact_users.remove(&name);
        }
        self.trunks
            .addresses
            .retain(|name, _| plan.trunks.contains_key(name.as_str()));
        self.views
            .trunks
            .retain(|name, _| plan.trunks.contains_key(name.as_str()));
        for trunk in plan.trunks.values() {
            self.apply_trunk(now, trunk);
        }
        self.look_up_peers(now);
    }

    fn apply_trunk(&mut self, now: Now, trunk: &Trunk) {
        self.views
            .trunks
            .entry(trunk.name.clone())
            .or_insert_with(|| TrunkView {
                trunk: trunk.name.clone(),
                state: "unregistered",
                reason: None,
                calls: self.trunks.lines.calls(&trunk.name),
            });
        let (Some(account), Some(peer)) = (&trunk.register, &trunk.peer) else {
            return;
        };
        if self.trunks.accounts.contains_key(&trunk.name) {
            return;
        }
        let machine = Registration::new(now.mono, account.expires, self.entropy.split());
        self.trunks
            .contact_users
            .insert(trunk.name.clone(), machine.contact_user().to_owned());
        let registered = Registered {
            account: account.clone(),
            peer: peer.clone(),
            machine,
        };
        self.trunks.accounts.insert(trunk.name.clone(), registered);
    }

    fn look_up_peers(&mut self, now: Now) {
        let plan = Arc::clone(&self.plan);
        for trunk in plan.trunks.values() {
            let Some(peer) = &trunk.peer else { continue };
            match peer.host.parse::<IpAddr>() {
                Ok(ip) => {
                    self.trunks
                        .addresses
                        .insert(trunk.name.clone(), vec![(ip, peer.port).into()]);
                }
                Err(_) => self.effects.push_back(Effect::Resolve {
                    what: Lookup::Peer(peer.host.clone(), peer.port),
                    host: peer.host.clone(),
                    port: peer.port,
                }),
            }
        }
        self.trunks.look_up_at = Some(now.mono + LOOK_UP_EVERY);
    }

    /// The addresses of a host of the plan came; none: the old ones stay.
    pub(super) fn peer_resolved(
        &mut self,
        now: Now,
        host: String,
        port: u16,
        addresses: Vec<SocketAddr>,
    ) {
        if addresses.is_empty() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        for trunk in plan.trunks.values() {
            if trunk
                .peer
                .as_ref()
                .is_some_and(|peer| peer.host == host && peer.port == port)
            {
                self.trunks
                    .addresses
                    .insert(trunk.name.clone(), addresses.clone());
            }
        }
        self.names.insert((host, port), addresses);
        self.refresh_trust(now);
        self.run_registrations(now);
    }

    /// Registrations and look-ups that are due.
    pub(super) fn run_trunk_timers(&mut self, now: Now) {
        if self.trunks.poll_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        if self.trunks.look_up_at.is_some_and(|at| at <= now.mono) {
            self.look_up_peers(now);
            self.look_up_contacts();
        }
        self.run_registrations(now);
    }

    fn run_registrations(&mut self, now: Now) {
        let names: Vec<Name> = self.trunks.accounts.keys().cloned().collect();
        for name in names {
            self.drive(now, &name, |machine| machine.handle_timeout(now.mono));
        }
    }

    /// Tells every provider that we leave.
    pub(super) fn unregister_trunks(&mut self, now: Now) {
        let names: Vec<Name> = self.trunks.accounts.keys().cloned().collect();
        for name in names {
            self.drive(now, &name, Registration::unregister);
        }
    }

    /// The final response to a REGISTER of ours.
    pub(super) fn on_trunk_response(
        &mut self,
        now: Now,
        id: RequestId,
        code: u16,
        message: Option<&Message>,
    ) {
        let Some(name) = self.trunks.requests.remove(&id) else {
            return;
        };
        self.drive(now, &name, |machine| {
            let answer = Answer::read(code, message, machine.contact_user());
            machine.handle_response(now.mono, answer);
        });
    }

    /// Does something to a trunk's registration and carries out what comes of it.
    fn drive(&mut self, now: Now, name: &Name, act: impl FnOnce(&mut Registration)) {
        let Some(registered) = self.trunks.accounts.get_mut(name) else {
            return;
        };
        act(&mut registered.machine);
        loop {
            let Some(registered) = self.trunks.accounts.get_mut(name) else {
                return;
            };
            if let Some(send) = registered.machine.poll_send() {
                self.send_register(now, name, send);
            } else if let Some(change) = registered.machine.poll_change() {
                self.show_trunk(now, name, change.state.as_str(), change.reason);
            } else {
                return;
            }
        }
    }

    fn send_register(&mut self, now: Now, name: &Name, send: Send) {
        let Some(registered) = self.trunks.accounts.get(name) else {
            return;
        };
        let flow = self
            .trunks
            .address(name)
            .and_then(|address| self.reach.flow_to(address));
        let Some(flow) = flow else {
            // As when nobody answers: the machine tries again later.
            let answer = Answer {
                code: 503,
                phrase: format!(
                    "the host {} of the trunk does not resolve, or no listener reaches it",
                    registered.peer.host
                ),
                ..Answer::default()
            };
            self.drive_later(now, name, answer);
            return;
        };
        self.trunks.next_request += 1;
        let id = RequestId(self.trunks.next_request);
        let host = &registered.peer.host;
        let address = format!("<{}>", Uri::sip(Some(&registered.account.user), host, None));
        let told = flow.advertised;
        let contact = Uri::sip(
            Some(&send.contact_user),
            &told.ip().to_string(),
            Some(told.port()),
        );
        let request = Request {
            id,
            method: Method::Register,
            flow,
            uri: Uri::sip(None, host, None).as_str().to_owned(),
            from: address.clone(),
            to: address,
            call_id: Some(send.call_id),
            cseq: send.cseq,
            credentials: self.trunks.credentials(name),
            headers: vec![
                (HeaderName::Contact, format!("<{contact}>")),
                (HeaderName::Expires, send.expires.as_secs().to_string()),
            ],
        };
        self.trunks.requests.insert(id, name.clone());
        self.endpoint
            .handle_command(now, Command::Request(Box::new(request)));
    }

    fn drive_later(&mut self, now: Now, name: &Name, answer: Answer) {
        if let Some(registered) = self.trunks.accounts.get_mut(name) {
            registered.machine.handle_response(now.mono, answer);
        }
    }

    fn show_trunk(&mut self, now: Now, name: &Name, state: &'static str, reason: Option<String>) {
        if let Some(mut view) = self.views.trunks.get_mut(name) {
            view.state = state;
            view.reason.clone_from(&reason);
        }
        self.journal(Entry::TrunkState {
            tenant: self.tenant.clone(),
            trunk: name.clone(),
            state: state.to_owned(),
            reason,
            at: now.wall,
        });
    }
}

impl Registered {
    /// Whether the plan still asks for this account at this place.
    fn is_still(&self, trunk: Option<&Trunk>) -> bool {
        let wanted = trunk.and_then(|trunk| Some((trunk.register.as_ref()?, trunk.peer.as_ref()?)));
        wanted.is_some_and(|(account, peer)| *account == self.account && *peer == self.peer)
    }
}
