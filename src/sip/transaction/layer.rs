//! All transactions: matching, deadlines, and what they want sent and known.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use bytes::Bytes;

use super::client::Client;
use super::server::Server;
use super::timer::Deadlines;
use super::{ClientId, Failure, ServerId, User, key, via};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::filed::ByFlow;
use crate::sip::endpoint::{Flow, SessionId, Transmit};
use crate::sip::wire::{Message, Method, Name};

/// What a transaction tells its user.
#[derive(Debug)]
pub enum Outcome {
    /// A response; no retransmissions, and each 2xx to an INVITE once per To tag.
    Response {
        /// The transaction.
        client: ClientId,
        /// For whom.
        user: User,
        /// The response.
        message: Message,
    },
    /// No final response will come; the transaction is gone.
    Failed {
        /// The transaction.
        client: ClientId,
        /// For whom.
        user: User,
        /// Why.
        how: Failure,
    },
    /// A 2xx to an INVITE was never acknowledged (timer H, RFC 3261 §13.3.1.4).
    NoAck {
        /// The transaction.
        server: ServerId,
        /// Its session.
        session: Option<SessionId>,
    },
}

/// What became of a request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// Nothing is left to do: a retransmission, or the ACK to a refusal.
    Absorbed,
    /// A new transaction; `merged`: another one has the same request, which came another way (482).
    New {
        /// It.
        server: ServerId,
        /// Whether 482 is due.
        merged: bool,
    },
    /// A CANCEL, and the INVITE transaction that it is about.
    Cancel {
        /// The CANCEL's own transaction.
        server: ServerId,
        /// The INVITE's, if there is one.
        invite: Option<ServerId>,
    },
    /// An ACK that is not one to a refusal: for the dialog.
    Ack,
}

/// How many transactions there are.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// At work.
    pub active: usize,
    /// Absorbing retransmissions only.
    pub lingering: usize,
    /// The bytes that the lingering ones hold, their structs included.
    pub lingering_bytes: usize,
}

/// All transactions of an endpoint. After each call, drain `poll_transmit` and `poll_outcome`.
#[derive(Debug, Default)]
pub struct Layer {
    clients: HashMap<ClientId, Client>,
    servers: HashMap<ServerId, Server>,
    server_keys: HashMap<Arc<str>, ServerId>,
    merges: HashMap<u64, ServerId>,
    merge_state: RandomState,
    clients_on: ByFlow<ClientId>,
    servers_on: ByFlow<ServerId>,
    /// Those that were sent again on a new connection just now.
    sent_again: Vec<ClientId>,
    client_deadlines: Deadlines<ClientId>,
    server_deadlines: Deadlines<ServerId>,
    last_server: u64,
    scratch: String,
    out: Output,
}

impl Layer {
    /// Sends a request and waits for its responses.
    pub fn start(
        &mut self,
        now: Mono,
        id: ClientId,
        method: Method,
        flow: Flow,
        user: User,
        request: Bytes,
    ) {
        let mut client = Client::start(now, method, flow, user, request, &mut self.out);
        self.client_deadlines.arm(id, &mut client);
        self.clients_on.insert(&flow, id);
        if let Some(mut before) = self.clients.insert(id, client) {
            self.client_deadlines.disarm(&mut before);
        }
    }

    /// Sends a message that belongs to no transaction.
    pub fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.out.transmit(flow, bytes);
    }

    /// A response came; false when it is nobody's.
    pub fn receive_response(&mut self, now: Mono, response: Message) -> bool {
        let Some(id) = ClientId::of_response(&response) else {
            return false;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        if response.method() != client.method() {
            return false;
        }
        client.receive(now, id, response, &mut self.out);
        self.client_deadlines.arm(id, client);
        true
    }

    /// Whether a message belongs to a transaction that is here: a response to one of ours, or a request that is repeated, acknowledges or cancels.
    pub fn awaits(&mut self, message: &Message) -> bool {
        if !message.is_request() {
            let client = ClientId::of_response(message).and_then(|id| self.clients.get(&id));
            return client.is_some_and(|client| client.method() == message.method());
        }
        let method = match message.method() {
            Method::Cancel => Method::Invite.as_str(),
            _ => key::method_of(message),
        };
        key::write(&mut self.scratch, message, method);
        self.server_keys.contains_key(self.scratch.as_str())
    }

    /// A request came.
    pub fn receive_request(&mut self, now: Mono, flow: Flow, request: &Message) -> Received {
        key::write(&mut self.scratch, request, key::method_of(request));
        let known = self.server_keys.get(self.scratch.as_str()).copied();
        if request.method() == Method::Ack {
            let Some(server) = known.and_then(|id| Some((id, self.servers.get_mut(&id)?))) else {
                return Received::Ack;
            };
            let (id, server) = server;
            let for_user = server.ack(now);
            self.server_deadlines.arm(id, server);
            return if for_user {
                Received::Ack
            } else {
                Received::Absorbed
            };
        }
        if let Some(server) = known.and_then(|id| self.servers.get(&id)) {
            server.repeat(&mut self.out);
            return Received::Absorbed;
        }
        let (server, merged) = self.create(now, flow, request);
        if request.method() != Method::Cancel {
            return Received::New { server, merged };
        }
        key::write(&mut self.scratch, request, Method::Invite.as_str());
        let invite = self.server_keys.get(self.scratch.as_str()).copied();
        Received::Cancel { server, invite }
    }

    fn create(&mut self, now: Mono, flow: Flow, request: &Message) -> (ServerId, bool) {
        self.last_server += 1;
        let id = ServerId(self.last_server);
        let outside = request.to_tag().is_none() && request.method() != Method::Cancel;
        let merge = outside.then(|| key::merge(&self.merge_state, request));
        let merged = merge
            .and_then(|hash| self.merges.get(&hash))
            .and_then(|other| self.servers.get(other))
            .is_some_and(Server::refuses_copies);
        let key: Arc<str> = self.scratch.as_str().into();
        let mut server = Server::new(now, flow, key.clone(), merge, request.clone());
        self.server_deadlines.arm(id, &mut server);
        self.servers_on.insert(&flow, id);
        self.servers.insert(id, server);
        self.server_keys.insert(key, id);
        if let Some(hash) = merge
            && !merged
        {
            self.merges.insert(hash, id);
        }
        (id, merged)
    }

    /// Whether a request is one of ours that came back as it left (RFC 3261 §16.3 step 4). With another Request-URI it is a spiral, which is none.
    pub fn is_loop(&self, request: &Message) -> bool {
        request
            .headers(Name::Via)
            .flat_map(via::our_branches)
            .filter_map(|branch| self.clients.get(&branch))
            .any(|client| client.is_for(request.request_uri()))
    }

    /// Ties a server transaction to its session.
    pub fn own(&mut self, server: ServerId, session: SessionId) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.session = Some(session);
        }
    }

    /// The session that a server transaction is tied to.
    pub fn session_of(&self, server: ServerId) -> Option<SessionId> {
        self.servers.get(&server)?.session
    }

    /// The request of a server transaction without a final response, and where it came from.
    pub fn request(&self, server: ServerId) -> Option<(Message, Flow)> {
        let server = self.servers.get(&server)?;
        Some((server.request.clone()?, server.flow))
    }

    /// Where the request of a server transaction came from.
    pub fn flow_of(&self, server: ServerId) -> Option<Flow> {
        Some(self.servers.get(&server)?.flow)
    }

    /// Sends a response: repeated for repeated requests, and a final one to an INVITE until its ACK. Ignored after a final one.
    pub fn respond(&mut self, now: Mono, id: ServerId, code: u16, response: Bytes) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.respond(now, code, response, &mut self.out);
            self.server_deadlines.arm(id, server);
        }
    }

    /// The final response will be sent once, and again only when the request comes again; a 100 that has not left yet is held back.
    pub fn say_once(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if let Some(provisional) = server.say_once() {
            let transmits = &mut self.out.transmits;
            if let Some(place) = transmits
                .iter()
                .rposition(|transmit| transmit.bytes == provisional)
            {
                transmits.remove(place);
            }
        }
    }

    /// The ACK to our 2xx came, or is not waited for any more.
    pub fn acknowledged(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.acknowledged();
            self.server_deadlines.arm(id, server);
        }
    }

    /// The flow of a client transaction.
    pub fn flow(&self, client: ClientId) -> Option<Flow> {
        Some(self.clients.get(&client)?.flow)
    }

    /// Sends the ACK to the 2xx with this To tag, now and whenever that 2xx comes again.
    pub fn acknowledge(&mut self, client: ClientId, tag: &str, flow: Flow, ack: Bytes) {
        match self.clients.get_mut(&client) {
            Some(client) => client.acknowledge(tag, flow, ack, &mut self.out),
            None => self.out.transmit(flow, ack),
        }
    }

    /// Sends CANCEL for an INVITE that is still without a final response.
    pub fn cancel(&mut self, now: Mono, id: ClientId, reason: Option<&str>) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let flow = client.flow;
        if let Some(cancel) = client.cancel(reason) {
            self.start(
                now,
                id.of_cancel(),
                Method::Cancel,
                flow,
                User::Nobody,
                cancel,
            );
        }
    }

    /// As `cancel`, once, for an INVITE that nobody waits for any more; its final response is waited for no longer than 64·T1.
    pub fn cancel_late(&mut self, now: Mono, id: ClientId, reason: Option<&str>) {
        if !self.clients.contains_key(&id.of_cancel()) {
            self.cancel(now, id, reason);
            self.limit(now, id);
        }
    }

    /// No more retransmissions of the request; a late response is still taken.
    pub fn hush(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.hush();
            self.client_deadlines.arm(id, client);
        }
    }

    /// Waits for the final response to an INVITE no longer than 64·T1 from now, whatever provisional ones came.
    pub fn limit(&mut self, now: Mono, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.limit(now);
            self.client_deadlines.arm(id, client);
        }
    }

    /// Forgets a client transaction (RFC 3261 §9.1: a CANCEL that brought no final response).
    pub fn abandon(&mut self, client: ClientId) {
        self.remove_client(client);
    }

    /// Sends what waits on a closed flow for a first response once more. It has its old branch, so a far side that has read it already takes no harm.
    pub fn send_again(&mut self, flow: Flow) {
        for id in self.clients_cut_by(&flow) {
            if let Some(client) = self.clients.get_mut(&id)
                && client.is_unanswered()
                && client.send_again(&mut self.out)
            {
                self.sent_again.push(id);
            }
        }
    }

    /// A flow closed: what waits there for a response fails, and responses that were to go there take another way, if there is one.
    pub fn close_flow(&mut self, flow: Flow) {
        for id in self.servers_cut_by(&flow) {
            if let Some(server) = self.servers.get_mut(&id) {
                self.servers_on.remove(&server.flow, &id);
                server.leave(&flow);
                self.servers_on.insert(&server.flow, id);
            }
        }
        for id in self.clients_cut_by(&flow) {
            // A far side that listens may still answer by a connection of its own (RFC 3261 §18.2.2); one that connected to us cannot.
            let is_hit = self
                .clients
                .get(&id)
                .is_some_and(|client| match client.is_unanswered() {
                    true => !client.is_on_its_way_again(),
                    false => client.flow.connection.is_theirs() && !client.is_lingering(),
                });
            if is_hit && let Some(client) = self.remove_client(id) {
                client.fail(id, Failure::Transport, &mut self.out);
            }
        }
        for id in std::mem::take(&mut self.sent_again) {
            if let Some(client) = self.clients.get_mut(&id) {
                client.arrived_again();
            }
        }
    }

    /// In the order of their ids: the map's is not the same in every run, and what follows from it must be.
    fn clients_cut_by(&self, closed: &Flow) -> Vec<ClientId> {
        let is_cut = |id: &ClientId| {
            let client = self.clients.get(id);
            client.is_some_and(|client| client.flow.is_cut_by(closed))
        };
        let filed = self.clients_on.cut_by(closed);
        let mut ids = filed.unwrap_or_else(|| self.clients.keys().copied().collect());
        ids.retain(is_cut);
        ids.sort_unstable();
        ids
    }

    fn servers_cut_by(&self, closed: &Flow) -> Vec<ServerId> {
        let filed = self.servers_on.cut_by(closed);
        filed.unwrap_or_else(|| self.servers.keys().copied().collect())
    }

    /// The flows of transactions that are under way.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        let clients = self.clients.values().map(|client| &client.flow);
        clients.chain(self.servers.values().map(|server| &server.flow))
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        while let Some(id) = self.client_deadlines.take_due(&mut self.clients, now) {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            if client.expire(now, id, &mut self.out) {
                self.client_deadlines.arm(id, client);
            } else {
                self.remove_client(id);
            }
        }
        while let Some(id) = self.server_deadlines.take_due(&mut self.servers, now) {
            let Some(server) = self.servers.get_mut(&id) else {
                continue;
            };
            if server.expire(now, id, &mut self.out) {
                self.server_deadlines.arm(id, server);
            } else {
                self.remove_server(id);
            }
        }
    }

    /// Forgets a server transaction that was answered finally: a retransmission of its request is a new one. For requests without INVITE's ACK, where
    /// answering anew does no harm.
    pub fn forget(&mut self, id: ServerId) {
        self.remove_server(id);
    }

    fn remove_client(&mut self, id: ClientId) -> Option<Client> {
        let mut client = self.clients.remove(&id)?;
        self.client_deadlines.disarm(&mut client);
        self.clients_on.remove(&client.flow, &id);
        Some(client)
    }

    fn remove_server(&mut self, id: ServerId) {
        let Some(mut server) = self.servers.remove(&id) else {
            return;
        };
        self.server_deadlines.disarm(&mut server);
        self.servers_on.remove(&server.flow, &id);
        self.server_keys.remove(&server.key);
        if let Some(hash) = server.merge
            && self.merges.get(&hash) == Some(&id)
        {
            self.merges.remove(&hash);
        }
    }

    /// When `handle_timeout` is due next; perhaps too early.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match (self.client_deadlines.next(), self.server_deadlines.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Drops spare room after a rush.
    pub fn tidy(&mut self) {
        if self.clients.is_empty() {
            give_back(&mut self.clients);
        }
        if self.servers.is_empty() {
            give_back(&mut self.servers);
            give_back(&mut self.server_keys);
            give_back(&mut self.merges);
        }
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// What a user must know next.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.out.outcomes.pop_front()
    }

    /// How many there are.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        let mut add = |lingering: bool, bytes: usize| {
            if lingering {
                count.lingering += 1;
                count.lingering_bytes += bytes;
            } else {
                count.active += 1;
            }
        };
        for client in self.clients.values() {
            add(
                client.is_lingering(),
                size_of::<(ClientId, Client)>() + client.heap_bytes(),
            );
        }
        for server in self.servers.values() {
            add(
                server.is_lingering(),
                size_of::<(ServerId, Server)>() + server.heap_bytes(),
            );
        }
        count
    }
}

/// What is to be sent and known.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) outcomes: VecDeque<Outcome>,
}

impl Output {
    pub(super) fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.transmits.push_back(Transmit { flow, bytes });
    }
}

fn give_back<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 1024 {
        map.shrink_to(0);
    }
}
