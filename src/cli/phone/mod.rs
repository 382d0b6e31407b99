//! The built-in test phones: one SIP user agent with one call at a time, made of the same parts as the PBX.

pub mod ear;
pub mod line;
pub mod script;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::{Instant, sleep_until};

use self::ear::Ear;
use self::line::Line;
use crate::audio::clip::Clip;
use crate::audio::wav;
use crate::call::media::{Feeds, MediaAct, MediaEvent, PlayMode};
use crate::clock::Clock;
use crate::dialplan::media_io::MediaIo;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::LegId;
use crate::media::tap::tap_for;
use crate::media::{Plane, PlaneSettings};
use crate::net::stream::{Heard, Hub, Limits};
use crate::net::udp::Listeners;
use crate::sdp::negotiate::{Agreed, Codec, Negotiation};
use crate::sip::endpoint::command::Command;
use crate::sip::endpoint::event::Event;
use crate::sip::endpoint::{ConnectionId, Endpoint, Flow, ListenerId, Settings, Transmit};
use crate::sip::uri::Uri;
use crate::switch::connections::{Connections, Way};
use crate::switch::reach::Reach;

/// How often the ear is emptied.
const LISTEN_EVERY: Duration = Duration::from_millis(100);
/// How often an ending phone looks whether its last transactions are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Without any answer for so long, nothing is there.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Media ports of a test phone.
const PORTS: std::ops::RangeInclusive<u16> = 41_000..=48_999;

/// A test phone.
#[derive(Debug)]
pub struct Phone {
    /// The clocks.
    pub clock: Clock,
    /// Makes ids.
    pub entropy: Entropy,
    endpoint: Endpoint,
    listeners: Listeners,
    hub: Hub,
    connections: Connections,
    reach: Reach,
    line: Line,
    plane: Plane,
    ear: Option<Ear>,
    play: Option<Arc<Clip>>,
    record: bool,
    codecs: Vec<Codec>,
    speaking: Option<Codec>,
    /// What is heard is kept at this rate.
    rate_hz: u32,
}

/// What the phone reports to the command that runs it.
#[derive(Debug)]
pub enum Happening {
    /// On SIP.
    Sip(Event),
    /// On the media stream.
    Media,
    /// The connection to the PBX is gone.
    Disconnected(String),
    /// The deadline handed to `next` has passed.
    Deadline,
}

impl Phone {
    /// A phone that reaches the PBX by a line.
    pub fn start(line: Line) -> anyhow::Result<Phone> {
        let remote = line.remote;
        let clock = Clock::start();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let mut entropy = Entropy::from_seed(seed);
        let own = own_address(remote)?;
        // Over a connection nothing comes in here, but the address is ours and no other's.
        let listeners = Listeners::bind(&[SocketAddr::new(own, 0)])?;
        let addresses = listeners.addresses()?.into_iter();
        let reach = Reach::over(
            addresses.map(|address| (line.transport, address)).collect(),
            Box::new(move |_| own),
        );
        let tls = Arc::new(ArcSwapOption::from_pointee(line.tls()?));
        let limits = Limits {
            connections: 0,
            per_source: 0,
        };
        let settings = Settings {
            product: concat!("vats-phone/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        // Two phones on one machine share the range: each begins at a place of its own.
        let first = PORTS.start()
            + (entropy.below(u64::from(PORTS.end() - PORTS.start() - 64)) as u16 & !1);
        let plane = Plane::start(PlaneSettings {
            workers: 1,
            ports: first..=first + 63,
            bind: own,
            advertised: Box::new(move |_| own),
            start: clock.origin(),
            // One leg: nothing to gather.
            io: MediaIo::Epoll,
        })?;
        let endpoint = Endpoint::new(settings, entropy.split());
        Ok(Phone {
            clock,
            entropy,
            endpoint,
            listeners,
            hub: Hub::new(tls, limits),
            connections: Connections::default(),
            reach,
            line,
            plane,
            ear: None,
            play: None,
            record: false,
            codecs: Vec::new(),
            speaking: None,
            rate_hz: 8_000,
        })
    }

    /// Speaks these codecs, plays this WAV file in a call, and records what is heard.
    pub fn equip(
        &mut self,
        codecs: &[Codec],
        play: Option<&Path>,
        record: bool,
    ) -> anyhow::Result<()> {
        self.codecs = codecs.to_vec();
        if let Some(path) = play {
            let bytes = std::fs::read(path)
                .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
            let samples = wav::read(&bytes)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            self.play = Some(Clip::from_samples(path.display().to_string(), &samples));
        }
        self.record = record;
        Ok(())
    }

    /// The flow to the PBX.
    pub fn flow(&mut self) -> Flow {
        let flow = self.reach.flow(ListenerId(0), self.line.remote);
        self.connections.towards(flow, &self.line.name)
    }

    /// Hands a command to the endpoint.
    pub fn command(&mut self, command: Command) {
        self.endpoint.handle_command(self.clock.now(), command);
        self.flush();
    }

    /// Opens the leg's media port and prepares its side of offer/answer.
    pub async fn open(&mut self, leg: LegId, towards: IpAddr) -> anyhow::Result<Negotiation> {
        self.plane
            .act(self.clock.mono(), MediaAct::Open { leg, towards });
        loop {
            match self.plane.poll_report() {
                Some((of, MediaEvent::Opened { local })) if of == leg => {
                    return Ok(Negotiation::new(
                        local,
                        &self.codecs,
                        self.entropy.u64() >> 1,
                    ));
                }
                Some((of, MediaEvent::Failed { why })) if of == leg => {
                    anyhow::bail!("no media port: {why}")
                }
                Some(_) => {}
                None => self.plane.ready().await,
            }
        }
    }

    /// Speaks and listens as agreed.
    pub fn agree(&mut self, leg: LegId, agreed: &Agreed) {
        let agreed = agreed.clone();
        self.rate_hz = if agreed.codec.is_wideband() {
            16_000
        } else {
            8_000
        };
        if self.speaking.replace(agreed.codec) != Some(agreed.codec) {
            println!("speaking {}", agreed.codec);
        }
        self.plane
            .act(self.clock.mono(), MediaAct::Agree { leg, agreed });
    }

    /// Something may be heard from here on: begins to record.
    pub fn listen(&mut self, leg: LegId) {
        if self.record && self.ear.is_none() {
            let (writer, reader) = tap_for(Some(Codec::Opus));
            self.plane.attach_tap(leg, Feeds::Call, writer);
            self.ear = Some(Ear::new(reader, self.rate_hz));
        }
    }

    /// The call is answered: begins to play, and to record if it does not yet.
    pub fn begin(&mut self, leg: LegId) {
        self.listen(leg);
        if let Some(clip) = self.play.clone() {
            let act = MediaAct::Play {
                leg,
                clip,
                mode: PlayMode::Loop,
                token: 0,
            };
            self.plane.act(self.clock.mono(), act);
        }
    }

    /// Presses a key (RFC 4733).
    pub fn press(&mut self, leg: LegId, key: char) {
        self.plane.send_key(leg, key);
    }

    /// The call is over: what was heard is written to `record`.
    pub fn finish(&mut self, leg: LegId, record: Option<&Path>) -> anyhow::Result<()> {
        self.plane.act(self.clock.mono(), MediaAct::Close { leg });
        let Some(mut ear) = self.ear.take() else {
            return Ok(());
        };
        ear.listen();
        if let Some(path) = record {
            let bytes = wav::write_mono_at(ear.rate_hz(), ear.samples())?;
            std::fs::write(path, bytes)
                .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))?;
            println!(
                "recorded {} ({:.2} s)",
                path.display(),
                ear.samples().len() as f64 / f64::from(ear.rate_hz())
            );
        }
        Ok(())
    }

    /// What happens next, or that `deadline` has passed.
    pub async fn next(&mut self, deadline: Option<Instant>) -> Happening {
        loop {
            self.flush();
            if let Some(ear) = &mut self.ear {
                ear.listen();
            }
            if let Some(event) = self.endpoint.poll_event() {
                return Happening::Sip(event);
            }
            if self.plane.poll_report().is_some() {
                return Happening::Media;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Happening::Deadline;
            }
            let timer = self
                .endpoint
                .poll_timeout()
                .map(|at| Instant::from(self.clock.instant(at)));
            let ear = Some(Instant::now() + LISTEN_EVERY);
            let wake = [timer, deadline, ear]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or_else(Instant::now);
            tokio::select! {
                (listener, remote, bytes) = poll_fn(|cx| self.listeners.poll_receive(cx)) => {
                    let flow = self.reach.flow(listener, remote);
                    self.endpoint.handle_message(self.clock.now(), flow, bytes);
                }
                heard = self.hub.next() => {
                    if let Some(why) = self.hear(heard) {
                        return Happening::Disconnected(why);
                    }
                }
                () = self.plane.ready() => {}
                () = sleep_until(wake) => {
                    let now = self.clock.now();
                    if self.endpoint.poll_timeout().is_some_and(|at| at <= now.mono) {
                        self.endpoint.handle_timeout(now);
                    }
                }
            }
        }
    }

    /// Lets the last transactions end, at most `limit`, and stops the media thread.
    pub async fn stop(mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.endpoint.census().transactions > 0 && Instant::now() < deadline {
            self.next(Some(Instant::now() + LOOK_EVERY)).await;
        }
        self.plane.shutdown();
    }

    /// Something happened on the connection; why it is gone.
    fn hear(&mut self, heard: Heard) -> Option<String> {
        let now = self.clock.now();
        match heard {
            Heard::Message { connection, bytes } => {
                if let Some(flow) = self.connections.heard(now.mono, connection) {
                    self.endpoint.handle_message(now, flow, bytes);
                }
                None
            }
            Heard::Broken { connection, .. } => {
                self.hub.close(connection);
                self.lose(connection, "what came on it is no SIP".to_owned())
            }
            Heard::Closed {
                connection, why, ..
            } => self.lose(connection, why),
            Heard::Accepted { .. } => None,
        }
    }

    fn lose(&mut self, connection: ConnectionId, why: String) -> Option<String> {
        let flow = self.connections.closed(connection)?;
        self.endpoint.handle_flow_closed(self.clock.now(), flow);
        Some(why)
    }

    fn flush(&mut self) {
        let now = self.clock.now();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let Transmit { flow, bytes } = transmit;
            match self.connections.way(now.mono, &flow) {
                Way::Datagram => self.listeners.send(flow.listener, flow.remote, &bytes),
                Way::On(connection) => self.hub.send(connection, bytes),
                Way::Open(connect) => {
                    let connection = connect.connection;
                    self.hub.connect(connect);
                    self.hub.send(connection, bytes);
                }
                Way::Gone => self.endpoint.handle_flow_closed(now, flow),
            }
        }
    }
}

/// The address of this machine that reaches `remote`.
fn own_address(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0u16; 8].into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// Runs a phone on a runtime of its own.
pub fn run(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Splits `HOST:PORT`.
pub fn host_port(text: &str) -> anyhow::Result<(String, Option<u16>)> {
    let uri = Uri::parse(&format!("sip:{text}"))
        .map_err(|_| anyhow::anyhow!("{text} is no address; write HOST:PORT"))?;
    Ok((uri.host().to_owned(), uri.port()))
}

/// The first address of a host.
pub async fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let mut addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| anyhow::anyhow!("{host} does not resolve: {error}"))?;
    addresses
        .next()
        .ok_or_else(|| anyhow::anyhow!("{host} has no address"))
}
