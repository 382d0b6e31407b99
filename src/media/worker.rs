//! One media thread: wait, pass packets on, carry out orders, beat every 20 ms.
//!
//! Nothing is allocated or freed here once the thread runs: ports, clips and taps come over the command ring and go back
//! over the report ring. When that is full, an order whose leftovers would need room waits in its ring, and what a packet
//! had to tell is lost and counted.

mod orders;
mod passing;
mod reports;
mod rooms;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer};

use self::passing::send;
use super::command::{Command, Report};
use super::counters::{Counters, Reason};
use super::io::epoll::Bell;
use super::io::{Backend, Io, Told};
use super::leg::{BEAT, ROOM, Scratch};
use super::load::{Effort, LoadMeter};
use super::port::MediaPort;
use super::room::Room;
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
    /// Whether it works no more: what it had is gone.
    pub ended: AtomicBool,
}

impl Shared {
    /// Nothing rung, nothing counted.
    pub fn new() -> io::Result<Shared> {
        Ok(Shared {
            wake: Bell::new()?,
            rung: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            counters: Counters::default(),
            ended: AtomicBool::new(false),
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
    /// Of Opus.
    effort: Effort,
    datagram: [u8; ROOM],
    scratch: Scratch,
}

#[derive(Debug)]
struct Reports {
    ring: Producer<Report>,
    /// Rung when there are reports.
    bell: Arc<Bell>,
    /// There are some that the signalling task should be woken for.
    pushed: bool,
    /// There are others, which it takes when it is awake, or after the next look.
    waiting: bool,
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

    /// For leftovers that nobody waits for; `has_room` was true before.
    fn put_down(&mut self, report: Report, counters: &Counters) {
        let pushed = self.pushed;
        self.give_back(report, counters);
        self.pushed = pushed;
        self.waiting = true;
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
                waiting: false,
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
            effort: Effort::default(),
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
            let heard = self.shared.rung.load(Ordering::SeqCst);
            if heard {
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
            if is_rung && !heard {
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
        self.io.silence(&self.shared.wake);
        self.shared.rung.store(false, Ordering::SeqCst);
    }

    fn now(&self) -> Mono {
        Mono::ZERO + self.start.elapsed()
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

    /// Encoders that run take the effort that the thread can afford by now.
    fn choose_effort(&mut self, load: Option<u32>) {
        if !load.is_some_and(|permille| self.effort.follow(permille)) {
            return;
        }
        for port in self.ports.iter_mut().flatten() {
            port.set_effort(self.effort);
        }
        for room in self.rooms.iter_mut().flatten() {
            room.set_complexity(self.effort.complexity());
        }
    }

    fn look_for_silence(&mut self, now: Mono) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        self.reports.pushed |= std::mem::take(&mut self.reports.waiting);
        let load = self.meter.look(now);
        self.choose_effort(load);
        for port in self.ports.iter_mut().flatten() {
            if self.reports.has_room() && port.leg.fell_silent(now) {
                self.reports
                    .tell(Report::Silent(port.leg.id()), &self.shared.counters);
            }
        }
        self.look_at_streams(now);
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
