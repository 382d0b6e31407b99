//! Our accounts at providers: each one's state machine, its REGISTERs and what becomes of them.

use std::time::Duration;

use super::core::Core;
use super::trunks::{Asked, credentials};
use crate::dialplan::plan::{HostPort, Plan, Registration as Account, Trunk};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::Name;
use crate::sip::auth::Credentials;
use crate::sip::dialog::contact_value;
use crate::sip::endpoint::Flow;
use crate::sip::endpoint::command::{Command, Request};
use crate::sip::endpoint::event::RequestId;
use crate::sip::locate::{Server, Wish};
use crate::sip::session::credentials::unanswerable;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Method, Name as HeaderName};
use crate::trunk::registration::{Answer, Registration, Send, State};

/// UDP sends a REGISTER four times within this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(4);

/// A registration and the account that it is for.
#[derive(Debug)]
pub(super) struct Registered {
    trunk: Name,
    account: Account,
    peer: HostPort,
    wishes: Vec<Wish>,
    machine: Registration,
    /// Where its last REGISTER went, for the one that ends it when the trunk is gone from the plan.
    server: Option<(Server, Flow)>,
    /// Addresses that failed since the last answer.
    tried: Vec<Server>,
    /// Until when the address asked last has to answer, where there is another one.
    answer_by: Option<(RequestId, Mono)>,
    /// Its peers have been looked up, with whatever success; before, nothing is due.
    located: bool,
}

impl Registered {
    /// Whether the plan still asks for this account at this place.
    fn is_still(&self, trunk: Option<&Trunk>) -> bool {
        trunk.is_some_and(|trunk| {
            trunk.register.as_ref() == Some(&self.account) && trunk.peers == self.wishes
        })
    }

    fn credentials(&self) -> Credentials {
        let account = &self.account;
        Credentials {
            user: account.auth_user.as_ref().unwrap_or(&account.user).clone(),
            password: account.password.0.clone(),
            realm: account.realm.clone(),
        }
    }

    /// Its state and why.
    pub(super) fn state(&self) -> (&'static str, Option<String>) {
        let (state, reason) = self.machine.state();
        let reason = reason.filter(|_| state != State::Registered);
        (state.as_str(), reason.map(str::to_owned))
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let due = self.machine.poll_timeout().filter(|_| self.located);
        due.into_iter()
            .chain(self.answer_by.map(|(_, by)| by))
            .min()
    }
}

impl Core {
    /// Ends the registrations that the plan has no more. Each lives on until its provider has been told, a REGISTER that is under way included.
    pub(super) fn end_registrations(&mut self, now: Now, plan: &Plan) {
        let accounts = &self.trunks.accounts;
        let gone: Vec<(Name, u64)> = self
            .trunks
            .current
            .iter()
            .filter(|(name, number)| {
                accounts
                    .get(number)
                    .is_none_or(|registered| !registered.is_still(plan.trunks.get(name.as_str())))
            })
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        for (name, number) in gone {
            self.trunks.current.remove(&name);
            self.trunks.contact_users.remove(&name);
            self.drive(now, number, Registration::unregister);
            if !plan.trunks.contains_key(name.as_str()) {
                self.tell_trunk(now, &name, State::Unregistered.as_str(), None);
            }
        }
    }

    /// Begins the registration of a trunk that asks for one and has none.
    pub(super) fn begin_registration(&mut self, now: Now, trunk: &Trunk) {
        let (Some(account), Some(peer)) = (&trunk.register, &trunk.peer) else {
            return;
        };
        if self.trunks.current.contains_key(&trunk.name) {
            return;
        }
        let machine = Registration::new(now.mono, account.expires, self.entropy.split());
        let user = machine.contact_user().to_owned();
        self.trunks.contact_users.insert(trunk.name.clone(), user);
        self.trunks.next_account += 1;
        let number = self.trunks.next_account;
        self.trunks.current.insert(trunk.name.clone(), number);
        let registered = Registered {
            trunk: trunk.name.clone(),
            account: account.clone(),
            peer: peer.clone(),
            wishes: trunk.peers.clone(),
            machine,
            server: None,
            tried: Vec::new(),
            answer_by: None,
            located: self
                .trunks
                .peers
                .get(&trunk.name)
                .is_some_and(|peers| peers.all().next().is_some()),
        };
        self.trunks.accounts.insert(number, registered);
    }

    pub(super) fn run_registrations(&mut self, now: Now) {
        let accounts = self.trunks.accounts.iter();
        let silent: Vec<(u64, RequestId)> = accounts
            .filter_map(|(number, registered)| {
                let (request, by) = registered.answer_by?;
                (by <= now.mono).then_some((*number, request))
            })
            .collect();
        for (number, request) in silent {
            // Its answer comes too late, if it comes: the next address is asked.
            self.trunks.requests.remove(&request);
            self.register_answered(now, number, 408, None);
        }
        let accounts = self.trunks.accounts.iter();
        let numbers: Vec<u64> = accounts
            .filter(|(_, registered)| registered.located)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.drive(now, number, |machine| machine.handle_timeout(now.mono));
        }
    }

    /// A trunk's peers have been looked up: its registration is due now, if it waited for that.
    pub(super) fn registration_may_begin(&mut self, now: Now, trunk: &Name) {
        let Some(number) = self.trunks.current.get(trunk).copied() else {
            return;
        };
        if let Some(registered) = self.trunks.accounts.get_mut(&number)
            && !registered.located
        {
            registered.located = true;
            self.drive(now, number, |machine| machine.handle_timeout(now.mono));
        }
    }

    /// Tells every provider that we leave.
    pub(super) fn unregister_trunks(&mut self, now: Now) {
        let numbers: Vec<u64> = self.trunks.accounts.keys().copied().collect();
        for number in numbers {
            self.drive(now, number, Registration::unregister);
        }
    }

    /// A trunk can be reached again: its registration need not wait any longer.
    pub(super) fn hurry_registration(&mut self, now: Now, trunk: &Name) {
        if let Some(number) = self.trunks.current.get(trunk).copied() {
            self.drive(now, number, |machine| {
                machine.hurry(now.mono);
                machine.handle_timeout(now.mono);
            });
        }
    }

    /// The final response to a REGISTER. Where an address has none, or says 503, the next one is asked at once.
    pub(super) fn register_answered(
        &mut self,
        now: Now,
        number: u64,
        code: u16,
        message: Option<&Message>,
    ) {
        let Some(registered) = self.trunks.accounts.get_mut(&number) else {
            return;
        };
        registered.answer_by = None;
        let mut answer = Answer::read(code, message, registered.machine.contact_user());
        answer.obstacle =
            message.and_then(|message| unanswerable(message, Some(&registered.credentials())));
        let trunk = registered.trunk.clone();
        let failed = message.is_none() || code == 503;
        if let Some((server, _)) = registered.server {
            let why = match (message, code) {
                (Some(_), _) => "it answers REGISTER with 503",
                (None, 408) => "it does not answer REGISTER",
                (None, _) => "it cannot be reached",
            };
            if failed {
                registered.tried.push(server);
                self.address_failed(now, &trunk, server, why, answer.retry_after);
            } else {
                self.address_lives(now, &trunk, server);
            }
        }
        if failed && self.register_place(now, number).is_some() {
            self.drive(now, number, Registration::resend);
            return;
        }
        if let Some(registered) = self.trunks.accounts.get_mut(&number) {
            registered.tried.clear();
        }
        self.drive(now, number, |machine| {
            machine.handle_response(now.mono, answer);
        });
    }

    /// Does something to a registration and carries out what comes of it; forgets it when it is over and not the trunk's own.
    fn drive(&mut self, now: Now, number: u64, act: impl FnOnce(&mut Registration)) {
        let Some(registered) = self.trunks.accounts.get_mut(&number) else {
            return;
        };
        act(&mut registered.machine);
        let trunk = registered.trunk.clone();
        let is_current = self.trunks.current.get(&trunk) == Some(&number);
        loop {
            let Some(registered) = self.trunks.accounts.get_mut(&number) else {
                return;
            };
            if let Some(send) = registered.machine.poll_send() {
                self.send_register(now, number, send);
            } else if registered.machine.poll_change().is_some() {
                if is_current {
                    self.show_trunk(now, &trunk);
                }
            } else {
                break;
            }
        }
        let is_over = |registered: &Registered| registered.machine.is_over();
        if !is_current && self.trunks.accounts.get(&number).is_some_and(is_over) {
            self.trunks.accounts.remove(&number);
        }
    }

    /// Where the next REGISTER goes: the best address that has not failed just now; that of the last one where the trunk is gone.
    fn register_place(&mut self, now: Now, number: u64) -> Option<(Server, Flow)> {
        let registered = self.trunks.accounts.get(&number)?;
        let (trunk, tried) = (registered.trunk.clone(), registered.tried.clone());
        if self.trunks.current.get(&trunk) != Some(&number) {
            let last = registered.server;
            return last.filter(|(server, _)| !tried.contains(server));
        }
        let choices = self.trunks.peers.get_mut(&trunk)?.choose(now.mono);
        for server in choices.into_iter().map(|choice| choice.server) {
            if tried.contains(&server) {
                continue;
            }
            let host = self.trunks.peers.get(&trunk)?.host_of(server)?.to_owned();
            if let Some(flow) = self.flow_of(server, &host) {
                return Some((server, flow));
            }
        }
        None
    }

    /// How long an address may be silent before the next one is asked; `None`: there is no other.
    fn register_patience(&self, number: u64) -> Option<Duration> {
        let registered = self.trunks.accounts.get(&number)?;
        let trunk = self.plan.trunks.get(registered.trunk.as_str())?;
        let others = self.trunks.peers.get(&registered.trunk)?.all();
        let tried = registered.tried.len() + 1;
        (others.count() > tried).then(|| trunk.timeout.max(SHORTEST_PATIENCE))
    }

    fn send_register(&mut self, now: Now, number: u64, send: Send) {
        let place = self.register_place(now, number);
        let id = self.trunks.new_request(Asked::Register(number));
        let patience = self.register_patience(number);
        let Some(registered) = self.trunks.accounts.get_mut(&number) else {
            return;
        };
        let (host, trunk) = (registered.peer.host.clone(), registered.trunk.clone());
        let Some((server, flow)) = place else {
            // As when nobody answers: the machine tries again later.
            let answer = Answer {
                code: 503,
                phrase: format!(
                    "the host {host} of the trunk does not resolve, or no listener reaches it"
                ),
                ..Answer::default()
            };
            registered.machine.handle_response(now.mono, answer);
            self.trunks.requests.remove(&id);
            return;
        };
        registered.server = Some((server, flow));
        registered.answer_by = patience.map(|patience| (id, now.mono + patience));
        let address = format!(
            "<{}>",
            Uri::sip(Some(&registered.account.user), &host, None)
        );
        let credentials = Some(registered.credentials());
        // A registrar at a port of its own knows itself by that, not by its host alone.
        let mut wishes = registered.wishes.iter();
        let port = wishes.find(|wish| wish.host == host).and_then(|wish| {
            let unsaid = flow.transport.default_port();
            wish.port.filter(|port| *port != unsaid)
        });
        let request = Request {
            id,
            method: Method::Register,
            flow,
            uri: Uri::sip(None, &host, port).as_str().to_owned(),
            from: address.clone(),
            to: address,
            call_id: Some(send.call_id),
            cseq: send.cseq,
            credentials,
            headers: vec![
                (
                    HeaderName::Contact,
                    contact_value(Some(&send.contact_user), &flow),
                ),
                (HeaderName::Expires, send.expires.as_secs().to_string()),
            ],
        };
        self.send_to_trunk(now, &trunk, request);
    }

    fn send_to_trunk(&mut self, now: Now, trunk: &Name, request: Request) {
        let large = self.stream_to(trunk, &request.flow);
        let request = Box::new(request);
        self.endpoint
            .handle_command(now, Command::RequestBy { request, large });
    }

    /// Asks an address of a trunk whether it lives.
    pub(super) fn ask_for_life(&mut self, now: Now, trunk: &Trunk, server: Server) {
        let peers = self.trunks.peers.get(&trunk.name);
        let place = peers.and_then(|peers| peers.place_of(server));
        let (host, port) = place.unwrap_or_default();
        let (host, to) = (host.to_owned(), Uri::sip(None, host, port));
        let Some(flow) = self.flow_of(server, &host) else {
            let why = "no listener of [server] sip reaches it";
            self.address_failed(now, &trunk.name, server, why, None);
            return;
        };
        let domain = &self.plan.server.domain;
        let from = format!("<{}>", Uri::sip(Some("vats"), domain, None));
        let id = self
            .trunks
            .new_request(Asked::Life(trunk.name.clone(), server));
        let request = Request {
            id,
            method: Method::Options,
            flow,
            uri: to.as_str().to_owned(),
            from,
            to: format!("<{to}>"),
            call_id: None,
            cseq: 1,
            credentials: credentials(trunk),
            headers: Vec::new(),
        };
        self.send_to_trunk(now, &trunk.name, request);
    }
}
