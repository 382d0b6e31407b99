//! The core of the switch: every input comes here with `now`, every output leaves as an effect.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::connections::Connections;
use super::effect::{Effect, Lookup};
use super::handle::{Ask, Views};
use super::intake::Intake;
use super::keep_alive::KeepAlive;
use super::overload::Overload;
use super::quality::Closing;
use super::reach::Reach;
use super::subscriptions::Watch;
use super::trunks::Trunks;
use crate::call::Call;
use crate::call::input::{Command as CallCommand, Input, LegEnd, LegEvent};
use crate::call::media::MediaEvent;
use crate::desk::Desk;
use crate::desk::notice::Notice;
use crate::dialplan::plan::Plan;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, LegId, Name, Tenant};
use crate::ledger::id_map::IdMap;
use crate::ledger::journal::{BindingRecord, Entry};
use crate::ledger::quality::Opinions;
use crate::ledger::wheel::{Ticket, Wheel};
use crate::net::access::Access;
use crate::net::stun;
use crate::sip::auth::Verifier;
use crate::sip::endpoint::command::Command;
use crate::sip::endpoint::event::{Ended, Event};
use crate::sip::endpoint::{
    Census, Drops, Endpoint, Flow, ListenerId, SessionId, Settings, Transmit,
};
use crate::sip::locate::Servers;
use crate::sip::notifier::Notifier;
use crate::sip::registrar::Registrar;
use crate::trunk::allowance::Allowances;

/// Everything that the signalling task owns.
///
/// After each `handle_*`, drain [`Core::poll_effect`] until it is empty, then ask [`Core::poll_timeout`].
#[derive(Debug)]
pub struct Core {
    pub(super) tenant: Tenant,
    pub(super) plan: Arc<Plan>,
    pub(super) reach: Reach,
    pub(super) connections: Connections,
    pub(super) keep_alive: KeepAlive,
    /// When connections that nobody uses are looked for.
    pub(super) sweep_at: Option<Mono>,
    pub(super) views: Arc<Views>,
    pub(super) endpoint: Endpoint,
    pub(super) registrar: Registrar,
    pub(super) verifier: Verifier,
    pub(super) desk: Desk,
    pub(super) trunks: Trunks,
    pub(super) watch: Watch,
    pub(super) calls: IdMap<CallId, Running>,
    pub(super) legs: IdMap<LegId, LegPlace>,
    pub(super) closing: Closing,
    /// How ended legs sounded.
    pub(super) opinions: Opinions,
    pub(super) timers: Wheel<CallId>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) entropy: Entropy,
    pub(super) drain: Option<Draining>,
    /// Inputs for calls that come of carrying out another call's outputs.
    pub(super) later: VecDeque<(CallId, Input)>,
    /// Addresses of host names in the plan.
    pub(super) names: HashMap<(String, u16), Vec<SocketAddr>>,
    pub(super) access: Access,
    pub(super) intake: Intake,
    pub(super) overload: Overload,
    pub(super) allowances: Allowances,
    /// The most calls at once that the machine allows.
    pub(super) call_ceiling: Option<u64>,
}

/// A running call and the timer that is set for it.
#[derive(Debug)]
pub(super) struct Running {
    pub call: Call,
    pub armed: Option<Ticket>,
    /// The slot that it was last seen parked in.
    pub parked: Option<Name>,
    /// Every leg it ever had and still may hear of.
    pub legs: Vec<LegId>,
}

/// Where a leg belongs.
#[derive(Debug)]
pub(super) struct LegPlace {
    pub call: CallId,
    /// The trunk it runs over.
    pub trunk: Option<Name>,
    /// The Call-ID of an outgoing leg.
    pub sip_call_id: Option<String>,
}

/// No new calls are taken.
#[derive(Debug)]
pub(super) struct Draining {
    /// When the next of the remaining calls are ended.
    pub until: Mono,
    /// Whether all have been.
    pub ended: bool,
    /// Those that are yet to be ended; none: their time has not come.
    pub left: Option<Vec<CallId>>,
    pub reply: Option<oneshot::Sender<()>>,
}

impl Core {
    /// A switch with its first plan. `bindings` are the phones that were registered before a restart.
    pub fn new(
        now: Now,
        plan: Arc<Plan>,
        reach: Reach,
        views: Arc<Views>,
        bindings: Vec<BindingRecord>,
        mut entropy: Entropy,
    ) -> Core {
        let product = concat!("vats/", env!("CARGO_PKG_VERSION")).to_owned();
        let mut core = Core {
            tenant: Tenant::default(),
            endpoint: Endpoint::new(Settings { product }, entropy.split()),
            registrar: Registrar::default(),
            verifier: Verifier::new(&plan.server.domain, entropy.split()),
            desk: Desk::default(),
            trunks: Trunks::default(),
            watch: Watch::new(entropy.split()),
            calls: IdMap::default(),
            legs: IdMap::default(),
            closing: Closing::default(),
            opinions: Opinions::default(),
            timers: Wheel::default(),
            effects: VecDeque::new(),
            drain: None,
            later: VecDeque::new(),
            names: HashMap::new(),
            access: Access::new(plan.security.clone()),
            intake: Intake::default(),
            overload: Overload::default(),
            allowances: Allowances::default(),
            call_ceiling: None,
            connections: Connections::default(),
            keep_alive: KeepAlive::default(),
            sweep_at: None,
            plan,
            reach,
            views,
            entropy,
        };
        for index in 0..core.reach.count() {
            let listener = ListenerId(index);
            if let Some(local) = core.reach.local(listener) {
                core.registrar.set_local(listener, local);
            }
        }
        core.restore_bindings(now, bindings);
        core.apply_plan(now);
        core.pump(now);
        core
    }

    /// A datagram came in, and nothing more urgent waits.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        listener: ListenerId,
        remote: SocketAddr,
        bytes: Bytes,
    ) {
        self.take_in(now, listener, remote, bytes);
        while self.serve_next(now) {}
    }

    /// Hands a message to the endpoint.
    pub(super) fn serve(&mut self, now: Now, flow: Flow, bytes: Bytes) {
        match stun::answer(&bytes, flow.remote) {
            Some(answer) if !flow.transport.is_reliable() => {
                let bytes = Bytes::from(answer);
                self.effects
                    .push_back(Effect::Transmit(Transmit { flow, bytes }));
            }
            _ => {
                let before = self.endpoint.drops();
                self.endpoint.handle_message(now, flow, bytes);
                if let Some(reason) = self.endpoint.drops().since(before) {
                    tracing::debug!(remote = %flow.remote, "a SIP message was dropped: {reason}");
                }
            }
        }
        self.pump(now);
    }

    /// The media plane reports.
    pub fn handle_media(&mut self, now: Now, leg: LegId, event: MediaEvent) {
        match event {
            MediaEvent::Measured(summary) => self.leg_measured(leg, summary),
            MediaEvent::Poor(summary) => self.leg_is_poor(now, leg, summary),
            event => {
                if let Some(place) = self.legs.get(&leg) {
                    self.give(now, place.call, Input::Media(leg, event));
                }
            }
        }
        self.pump(now);
    }

    /// The outside asks.
    pub fn handle_ask(&mut self, now: Now, ask: Ask) {
        self.answer_ask(now, ask);
        self.pump(now);
    }

    /// The servers of a wish that an `Effect::Resolve` asked for; perhaps none.
    pub fn handle_located(&mut self, now: Now, what: Lookup, servers: Servers) {
        let addresses = |core: &mut Core| -> Vec<SocketAddr> {
            let order = servers.order(&mut core.entropy);
            order.into_iter().map(|server| server.address).collect()
        };
        match what {
            Lookup::Dialog { id, host } => {
                let order = servers.order(&mut self.entropy);
                let flows = order
                    .into_iter()
                    .filter_map(|server| self.flow_of(server, &host))
                    .collect();
                self.endpoint
                    .handle_command(now, Command::Routed { id, flows });
            }
            Lookup::Contact(host, port) => {
                let addresses = addresses(self);
                // A name server that is away must not make a phone unreachable.
                if !addresses.is_empty() {
                    self.names.insert((host, port), addresses);
                    self.refresh_trust(now);
                }
            }
            Lookup::Trunk(wish) => self.peer_located(now, &wish, servers),
        }
        self.pump(now);
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        if self
            .endpoint
            .poll_timeout()
            .is_some_and(|at| at <= now.mono)
        {
            self.endpoint.handle_timeout(now);
        }
        if self.desk.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.desk.handle_timeout(now.mono);
        }
        self.expire_bindings(now);
        self.end_bans(now);
        self.run_trunk_timers(now);
        self.expire_subscriptions(now);
        self.run_keep_alive(now);
        self.sweep_connections(now);
        while let Some((_, call)) = self.timers.take_due(now.mono) {
            if let Some(running) = self.calls.get_mut(&call) {
                running.armed = None;
                running.call.handle_timeout(now);
                self.drain_call(now, call);
            }
        }
        if self
            .drain
            .as_ref()
            .is_some_and(|drain| !drain.ended && drain.until <= now.mono)
        {
            self.end_some_calls(now);
        }
        self.pump(now);
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let drain = self
            .drain
            .as_ref()
            .filter(|drain| !drain.ended)
            .map(|drain| drain.until);
        [
            self.endpoint.poll_timeout(),
            self.desk.poll_timeout(),
            self.registrar.poll_timeout(),
            self.trunks.poll_timeout(),
            self.watch.notifier.poll_timeout(),
            self.access.poll_timeout(),
            self.timers.next(),
            self.sweep_at,
            self.keep_alive.poll_timeout(),
            drain,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Calls running now.
    pub fn live_calls(&self) -> usize {
        self.calls.len()
    }

    /// What the SIP endpoint holds, for tests and metrics.
    pub fn census(&self) -> Census {
        self.endpoint.census()
    }

    /// How ended legs sounded.
    pub fn opinions(&self) -> &Opinions {
        &self.opinions
    }

    /// SIP messages that were dropped so far, by reason.
    pub fn drops(&self) -> Drops {
        self.endpoint.drops()
    }

    /// Waiting calls and claims at the desk, for tests and metrics.
    pub fn desk_census(&self) -> (usize, usize) {
        self.desk.census()
    }

    /// Carries everything that the last input started to its end.
    pub(super) fn pump(&mut self, now: Now) {
        loop {
            if let Some(event) = self.endpoint.poll_event() {
                self.on_sip(now, event);
            } else if let Some(notice) = self.desk.poll_notice() {
                self.on_notice(now, notice);
            } else if let Some((call, input)) = self.later.pop_front() {
                match input {
                    Input::Command(CallCommand::Adopt(moved))
                        if !self.calls.contains_key(&call) =>
                    {
                        self.abandon_leg(now, call, *moved);
                    }
                    input => self.give(now, call, input),
                }
            } else if self.tell_watchers(now) {
                // What they are told is on its way.
            } else if let Some(transmit) = self.endpoint.poll_transmit() {
                self.transmit(now, transmit);
            } else {
                break;
            }
        }
        self.finish_drain();
    }

    fn on_sip(&mut self, now: Now, event: Event) {
        match event {
            Event::Incoming {
                session,
                flow,
                message,
            } => {
                self.note_alias(flow, &message);
                self.on_invite(now, session, flow, &message);
            }
            Event::Request { id, flow, message } => {
                self.note_alias(flow, &message);
                self.on_request(now, id, flow, &message);
            }
            Event::Response { id, code, .. } if Notifier::is_ours(id) => {
                self.notify_answered(now, id, code);
            }
            Event::Response { id, code, message } => {
                self.on_trunk_response(now, id, code, message.as_ref())
            }
            Event::ResolveNeeded { id, wish } => self.effects.push_back(Effect::Resolve {
                what: Lookup::Dialog {
                    id,
                    host: wish.host.clone(),
                },
                wish,
            }),
            Event::HopTried {
                session,
                flow,
                failed,
            } => self.hop_tried(now, session, flow, failed),
            Event::Cancelled { session } => self.on_leg(now, session, LegEvent::Cancelled, true),
            Event::Acked { session, sdp } => {
                self.on_leg(now, session, LegEvent::Acked { sdp }, false)
            }
            Event::Progress {
                session, code, sdp, ..
            } => {
                self.on_leg(now, session, LegEvent::Progress { code, sdp }, false);
            }
            Event::Answered { session, sdp, late } => {
                self.on_leg(now, session, LegEvent::Answered { sdp, late }, false);
            }
            Event::Refused {
                session,
                code,
                reason,
                responded,
                message,
            } => {
                if (300..400).contains(&code)
                    && let Some((dialled, to)) = self.redirection(now, session, message.as_ref())
                {
                    let event = LegEvent::Redirected { dialled, to };
                    return self.on_leg(now, session, event, true);
                }
                let event = LegEvent::Refused {
                    code,
                    reason,
                    responded,
                };
                self.on_leg(now, session, event, true);
            }
            // Nothing here sends REFER: who passes a call on is a phone.
            Event::ReferAnswered { .. } | Event::ReferReport { .. } => {}
            Event::Refer { session, message } => self.on_refer(now, session, &message),
            Event::Offer { session, sdp } => {
                self.on_leg(now, session, LegEvent::Offer { sdp }, false)
            }
            Event::Ended { session, how } => {
                let how = match how {
                    Ended::Bye => LegEnd::Remote,
                    Ended::NoAck => LegEnd::NoAck,
                    Ended::Lost => LegEnd::Lost,
                    Ended::Expired => LegEnd::Expired,
                };
                self.on_leg(now, session, LegEvent::Ended { how }, true);
            }
            Event::Info { session, message } => {
                if let Some(key) = super::info::key(&message) {
                    self.on_leg(now, session, LegEvent::Key(key), false);
                }
            }
            Event::OfferAnswered { session, sdp } => {
                self.on_leg(now, session, LegEvent::Refreshed { sdp }, false);
            }
            // What we offer within a dialog was said before, so that nothing changes by its refusal.
            Event::OfferRefused { .. } => {}
            Event::Probed { session, alive } => {
                self.on_leg(now, session, LegEvent::Alive(alive), false)
            }
        }
    }

    /// Hands a leg's event to its call. `last`: the leg holds its trunk's line no longer.
    fn on_leg(&mut self, now: Now, session: SessionId, event: LegEvent, last: bool) {
        let leg = LegId::from_u128(session.0);
        let Some(place) = self.legs.get(&leg) else {
            self.on_orphan(now, session, &event);
            return;
        };
        let (call, outside) = (place.call, place.trunk.is_some());
        if outside && matches!(event, LegEvent::Answered { .. }) {
            self.outbound_answered(now, call);
        }
        if last {
            self.release_line(leg);
        }
        if let Some(operator) = self
            .calls
            .get(&call)
            .and_then(|running| running.call.operator_on(leg))
        {
            self.watch.touch(operator);
        }
        self.give(now, call, Input::Leg(leg, event));
    }

    /// A session whose call is over: a 200 that crossed our CANCEL is ended, an offer refused.
    fn on_orphan(&mut self, now: Now, session: SessionId, event: &LegEvent) {
        match event {
            LegEvent::Answered { .. } => {
                let reason =
                    super::reasons::end_reason(crate::call::output::EndReason::AnsweredElsewhere);
                self.endpoint.handle_command(
                    now,
                    Command::End {
                        session,
                        reason: Some(reason),
                    },
                );
            }
            LegEvent::Offer { .. } => self.endpoint.handle_command(
                now,
                Command::RefuseOffer {
                    session,
                    code: 481,
                    headers: Vec::new(),
                },
            ),
            _ => {}
        }
    }

    fn on_notice(&mut self, now: Now, notice: Notice) {
        let call = match &notice {
            Notice::Ring { call, .. }
            | Notice::StopRinging { call, .. }
            | Notice::NobodyRegistered { call }
            | Notice::Exhausted { call }
            | Notice::Refused { call, .. }
            | Notice::ConferenceEntered { call, .. }
            | Notice::ConferenceFull { call } => *call,
            Notice::StateChanged {
                operator,
                state,
                call,
            } => {
                self.show_operator(now, operator, *state, *call);
                return;
            }
        };
        self.give(now, call, Input::Desk(notice));
    }

    /// Hands an input to a call and carries out what it asks for.
    pub(super) fn give(&mut self, now: Now, call: CallId, input: Input) {
        if let Some(running) = self.calls.get_mut(&call) {
            running.call.handle(now, input);
            self.drain_call(now, call);
        }
    }

    pub(super) fn journal(&mut self, entry: Entry) {
        self.effects.push_back(Effect::Journal(entry));
    }
}
