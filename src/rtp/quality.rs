//! How a leg sounds, as a mean opinion score (ITU-T G.107 and G.107.1, simplified), and when to say that it stays bad.
//!
//! The rating begins at what a perfect line reaches, and delay, the codec and loss each take their share; echo, noise and
//! loudness are not known here. The figures for G.711 (G.113, with concealment) and the loss-free one for G.722 (G.113,
//! appendix IV) are the standard's; there are none for Opus, and none agreed on for G.722 under loss, so those are ours.

use std::time::Duration;

use super::rtcp::reception::Counts;
use super::rtcp::session::{Measured, Session};
use super::srtp::Suite;
use crate::ledger::clock::Mono;

/// What a codec costs by itself, and how well it bears loss.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Codec {
    /// Ie, or Ie,wb for wideband.
    impairment: f64,
    /// Bpl.
    robustness: f64,
    /// The rating of a perfect line on the scale that the impairment is of.
    perfect: f64,
}

impl Codec {
    /// G.711 with concealment of losses.
    pub const G711: Codec = Codec {
        impairment: 0.0,
        robustness: 25.1,
        perfect: NARROW,
    };
    /// G.722 at 64 kbit/s with concealment of losses.
    pub const G722: Codec = Codec {
        impairment: 13.0,
        robustness: 16.0,
        perfect: WIDE,
    };
    /// Opus with forward error correction.
    pub const OPUS: Codec = Codec {
        impairment: 5.0,
        robustness: 20.0,
        perfect: WIDE,
    };

    /// The opinion of listeners, 1 (bad) to 4.5, of a line with this one-way delay and this share of frames lost or too
    /// late to be played, 0 to 1.
    pub fn mos(self, delay: Duration, lost: f64) -> f64 {
        let percent = lost.clamp(0.0, 1.0) * 100.0;
        let worst = 95.0 - self.impairment;
        let equipment = self.impairment + worst * percent / (percent + self.robustness);
        let rating = self.perfect - delay_impairment(delay) - equipment;
        // G.107.1 §7.7: the wide scale is stretched by 1.29.
        let stretch = if self.perfect == WIDE { 1.29 } else { 1.0 };
        opinion(rating / stretch)
    }
}

/// The part of Id that matters without echo (Cole and Rosenbluth's straight lines).
fn delay_impairment(delay: Duration) -> f64 {
    let ms = delay.as_secs_f64() * 1000.0;
    0.024 * ms + 0.11 * (ms - 177.3).max(0.0)
}

/// From the rating to an opinion (G.107 annex B).
fn opinion(rating: f64) -> f64 {
    let r = rating.clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    mos.clamp(1.0, 4.5)
}

/// What is known of how a leg sounds.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// The mean opinion score, 1 to 4.5; `None`: too little was heard to tell.
    pub mos: Option<f64>,
    /// The share of what the far side sent that did not come, or came too late, 0 to 1.
    pub lost_in: f64,
    /// The share of what was sent that the far side missed, if it reports.
    pub lost_out: Option<f64>,
    /// Interarrival jitter: the worse direction's.
    pub jitter: Duration,
    /// To the far side and back, if it reports.
    pub round_trip: Option<Duration>,
    /// Packets that came.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// How the stream was protected last.
    pub suite: Option<Suite>,
}

/// How a running leg sounds.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct Sounding {
    /// So far.
    pub overall: Summary,
    /// In the last few seconds that could be judged.
    pub latest: Summary,
}

/// How the jitter buffer does that plays a leg's packets here, where one does.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Buffer {
    /// Packets that came and were too late to be played, so far.
    pub late: u64,
    /// From the arrival of the fastest packets to their playing; `None`: packets are passed on as they come just now, and
    /// wait in a buffer of the far end's.
    pub delay: Option<Duration>,
}

/// Judges a leg every few seconds.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    next: Option<Mono>,
    before: Measured,
    late_before: u64,
    /// Opinions added up, and how many.
    sum: f64,
    count: u32,
    /// The last few seconds, as far as they could be judged.
    latest: Summary,
    /// When the present run of bad, or of good, opinions began.
    run_since: Option<Mono>,
    run_is_bad: bool,
    /// It was told that the leg stays bad, and it has not recovered since.
    told: bool,
}

/// What a judge noticed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The leg has been bad for [`PATIENCE`].
    Poor,
    /// It was, and has been good for as long.
    Recovered,
}

impl Judge {
    /// Looks at what was measured, if it is time.
    pub fn look(
        &mut self,
        now: Mono,
        session: &Session,
        buffer: Buffer,
        codec: Codec,
    ) -> Option<Change> {
        let next = *self.next.get_or_insert(now + PERIOD);
        if now < next {
            return None;
        }
        self.next = Some(now + PERIOD);
        let measured = session.measured();
        let opinion = self.judge(measured, buffer, codec, ENOUGH)?;
        let is_bad = opinion < POOR;
        if self.run_since.is_none() || is_bad != self.run_is_bad {
            // It began with the period that was judged.
            self.run_since = Some(Mono::from_micros(
                now.as_micros().saturating_sub(PERIOD.as_micros() as u64),
            ));
            self.run_is_bad = is_bad;
        }
        let since = self.run_since.unwrap_or(now);
        if now.since(since) < PATIENCE || is_bad == self.told {
            return None;
        }
        self.told = is_bad;
        Some(if is_bad {
            Change::Poor
        } else {
            Change::Recovered
        })
    }

    /// The whole time: the opinion is the mean of all periods, the unfinished one too if it can be judged.
    pub fn overall(&self, session: &Session, buffer: Buffer, codec: Codec) -> Summary {
        let mut whole = self.clone();
        let least = if self.count == 0 { FEW } else { ENOUGH };
        let measured = session.measured();
        whole.judge(measured, buffer, codec, least);
        let inward = with_late(measured.inward, buffer.late);
        Summary {
            mos: (whole.count > 0).then(|| whole.sum / f64::from(whole.count)),
            ..summary(measured, inward, measured.outward)
        }
    }

    /// The last few seconds that could be judged.
    pub fn latest(&self) -> Summary {
        self.latest
    }

    /// Judges what came since the last time, both ways; the worse one counts.
    fn judge(
        &mut self,
        measured: Measured,
        buffer: Buffer,
        codec: Codec,
        least: u64,
    ) -> Option<f64> {
        let late = buffer.late.saturating_sub(self.late_before);
        let inward = with_late(measured.inward.since(self.before.inward), late);
        let outward = measured.outward.since(self.before.outward);
        let can_judge = |counts: &Counts| counts.expected >= least;
        if !can_judge(&inward) && !can_judge(&outward) {
            // On hold, or at its beginning: what has come by now is judged with the next.
            return None;
        }
        (self.before, self.late_before) = (measured, buffer.late);
        let far_jitter = measured.far_jitter.unwrap_or_default();
        let one_way = measured.round_trip.unwrap_or_default() / 2;
        // The delay of a jitter buffer that is not ours: it waits for twice the jitter.
        let heard_after = buffer.delay.unwrap_or(measured.jitter * 2);
        let opinions = [(inward, heard_after), (outward, far_jitter * 2)]
            .into_iter()
            .filter(|(counts, _)| can_judge(counts))
            // Beside the way, a packet must be filled.
            .map(|(counts, waits)| codec.mos(one_way + PACKET + waits, counts.share_lost()));
        let opinion = opinions.fold(f64::MAX, f64::min);
        self.sum += opinion;
        self.count += 1;
        self.latest = Summary {
            mos: Some(opinion),
            ..summary(measured, inward, outward)
        };
        Some(opinion)
    }
}

/// What came in with what our buffer could not use. Reception guesses itself what a buffer could not: the worse counts.
fn with_late(counts: Counts, late: u64) -> Counts {
    Counts {
        late: counts.late.max(late),
        ..counts
    }
}

fn summary(measured: Measured, inward: Counts, outward: Counts) -> Summary {
    let far_jitter = measured.far_jitter.unwrap_or_default();
    Summary {
        mos: None,
        lost_in: inward.share_lost(),
        lost_out: (outward.expected > 0).then(|| outward.share_lost()),
        jitter: measured.jitter.max(far_jitter),
        round_trip: measured.round_trip,
        received: measured.inward.received,
        sent: measured.sent,
        suite: None,
    }
}

/// Below this most listeners are not content.
pub const POOR: f64 = 3.5;
/// How long a leg must stay bad until it is told, and good until it counts as recovered.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// What is judged together.
const PERIOD: Duration = Duration::from_secs(5);
/// Packets that make a judgement of a period.
const ENOUGH: u64 = 25;
/// Packets that make a judgement of a short leg.
const FEW: u64 = 10;
const PACKET: Duration = Duration::from_millis(20);
/// G.107: all parameters at their defaults.
const NARROW: f64 = 93.2;
/// G.107.1: the same for wideband.
const WIDE: f64 = 129.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::clock::Wall;
    use proptest::prelude::*;

    const NO_BUFFER: Buffer = Buffer {
        late: 0,
        delay: None,
    };

    #[test]
    fn what_a_buffer_could_not_play_is_lost_and_its_delay_counts() {
        let mut session = Session::new(1, Wall::default(), [1; 16]);
        session.agree(ms(0), 8000);
        for n in 0..500u16 {
            let at = u64::from(n) * 20;
            session.note_received(ms(at), 9, n, u32::from(n) * 160, true);
        }
        let mos = |late, delay| {
            let buffer = Buffer {
                late,
                delay: Some(Duration::from_millis(delay)),
            };
            let overall = Judge::default().overall(&session, buffer, Codec::G711);
            (overall.mos.unwrap(), overall.lost_in)
        };
        let at = |delay: u64, lost| Codec::G711.mos(Duration::from_millis(20 + delay), lost);
        assert_eq!(mos(0, 0), (at(0, 0.0), 0.0));
        assert_eq!(mos(25, 0), (at(0, 0.05), 0.05));
        assert_eq!(mos(0, 300), (at(300, 0.0), 0.0));
        assert!(mos(25, 300).0 < mos(25, 0).0 - 0.3);
    }

    #[test]
    fn a_buffer_is_judged_by_the_period() {
        let mut session = Session::new(1, Wall::default(), [1; 16]);
        session.agree(ms(0), 8000);
        let mut judge = Judge::default();
        let mut shares = Vec::new();
        for n in 0..1_001u64 {
            session.note_received(ms(n * 20), 9, n as u16, n as u32 * 160, true);
            let buffer = Buffer {
                // All of them in the third period.
                late: n.saturating_sub(500).min(25),
                delay: Some(Duration::from_millis(30)),
            };
            judge.look(ms(n * 20), &session, buffer, Codec::G711);
            if n > 0 && n % 250 == 0 {
                shares.push((judge.latest().lost_in * 100.0).round());
            }
        }
        assert_eq!(shares, [0.0, 0.0, 10.0, 0.0]);
    }

    fn ms(n: u64) -> Mono {
        Mono::from_micros(n * 1000)
    }

    fn near(mos: f64, expected: f64) {
        assert!((mos - expected).abs() < 0.03, "{mos} is not {expected}");
    }

    #[test]
    fn figures_of_the_model() {
        near(Codec::G711.mos(Duration::ZERO, 0.0), 4.41);
        near(Codec::G711.mos(Duration::from_millis(150), 0.0), 4.34);
        near(Codec::G711.mos(Duration::from_millis(400), 0.0), 3.05);
        near(Codec::G711.mos(Duration::from_millis(20), 0.01), 4.31);
        near(Codec::G711.mos(Duration::from_millis(20), 0.05), 3.89);
        near(Codec::G711.mos(Duration::from_millis(20), 0.10), 3.40);
        near(Codec::G722.mos(Duration::ZERO, 0.0), 4.34);
        near(Codec::OPUS.mos(Duration::ZERO, 0.0), 4.44);
        near(Codec::G711.mos(Duration::from_secs(9), 1.0), 1.0);
    }

    /// A leg whose far side loses a share of its packets from one second to another.
    fn changes(seconds: u64, bad: std::ops::Range<u64>) -> (Vec<(u64, Change)>, f64) {
        let mut session = Session::new(1, Wall::default(), [1; 16]);
        session.agree(ms(0), 8000);
        let mut judge = Judge::default();
        let mut changes = Vec::new();
        for n in 0..seconds * 50 {
            if !(bad.contains(&(n / 50)) && n % 8 == 3) {
                session.note_received(ms(n * 20), 9, n as u16, n as u32 * 160, true);
            }
            if n % 50 == 0
                && let Some(change) = judge.look(ms(n * 20), &session, NO_BUFFER, Codec::G711)
            {
                changes.push((n / 50, change));
            }
        }
        let overall = judge.overall(&session, NO_BUFFER, Codec::G711).mos.unwrap();
        (changes, overall)
    }

    #[test]
    fn a_leg_that_stays_bad_is_told_once_until_it_recovers() {
        let (told, overall) = changes(60, 0..60);
        assert_eq!(told, [(15, Change::Poor)]);
        assert!(overall < 3.4, "{overall}");
        let (told, overall) = changes(60, 12..22);
        assert_eq!(told, []);
        assert!((3.5..4.4).contains(&overall), "{overall}");
        let (told, _) = changes(100, 10..30);
        assert_eq!(told, [(25, Change::Poor), (45, Change::Recovered)]);
        let (told, overall) = changes(60, 0..0);
        assert_eq!(told, []);
        assert!(overall > 4.35, "{overall}");
    }

    #[test]
    fn short_and_silent_legs() {
        let mut session = Session::new(1, Wall::default(), [1; 16]);
        session.agree(ms(0), 8000);
        let judge = Judge::default();
        let overall = |session: &Session| judge.overall(session, NO_BUFFER, Codec::G711);
        assert_eq!(overall(&session), Summary::default());
        for n in 0..12 {
            session.note_received(ms(u64::from(n) * 20), 9, n, u32::from(n) * 160, true);
        }
        let overall = overall(&session);
        assert!(overall.mos.unwrap() > 4.3);
        assert_eq!((overall.received, overall.lost_out), (12, None));
        assert_eq!(judge.latest().mos, None);
    }

    proptest! {
        #[test]
        fn opinions_stay_in_range_and_fall_with_loss_and_delay(delay in 0u64..2000, lost in 0.0f64..1.0, more in 0.0f64..0.5) {
            for codec in [Codec::G711, Codec::G722, Codec::OPUS] {
                let at = |delay, lost| codec.mos(Duration::from_millis(delay), lost);
                let mos = at(delay, lost);
                prop_assert!((1.0..=4.5).contains(&mos));
                prop_assert!(at(delay, lost + more) <= mos + 1e-9);
                prop_assert!(at(delay + 50, lost) <= mos + 1e-9);
            }
        }
    }
}
