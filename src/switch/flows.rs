//! Messages on their way in and out of connections, and what ends with a connection.

use std::collections::HashSet;
use std::time::Duration;

use super::connections::Way;
use super::core::Core;
use super::effect::Effect;
use crate::ledger::clock::Now;
use crate::net::stream::Heard;
use crate::sip::endpoint::{ConnectionId, Flow, Transmit, Transport};
use crate::sip::header::via::Via;
use crate::sip::wire::{Message, Name};

/// How often connections that nobody uses are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

impl Core {
    /// Something happened on a connection.
    pub fn handle_heard(&mut self, now: Now, heard: Heard) {
        match heard {
            Heard::Accepted {
                connection,
                listener,
                transport,
                remote,
                names,
            } => {
                let flow = Flow {
                    transport,
                    connection,
                    ..self.reach.flow(listener, remote)
                };
                tracing::debug!(%transport, %remote, ?names, "a connection was opened by the far side");
                self.connections.accepted(now.mono, flow, names);
                self.sweep_at.get_or_insert(now.mono + SWEEP_EVERY);
            }
            Heard::Message { connection, bytes } => {
                if let Some(flow) = self.connections.heard(now.mono, connection) {
                    self.endpoint.handle_message(now, flow, bytes);
                }
            }
            Heard::Broken {
                connection,
                head,
                error,
            } => {
                if let Some(flow) = self.connections.heard(now.mono, connection) {
                    tracing::info!(transport = %flow.transport, remote = %flow.remote, "a connection is closed: {error}");
                    let sentence = error.to_string();
                    self.endpoint
                        .handle_broken(flow, head, error.status(), &sentence);
                    self.pump(now);
                    self.disconnect(now, connection);
                }
            }
            Heard::Closed {
                connection,
                why,
                opened,
            } => {
                if let Some(flow) = self.connections.closed(connection) {
                    self.say_closed(&flow, &why);
                    if opened && connection.is_ours() {
                        self.endpoint.send_again(now, flow);
                    }
                    self.lose_flow(now, flow);
                }
            }
        }
        self.pump(now);
    }

    /// A flow of our own to a server's address; `name` is whom its certificate must name. `None`: no listener reaches it.
    pub(super) fn flow_over(
        &mut self,
        transport: Transport,
        remote: std::net::SocketAddr,
        name: &str,
    ) -> Option<Flow> {
        let flow = self.reach.flow_over(transport, remote)?;
        Some(self.connections.towards(flow, name))
    }

    /// Sends what the endpoint wants sent, or tells it that there is no way any more.
    pub(super) fn transmit(&mut self, now: Now, transmit: Transmit) {
        match self.connections.way(now.mono, &transmit.flow) {
            Way::Datagram => self.effects.push_back(Effect::Transmit(transmit)),
            Way::On(connection) => self.send_on(connection, transmit),
            Way::Open(connect) => {
                let connection = connect.connection;
                tracing::debug!(transport = %connect.transport, remote = %connect.remote, name = %connect.name, "a connection is opened");
                self.sweep_at.get_or_insert(now.mono + SWEEP_EVERY);
                self.effects.push_back(Effect::Connect(connect));
                self.send_on(connection, transmit);
            }
            // Whoever is still registered on it is not there.
            Way::Gone if self.connections.has_left(&transmit.flow) => {
                self.lose_flow(now, transmit.flow);
            }
            Way::Gone => self.endpoint.handle_flow_closed(now, transmit.flow),
        }
    }

    fn send_on(&mut self, connection: ConnectionId, transmit: Transmit) {
        let flow = Flow {
            connection,
            ..transmit.flow
        };
        self.effects.push_back(Effect::Transmit(Transmit {
            flow,
            bytes: transmit.bytes,
        }));
    }

    /// Closes a connection of which nothing more is to be heard.
    pub(super) fn disconnect(&mut self, now: Now, connection: ConnectionId) {
        self.effects.push_back(Effect::Disconnect(connection));
        if let Some(flow) = self.connections.closed(connection) {
            self.lose_flow(now, flow);
        }
    }

    /// A request came that may offer its connection for requests of ours (RFC 5923).
    pub(super) fn note_alias(&mut self, flow: Flow, request: &Message) {
        if self.connections.names(flow.connection).is_empty() {
            return;
        }
        let via = request.header(Name::Via).and_then(Via::parse_list);
        let Some(via) = via.as_ref().and_then(|values| values.first()) else {
            return;
        };
        if via.param("alias").is_some() {
            let port = via.port.unwrap_or(flow.transport.default_port());
            self.connections.alias(&flow, port);
        }
    }

    /// What waits on a flow fails, and who was registered on it is not any more (RFC 5626 §5.3).
    fn lose_flow(&mut self, now: Now, flow: Flow) {
        self.endpoint.handle_flow_closed(now, flow);
        self.watch.notifier.close_flow(&flow);
        let changes = self.registrar.drop_flow(&flow);
        self.take_changes(now, changes);
    }

    fn say_closed(&self, flow: &Flow, why: &str) {
        let (transport, remote) = (flow.transport, flow.remote);
        if flow.connection.is_ours() {
            tracing::warn!(%transport, %remote, "the connection is gone: {why}");
        } else {
            tracing::debug!(%transport, %remote, "the connection is gone: {why}");
        }
    }

    /// Closes connections that have been silent and serve nobody.
    pub(super) fn sweep_connections(&mut self, now: Now) {
        if self.sweep_at.is_none_or(|at| at > now.mono) {
            return;
        }
        let mut used: HashSet<ConnectionId> = self
            .registrar
            .operators()
            .flat_map(|(_, bindings)| bindings.iter().map(|binding| binding.flow.connection))
            .collect();
        used.extend(self.endpoint.connections());
        let idle = self
            .connections
            .sweep(now.mono, |flow| used.contains(&flow.connection));
        for connection in idle {
            self.disconnect(now, connection);
        }
        self.sweep_at = (!self.connections.is_empty()).then_some(now.mono + SWEEP_EVERY);
    }
}
