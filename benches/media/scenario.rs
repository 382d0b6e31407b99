//! What is measured, and how each is brought about in a media plane of one worker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use vats::audio::wav;
use vats::call::media::{MediaAct, MediaEvent, PlayMode};
use vats::clock::Clock;
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::{BridgeId, LegId};
use vats::media::{Plane, PlaneSettings};
use vats::rtp::srtp::{LONGEST_MATERIAL, MasterKey, Mki, Suite};
use vats::sdp::crypto::{CryptoAgreed, LONGEST_LIFE};
use vats::sdp::negotiate::{Agreed, Codec, Direction};
use vats::sdp::opus_format::OpusFormat;

use super::LOOPBACK;

/// What is measured. A call has two legs, whose phones both speak all the time; so the packets are as many in each.
#[derive(Copy, Clone, PartialEq)]
pub enum Scenario {
    /// The simplest relay that there can be: the measure of all others.
    Bare,
    /// G.711 relayed.
    Relay(MediaIo),
    /// The same, and both sides recorded.
    Recorded,
    /// The same as a relay, protected on both legs.
    Secured(Suite),
    /// One leg of each call speaks PCMU, the other this.
    Converted(Codec),
    /// G.711 legs that sit together by so many, whatever call they are of.
    Rooms(usize),
    /// Each leg hears music, while its phone speaks.
    Music,
}

/// How what a phone hears hangs together with what another one says.
#[derive(Copy, Clone, PartialEq)]
pub enum Hearing {
    /// The nth packet heard is the nth that the call's other phone sent.
    Partner,
    /// The first phone of each room says something loud now and then, and the others hear it.
    Marks(usize),
    /// Packets come evenly, every 20 ms.
    Evenly,
}

impl Scenario {
    /// All that is measured at every size, the measure first.
    pub const ALL: [Scenario; 10] = [
        Scenario::Bare,
        Scenario::Relay(MediaIo::Epoll),
        Scenario::Relay(MediaIo::Uring),
        Scenario::Recorded,
        Scenario::Secured(Suite::AesCm128HmacSha1Tag80),
        Scenario::Secured(Suite::AeadAes128Gcm),
        Scenario::Converted(Codec::G722),
        Scenario::Converted(Codec::Opus),
        Scenario::Rooms(3),
        Scenario::Music,
    ];

    pub fn name(self) -> String {
        match self {
            Scenario::Bare => "bare loop".to_owned(),
            Scenario::Relay(MediaIo::Epoll) => "relay, epoll".to_owned(),
            Scenario::Relay(_) => "relay, io_uring".to_owned(),
            Scenario::Recorded => "relay, recorded".to_owned(),
            Scenario::Secured(Suite::AeadAes128Gcm | Suite::AeadAes256Gcm) => {
                "relay, SRTP AES-GCM".to_owned()
            }
            Scenario::Secured(_) => "relay, SRTP AES-CM, SHA1".to_owned(),
            Scenario::Converted(codec) => format!("PCMU and {codec}"),
            Scenario::Rooms(seats) => format!("rooms of {seats} legs"),
            Scenario::Music => "music to each leg".to_owned(),
        }
    }

    pub fn hearing(self) -> Hearing {
        match self {
            Scenario::Rooms(seats) => Hearing::Marks(seats),
            Scenario::Music => Hearing::Evenly,
            _ => Hearing::Partner,
        }
    }

    /// Whether most of it is computing, which grows with the calls. What is system calls gets cheaper with them.
    pub fn is_work(self) -> bool {
        matches!(self, Scenario::Converted(_) | Scenario::Rooms(_))
    }

    /// What passes before anything counts. Opus's effort follows the load, which is looked at each second.
    pub fn warming(self) -> Duration {
        Duration::from_millis(match self {
            Scenario::Converted(Codec::Opus) => 2_200,
            Scenario::Rooms(_) => 500,
            _ => 200,
        })
    }

    /// What a phone speaks.
    pub fn codec(self, phone: usize) -> Codec {
        match self {
            Scenario::Converted(codec) if phone % 2 == 1 => codec,
            Scenario::Converted(_) => Codec::Pcmu,
            _ => Codec::Pcma,
        }
    }

    /// How much quieter than a prompt the phones speak, so that marks stand out of what all say together.
    pub fn quieter(self) -> i16 {
        match self {
            Scenario::Rooms(_) => 32,
            _ => 1,
        }
    }

    /// The keys of a phone's leg, as the plane has them.
    pub fn keys(self, phone: usize) -> Option<CryptoAgreed> {
        let Scenario::Secured(suite) = self else {
            return None;
        };
        let key = |number: usize| {
            let mut random = [0; LONGEST_MATERIAL];
            let mut next = number as u64 + 1;
            for byte in &mut random {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (next >> 56) as u8;
            }
            MasterKey::from_random(suite, random)
        };
        Some(CryptoAgreed {
            send: key(2 * phone),
            receive: key(2 * phone + 1),
            mki: Mki::new(&[])?,
            lifetime: LONGEST_LIFE,
        })
    }

    fn io(self) -> MediaIo {
        match self {
            Scenario::Relay(io) => io,
            _ => MediaIo::Auto,
        }
    }

    /// In which bridge a leg is, out of so many legs; `None`: in none.
    fn bridge(self, leg: usize, legs: usize) -> Option<usize> {
        match self {
            Scenario::Music => None,
            // Those who are left over sit in the last room.
            Scenario::Rooms(seats) => Some((leg / seats).min((legs / seats).max(1) - 1)),
            _ => Some(leg / 2),
        }
    }
}

/// A plane with one worker and no legs.
pub fn start(scenario: Scenario, clock: Clock) -> io::Result<Plane> {
    Plane::start(PlaneSettings {
        workers: 1,
        ports: 20_000..=29_999,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: clock.origin(),
        io: scenario.io(),
    })
}

/// Opens a leg for each phone and lets them hear what they are to hear; where the phones send to.
pub fn open(
    plane: &mut Plane,
    scenario: Scenario,
    phones: &[SocketAddr],
) -> io::Result<Vec<SocketAddr>> {
    let music = std::fs::read(MUSIC)?;
    let music = wav::read_clip("music", &music).map_err(io::Error::other)?;
    let mut targets = Vec::with_capacity(phones.len());
    for (number, phone) in phones.iter().enumerate() {
        let leg = leg(number);
        let towards = LOOPBACK;
        plane.act(Mono::ZERO, MediaAct::Open { leg, towards });
        let Some((_, MediaEvent::Opened { local })) = plane.poll_report() else {
            return Err(io::Error::other("no media port"));
        };
        targets.push(local);
        let agreed = agreed(scenario, number, *phone);
        plane.act(Mono::ZERO, MediaAct::Agree { leg, agreed });
        let act = match scenario.bridge(number, phones.len()) {
            Some(bridge) => MediaAct::Join {
                leg,
                bridge: BridgeId::from_u128(bridge as u128),
            },
            None => MediaAct::Play {
                leg,
                clip: music.clone(),
                mode: PlayMode::Loop,
                token: 0,
            },
        };
        plane.act(Mono::ZERO, act);
    }
    Ok(targets)
}

/// All are in place before the first packet: what a worker's ring had no room for goes out as it is polled.
pub fn settle(plane: &mut Plane) {
    for _ in 0..60 {
        while plane.poll_report().is_some() {}
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A phone's leg.
pub fn leg(phone: usize) -> LegId {
    LegId::from_u128(phone as u128 + 1)
}

fn agreed(scenario: Scenario, phone: usize, remote: SocketAddr) -> Agreed {
    let codec = scenario.codec(phone);
    Agreed {
        remote: Some(remote),
        codec,
        send_payload_type: codec.usual_payload_type(),
        receive_payload_type: codec.usual_payload_type(),
        telephone_event: Some((101, 101)),
        event_clock_rate: 8_000,
        // As most phones with Opus say.
        opus: (codec == Codec::Opus).then(|| OpusFormat {
            fec: true,
            ..OpusFormat::default()
        }),
        packet_time_ms: 20,
        max_packet_time_ms: None,
        direction: Direction::SendRecv,
        crypto: scenario.keys(phone).map(Box::new),
        rtcp_mux: true,
        rtcp: None,
    }
}

const MUSIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prompts/music.wav");
