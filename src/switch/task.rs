//! The signalling task: the sockets, timers and rings around [`Core`]. It decides nothing.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::core::Core;
use super::effect::{Effect, Lookup};
use super::handle::{Ask, Census, Metrics};
use super::listening::Listening;
use crate::call::media::{MediaAct, MediaEvent};
use crate::call::output::RecordAct;
use crate::clock::{Clock, Load};
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::ledger::journal::{Entry, RecordingKind};
use crate::media::Plane;
use crate::media::tap::tap_for;
use crate::net::resolver::Resolver;
use crate::net::stream::{Heard, Hub};
use crate::net::udp::Listeners;
use crate::recording::{Begin, Recorder};
use crate::sip::endpoint::ListenerId;
use crate::sip::locate::Servers;
use crate::store::journal::Journal;

/// How often the journal is told that the process lives, while there are calls.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How often what operators talk to the outside is noted while they do: a crash forgets no more than that.
const CHARGE_EVERY: Duration = Duration::from_secs(5);
/// With nothing to wait for, the task still looks after itself this often.
const IDLE: Duration = Duration::from_secs(3600);
/// Datagrams served before other inputs get a turn.
const BURST: usize = 32;
/// How often the processors are looked at, while anything happens.
const LOOK: Duration = Duration::from_secs(1);

/// The machine under the core.
pub struct Task {
    /// What decides.
    pub core: Core,
    /// The SIP sockets.
    pub listeners: Listeners,
    /// The SIP connections.
    pub hub: Hub,
    /// The media plane.
    pub plane: Plane,
    /// The recorder.
    pub recorder: Recorder,
    /// The journal.
    pub journal: Journal,
    /// What the journal gets when the step's messages are on their way: to wake its thread takes time.
    pub entries: Vec<Entry>,
    /// The clocks.
    pub clock: Clock,
    /// Who waits to be told how calls sound.
    pub listening: Listening,
    /// From the outside floor; closed: the process ends.
    pub asks: mpsc::Receiver<Ask>,
    /// Name servers; empty: those of the system.
    pub dns: Vec<SocketAddr>,
}

/// What was located, on its way back to the task.
type Located = mpsc::UnboundedSender<(Lookup, Servers)>;

/// Where host names are looked up, and where the answers go.
struct Names {
    /// `None`: it could not be made, which has been told.
    resolver: Option<Resolver>,
    located: Located,
}

enum Wake {
    Datagram(crate::sip::endpoint::ListenerId, SocketAddr, bytes::Bytes),
    Heard(Heard),
    Waiting,
    Media,
    Ask(Option<Ask>),
    Located(Lookup, Servers),
    Time,
}

impl Task {
    /// Runs until every sender of asks is gone; then gives the media plane and the recorder back to be shut down.
    pub async fn run(mut self) -> (Plane, Recorder) {
        let (located, mut found) = mpsc::unbounded_channel();
        let resolver = Resolver::new(&self.dns)
            .inspect_err(|error| tracing::error!(%error, "no host name will be found"));
        let names = Names {
            resolver: resolver.ok(),
            located,
        };
        let mut alive_at = Mono::ZERO;
        let mut charge_at = Mono::ZERO;
        let (mut load, mut look_at) = (Load::start(self.clock.mono()), Mono::ZERO);
        self.carry_out(&names);
        loop {
            let now = self.clock.now();
            if self.core.live_calls() > 0 && now.mono >= alive_at {
                self.journal.write(Entry::Alive(now.wall));
                alive_at = now.mono + SIGN_OF_LIFE;
            }
            if self.core.live_calls() > 0 && now.mono >= charge_at {
                self.core.charge_running(now);
                charge_at = now.mono + CHARGE_EVERY;
            }
            if now.mono >= look_at {
                self.core.note_processors(now, load.share(now.mono));
                look_at = now.mono + LOOK;
            }
            let wake_at = self.wake_at(alive_at);
            let (listeners, hub) = (&mut self.listeners, &mut self.hub);
            // In random order: a flood of datagrams must not keep the API and names waiting.
            let wake = tokio::select! {
                (listener, remote, bytes) = poll_fn(|cx| listeners.poll_receive(cx)) => Wake::Datagram(listener, remote, bytes),
                // What is on connections waits there when there is no room: they lose nothing.
                heard = hub.next(), if self.core.has_room() => Wake::Heard(heard),
                // The runtime gets its turn first: else it would not see that more has come.
                () = tokio::task::yield_now(), if self.core.has_waiting() => Wake::Waiting,
                () = self.plane.ready() => Wake::Media,
                ask = self.asks.recv() => Wake::Ask(ask),
                Some((what, servers)) = found.recv() => Wake::Located(what, servers),
                () = sleep_until(wake_at) => Wake::Time,
            };
            match wake {
                Wake::Datagram(listener, remote, bytes) => {
                    self.take_in_datagram(listener, remote, bytes);
                    self.serve(&names).await;
                }
                Wake::Heard(heard) => {
                    self.core.take_in_heard(self.clock.now(), heard);
                    self.serve(&names).await;
                }
                Wake::Waiting => self.serve(&names).await,
                Wake::Media | Wake::Time => {}
                Wake::Ask(Some(Ask::Census { reply })) => {
                    // An asker that went away needs no answer.
                    let _ = reply.send(self.census());
                }
                Wake::Ask(Some(Ask::Measure { reply })) => {
                    let _ = reply.send(self.measure());
                }
                Wake::Ask(Some(Ask::Listen { call, reply })) => {
                    let legs = self.core.legs_of(call);
                    self.listening.ask(&mut self.plane, legs, reply);
                }
                Wake::Ask(Some(ask)) => self.core.handle_ask(self.clock.now(), ask),
                Wake::Ask(None) => return (self.plane, self.recorder),
                Wake::Located(what, servers) => {
                    self.core.handle_located(self.clock.now(), what, servers)
                }
            }
            self.hear_media(&names);
            let now = self.clock.now();
            if self.core.poll_timeout().is_some_and(|at| at <= now.mono) {
                self.core.handle_timeout(now);
            }
            self.carry_out(&names);
        }
    }

    fn wake_at(&self, alive_at: Mono) -> Instant {
        let timeout = self.core.poll_timeout();
        let alive = (self.core.live_calls() > 0).then_some(alive_at);
        match timeout.into_iter().chain(alive).min() {
            Some(at) => self.clock.instant(at).into(),
            None => Instant::now() + IDLE,
        }
    }

    /// Serves a burst of what waits, the most urgent first, and takes in what comes meanwhile.
    async fn serve(&mut self, names: &Names) {
        for _ in 0..BURST {
            self.take_in().await;
            if !self.core.serve_next(self.clock.now()) {
                return;
            }
            self.carry_out(names);
        }
    }

    /// Takes in all that is there, as far as the runtime lets us in one turn: from connections and sockets alternately, so that a flood of
    /// datagrams does not use that up.
    async fn take_in(&mut self) {
        poll_fn(|cx| {
            loop {
                let mut more = false;
                if self.core.has_room()
                    && let Poll::Ready(heard) = self.hub.poll_next(cx)
                {
                    self.core.take_in_heard(self.clock.now(), heard);
                    more = true;
                }
                if let Poll::Ready((listener, remote, bytes)) = self.listeners.poll_receive(cx) {
                    self.take_in_datagram(listener, remote, bytes);
                    more = true;
                }
                if !more {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    fn take_in_datagram(&mut self, listener: ListenerId, remote: SocketAddr, bytes: Bytes) {
        let (now, waited) = (self.clock.now(), self.listeners.waited());
        self.core.take_in_late(now, waited, listener, remote, bytes);
    }

    fn measure(&self) -> Metrics {
        Metrics {
            alive: self.census(),
            media: self.plane.census(),
            sip_dropped: self.core.drops(),
            opinions: self.core.opinions().clone(),
        }
    }

    fn census(&self) -> Census {
        let sip = self.core.census();
        Census {
            calls: self.core.live_calls(),
            dialogs: sip.dialogs,
            transactions: sip.transactions,
            media_sessions: self.plane.census().legs,
            recordings: self.recorder.census(),
            recordings_failed: self.recorder.failed(),
            connections: self.hub.len(),
        }
    }

    fn hear_media(&mut self, names: &Names) {
        while let Some((leg, event)) = self.plane.poll_report() {
            self.hear(leg, event);
            self.carry_out(names);
        }
        self.listening.hear(&mut self.plane);
    }

    fn hear(&mut self, leg: LegId, event: MediaEvent) {
        self.core.handle_media(self.clock.now(), leg, event);
    }

    fn carry_out(&mut self, names: &Names) {
        loop {
            while let Some(effect) = self.core.poll_effect() {
                self.do_effect(effect, names);
            }
            // Opening a port answers at once; what follows from it belongs to the same step.
            let Some((leg, event)) = self.plane.poll_report() else {
                break;
            };
            self.hear(leg, event);
        }
        self.keep_entries();
    }

    fn keep_entries(&mut self) {
        for entry in self.entries.drain(..) {
            self.journal.write(entry);
        }
    }

    fn do_effect(&mut self, effect: Effect, names: &Names) {
        match effect {
            Effect::Transmit(transmit) if transmit.flow.transport.is_reliable() => {
                self.hub.send(transmit.flow.connection, transmit.bytes);
            }
            Effect::Connect(connect) => self.hub.connect(connect),
            Effect::Disconnect(connection) => self.hub.close(connection),
            Effect::Transmit(transmit) => {
                self.listeners.send(
                    transmit.flow.listener,
                    transmit.flow.remote,
                    &transmit.bytes,
                );
            }
            Effect::Media(act) => self.on_media_act(act),
            Effect::Record(act) => {
                // The recorder writes into the journal itself, and what it says comes later.
                self.keep_entries();
                self.record(act);
            }
            Effect::Journal(entry) => self.entries.push(entry),
            Effect::Resolve { what, wish } => {
                let (resolver, located) = (names.resolver.clone(), names.located.clone());
                let abilities = self.core.abilities();
                tokio::spawn(async move {
                    let servers = match resolver {
                        Some(resolver) => resolver.locate(wish, abilities).await,
                        None => Servers::default(),
                    };
                    // The task is gone at shutdown; then nobody wants the answer.
                    let _ = located.send((what, servers));
                });
            }
            Effect::Drained(reply) => {
                self.keep_entries();
                // The asker may have given up waiting.
                let _ = reply.send(());
            }
        }
    }

    fn on_media_act(&mut self, act: MediaAct) {
        self.plane.act(self.clock.mono(), act);
    }

    fn record(&mut self, act: RecordAct) {
        match act {
            RecordAct::StartConversation {
                recording,
                call,
                wideband,
                opus,
            } => self.recorder.begin(Begin {
                recording,
                kind: RecordingKind::Conversation,
                mailbox: None,
                call: *call,
                wideband,
                opus,
            }),
            RecordAct::StartConference {
                recording,
                call,
                wideband,
                opus,
            } => self.recorder.begin_shared(Begin {
                recording,
                kind: RecordingKind::Conversation,
                mailbox: None,
                call: *call,
                wideband,
                opus,
            }),
            RecordAct::StartMessage {
                recording,
                voicemail,
                mailbox,
                call,
                wideband,
                opus,
            } => self.recorder.begin(Begin {
                recording,
                kind: RecordingKind::Voicemail(voicemail),
                mailbox: Some(mailbox),
                call: *call,
                wideband,
                opus,
            }),
            RecordAct::Attach {
                recording,
                leg,
                side,
                operator,
                codec,
            } => {
                let (writer, reader) = tap_for(codec);
                self.plane.attach_tap(leg, writer);
                self.recorder.attach(recording, leg, side, operator, reader);
            }
            RecordAct::Detach { recording, leg } => {
                self.plane.detach_tap(leg);
                self.recorder.detach(recording, leg);
            }
            RecordAct::Pause { recording, paused } => self.recorder.pause(recording, paused),
            RecordAct::Stop { recording } => self.recorder.stop(recording),
            RecordAct::Discard { recording } => self.recorder.discard(recording),
        }
    }
}
