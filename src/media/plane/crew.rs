//! The workers as the signalling task sees them: a thread, two rings, slots.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::media::command::{Command, Order, Report};
use crate::media::counters::Census;
use crate::media::io::Backend;
use crate::media::io::epoll::Bell;
use crate::media::io::priority::{self, Priority};
use crate::media::worker::{Shared, Worker};

/// All workers.
pub struct Crew {
    hands: Vec<Hand>,
    /// Whose report comes next.
    turn: usize,
    /// Who had the last new leg.
    last: usize,
}

/// One worker.
struct Hand {
    shared: Arc<Shared>,
    /// `None` after shutdown.
    commands: Option<Producer<Command>>,
    reports: Consumer<Report>,
    /// There are commands that the worker has not been woken for.
    news: Cell<bool>,
    /// What is not in `commands` yet, in order.
    backlog: VecDeque<Command>,
    /// Some of that had no room.
    lags: bool,
    /// Slots used before and free again.
    free: Vec<u32>,
    /// Slots never used begin here.
    fresh: u32,
    /// The same for rooms.
    free_rooms: Vec<u32>,
    fresh_room: u32,
    legs: usize,
    thread: Option<JoinHandle<()>>,
    /// It ended by itself, and that was told.
    is_buried: bool,
}

/// Tells that a thread ends, also by a panic.
struct LastWord {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

impl Crew {
    /// Starts the threads, each with room for `slots` legs.
    pub fn start(
        workers: usize,
        slots: usize,
        start: Instant,
        bell: &Arc<Bell>,
        backend: Backend,
    ) -> io::Result<Crew> {
        let mut crew = Crew {
            hands: Vec::with_capacity(workers),
            turn: 0,
            last: 0,
        };
        for number in 0..workers {
            crew.hands
                .push(Hand::start(number, slots, start, bell, backend)?);
        }
        Ok(crew)
    }

    /// The worker for a new leg; `None` when none runs. The one that had the last leg has the next one too, so that the
    /// two legs of a call need not be brought together, until another has [`SLACK`] fewer.
    pub fn choose(&mut self) -> Option<usize> {
        let hands = self.hands.iter().enumerate();
        let (least, fewest) = hands
            .filter(|(_, hand)| hand.is_running())
            .map(|(index, hand)| (index, hand.legs))
            .min_by_key(|(_, legs)| *legs)?;
        let last = self.hands.get(self.last);
        if !last.is_some_and(|last| last.is_running() && last.legs < fewest + SLACK) {
            self.last = least;
        }
        Some(self.last)
    }

    /// Legs on each worker.
    #[cfg(test)]
    pub fn loads(&self) -> Vec<usize> {
        self.hands.iter().map(|hand| hand.legs).collect()
    }

    /// Counts a leg to a worker or off it. A leg on its way counts where it goes.
    pub fn recount(&mut self, worker: usize, by: isize) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.legs = hand.legs.saturating_add_signed(by);
        }
    }

    /// A slot of a worker for a port to come.
    pub fn take_slot(&mut self, worker: usize) -> u32 {
        let Some(hand) = self.hands.get_mut(worker) else {
            return 0;
        };
        // No more ports exist than a worker has slots, so a fresh one is always within its table.
        hand.free.pop().unwrap_or_else(|| {
            hand.fresh += 1;
            hand.fresh - 1
        })
    }

    /// A slot is empty again.
    pub fn free_slot(&mut self, worker: usize, slot: u32) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.free.push(slot);
        }
    }

    /// A slot of a worker for a room. There are never more rooms than legs.
    pub fn take_room(&mut self, worker: usize) -> u32 {
        let Some(hand) = self.hands.get_mut(worker) else {
            return 0;
        };
        hand.free_rooms.pop().unwrap_or_else(|| {
            hand.fresh_room += 1;
            hand.fresh_room - 1
        })
    }

    /// A room's slot is empty again.
    pub fn free_room(&mut self, worker: usize, slot: u32) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.free_rooms.push(slot);
        }
    }

    /// Has an order for the leg in a slot sent at the next [`Crew::flush`].
    pub fn order(&mut self, worker: usize, slot: u32, order: Order) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.push(Command { slot, order });
            hand.news.set(true);
        }
    }

    /// Sends an order that has time until the next one, or until the worker looks by itself.
    pub fn order_in_time(&mut self, worker: usize, slot: u32, order: Order) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.push(Command { slot, order });
        }
    }

    /// Sends what waits, as far as there is room: a worker sees all of it or nothing, so that it never works, or beats, with
    /// half of a change.
    pub fn flush(&mut self) {
        for hand in &mut self.hands {
            hand.flush();
        }
    }

    /// Wakes the workers that have new commands: one system call for all that a step of the signalling task asked for.
    pub fn wake(&self) {
        for hand in &self.hands {
            if hand.news.replace(false) {
                hand.shared.wake();
            }
        }
    }

    /// Whether `next_report` has something.
    pub fn has_reports(&self) -> bool {
        self.hands.iter().any(|hand| !hand.reports.is_empty())
    }

    /// The next report and whose it is, the workers in turn.
    pub fn next_report(&mut self) -> Option<(usize, Report)> {
        for _ in 0..self.hands.len() {
            let worker = self.turn;
            let hand = self.hands.get_mut(worker)?;
            if let Ok(report) = hand.reports.pop() {
                return Some((worker, report));
            }
            self.turn = (worker + 1) % self.hands.len();
        }
        None
    }

    /// A worker that has ended by itself; each is told once.
    pub fn next_dead(&mut self) -> Option<usize> {
        let mut hands = self.hands.iter_mut();
        let worker = hands.position(|hand| !hand.is_buried && !hand.is_running())?;
        self.hands.get_mut(worker)?.is_buried = true;
        Some(worker)
    }

    /// Drops what a worker that has ended was told and did not take.
    pub fn forget(&mut self, worker: usize) {
        if let Some(hand) = self.hands.get_mut(worker) {
            hand.backlog.clear();
            hand.commands = None;
        }
    }

    /// Has a worker end as if by itself.
    #[cfg(test)]
    pub fn lose(&mut self, worker: usize) {
        self.hands[worker].commands = None;
        self.hands[worker].shared.wake.ring();
    }

    /// Adds all workers' counters.
    pub fn add_to(&self, census: &mut Census) {
        for hand in &self.hands {
            census.add(&hand.shared.counters);
        }
    }

    /// Ends the threads. What they had is dropped; what they report meanwhile too.
    pub fn shutdown(&mut self) {
        for hand in &mut self.hands {
            hand.backlog.clear();
            hand.commands = None;
            hand.shared.wake.ring();
        }
        for hand in &mut self.hands {
            let Some(thread) = hand.thread.take() else {
                continue;
            };
            while !thread.is_finished() {
                // A worker with a full ring of reports would not get to its end.
                while hand.reports.pop().is_ok() {}
                std::thread::sleep(Duration::from_millis(1));
            }
            while hand.reports.pop().is_ok() {}
            if thread.join().is_err() {
                tracing::error!("a media thread had panicked");
            }
        }
    }
}

impl Hand {
    fn start(
        number: usize,
        slots: usize,
        start: Instant,
        bell: &Arc<Bell>,
        backend: Backend,
    ) -> io::Result<Hand> {
        let shared = Arc::new(Shared::new()?);
        let (commands, command_ring) = RingBuffer::new(COMMANDS);
        let (report_ring, reports) = RingBuffer::new(REPORTS);
        let worker = Worker::new(
            start,
            slots,
            Arc::clone(&shared),
            command_ring,
            report_ring,
            Arc::clone(bell),
            backend,
        )?;
        let last_word = LastWord {
            shared: Arc::clone(&shared),
            bell: Arc::clone(bell),
        };
        let thread = std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || {
                let _told_last = last_word;
                run(worker);
            })?;
        Ok(Hand {
            shared,
            commands: Some(commands),
            reports,
            news: Cell::new(false),
            backlog: VecDeque::new(),
            lags: false,
            free: Vec::new(),
            fresh: 0,
            free_rooms: Vec::new(),
            fresh_room: 0,
            legs: 0,
            thread: Some(thread),
            is_buried: false,
        })
    }

    fn is_running(&self) -> bool {
        self.thread.is_some() && !self.shared.ended.load(Ordering::SeqCst)
    }

    fn push(&mut self, command: Command) {
        if self.is_running() && self.commands.is_some() {
            self.backlog.push_back(command);
        }
    }

    fn flush(&mut self) {
        let Some(commands) = &mut self.commands else {
            return;
        };
        if self.backlog.is_empty() {
            return;
        }
        let count = self.backlog.len().min(commands.slots());
        if let Ok(chunk) = commands.write_chunk_uninit(count) {
            chunk.fill_from_iter(self.backlog.drain(..count));
        }
        // What had no room at first has waited for long enough, whatever it is.
        if std::mem::replace(&mut self.lags, !self.backlog.is_empty()) || self.lags {
            self.news.set(true);
        }
        if self.lags {
            self.shared.starved.store(true, Ordering::SeqCst);
        }
    }
}

fn run(worker: Worker) {
    static WARNED: Once = Once::new();
    match priority::raise() {
        Priority::Realtime => tracing::debug!("the media thread runs at real-time priority"),
        Priority::Nice => tracing::debug!("the media thread runs at raised priority"),
        Priority::Normal => WARNED.call_once(|| {
            tracing::warn!(
                "media threads run at normal priority: sound suffers when the machine is busy \
                 (CAP_SYS_NICE or LimitRTPRIO would help)"
            );
        }),
    }
    if let Err(error) = worker.run() {
        tracing::error!(%error, "a media thread ended");
    }
}

/// How uneven the workers' loads may be: two calls.
const SLACK: usize = 4;
/// Commands in a ring: several for each leg of a burst of calls.
const COMMANDS: usize = 2048;
/// Reports in a ring: a port, a clip and an event for each.
const REPORTS: usize = 4096;
