//! A packet's way through the worker: read, taken in, tapped, heard.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::{Worker, is_of_reports, media_token, port_of, reports, slot_of};
use crate::ledger::clock::Mono;
use crate::media::command::Report;
use crate::media::counters::{Counters, Reason};
use crate::media::io::Io;
use crate::media::leg::{Accepted, Sound};
use crate::media::port::{Link, MediaPort};
use crate::media::stream::{Came, Outgoing, Stream};
use crate::media::tap::TapHeader;

impl Worker {
    /// One datagram is read per wake-up: level-triggered polling tells of the next one, and saves the read that finds none.
    pub(super) fn read(&mut self, token: u64) {
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
    pub(super) fn receive(&mut self, token: u64, length: usize, from: SocketAddr) {
        let now = self.now();
        let slot = slot_of(token);
        let counters = &self.shared.counters;
        let Some(port) = port_of(&mut self.ports, token) else {
            return;
        };
        if port.leaves && is_of_reports(token) {
            return;
        }
        if port.keeps() && !is_of_reports(token) {
            let datagram = self.datagram.get(..length).unwrap_or_default();
            if hold(port, from, datagram, counters) {
                return;
            }
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
        if let (Sound::Voice(codec), Link::To(_)) = (accepted.sound, port.link) {
            port.recent.note(now, codec, accepted.packet.payload);
        }
        let listener = port.link.listener(slot).and_then(|slot| {
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
        let waits = !listener.beats && listener.leg.wants_beats();
        if let Err(reason) = heard {
            counters.drop(reason);
        }
        // A converted packet waits for the one before it, but not for ever.
        if waits && self.list_for_beats(heard_in).is_err() {
            self.shared.counters.drop(Reason::SendFailed);
        }
    }
}

/// Sends what lies at the front of the room, protected where that was agreed on.
pub(super) fn send(
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

/// Keeps a datagram that is passed on by the port's next worker, or when its listener has come; `false`: there is no room, and
/// the leg has it for itself.
fn hold(port: &mut MediaPort, from: SocketAddr, datagram: &[u8], counters: &Counters) -> bool {
    let is_kept = port.held.keep(from, datagram);
    if !is_kept && port.leaves {
        counters.drop(Reason::Unheard);
    }
    is_kept || port.leaves
}

fn copy_to_tap(port: &mut MediaPort, now: Mono, accepted: &Accepted<'_>) {
    if let Sound::Voice(codec) = accepted.sound {
        let header = TapHeader {
            arrival: now,
            timestamp: accepted.packet.timestamp,
            ssrc: accepted.packet.ssrc,
            codec,
        };
        port.taps.push(header, accepted.packet.payload);
    }
}
