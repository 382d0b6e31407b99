//! The worker's part in RTCP: reports that come, reports that are due, and legs that stay bad.

use std::net::SocketAddr;

use super::{Worker, media_token, reports_token};
use crate::ledger::clock::Mono;
use crate::media::command::Report;
use crate::media::counters::Counters;
use crate::media::port::MediaPort;
use crate::rtp::quality::Change;

impl Worker {
    /// Once a look: what is due of each leg.
    pub(super) fn look_at_streams(&mut self, now: Mono) {
        let Worker {
            ports,
            reports,
            scratch,
            shared,
            io,
            ..
        } = self;
        let counters = &shared.counters;
        for (slot, port) in (0u32..).zip(ports.iter_mut()) {
            let Some(port) = port.as_deref_mut().filter(|port| !port.leaves) else {
                continue;
            };
            match &mut port.seat {
                Some(seat) => {
                    let buffered = seat.buffered(now);
                    port.stream.note_buffer(buffered.late, Some(buffered.delay));
                }
                None => port.stream.note_buffer(0, None),
            }
            if let Some(change) = port.stream.judge(now) {
                let latest = port.stream.latest();
                if change == Change::Poor {
                    counters.poor.count();
                }
                reports.tell(Report::Sounds(port.leg.id(), change, latest), counters);
            }
            if let Some(life) = port.stream.key_life() {
                reports.tell(Report::KeyLife(port.leg.id(), life), counters);
            }
            let target = port.leg.target();
            let Some((length, to)) = port.stream.report(now, target, scratch.room()) else {
                continue;
            };
            let datagram = scratch.datagram(length);
            let (token, socket) = match &port.reports {
                Some(socket) if !port.stream.is_muxed() => {
                    (reports_token(port.generation, slot), socket)
                }
                _ => (media_token(port.generation, slot), &port.socket),
            };
            io.send(token, socket, datagram, to, counters);
            counters.reports_sent.count();
        }
    }
}

/// A report came to a leg.
pub(super) fn hear(
    port: &mut MediaPort,
    now: Mono,
    from: SocketAddr,
    report: &[u8],
    counters: &Counters,
) {
    let source = port.leg.target();
    match port.stream.hear(now, from, source, report) {
        Ok(()) => counters.reports_received.count(),
        Err(reason) => counters.drop(reason),
    }
}
