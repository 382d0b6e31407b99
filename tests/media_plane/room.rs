//! Rooms over real sockets: three members, supervisors, changes between two and three legs.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use vats::audio::clip::Clip;
use vats::audio::g711;
use vats::audio::goertzel;
use vats::audio::voice::{Decoder, Encoder};
use vats::call::media::{MediaAct, Role};
use vats::ledger::id::BridgeId;
use vats::sdp::negotiate::Codec;

use super::bench::{Bench, Phone, ports, sound};

const BRIDGE: u128 = 1;

/// A phone that says a tone every 20 ms and keeps what it hears.
struct Talker {
    phone: Phone,
    hertz: f64,
    encoder: Encoder,
    decoder: Decoder,
    said: usize,
    /// Each packet: sequence, timestamp, samples at 8 kHz.
    heard: Vec<(u16, u32, Vec<i16>)>,
    /// Each packet as it came.
    packets: Vec<Vec<u8>>,
}

impl Talker {
    fn new(bench: &mut Bench, number: u128, codec: Codec, hertz: f64) -> Talker {
        let phone = bench.phone(number, codec);
        phone.socket.set_nonblocking(true).unwrap();
        Talker {
            phone,
            hertz,
            encoder: Encoder::new(codec, 8_000).unwrap(),
            decoder: Decoder::new(codec, 8_000).unwrap(),
            said: 0,
            heard: Vec::new(),
            packets: Vec::new(),
        }
    }

    fn turn(&mut self) {
        let sample = |n: usize| (4000.0 * (TAU * self.hertz * n as f64 / 8_000.0).sin()) as i16;
        let samples: Vec<i16> = (0..160).map(|n| sample(self.said * 160 + n)).collect();
        self.said += 1;
        let mut payload = [0; 1500];
        let length = self.encoder.encode(&samples, &mut payload);
        let payload_type = self.phone.agreed().send_payload_type;
        self.phone.send_as(payload_type, &payload[..length]);
        self.phone.timestamp += self.phone.codec.clock_rate() / 50;
        self.listen();
    }

    fn listen(&mut self) {
        while let Some((sequence, timestamp, _, _, payload)) = self.phone.receive() {
            let mut samples = vec![0; 960];
            let length = self.decoder.decode(&payload, &mut samples);
            samples.truncate(length);
            self.heard.push((sequence, timestamp, samples));
            self.packets.push(payload);
        }
    }

    /// The level of a tone in what was heard from this packet on, in dB of full scale.
    fn level(&self, from: usize, hertz: f64) -> f64 {
        let all: Vec<i16> = self.heard[from..]
            .iter()
            .flat_map(|(.., s)| s.clone())
            .collect();
        // The middle one of all 50 ms, in which the tones have whole turns: a machine that stands still for a moment breaks
        // a tone, but not everywhere.
        let pieces = all.chunks_exact(400);
        let mut levels: Vec<f64> = pieces
            .map(|piece| goertzel::level_dbfs(piece, hertz))
            .collect();
        levels.sort_by(f64::total_cmp);
        levels[levels.len() / 2]
    }

    fn hears(&self, from: usize, hertz: f64) -> bool {
        let level = self.level(from, hertz);
        // Packets that a busy machine brings late are concealed, which takes some of the level.
        assert!(!(-50.0..-40.0).contains(&level), "{hertz}: {level}");
        level > -40.0
    }

    fn has_every_number(&self) {
        for pair in self.heard.windows(2) {
            let ((a, at, _), (b, bt, _)) = (&pair[0], &pair[1]);
            assert_eq!(a.wrapping_add(1), *b);
            assert!(bt.wrapping_sub(*at) as i32 > 0);
        }
    }
}

/// So many turns of 20 ms.
fn talk(bench: &mut Bench, talkers: &mut [&mut Talker], turns: u32) {
    let start = Instant::now();
    for n in 0..turns {
        for talker in talkers.iter_mut() {
            talker.turn();
        }
        bench.take();
        let next = start + Duration::from_millis(20) * (n + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for talker in talkers {
        talker.listen();
    }
}

fn join(bench: &mut Bench, talker: &Talker, role: Role) {
    bench.act(MediaAct::JoinAs {
        leg: talker.phone.leg,
        bridge: BridgeId::from_u128(BRIDGE),
        role,
    });
}

/// What one says from now on is heard by the other packet by packet, in order, and nothing behind its beginning but that.
fn every_packet_passes(bench: &mut Bench, from: &mut Talker, to: &mut Talker) {
    let first = to.packets.len();
    let mut expected = Vec::new();
    for n in 0..50 {
        let said = sound(from.hertz as usize, n);
        let payload = match (from.phone.codec, to.phone.codec) {
            (Codec::Pcmu, Codec::Pcma) => {
                said.iter().map(|&code| g711::ulaw_to_alaw(code)).collect()
            }
            (Codec::Pcma, Codec::Pcmu) => {
                said.iter().map(|&code| g711::alaw_to_ulaw(code)).collect()
            }
            _ => said.clone(),
        };
        expected.push(payload);
        from.phone.send(&said);
    }
    bench.until("the last packet has passed", |_| {
        to.listen();
        to.packets.last() == expected.last()
    });
    let new = &to.packets[first..];
    assert!(new.ends_with(&expected), "{} packets", new.len());
}

pub fn three_hear_each_other_and_not_themselves() {
    let mut bench = Bench::new(2, ports(840..=859));
    let mut a = Talker::new(&mut bench, 1, Codec::Pcma, 440.0);
    let mut b = Talker::new(&mut bench, 2, Codec::Pcmu, 1000.0);
    let mut c = Talker::new(&mut bench, 3, Codec::G722, 1500.0);
    join(&mut bench, &a, Role::Member);
    join(&mut bench, &b, Role::Member);
    talk(&mut bench, &mut [&mut a, &mut b, &mut c], 30);
    assert!(a.hears(5, 1000.0) && b.hears(5, 440.0) && c.heard.is_empty());
    assert_eq!(bench.plane.census().rooms, 0);
    join(&mut bench, &c, Role::Member);
    assert_eq!(bench.plane.census().rooms, 1);
    talk(&mut bench, &mut [&mut a, &mut b, &mut c], 20);
    let from = (a.heard.len(), b.heard.len(), c.heard.len());
    talk(&mut bench, &mut [&mut a, &mut b, &mut c], 60);
    assert!(!a.hears(from.0, 440.0) && a.hears(from.0, 1000.0) && a.hears(from.0, 1500.0));
    assert!(b.hears(from.1, 440.0) && !b.hears(from.1, 1000.0) && b.hears(from.1, 1500.0));
    assert!(c.hears(from.2, 440.0) && c.hears(from.2, 1000.0) && !c.hears(from.2, 1500.0));
    // What is silent or soft is what all three said late because this machine was busy: a packet now and then.
    let steady = |talker: &Talker, from: usize| {
        let heard = &talker.heard[from..];
        let is_soft = |samples: &Vec<i16>| goertzel::rms_dbfs(samples) <= -30.0;
        let soft = heard.iter().filter(|(.., one)| is_soft(one)).count();
        assert!(soft * 5 <= heard.len(), "{soft} of {}", heard.len());
    };
    steady(&a, from.0);
    // The third leaves: nothing of what the others say is missing.
    bench.act(MediaAct::Leave { leg: c.phone.leg });
    assert_eq!(bench.plane.census().rooms, 0);
    let from = (a.heard.len(), b.heard.len());
    every_packet_passes(&mut bench, &mut b, &mut a);
    every_packet_passes(&mut bench, &mut a, &mut b);
    // What the room had not played yet came before that, and is what was said.
    steady(&a, from.0);
    steady(&b, from.1);
    for talker in [&a, &b, &c] {
        talker.has_every_number();
    }
    bench.close(&[&a.phone, &b.phone, &c.phone]);
}

pub fn a_supervisor_listens_whispers_and_barges_in() {
    let mut bench = Bench::new(2, ports(860..=879));
    let mut caller = Talker::new(&mut bench, 1, Codec::Pcma, 440.0);
    let mut operator = Talker::new(&mut bench, 2, Codec::Pcma, 1000.0);
    let mut boss = Talker::new(&mut bench, 3, Codec::Pcma, 1500.0);
    join(&mut bench, &caller, Role::Member);
    join(&mut bench, &operator, Role::Member);
    talk(&mut bench, &mut [&mut caller, &mut operator, &mut boss], 10);
    join(&mut bench, &boss, Role::Listener);
    let roles = [
        (Role::Listener, false, false),
        (Role::Whisperer(operator.phone.leg), false, true),
        (Role::Member, true, true),
        (Role::Listener, false, false),
    ];
    for (role, by_caller, by_operator) in roles {
        bench.act(MediaAct::SetRole {
            leg: boss.phone.leg,
            role,
        });
        talk(&mut bench, &mut [&mut caller, &mut operator, &mut boss], 20);
        let from = (caller.heard.len(), operator.heard.len(), boss.heard.len());
        talk(&mut bench, &mut [&mut caller, &mut operator, &mut boss], 40);
        assert!(
            boss.hears(from.2, 440.0) && boss.hears(from.2, 1000.0),
            "{role:?}"
        );
        assert!(!boss.hears(from.2, 1500.0), "{role:?}");
        assert_eq!(caller.hears(from.0, 1500.0), by_caller, "{role:?}");
        assert_eq!(operator.hears(from.1, 1500.0), by_operator, "{role:?}");
        assert!(
            caller.hears(from.0, 1000.0) && operator.hears(from.1, 440.0),
            "{role:?}"
        );
    }
    // A clip is heard by all.
    let beep: Vec<i16> = (0..4000)
        .map(|n| (6000.0 * (TAU * 700.0 * f64::from(n) / 8000.0).sin()) as i16)
        .collect();
    let from = (caller.heard.len(), boss.heard.len());
    bench.act(MediaAct::Announce {
        bridge: BridgeId::from_u128(BRIDGE),
        clip: Clip::from_samples("beep", &beep),
    });
    talk(&mut bench, &mut [&mut caller, &mut operator, &mut boss], 30);
    assert!(caller.hears(from.0, 700.0) && boss.hears(from.1, 700.0));
    assert!(caller.hears(from.0, 1000.0));
    caller.has_every_number();
    operator.has_every_number();
    bench.close(&[&caller.phone, &operator.phone, &boss.phone]);
}
