//! The media plane as the signalling task holds it: ports, bridges, which leg is on which worker, and the rings.
//!
//! After each [`Plane::act`], and whenever [`Plane::ready`] resolves, drain [`Plane::poll_report`] until it is empty.
//! Only then are the workers woken, once for everything that was asked. Acts are never refused: what does not fit into
//! a worker's ring waits here in order and goes out at the next act or poll; the worker wakes the signalling task when it
//! has made room.

mod converting;
mod crew;
mod losing;
mod placing;
mod rooms;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::unix::AsyncFd;

use self::crew::Crew;
use self::placing::{HeardBy, Place};
use self::rooms::RoomPlace;
use super::bridges::Bridges;
use super::command::{Order, Report};
use super::counters::Census;
use super::io::epoll::Bell;
use super::io::{self as media_io, Backend};
use super::leg::Leg;
use super::port::{Held, Link, MediaPort};
use super::ports::Ports;
use super::recent::Recent;
use super::stream::Stream;
use super::studio::Studio;
use super::tap::{TapWriter, Taps};
use crate::call::media::{Feeds, MediaAct, MediaEvent, Role};
use crate::dialplan::media_io::MediaIo;
use crate::ledger::clock::{Mono, Wall};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{BridgeId, LegId};
use crate::ledger::id_map::IdMap;
use crate::rtp::quality::{Change, Sounding};

/// How a plane is set up.
pub struct PlaneSettings {
    /// Media threads; at least one is started.
    pub workers: usize,
    /// `server.rtp_ports`: RTP takes the even ones.
    pub ports: RangeInclusive<u16>,
    /// The address that media sockets are bound to.
    pub bind: IpAddr,
    /// The address that a far side with this signalling address must be told.
    pub advertised: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    /// The instant that is `Mono::ZERO` for the whole process.
    pub start: Instant,
    /// `server.media_io`.
    pub io: MediaIo,
}

/// The media plane.
pub struct Plane {
    bind: IpAddr,
    advertised: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    entropy: Entropy,
    ports: Ports,
    /// Open sockets, wherever they are.
    sockets: usize,
    crew: Crew,
    places: IdMap<LegId, Place>,
    /// Numbers of ports that no leg has any more and that have not come back, by worker and slot.
    leaving: HashMap<(usize, u32), u16>,
    bridges: Bridges,
    /// Of the bridges that are mixed.
    rooms: IdMap<BridgeId, RoomPlace>,
    studio: Studio,
    /// Transcoders made so far.
    transcoders: u64,
    reports: VecDeque<(LegId, MediaEvent)>,
    /// How legs sound that were asked about.
    soundings: VecDeque<(LegId, Box<Sounding>)>,
    bell: Arc<Bell>,
    awaited: Arc<OnceLock<AsyncFd<Arc<Bell>>>>,
    backend: Backend,
    start: Instant,
    /// The wall clock at `start`.
    wall: Wall,
}

impl Plane {
    /// Starts the threads. Fails when the range holds no pair of ports, or the system gives no threads or descriptors.
    pub fn start(settings: PlaneSettings) -> io::Result<Plane> {
        let ports = Ports::new(settings.ports);
        if ports.total() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "rtp_ports holds no pair of ports (an even one and the odd one above it)",
            ));
        }
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let bell = Arc::new(Bell::new()?);
        let backend = media_io::choose(settings.io);
        tracing::info!("media packets go by {backend}");
        let crew = Crew::start(
            settings.workers.max(1),
            ports.total(),
            settings.start,
            &bell,
            backend,
        )?;
        Ok(Plane {
            bind: settings.bind,
            advertised: settings.advertised,
            entropy: Entropy::from_seed(seed),
            ports,
            sockets: 0,
            crew,
            places: IdMap::default(),
            leaving: HashMap::new(),
            bridges: Bridges::default(),
            rooms: IdMap::default(),
            studio: Studio::default(),
            transcoders: 0,
            reports: VecDeque::new(),
            soundings: VecDeque::new(),
            bell,
            awaited: Arc::new(OnceLock::new()),
            backend,
            start: settings.start,
            wall: streams::wall_at(settings.start),
        })
    }

    /// Does what a call asks. An act for a leg that is not open does nothing.
    pub fn act(&mut self, now: Mono, act: MediaAct) {
        self.crew.flush();
        match act {
            MediaAct::Open { leg, towards } => self.open(now, leg, towards),
            MediaAct::Agree { leg, agreed } => self.agree(now, leg, agreed),
            MediaAct::Join { leg, bridge } => self.join(leg, bridge, Role::Member),
            MediaAct::JoinAs { leg, bridge, role } => self.join(leg, bridge, role),
            MediaAct::SetRole { leg, role } => self.set_role(leg, role),
            MediaAct::Announce { bridge, clip } => self.announce(bridge, clip),
            MediaAct::Leave { leg } => self.leave(leg),
            MediaAct::Play {
                leg,
                clip,
                mode,
                token,
            } => {
                self.have_encoded(leg, Some(&clip));
                self.order(leg, Order::Play(clip, mode, token));
            }
            MediaAct::StopPlaying { leg } => {
                self.have_encoded(leg, None);
                self.order(leg, Order::StopPlaying);
            }
            MediaAct::Echo { leg } => {
                self.leave(leg);
                self.set_heard_by(leg, HeardBy::Itself);
            }
            MediaAct::Close { leg } => self.close(leg),
        }
        self.crew.flush();
    }

    /// Copies what the leg receives into `tap` from now on, instead of into the one before for that recording. For a leg
    /// that is not open the tap is dropped, and its reader finishes.
    pub fn attach_tap(&mut self, leg: LegId, feeds: Feeds, tap: TapWriter) {
        self.order(leg, Order::Tap(feeds, tap));
        self.crew.flush();
    }

    /// No longer copies what the leg receives for that recording.
    pub fn detach_tap(&mut self, leg: LegId, feeds: Feeds) {
        self.order(leg, Order::Untap(feeds));
        self.crew.flush();
    }

    /// Sends a key by RFC 4733, 100 ms long, after those in line; nothing if the leg has not agreed on telephone-event.
    pub fn send_key(&mut self, leg: LegId, key: char) {
        self.order(leg, Order::Press(key));
        self.crew.flush();
    }

    /// What happened on a leg; `None` when there is nothing for now.
    pub fn poll_report(&mut self) -> Option<(LegId, MediaEvent)> {
        if self.reports.is_empty() {
            self.collect();
            self.crew.flush();
        }
        self.crew.wake();
        self.reports.pop_front()
    }

    /// Resolves when `poll_report` may have something. Does not borrow the plane. Needs a tokio runtime with I/O and time.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        self.crew.wake();
        let waiting = !self.reports.is_empty() || self.crew.has_reports();
        let bell = Arc::clone(&self.bell);
        let awaited = Arc::clone(&self.awaited);
        async move {
            if waiting {
                return;
            }
            if let Err(error) = rung(&bell, &awaited).await {
                tracing::error!(%error, "media reports cannot be waited for; polling instead");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// What the plane has and did so far.
    pub fn census(&self) -> Census {
        let mut census = Census {
            legs: self.places.len(),
            bridges: self.bridges.len(),
            rooms: self.rooms.len(),
            open_sockets: self.sockets,
            free_ports: self.ports.free(),
            ..Census::default()
        };
        self.crew.add_to(&mut census);
        census
    }

    /// How packets go in and out.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// How many legs can have a port at once.
    pub fn capacity(&self) -> usize {
        self.ports.total()
    }

    /// Ends the threads and closes every socket. Nothing happens on later acts.
    pub fn shutdown(&mut self) {
        self.crew.shutdown();
        self.places.clear();
        self.leaving.clear();
        self.bridges = Bridges::default();
        self.rooms.clear();
        self.reports.clear();
        self.soundings.clear();
        self.sockets = 0;
    }

    fn open(&mut self, now: Mono, leg: LegId, towards: IpAddr) {
        if let Some(place) = self.places.get(&leg) {
            let local = place.local;
            self.reports.push_back((leg, MediaEvent::Opened { local }));
            return;
        }
        let Some(worker) = self.crew.choose() else {
            let why = "no media thread is running".to_owned();
            self.reports.push_back((leg, MediaEvent::Failed { why }));
            return;
        };
        let told = (self.advertised)(towards);
        let (number, socket) = match self.bind_socket(told.is_ipv4()) {
            Ok(bound) => bound,
            Err(why) => {
                self.reports.push_back((leg, MediaEvent::Failed { why }));
                return;
            }
        };
        self.sockets += 1;
        let local = SocketAddr::new(told, number);
        let state = Leg::new(leg, now, &mut self.entropy);
        let port = Box::new(MediaPort {
            socket,
            number,
            reports: None,
            stream: Stream::new(state.ssrc(), self.wall, &mut self.entropy),
            leg: state,
            link: Link::Nobody,
            seat: None,
            taps: Taps::default(),
            generation: 0,
            beats: false,
            leaves: false,
            moves: false,
            detaching: 0,
            held: Held::EMPTY,
            recent: Recent::default(),
        });
        self.crew.recount(worker, 1);
        let slot = self.crew.take_slot(worker);
        // It has nothing to do before it has agreed on a codec.
        self.crew.order_in_time(worker, slot, Order::Insert(port));
        self.places
            .insert(leg, Place::new(worker, slot, number, local));
        self.reports.push_back((leg, MediaEvent::Opened { local }));
    }

    /// Takes the port that rested longest and can be bound.
    fn bind_socket(&mut self, v4: bool) -> Result<(u16, UdpSocket), String> {
        if self.ports.free() == 0 {
            self.collect();
        }
        for _ in 0..self.ports.free() {
            let Some(number) = self.ports.take() else {
                break;
            };
            match bind(SocketAddr::new(of_family(self.bind, v4), number)) {
                Ok(socket) => return Ok((number, socket)),
                Err(error) => {
                    self.ports.give_back(number);
                    // Another program has it: the next one will do.
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return Err(format!("media port {number} cannot be opened: {error}"));
                    }
                }
            }
        }
        let range = self.ports.range();
        Err(format!(
            "no media port is free in {}-{}",
            range.start(),
            range.end()
        ))
    }

    /// Takes in what the workers reported.
    fn collect(&mut self) {
        // Asked first: what it reported before its end is taken in first.
        let dead = self.crew.next_dead();
        while let Some((worker, report)) = self.crew.next_report() {
            match report {
                Report::Ready(leg) => {
                    self.became_ready(leg);
                    self.tell(leg, MediaEvent::Ready);
                }
                Report::Key(leg, key) => self.tell(leg, MediaEvent::Key(key)),
                Report::Silent(leg) => self.tell(leg, MediaEvent::Silent),
                Report::Played(leg, token, clip) => {
                    drop(clip);
                    self.tell(leg, MediaEvent::Played { token });
                }
                Report::Removed(slot, port) => self.take_back(worker, slot, port),
                Report::SpentClip(clip) => drop(clip),
                Report::SpentTap(tap) => drop(tap),
                Report::SpentSeat(seat) => drop(seat),
                Report::SpentRoom(room) => drop(room),
                Report::Announced(slot, clip) => {
                    drop(clip);
                    self.announced(worker, slot);
                }
                Report::ClosedRoom(slot, room) => {
                    drop(room);
                    self.crew.free_room(worker, slot);
                }
                Report::SpentSecurity(security) => drop(security),
                Report::SpentSocket(socket) => drop(socket),
                Report::Sounds(leg, Change::Poor, latest) => {
                    self.tell(leg, MediaEvent::Poor(latest));
                }
                Report::Sounds(leg, Change::Recovered, _) => {
                    tracing::debug!(%leg, "the leg sounds well again");
                }
                Report::SpentTranscoder(transcoder) => drop(transcoder),
                Report::Measured(leg, sounding) => self.soundings.push_back((leg, sounding)),
                Report::KeyLife(leg, life) => self.tell(leg, MediaEvent::KeyLife(life)),
                Report::SpentListener(decoder) => drop(decoder),
                Report::SpentBroadcast(broadcast) => drop(broadcast),
            }
        }
        if let Some(worker) = dead {
            self.bury(worker);
        }
    }

    /// What a leg told just before it was closed is of no interest.
    fn tell(&mut self, leg: LegId, event: MediaEvent) {
        if self.places.contains_key(&leg) {
            self.reports.push_back((leg, event));
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plane({:?})", self.census())
    }
}

/// The address to bind to in either family: loopback stays loopback, others serve all addresses of the other family.
fn of_family(bind: IpAddr, v4: bool) -> IpAddr {
    match (v4, bind.is_loopback()) {
        _ if bind.is_ipv4() == v4 => bind,
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A socket that still blocks: which way is right is known to the worker's backend.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    if address.is_ipv4()
        && let Err(error) = SockRef::from(&socket).set_tos_v4(EXPEDITED)
    {
        tracing::debug!(%error, "media packets are not marked as expedited");
    }
    Ok(socket)
}

/// Waits until the bell was rung, and silences it.
async fn rung(bell: &Arc<Bell>, awaited: &OnceLock<AsyncFd<Arc<Bell>>>) -> io::Result<()> {
    let awaited = match awaited.get() {
        Some(awaited) => awaited,
        None => {
            // SAFETY: the bell's descriptor is opened once and closed with the last `Arc`, one of which is kept there.
            let new = unsafe { AsyncFd::register(Arc::clone(bell)) }
                .map_err(|error| error.into_parts().1)?;
            awaited.get_or_init(|| new)
        }
    };
    loop {
        let mut guard = awaited.readable().await?;
        match guard.try_io(|bell| bell.get_ref().clear()) {
            Ok(cleared) => return cleared,
            Err(_would_block) => {}
        }
    }
}

/// DSCP "expedited forwarding" (RFC 3246, RFC 4594 §4.1) as a TOS byte.
const EXPEDITED: u32 = 46 << 2;

#[cfg(test)]
mod tests;
