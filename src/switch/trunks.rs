//! The trunks of the plan in force: what the switch keeps of each, its lines in use, its state and view.
//!
//! Registrations are in `registrations`, addresses and their health in `peers`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::core::Core;
use super::handle::{PeerView, TrunkView};
use super::registrations::Registered;
use crate::dialplan::plan::Trunk;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, Name};
use crate::ledger::id_map::IdMap;
use crate::ledger::journal::Entry;
use crate::sip::auth::Credentials;
use crate::sip::endpoint::event::RequestId;
use crate::sip::locate::{Server, Wish};
use crate::trunk::capacity::{Capacity, Pace};
use crate::trunk::identify::Known;
use crate::trunk::peers::{Choice, Peers};

/// What the switch knows of its trunks.
#[derive(Debug, Default)]
pub(super) struct Trunks {
    /// Registrations by number, also those that are only ending.
    pub(super) accounts: BTreeMap<u64, Registered>,
    /// Each trunk's registration.
    pub(super) current: BTreeMap<Name, u64>,
    pub(super) contact_users: BTreeMap<Name, String>,
    pub(super) peers: BTreeMap<Name, Peers>,
    /// Every address of every trunk.
    pub(super) addresses: BTreeMap<Name, Vec<SocketAddr>>,
    /// Why a trunk cannot be reached.
    pub(super) lost: BTreeMap<Name, String>,
    lines: Capacity,
    pub(super) pace: Pace,
    /// What a response belongs to.
    pub(super) requests: BTreeMap<RequestId, Asked>,
    next_request: u64,
    pub(super) next_account: u64,
    /// When each name is to be looked up again.
    pub(super) look_ups: BTreeMap<Wish, Mono>,
    pub(super) contacts_at: Option<Mono>,
    /// The process drains: no address is asked for life any more.
    pub(super) is_leaving: bool,
    /// The addresses that a leg will try, from the moment that its media port is asked for.
    pub(super) chosen: IdMap<LegId, Vec<Choice>>,
}

/// What a request of ours is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// A registration, by its number.
    Register(u64),
    /// Whether an address of a trunk lives.
    Life(Name, Server),
}

impl Trunks {
    /// Every address of every trunk.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.values().flatten().copied()
    }

    /// The opaque user of our Contact at a trunk that we register with.
    pub fn contact_user(&self, trunk: &Name) -> Option<&str> {
        self.contact_users.get(trunk).map(String::as_str)
    }

    /// When a registration, a look-up or a question of life is due.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let accounts = self.accounts.values();
        let registrations = accounts.filter_map(Registered::poll_timeout);
        let peers = self.peers.values().filter(|_| !self.is_leaving);
        let peers = peers.filter_map(Peers::poll_timeout);
        registrations
            .chain(peers)
            .chain(self.look_ups.values().copied())
            .chain(self.contacts_at)
            .min()
    }

    /// Questions of life that have no answer yet; nobody waits for them at the end.
    pub fn open_questions(&self) -> usize {
        let is_life = |asked: &&Asked| matches!(asked, Asked::Life(..));
        self.requests.values().filter(is_life).count()
    }

    pub(super) fn new_request(&mut self, asked: Asked) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.requests.insert(id, asked);
        id
    }
}

/// What answers a trunk's challenges.
pub(super) fn credentials(trunk: &Trunk) -> Option<Credentials> {
    let account = trunk.account.as_ref()?;
    Some(Credentials {
        user: account.user.clone(),
        password: account.password.0.clone(),
        realm: account.realm.clone(),
    })
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
        self.trunks.chosen.remove(&leg);
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
        let is_there = |name: &Name| plan.trunks.contains_key(name.as_str());
        self.end_registrations(now, &plan);
        self.trunks.addresses.retain(|name, _| is_there(name));
        self.trunks.peers.retain(|name, _| is_there(name));
        self.trunks.lost.retain(|name, _| is_there(name));
        self.trunks.pace.retain(is_there);
        self.views.trunks.retain(|name, _| is_there(name));
        for trunk in plan.trunks.values() {
            self.apply_peers(now, trunk);
            self.begin_registration(now, trunk);
            let calls = self.trunks.lines.calls(&trunk.name);
            let (state, reason) = self.trunk_state(&trunk.name);
            let view = || TrunkView {
                trunk: trunk.name.clone(),
                state,
                reason,
                calls,
                max_calls: trunk.max_calls,
                peers: Vec::new(),
            };
            let mut view = self
                .views
                .trunks
                .entry(trunk.name.clone())
                .or_insert_with(view);
            view.max_calls = trunk.max_calls;
        }
        self.look_up_peers(now, true);
        for trunk in plan.trunks.keys() {
            self.show_trunk(now, trunk);
        }
        self.refresh_trust(now);
        self.run_registrations(now);
    }

    /// Registrations, look-ups and questions of life that are due.
    pub(super) fn run_trunk_timers(&mut self, now: Now) {
        if self.trunks.poll_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        self.look_up_peers(now, false);
        self.run_peers(now);
        self.run_registrations(now);
    }

    /// The final response to a request of ours outside of calls.
    pub(super) fn on_trunk_response(
        &mut self,
        now: Now,
        id: RequestId,
        code: u16,
        message: Option<&crate::sip::wire::Message>,
    ) {
        match self.trunks.requests.remove(&id) {
            Some(Asked::Register(account)) => self.register_answered(now, account, code, message),
            Some(Asked::Life(trunk, server)) => {
                self.life_answered(now, &trunk, server, code, message);
            }
            None => {}
        }
    }

    /// How a trunk stands: unreachable when none of its addresses lives, else as its registration does.
    fn trunk_state(&self, name: &Name) -> (&'static str, Option<String>) {
        if let Some(why) = self.trunks.lost.get(name) {
            return (UNREACHABLE, Some(why.clone()));
        }
        let number = self.trunks.current.get(name);
        match number.and_then(|number| self.trunks.accounts.get(number)) {
            Some(registered) => registered.state(),
            None => (AVAILABLE, None),
        }
    }

    /// Brings a trunk's view up to date; when its state is another one than shown, tells so.
    pub(super) fn show_trunk(&mut self, now: Now, name: &Name) {
        let (state, reason) = self.trunk_state(name);
        let peers = self.trunks.peers.get(name).into_iter();
        let peers: Vec<PeerView> = peers
            .flat_map(Peers::standings)
            .map(|(server, standing)| PeerView {
                address: server.address.to_string(),
                transport: server.transport.as_str(),
                state: match standing.up {
                    None => "unknown",
                    Some(true) => "up",
                    Some(false) => "down",
                },
                reason: standing.reason.clone(),
            })
            .collect();
        let is_news = match self.views.trunks.get_mut(name) {
            Some(mut view) => {
                let is_news = view.state != state || (view.reason != reason && state != REGISTERED);
                view.state = state;
                view.reason.clone_from(&reason);
                view.peers = peers;
                is_news
            }
            None => false,
        };
        if is_news {
            self.tell_trunk(now, name, state, reason);
        }
    }

    pub(super) fn tell_trunk(
        &mut self,
        now: Now,
        name: &Name,
        state: &'static str,
        reason: Option<String>,
    ) {
        self.journal(Entry::TrunkState {
            tenant: self.tenant.clone(),
            trunk: name.clone(),
            state: state.to_owned(),
            reason,
            at: now.wall,
        });
    }
}

/// Calls can go out, and no registration is asked for.
const AVAILABLE: &str = "available";
/// No address of the trunk lives.
const UNREACHABLE: &str = "unreachable";
const REGISTERED: &str = "registered";
