//! What the signalling side makes for legs' streams: contexts of protection, sockets for reports; and what it does with a
//! stream that is over.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::{Plane, bind, of_family};
use crate::call::media::MediaEvent;
use crate::ledger::clock::{Mono, Wall};
use crate::ledger::id::LegId;
use crate::media::command::Order;
use crate::media::leg::ROOM;
use crate::media::port::MediaPort;
use crate::media::stream::Security;
use crate::sdp::crypto::CryptoAgreed;
use crate::sdp::negotiate::Agreed;

/// What was made for a leg so far.
#[derive(Debug, Default)]
pub struct Made {
    /// The keys of the contexts made last.
    keys: Option<Box<CryptoAgreed>>,
    protected: bool,
    /// Its reports do not come with the media.
    wants_reports: bool,
    /// It has a socket for them.
    has_reports: bool,
    /// Its far side has sent media.
    is_ready: bool,
}

impl Plane {
    /// Gives a leg the protection and the socket for reports that were agreed on; the keys are taken out. `false`: it cannot
    /// be protected, and must send nothing.
    pub(super) fn prepare_stream(&mut self, leg: LegId, agreed: &mut Agreed) -> bool {
        let Some(place) = self.places.get_mut(&leg) else {
            return false;
        };
        let made = &mut place.made;
        made.wants_reports = !agreed.rtcp_mux;
        let keys = agreed.crypto.take();
        let protected = keys.is_some();
        let is_new = protected && keys != made.keys;
        if protected || made.protected {
            made.protected = protected;
            let security = match keys.filter(|_| is_new) {
                Some(keys) => match Security::new(&keys) {
                    Ok(security) => {
                        made.keys = Some(keys);
                        Some(Box::new(security))
                    }
                    Err(error) => {
                        let why = format!("media cannot be protected: {error}");
                        self.reports.push_back((leg, MediaEvent::Failed { why }));
                        return false;
                    }
                },
                None => None,
            };
            self.order(leg, Order::Secure(protected, security));
        }
        self.open_for_reports(leg);
        true
    }

    /// The leg's far side has begun to send media.
    pub(super) fn became_ready(&mut self, leg: LegId) {
        if let Some(place) = self.places.get_mut(&leg) {
            place.made.is_ready = true;
            self.open_for_reports(leg);
        }
    }

    /// Gives a leg the port for its reports, once it needs one: most legs of a hunt never hear a packet, and an answered
    /// one has the port before its first report is due.
    fn open_for_reports(&mut self, leg: LegId) {
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        let (local, made) = (place.local, &mut place.made);
        if !made.wants_reports || !made.is_ready || made.has_reports {
            return;
        }
        made.has_reports = true;
        if let Some(socket) = self.bind_reports(local) {
            self.order(leg, Order::Reports(socket));
        }
    }

    /// The port above the media's. Without it the leg has no reports, and nothing else suffers.
    fn bind_reports(&mut self, media: SocketAddr) -> Option<UdpSocket> {
        let ip = of_family(self.bind, media.is_ipv4());
        let number = media.port().checked_add(1)?;
        match bind(SocketAddr::new(ip, number)) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(%error, number, "the port for RTCP cannot be opened");
                None
            }
        }
    }

    /// A leg's stream is over: says farewell to its far side, and tells how it was.
    pub(super) fn finish(&mut self, mut port: Box<MediaPort>) {
        let leg = port.leg.id();
        let now = Mono::ZERO + self.start.elapsed();
        let target = port.leg.target();
        let mut room = [0u8; ROOM];
        if let Some((length, to)) = port.stream.farewell(now, target, &mut room) {
            let socket = match &port.reports {
                Some(socket) if !port.stream.is_muxed() => socket,
                _ => &port.socket,
            };
            let report = room.get(..length).unwrap_or_default();
            // A farewell that does not get through is one packet lost.
            let sent = socket
                .set_nonblocking(true)
                .and_then(|()| socket.send_to(report, to));
            if let Err(error) = sent {
                tracing::debug!(%error, %leg, "the last RTCP report was not sent");
            }
        }
        let summary = port.stream.overall();
        self.reports.push_back((leg, MediaEvent::Measured(summary)));
    }
}

/// The wall clock at the instant that is `Mono::ZERO`.
pub fn wall_at(start: std::time::Instant) -> Wall {
    let passed = start.elapsed();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Wall::from_micros(now.saturating_sub(passed).as_micros() as i64)
}
