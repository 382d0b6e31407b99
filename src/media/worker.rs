//! One media thread: wait, pass packets on, carry out orders, beat every 20 ms.
//!
//! Nothing is allocated or freed here once the thread runs: ports, clips and taps come over the command ring and go back
//! over the report ring. When that is full, an order whose leftovers would need room waits in its ring, and what a packet
//! had to tell is lost and counted.

mod reports;
mod rooms;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::rooms::enter_room;
use rtrb::{Consumer, Producer};

use super::command::{Command, Order, Report};
use super::counters::{Counters, Reason};
use super::io::epoll::Bell;
use super::io::{Backend, Detach, Io, Told};
use super::leg::{Accepted, BEAT, ROOM, Scratch, Sound};
use super::load::{Load, LoadMeter};
use super::port::{Link, MediaPort};

use super::room::Room;
use super::stream::{Came, Outgoing, Stream};
use super::tap::TapHeader;
use crate::ledger::clock::Mono;

/// What a worker and the signalling task both hold.
#[derive(Debug)]
pub struct Shared {
    /// Rung when there are commands.
    pub wake: Bell,
    /// Whether it was rung and not answered yet.
    pub rung: AtomicBool,
    /// Whether the signalling task has commands that did not fit into the ring.
    pub starved: AtomicBool,
    /// Counted by the worker.
    pub counters: Counters,
    /// How busy it is.
    pub load: Load,
}

impl Shared {
    /// Nothing rung, nothing counted.
    pub fn new() -> io::Result<Shared> {
        Ok(Shared {
            wake: Bell::new()?,
            rung: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            counters: Counters::default(),
            load: Load::default(),
        })
    }

    /// Wakes the worker: one system call for any number of commands that it has not looked at.
    pub fn wake(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.wake.ring();
        }
    }
}

/// What a worker starts with.
#[derive(Debug)]
pub struct Worker {
    start: Instant,
    shared: Arc<Shared>,
    commands: Consumer<Command>,
    reports: Reports,
    io: Io,
    ports: Vec<Option<Box<MediaPort>>>,
    /// Rooms have slots of their own.
    rooms: Vec<Option<Box<Room>>>,
    open_rooms: usize,
    generation: u32,
    /// Slots of the legs that want beats.
    beating: Vec<u32>,
    /// Slots of the ports to be given back.
    departed: Vec<u32>,
    /// When the next beat is due; beats are asked for while it is set.
    next_beat: Option<Mono>,
    next_look: Mono,
    meter: LoadMeter,
    datagram: [u8; ROOM],
    scratch: Scratch,
}

#[derive(Debug)]
struct Reports {
    ring: Producer<Report>,
    /// Rung when there are reports.
    bell: Arc<Bell>,
    pushed: bool,
}

impl Reports {
    fn has_room(&self) -> bool {
        self.ring.slots() >= ROOM_FOR_LEFTOVERS
    }

    /// Gives `report` back when the ring is full.
    fn push(&mut self, report: Report) -> Result<(), Report> {
        match self.ring.push(report) {
            Ok(()) => {
                self.pushed = true;
                Ok(())
            }
            Err(rtrb::PushError::Full(report)) => Err(report),
        }
    }

    /// For reports that hold nothing which must go back.
    fn tell(&mut self, report: Report, counters: &Counters) {
        // Room for leftovers is kept, so that packets never keep orders from being carried out.
        if !self.has_room() || self.push(report).is_err() {
            counters.ring_full.count();
        }
    }

    /// For leftovers; `has_room` was true before.
    fn give_back(&mut self, report: Report, counters: &Counters) {
        if let Err(report) = self.push(report) {
            counters.ring_full.count();
            // Freeing it here would be a moment's delay; losing a socket would be a leak.
            drop(report);
        }
    }
}

impl Worker {
    /// A worker for up to `slots` legs. Everything that it will ever need is allocated here.
    pub fn new(
        start: Instant,
        slots: usize,
        shared: Arc<Shared>,
        commands: Consumer<Command>,
        reports: Producer<Report>,
        bell: Arc<Bell>,
        backend: Backend,
    ) -> io::Result<Worker> {
        let io = Io::new(backend, 2 * slots, &shared.wake)?;
        Ok(Worker {
            start,
            shared,
            commands,
            reports: Reports {
                ring: reports,
                bell,
                pushed: false,
            },
            io,
            ports: std::iter::repeat_with(|| None).take(slots).collect(),
            rooms: std::iter::repeat_with(|| None).take(slots).collect(),
            open_rooms: 0,
            generation: 0,
            beating: Vec::with_capacity(slots),
            departed: Vec::with_capacity(slots),
            next_beat: None,
            next_look: Mono::ZERO,
            meter: LoadMeter::default(),
            datagram: [0; ROOM],
            scratch: Scratch::new(),
        })
    }

    /// Works until the signalling task has let go of the rings, or until the set of sockets cannot be waited on.
    pub fn run(mut self) -> io::Result<()> {
        self.io.begin()?;
        loop {
            let timeout = self.timeout();
            self.io.wait(timeout, &self.shared.counters)?;
            if self.shared.rung.load(Ordering::SeqCst) {
                self.hear_bell();
            }
            // Before the packets: what was agreed before a packet was sent holds for it.
            if !self.take_commands()? {
                return Ok(());
            }
            let mut is_rung = false;
            for _ in 0..BATCH {
                match self.io.next(&mut self.datagram) {
                    None => break,
                    Some(Told::Rung) => is_rung = true,
                    Some(Told::Beat) => {}
                    Some(Told::Readable(token)) => self.read(token),
                    Some(Told::Datagram {
                        token,
                        length,
                        from,
                    }) => self.receive(token, length, from),
                    Some(Told::Failed) => self.shared.counters.drop(Reason::ReceiveFailed),
                    Some(Told::Detached(token)) => self.detached(token),
                }
            }
            if is_rung {
                self.hear_bell();
                if !self.take_commands()? {
                    return Ok(());
                }
            }
            let now = self.now();
            self.beat_if_due(now)?;
            self.look_for_silence(now);
            self.give_back_departed();
            if self.reports.pushed {
                self.reports.pushed = false;
                self.reports.bell.ring();
            }
        }
    }

    /// How long to wait for packets at most.
    fn timeout(&self) -> Duration {
        if !self.commands.is_empty() {
            // They wait for room in the ring of reports.
            return BEAT;
        }
        match self.next_beat {
            Some(due) => due.since(self.now()).min(LOOK),
            None => LOOK,
        }
    }

    /// Takes the ringing back, before the commands are looked at, so that no ring is missed.
    fn hear_bell(&self) {
        // Not rung after all is as good.
        let _silent = self.shared.wake.clear();
        self.shared.rung.store(false, Ordering::SeqCst);
    }

    fn now(&self) -> Mono {
        Mono::ZERO + self.start.elapsed()
    }

    /// One datagram is read per wake-up: level-triggered polling tells of the next one, and saves the read that finds none.
    fn read(&mut self, token: u64) {
        let Some(port) = port_of(&mut self.ports, token) else {
            return;
        };
        let socket = match &port.reports {
            Some(reports) if is_of_reports(token) => reports,
            _ => &port.socket,
        };
        match socket.recv_from(&mut self.datagram) {
            Ok((length, from)) => self.receive(token, length, from),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.shared.counters.drop(Reason::ReceiveFailed),
        }
    }

    /// Passes on the datagram that lies in `self.datagram`.
    fn receive(&mut self, token: u64, length: usize, from: SocketAddr) {
        let now = self.now();
        let slot = slot_of(token);
        let counters = &self.shared.counters;
        let Some(port) = port_of(&mut self.ports, token) else {
            return;
        };
        if port.leaves && is_of_reports(token) {
            return;
        }
        if port.leaves {
            // Its next worker passes it on.
            let datagram = self.datagram.get(..length).unwrap_or_default();
            if !port.held.keep(from, datagram) {
                counters.drop(Reason::Unheard);
            }
            return;
        }
        counters.received.count();
        if length == self.datagram.len() {
            // Larger than any voice packet: the rest of it was cut off.
            counters.drop(Reason::Malformed);
            return;
        }
        let length = match port.stream.take_in(&mut self.datagram, length) {
            Ok(Came::Media(length)) => length,
            Ok(Came::Report(length)) => {
                let report = self.datagram.get(..length).unwrap_or_default();
                return reports::hear(port, now, from, report, counters);
            }
            Err(reason) => return counters.drop(reason),
        };
        let datagram = self.datagram.get(..length).unwrap_or_default();
        let accepted = match port.leg.receive(now, from, datagram) {
            Ok(accepted) => accepted,
            Err(reason) => {
                counters.drop(reason);
                return;
            }
        };
        if accepted.first {
            self.reports.tell(Report::Ready(accepted.leg), counters);
        }
        if let Some(key) = accepted.key {
            self.reports.tell(Report::Key(accepted.leg, key), counters);
        }
        port.stream.note(now, &accepted);
        copy_to_tap(port, now, &accepted);
        if let Some(seat) = &mut port.seat {
            match accepted.sound {
                // Who holds would let all hear his music.
                Sound::Voice(_) if !port.leg.is_both_ways() => counters.drop(Reason::NotWanted),
                Sound::Voice(codec) if !seat.take_in(now, &accepted.packet, codec) => {
                    counters.drop(Reason::Late);
                }
                _ => {}
            }
            return;
        }
        let listener = match port.link {
            Link::Nobody => None,
            Link::Echo => Some(slot),
            Link::To(listener) => Some(listener),
        };
        let listener = listener.and_then(|slot| {
            let port = self.ports.get_mut(slot as usize)?.as_mut()?;
            Some((slot, port))
        });
        let Some((heard_in, listener)) = listener else {
            counters.drop(Reason::Unheard);
            return;
        };
        let token = media_token(listener.generation, heard_in);
        let MediaPort {
            leg,
            socket,
            stream,
            ..
        } = &mut **listener;
        let io = &mut self.io;
        let heard = leg.hear(now, &accepted, &mut self.scratch, |room, length, to| {
            send(
                io,
                now,
                token,
                (stream, socket),
                (room, length),
                to,
                counters,
            );
        });
        if let Err(reason) = heard {
            counters.drop(reason);
        }
    }

    /// Carries out what is in the ring; `false` when the signalling task is gone.
    fn take_commands(&mut self) -> io::Result<bool> {
        while self.reports.has_room() {
            match self.commands.pop() {
                Ok(Command { slot, order }) => self.carry_out(slot, order)?,
                Err(rtrb::PopError::Empty) => {
                    // The plane has gone: nobody would take what is left.
                    if self.commands.is_abandoned() && self.commands.is_empty() {
                        return Ok(false);
                    }
                    if self.shared.starved.swap(false, Ordering::SeqCst) {
                        self.reports.pushed = true;
                    }
                    return Ok(true);
                }
            }
        }
        self.shared.counters.ring_full.count();
        // The signalling task must take reports before more commands can be carried out.
        self.reports.pushed = true;
        Ok(true)
    }

    fn carry_out(&mut self, slot: u32, order: Order) -> io::Result<()> {
        let order = match order {
            Order::OpenRoom(_) | Order::CloseRoom | Order::Announce(_) => {
                return self.carry_out_in_room(slot, order);
            }
            Order::Link(Link::To(listener)) => {
                self.play_out(slot, listener);
                Order::Link(Link::To(listener))
            }
            order => order,
        };
        let Some(place) = self.ports.get_mut(slot as usize) else {
            return Ok(());
        };
        let order = match order {
            Order::Insert(port) => return self.insert(slot, port),
            Order::Remove => {
                self.remove(slot);
                return Ok(());
            }
            order => order,
        };
        let Some(port) = place else {
            return self.refuse(order);
        };
        if let Order::Reports(socket) = &order
            && port.reports.is_none()
            && self
                .io
                .attach(reports_token(port.generation, slot), socket)
                .is_err()
        {
            self.shared.counters.drop(Reason::ReceiveFailed);
        }
        let left = port.carry_out(order);
        enter_room(&mut self.rooms, slot, port, &self.shared.counters);
        if let Some(left) = left {
            self.reports.give_back(left, &self.shared.counters);
        }
        self.list_for_beats(slot)
    }

    fn refuse(&mut self, order: Order) -> io::Result<()> {
        let left = match order {
            Order::Play(clip, ..) => Report::SpentClip(clip),
            Order::Tap(tap) => Report::SpentTap(tap),
            Order::Beep(clip) => Report::SpentClip(clip),
            Order::Sit(seat) => Report::SpentSeat(seat),
            Order::Secure(_, Some(security)) => Report::SpentSecurity(security),
            Order::Reports(socket) => Report::SpentSocket(socket),
            Order::Transcode(Some(transcoder)) => Report::SpentTranscoder(transcoder),
            _ => return Ok(()),
        };
        self.reports.give_back(left, &self.shared.counters);
        Ok(())
    }

    fn insert(&mut self, slot: u32, mut port: Box<MediaPort>) -> io::Result<()> {
        self.generation = (self.generation + 1) & GENERATIONS;
        port.generation = self.generation;
        port.beats = false;
        port.leaves = false;
        let token = media_token(self.generation, slot);
        if self.io.attach(token, &port.socket).is_err() {
            // The leg stays: it can still play, and its silence will be told.
            self.shared.counters.drop(Reason::ReceiveFailed);
        }
        enter_room(&mut self.rooms, slot, &port, &self.shared.counters);
        if let Some(reports) = &port.reports {
            let token = reports_token(self.generation, slot);
            if self.io.attach(token, reports).is_err() {
                self.shared.counters.drop(Reason::ReceiveFailed);
            }
        }
        if let Some(place) = self.ports.get_mut(slot as usize) {
            *place = Some(port);
        }
        self.take_held(token);
        self.list_for_beats(slot)
    }

    /// Passes on what the port's last worker took from its socket and did not work off.
    fn take_held(&mut self, token: u64) {
        let mut number = 0;
        while let Some(port) = port_of(&mut self.ports, token)
            && let Some((from, length)) = port.held.copy(number, &mut self.datagram)
        {
            self.receive(token, length, from);
            number += 1;
        }
        if let Some(port) = port_of(&mut self.ports, token) {
            port.held.clear();
        }
    }

    fn remove(&mut self, slot: u32) {
        let Some(port) = self.ports.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        if port.beats {
            self.beating.retain(|beating| *beating != slot);
            port.beats = false;
        }
        port.leaves = true;
        port.detaching = 0;
        let media = (media_token(port.generation, slot), Some(&port.socket));
        let reports = (reports_token(port.generation, slot), port.reports.as_ref());
        for (token, socket) in [media, reports] {
            let Some(socket) = socket else { continue };
            match self.io.detach(token, socket) {
                // What it received before is still worked off.
                Ok(Detach::Later) => port.detaching += 1,
                Ok(Detach::Done) => {}
                Err(_) => self.shared.counters.drop(Reason::ReceiveFailed),
            }
        }
        if port.detaching == 0 {
            self.departed.push(slot);
        }
    }

    /// Nothing more comes from one of a port's sockets.
    fn detached(&mut self, token: u64) {
        let Some(port) = port_of(&mut self.ports, token) else {
            return;
        };
        port.detaching = port.detaching.saturating_sub(1);
        if port.leaves && port.detaching == 0 {
            self.departed.push(slot_of(token));
        }
    }

    /// Gives the ports back that nothing comes from any more, as far as there is room.
    fn give_back_departed(&mut self) {
        while self.reports.has_room()
            && let Some(slot) = self.departed.pop()
        {
            if let Some(mut port) = self.ports.get_mut(slot as usize).and_then(Option::take) {
                port.link = Link::Nobody;
                self.reports
                    .give_back(Report::Removed(slot, port), &self.shared.counters);
            }
        }
    }

    /// Puts a leg that wants beats on the list, and starts the metronome for the first one.
    fn list_for_beats(&mut self, slot: u32) -> io::Result<()> {
        let Some(port) = self.ports.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        if port.beats || !port.leg.wants_beats() {
            return Ok(());
        }
        port.beats = true;
        self.beating.push(slot);
        self.start_beats()
    }

    fn start_beats(&mut self) -> io::Result<()> {
        if self.next_beat.is_none() {
            let now = self.now();
            self.io.beats(Some(BEAT))?;
            self.next_beat = Some(now + BEAT);
        }
        Ok(())
    }

    fn beat_if_due(&mut self, now: Mono) -> io::Result<()> {
        let Some(mut due) = self.next_beat else {
            return Ok(());
        };
        // The metronome was started a moment before its beats were computed.
        while due <= now + SLACK {
            self.beat(now);
            self.beat_rooms(due);
            due = due + BEAT;
            if now.since(due) > TOO_LATE {
                while now.since(due) >= BEAT {
                    due = due + BEAT;
                    self.shared.counters.beats_missed.count();
                }
            }
        }
        self.next_beat = Some(due);
        if self.beating.is_empty() && self.open_rooms == 0 {
            self.io.beats(None)?;
            self.next_beat = None;
        }
        Ok(())
    }

    fn beat(&mut self, now: Mono) {
        let Worker {
            ports,
            beating,
            reports,
            scratch,
            shared,
            io,
            ..
        } = self;
        let counters = &shared.counters;
        beating.retain(|slot| {
            let Some(port) = ports.get_mut(*slot as usize).and_then(Option::as_mut) else {
                return false;
            };
            if !reports.has_room() {
                // A clip that ends now could not be given back.
                counters.ring_full.count();
                return true;
            }
            let token = media_token(port.generation, *slot);
            let MediaPort {
                leg,
                socket,
                stream,
                ..
            } = &mut **port;
            let finished = leg.beat(now, scratch, |room, length, to| {
                send(
                    io,
                    now,
                    token,
                    (stream, socket),
                    (room, length),
                    to,
                    counters,
                );
            });
            if let Some(finished) = finished {
                let played = Report::Played(port.leg.id(), finished.token, finished.clip);
                reports.give_back(played, counters);
            }
            port.beats = port.leg.wants_beats();
            port.beats
        });
    }

    fn look_for_silence(&mut self, now: Mono) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        self.meter.look(now, &self.shared.load);
        for port in self.ports.iter_mut().flatten() {
            if self.reports.has_room() && port.leg.fell_silent(now) {
                self.reports
                    .tell(Report::Silent(port.leg.id()), &self.shared.counters);
            }
        }
        self.look_at_streams(now);
    }
}

/// Sends what lies at the front of the room, protected where that was agreed on.
fn send(
    io: &mut Io,
    now: Mono,
    token: u64,
    (stream, socket): (&mut Stream, &UdpSocket),
    (room, length): (&mut [u8], usize),
    to: SocketAddr,
    counters: &Counters,
) {
    match stream.send(now, Outgoing::Media, room, length) {
        Ok(length) => {
            let datagram = room.get(..length).unwrap_or_default();
            io.send(token, socket, datagram, to, counters);
        }
        Err(reason) => counters.drop(reason),
    }
}

fn copy_to_tap(port: &mut MediaPort, now: Mono, accepted: &Accepted<'_>) {
    if let (Some(tap), Sound::Voice(codec)) = (&mut port.tap, accepted.sound) {
        let header = TapHeader {
            arrival: now,
            timestamp: accepted.packet.timestamp,
            ssrc: accepted.packet.ssrc,
            codec,
        };
        // The tap counts what does not fit; its reader asks for that.
        let _fits = tap.push(header, accepted.packet.payload);
    }
}

/// The token of a port's media socket.
fn media_token(generation: u32, slot: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot) << 1
}

/// The token of a port's socket for reports.
fn reports_token(generation: u32, slot: u32) -> u64 {
    media_token(generation, slot) | 1
}

fn is_of_reports(token: u64) -> bool {
    token & 1 != 0
}

fn slot_of(token: u64) -> u32 {
    token as u32 >> 1
}

/// The port that a token is about; not one that has its slot by now.
fn port_of(ports: &mut [Option<Box<MediaPort>>], token: u64) -> Option<&mut MediaPort> {
    let port = ports.get_mut(slot_of(token) as usize)?.as_deref_mut()?;
    (u64::from(port.generation) == token >> 32).then_some(port)
}

/// Packets passed on before orders and beats are looked at again.
const BATCH: usize = 256;
/// Generations wrap here, so that a token never is one of the backends' own.
const GENERATIONS: u32 = u32::MAX >> 1;
/// How often silence is looked for, and the longest sleep.
const LOOK: Duration = Duration::from_secs(1);
/// Beats this little early are due.
const SLACK: Duration = Duration::from_micros(500);
/// A thread this late leaves beats out instead of sending them all at once.
const TOO_LATE: Duration = Duration::from_millis(200);
/// Reports that one order or one beat of a leg may need.
const ROOM_FOR_LEFTOVERS: usize = 4;
