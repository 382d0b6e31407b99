//! Orders of the signalling task, and ports that come and go.

use std::io;
use std::sync::atomic::Ordering;

use super::rooms::enter_room;
use super::{GENERATIONS, Worker, media_token, port_of, reports_token, slot_of};
use crate::media::command::{Command, Order, Report};
use crate::media::counters::Reason;
use crate::media::io::Detach;
use crate::media::port::{Link, MediaPort};

impl Worker {
    /// Carries out what is in the ring; `false` when the signalling task is gone.
    pub(super) fn take_commands(&mut self) -> io::Result<bool> {
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

    pub(super) fn carry_out(&mut self, slot: u32, order: Order) -> io::Result<()> {
        let order = match order {
            Order::OpenRoom(_) | Order::CloseRoom | Order::Announce(_) | Order::Share(_) => {
                return self.carry_out_in_room(slot, order);
            }
            Order::Link(Link::To(listener)) => {
                self.play_out(slot, listener);
                Order::Link(Link::To(listener))
            }
            Order::Sit(mut seat) => {
                let now = self.now();
                let port = self.ports.get(slot as usize).and_then(Option::as_ref);
                if let Some(port) = port.filter(|port| port.seat.is_none()) {
                    seat.prime(now, &port.recent);
                }
                seat.set_complexity(self.effort.complexity());
                Order::Sit(seat)
            }
            Order::Transcode(Some(mut transcoder)) => {
                transcoder.set_complexity(self.effort.complexity());
                Order::Transcode(Some(transcoder))
            }
            order => order,
        };
        let Some(place) = self.ports.get_mut(slot as usize) else {
            return Ok(());
        };
        let order = match order {
            Order::Insert(port) => return self.insert(slot, port),
            Order::Remove { moves } => {
                self.remove(slot, moves);
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
        let brings_coder = matches!(order, Order::Transcode(_) | Order::Sit(_));
        let left = port.carry_out(order);
        if brings_coder {
            port.set_effort(self.effort);
        }
        enter_room(&mut self.rooms, slot, port, &self.shared.counters);
        if let Some(left) = left {
            self.reports.give_back(left, &self.shared.counters);
        }
        let token = media_token(port.generation, slot);
        self.take_held(token);
        self.list_for_beats(slot)
    }

    pub(super) fn refuse(&mut self, order: Order) -> io::Result<()> {
        let left = match order {
            Order::Play(clip, ..) => Report::SpentClip(clip),
            Order::Tap(_, tap) => Report::SpentTap(tap),
            Order::Beep(clip) => Report::SpentClip(clip),
            Order::Sit(seat) => Report::SpentSeat(seat),
            Order::Secure(_, Some(security)) => Report::SpentSecurity(security),
            Order::Reports(socket) => Report::SpentSocket(socket),
            Order::Transcode(Some(transcoder)) => Report::SpentTranscoder(transcoder),
            Order::Listen(Some(decoder)) => Report::SpentListener(decoder),
            _ => return Ok(()),
        };
        self.reports.give_back(left, &self.shared.counters);
        Ok(())
    }

    pub(super) fn insert(&mut self, slot: u32, mut port: Box<MediaPort>) -> io::Result<()> {
        self.generation = (self.generation + 1) & GENERATIONS;
        port.generation = self.generation;
        port.beats = false;
        port.leaves = false;
        port.set_effort(self.effort);
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

    /// Passes on what was read from the port's socket before it could be: by its last worker, or before its listener had
    /// come. Nothing while that is still so.
    pub(super) fn take_held(&mut self, token: u64) {
        if port_of(&mut self.ports, token).is_none_or(|port| port.keeps()) {
            return;
        }
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

    pub(super) fn remove(&mut self, slot: u32, moves: bool) {
        let Some(port) = self.ports.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        if port.beats {
            self.beating.retain(|beating| *beating != slot);
            port.beats = false;
        }
        port.leaves = true;
        port.moves = moves;
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
    pub(super) fn detached(&mut self, token: u64) {
        let Some(port) = port_of(&mut self.ports, token) else {
            return;
        };
        port.detaching = port.detaching.saturating_sub(1);
        if port.leaves && port.detaching == 0 {
            self.departed.push(slot_of(token));
        }
    }

    /// Gives the ports back that nothing comes from any more, as far as there is room.
    pub(super) fn give_back_departed(&mut self) {
        while self.reports.has_room()
            && let Some(slot) = self.departed.pop()
        {
            if let Some(mut port) = self.ports.get_mut(slot as usize).and_then(Option::take) {
                port.link = Link::Nobody;
                // One that moves on is awaited, and so is the end of a recording.
                let is_awaited = port.moves || !port.taps.is_empty();
                let report = Report::Removed(slot, port);
                if is_awaited {
                    self.reports.give_back(report, &self.shared.counters);
                } else {
                    self.reports.put_down(report, &self.shared.counters);
                }
            }
        }
    }
}
