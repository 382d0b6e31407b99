//! A leg's stream as the network sees it: its protection (SRTP), its reports (RTCP), and how it sounds. No socket.
//!
//! Both seams are here: [`Stream::take_in`] right after a datagram was read, [`Stream::send`] right before one goes out. All
//! else of the media plane sees plain RTP. Contexts are made by the signalling task, wherever their keys come from: from
//! the description now ([`crate::sdp::crypto`]), from a DTLS handshake some day.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ledger::clock::{Mono, Wall};
use crate::ledger::entropy::Entropy;
use crate::media::counters::Reason;
use crate::media::leg::{Accepted, Sound};
use crate::rtp::demux::{Kind, classify};
use crate::rtp::quality::{self, Buffer, Change, Judge, Summary};
use crate::rtp::rtcp::Session;
use crate::rtp::srtp::{Life, Protect, SrtpError, Suite, Unprotect};
use crate::sdp::crypto::CryptoAgreed;
use crate::sdp::negotiate::{Agreed, Codec};

/// A leg's stream.
#[derive(Debug)]
pub struct Stream {
    session: Session,
    judge: Judge,
    /// Of the leg's seats in rooms.
    buffer: Buffer,
    codec: quality::Codec,
    /// Kept while the stream is plain, so that no number is protected twice with one key.
    security: Option<Box<Security>>,
    protected: bool,
    /// What was told last of the far side's key.
    told: Life,
    reports: Reports,
}

/// The contexts of both directions.
#[derive(Debug)]
pub struct Security {
    protect: Protect,
    unprotect: Unprotect,
}

/// Where reports go.
#[derive(Debug, Default)]
struct Reports {
    mux: bool,
    /// As the far side's description says, if it does.
    described: Option<SocketAddr>,
    /// Where they came from last.
    source: Option<SocketAddr>,
}

/// What a datagram was.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Came {
    /// Perhaps RTP, of this length.
    Media(usize),
    /// RTCP, of this length.
    Report(usize),
}

/// What may be protected.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// RTP.
    Media,
    /// RTCP.
    Report,
}

impl Security {
    /// Contexts with counters of zero.
    pub fn new(crypto: &CryptoAgreed) -> Result<Security, SrtpError> {
        Ok(Security {
            protect: Protect::new(&crypto.send)?,
            unprotect: Unprotect::new(&crypto.receive, &crypto.mki)?.lasting(crypto.lifetime),
        })
    }

    fn suite(&self) -> Suite {
        self.protect.master().suite()
    }
}

impl Stream {
    /// A plain stream of our source `ssrc`; `wall` is the wall clock at `Mono::ZERO`.
    pub fn new(ssrc: u32, wall: Wall, entropy: &mut Entropy) -> Stream {
        Stream {
            session: Session::new(ssrc, wall, entropy.bytes()),
            judge: Judge::default(),
            buffer: Buffer::default(),
            codec: quality::Codec::G711,
            security: None,
            protected: false,
            told: Life::Lasting,
            reports: Reports::default(),
        }
    }

    /// Protects from now on, or no longer; with new contexts if the keys are new, which go on counting where those before
    /// stopped. Gives contexts back that are not needed any more.
    pub fn secure(&mut self, on: bool, new: Option<Box<Security>>) -> Option<Box<Security>> {
        self.protected = on;
        let mut new = new?;
        self.told = Life::Lasting;
        let before = self.security.take();
        if let Some(before) = &before {
            new.protect.follow(&before.protect);
            new.unprotect.follow(&before.unprotect);
        }
        self.security = Some(new);
        before
    }

    /// Media was agreed on, at first or anew.
    pub fn agree(&mut self, now: Mono, agreed: &Agreed) {
        self.codec = match agreed.codec {
            Codec::Pcmu | Codec::Pcma => quality::Codec::G711,
            Codec::G722 => quality::Codec::G722,
            Codec::Opus => quality::Codec::OPUS,
        };
        self.session.agree(now, agreed.codec.clock_rate());
        if agreed.rtcp != self.reports.described || agreed.rtcp_mux != self.reports.mux {
            self.reports.source = None;
        }
        self.reports.described = agreed.rtcp;
        self.reports.mux = agreed.rtcp_mux;
    }

    /// Takes the protection off the datagram in the first `length` bytes and says what it is. What is neither RTP nor RTCP
    /// is passed on as it is: it is for the leg to refuse.
    pub fn take_in(&mut self, datagram: &mut [u8], length: usize) -> Result<Came, Reason> {
        let packet = datagram.get_mut(..length).ok_or(Reason::Malformed)?;
        let kind = classify(packet);
        let security = self.security.as_mut().filter(|_| self.protected);
        let opened = match (kind, security) {
            (Kind::Rtp, Some(security)) => security.unprotect.rtp(packet),
            (Kind::Rtcp, Some(security)) => security.unprotect.rtcp(packet),
            _ => Ok(length),
        };
        let length = opened.map_err(|error| match error {
            SrtpError::Malformed | SrtpError::NoRoom => Reason::Malformed,
            SrtpError::Replayed => Reason::Replayed,
            SrtpError::Forged | SrtpError::OtherKey => Reason::Forged,
            SrtpError::UsedUp => Reason::KeyUsedUp,
        })?;
        Ok(match kind {
            Kind::Rtcp => Came::Report(length),
            _ => Came::Media(length),
        })
    }

    /// Notes what a packet of the leg tells of its way here.
    pub fn note(&mut self, now: Mono, accepted: &Accepted<'_>) {
        let packet = &accepted.packet;
        let timed = matches!(accepted.sound, Sound::Voice(_));
        self.session
            .note_received(now, packet.ssrc, packet.sequence, packet.timestamp, timed);
    }

    /// Takes a report. `source` is where the leg's media comes from: without protection only its host is believed.
    pub fn hear(
        &mut self,
        now: Mono,
        from: SocketAddr,
        source: Option<SocketAddr>,
        report: &[u8],
    ) -> Result<(), Reason> {
        let is_known = source.is_some_and(|source| source.ip() == from.ip());
        if !is_known && !self.protected {
            return Err(Reason::ForeignSource);
        }
        self.session
            .hear(now, report)
            .map_err(|_| Reason::Malformed)?;
        self.reports.source = Some(from);
        Ok(())
    }

    /// Makes the packet in the first `length` bytes of `buffer` ready to go out; the new length. What cannot be protected
    /// must not be sent.
    pub fn send(
        &mut self,
        now: Mono,
        what: Outgoing,
        buffer: &mut [u8],
        length: usize,
    ) -> Result<usize, Reason> {
        if what == Outgoing::Media {
            let packet = buffer.get(..length).ok_or(Reason::Malformed)?;
            self.session.note_sent(now, packet);
        }
        let Some(security) = self.security.as_mut().filter(|_| self.protected) else {
            return Ok(length);
        };
        let sealed = match what {
            Outgoing::Media => security.protect.rtp(buffer, length),
            Outgoing::Report => security.protect.rtcp(buffer, length),
        };
        sealed.map_err(|error| match error {
            SrtpError::Replayed => Reason::Replayed,
            _ => Reason::SendFailed,
        })
    }

    /// A report, if one is due: its length, and where it goes. `target` is where media goes.
    pub fn report(
        &mut self,
        now: Mono,
        target: Option<SocketAddr>,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        let length = self.session.report(now, buffer)?;
        let length = self.send(now, Outgoing::Report, buffer, length).ok()?;
        Some((length, self.place_of_reports(target)?))
    }

    /// The last report.
    pub fn farewell(
        &mut self,
        now: Mono,
        target: Option<SocketAddr>,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        let length = self.session.farewell(now, buffer)?;
        let length = self.send(now, Outgoing::Report, buffer, length).ok()?;
        Some((length, self.place_of_reports(target)?))
    }

    /// Whether reports go over the port of the media.
    pub fn is_muxed(&self) -> bool {
        self.reports.mux
    }

    /// Notes how the leg's jitter buffer does: packets that were too late for it since this was last told, and its delay;
    /// `None` while it has no buffer.
    pub fn note_buffer(&mut self, late: u64, delay: Option<Duration>) {
        self.buffer.late += late;
        self.buffer.delay = delay;
    }

    /// Judges how the leg sounds, if it is time.
    pub fn judge(&mut self, now: Mono) -> Option<Change> {
        self.judge.look(now, &self.session, self.buffer, self.codec)
    }

    /// That the far side's key comes to its end, or has: each is told once for a key.
    pub fn key_life(&mut self) -> Option<Life> {
        let security = self.security.as_ref().filter(|_| self.protected)?;
        let life = security.unprotect.life();
        let is_news = life != Life::Lasting && life != self.told;
        self.told = life;
        is_news.then_some(life)
    }

    /// The last few seconds.
    pub fn latest(&self) -> Summary {
        Summary {
            suite: self.suite(),
            ..self.judge.latest()
        }
    }

    /// The whole time.
    pub fn overall(&self) -> Summary {
        Summary {
            suite: self.suite(),
            ..self.judge.overall(&self.session, self.buffer, self.codec)
        }
    }

    fn suite(&self) -> Option<Suite> {
        let security = self.security.as_ref().filter(|_| self.protected);
        security.map(|security| security.suite())
    }

    fn place_of_reports(&self, target: Option<SocketAddr>) -> Option<SocketAddr> {
        let reports = &self.reports;
        let target = target?;
        if reports.mux {
            return Some(target);
        }
        // Behind a NAT what is described is seldom reached; what came from there is.
        let above = || Some(SocketAddr::new(target.ip(), target.port().checked_add(1)?));
        reports.source.or(reports.described).or_else(above)
    }
}

#[cfg(test)]
mod tests;
