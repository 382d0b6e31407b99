use std::f64::consts::TAU;
use std::net::UdpSocket;

use super::seat::Seat;
use super::*;
use crate::audio::goertzel;
use crate::audio::voice::{Decoder, Encoder};
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::media::command::Order;
use crate::media::leg::{Leg, Sound};
use crate::media::port::{Held, Link};
use crate::media::recent::Recent;
use crate::media::stream::Stream;
use crate::media::tap::Taps;
use crate::rtp::packet::Packet;
use crate::sdp::negotiate::{Agreed, Direction};

/// A packet that a leg was sent: sequence, timestamp, payload.
type Heard = (u16, u32, Vec<u8>);

/// What a worker does with a room and its legs, in virtual time. The room's number is 0.
struct Hall {
    ports: Vec<Option<Box<MediaPort>>>,
    room: Room,
    rate_hz: u32,
    scratch: Scratch,
    heard: Vec<Vec<Heard>>,
    said: Vec<(u16, u32)>,
    now: Mono,
}

fn remote(slot: u32) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 30_000 + slot as u16))
}

fn parse(room: &[u8], length: usize) -> Heard {
    let packet = Packet::parse(&room[..length]).unwrap();
    (packet.sequence, packet.timestamp, packet.payload.to_vec())
}

impl Hall {
    /// Legs of these codecs and packet times, in slots from 0 on, that hear nobody.
    fn new(legs: &[(Codec, u32)], rate_hz: u32) -> Hall {
        let mut entropy = Entropy::from_number(1);
        let ports = legs.iter().zip(0u32..).map(|(&(codec, packet_ms), slot)| {
            let mut leg = Leg::new(LegId::from_u128(slot.into()), Mono::ZERO, &mut entropy);
            let number = codec.usual_payload_type();
            let agreed = Agreed {
                remote: Some(remote(slot)),
                codec,
                send_payload_type: number,
                receive_payload_type: number,
                telephone_event: Some((101, 101)),
                event_clock_rate: 8_000,
                opus: None,
                packet_time_ms: packet_ms,
                max_packet_time_ms: None,
                direction: Direction::SendRecv,
                crypto: None,
                rtcp_mux: true,
                rtcp: None,
            };
            leg.agree(Mono::ZERO, agreed);
            Some(Box::new(MediaPort {
                socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
                number: slot as u16,
                reports: None,
                stream: Stream::new(leg.ssrc(), Wall::default(), &mut entropy),
                leg,
                link: Link::Nobody,
                seat: None,
                taps: Taps::default(),
                generation: 0,
                beats: false,
                leaves: false,
                moves: false,
                detaching: 0,
                held: Held::EMPTY,
                recent: Recent::default(),
            }))
        });
        Hall {
            ports: ports.collect(),
            room: Room::new(rate_hz).unwrap(),
            rate_hz,
            scratch: Scratch::new(),
            heard: vec![Vec::new(); legs.len()],
            said: vec![(0, 0); legs.len()],
            now: Mono::ZERO,
        }
    }

    fn at(&mut self, millis: u64) {
        self.now = Mono::from_micros(millis * 1000);
    }

    fn port(&mut self, slot: u32) -> &mut MediaPort {
        self.ports[slot as usize].as_mut().unwrap()
    }

    fn codec(&mut self, slot: u32) -> Codec {
        let port = self.port(slot);
        let codecs = Codec::ALL.into_iter();
        let mut spoken = codecs.filter(|codec| port.leg.room_packet_ms(*codec).is_some());
        spoken.next().unwrap()
    }

    fn sit(&mut self, slot: u32, role: Role) {
        let (codec, rate_hz, now) = (self.codec(slot), self.rate_hz, self.now);
        let mut seat = Box::new(Seat::new(0, role, codec, rate_hz).unwrap());
        let port = self.port(slot);
        seat.prime(now, &port.recent);
        port.carry_out(Order::Sit(seat));
        self.room.admit(slot);
    }

    fn link(&mut self, slot: u32, listener: u32) {
        let Hall {
            ports,
            scratch,
            heard,
            now,
            ..
        } = self;
        let legs = (slot, listener);
        parting::play_out(*now, ports, legs, scratch, |door, room, length, _| {
            heard[door.0 as usize].push(parse(room, length));
        });
        self.port(slot).carry_out(Order::Link(Link::To(listener)));
    }

    fn say(&mut self, slot: u32, payload: &[u8], millis: u32) {
        let codec = self.codec(slot);
        let (sequence, timestamp) = self.said[slot as usize];
        let mut datagram = [0; 1500];
        let packet = Packet {
            payload_type: codec.usual_payload_type(),
            marker: false,
            sequence,
            timestamp,
            ssrc: slot,
            payload,
        };
        let length = packet.write_into(&mut datagram).unwrap();
        let ticks = codec.clock_rate() / 1000 * millis;
        self.said[slot as usize] = (sequence.wrapping_add(1), timestamp.wrapping_add(ticks));
        let Hall {
            ports,
            scratch,
            heard,
            now,
            ..
        } = self;
        let port = ports[slot as usize].as_mut().unwrap();
        let accepted = port.leg.receive(*now, remote(slot), &datagram[..length]);
        let accepted = accepted.unwrap();
        assert_eq!(accepted.sound, Sound::Voice(codec));
        if let Some(seat) = &mut port.seat {
            assert!(seat.take_in(*now, &accepted.packet, codec));
        } else if let Link::To(listener) = port.link {
            port.recent.note(*now, codec, payload);
            let listener = listener as usize;
            let hearing = &mut ports[listener].as_mut().unwrap().leg;
            let hears = hearing.hear(*now, &accepted, scratch, |room, length, _| {
                heard[listener].push(parse(room, length));
            });
            hears.unwrap();
        }
    }

    fn beat(&mut self) {
        let Hall {
            ports,
            room,
            scratch,
            heard,
            now,
            ..
        } = self;
        room.beat(0, *now, ports, scratch, |slot, _, room, length, _| {
            heard[slot as usize].push(parse(room, length));
        });
    }
}

/// Bytes of µ-law that have nothing to do with each other, and that decoding and encoding leave as they are.
fn noise(count: usize) -> Vec<u8> {
    let mut entropy = Entropy::from_number(5);
    let byte = |_| entropy.u32().to_be_bytes()[0];
    let sound = (0..count).map(byte);
    sound
        .map(|byte| if byte == 0x7f { 0x7e } else { byte })
        .collect()
}

/// Two legs that are linked, in a room, and linked again: every sample that the one says is heard by the other once and in
/// order, and nothing else but what fills the wait for the room's first packet.
fn linked_mixed_and_linked(said_ms: u32, heard_ms: u32) {
    let mut hall = Hall::new(
        &[
            (Codec::Pcmu, said_ms),
            (Codec::Pcmu, heard_ms),
            (Codec::Pcmu, 20),
        ],
        8_000,
    );
    hall.link(0, 1);
    hall.link(1, 0);
    let sound = noise(8 * 2_400);
    let mut relayed = 0;
    let mut packets = sound.chunks(said_ms as usize * 8);
    for millis in 0..=2_400u64 {
        hall.at(millis);
        if millis % u64::from(said_ms) == 3
            && let Some(packet) = packets.next()
        {
            hall.say(0, packet, said_ms);
            relayed += if millis < 605 { packet.len() } else { 0 };
        }
        if millis == 605 {
            for slot in 0..3 {
                hall.sit(slot, Role::Member);
            }
        }
        if millis == 1_805 {
            // The third leaves, and the others are linked.
            hall.port(2).carry_out(Order::Link(Link::Nobody));
            hall.link(0, 1);
            hall.link(1, 0);
        }
        if millis % 20 == 10 && (605..1_805).contains(&millis) {
            hall.beat();
        }
    }
    let what = format!("{said_ms} ms said, {heard_ms} ms heard");
    let heard = &hall.heard[1];
    let mut pauses = 0;
    for pair in heard.windows(2) {
        let ((before, then, payload), (after, now, _)) = (&pair[0], &pair[1]);
        assert_eq!(before.wrapping_add(1), *after, "{what}");
        let ticks = now.wrapping_sub(*then);
        let pause = ticks - payload.len() as u32;
        // The room's first packet is ready when a whole one was heard: the listener waits for the rest of it.
        assert!(pause < 8 * heard_ms, "{what}: time goes on as sound does");
        pauses += usize::from(pause > 0);
    }
    assert!(pauses <= 1, "{what}: {pauses} pauses");
    let all: Vec<u8> = heard
        .iter()
        .flat_map(|(.., payload)| payload.clone())
        .collect();
    assert_eq!(all[..relayed], sound[..relayed], "{what}");
    let filled = all.len() - sound.len();
    // A beat, a packet, and the least that a jitter buffer waits.
    let most = (20 + said_ms + 10) as usize * 8;
    assert!(filled > 0 && filled <= most, "{what}: {filled}");
    // The sound that follows on what was filled in passes out of that.
    let passage = 80;
    assert!(
        all[relayed + filled + passage..] == sound[relayed + passage..],
        "{what}"
    );
    // It is filled by what was said before, not by silence.
    let samples: Vec<i16> = all[relayed..relayed + 80]
        .iter()
        .map(|&c| crate::audio::g711::ulaw_decode(c))
        .collect();
    assert!(goertzel::rms_dbfs(&samples) > -20.0, "{what}");
}

#[test]
fn every_sample_is_heard_once_through_all_changes() {
    for (said_ms, heard_ms) in [
        (20, 20),
        (10, 20),
        (30, 20),
        (20, 30),
        (30, 30),
        (60, 20),
        (40, 60),
    ] {
        linked_mixed_and_linked(said_ms, heard_ms);
    }
}

/// Says a tone in a codec, 20 ms at a time.
struct Voice {
    slot: u32,
    encoder: Encoder,
    hertz: f64,
    said: usize,
}

impl Voice {
    fn new(hall: &mut Hall, slot: u32, hertz: f64) -> Voice {
        let encoder = Encoder::new(hall.codec(slot), 16_000).unwrap();
        Voice {
            slot,
            encoder,
            hertz,
            said: 0,
        }
    }

    fn say(&mut self, hall: &mut Hall, is_loud: bool) {
        let loud = if is_loud { 6_000.0 } else { 0.0 };
        let sample = |n: usize| (loud * (TAU * self.hertz * n as f64 / 16_000.0).sin()) as i16;
        let samples: Vec<i16> = (self.said..self.said + 320).map(sample).collect();
        self.said += 320;
        let mut payload = [0; 1_500];
        let length = self.encoder.encode(&samples, &mut payload);
        hall.say(self.slot, &payload[..length], 20);
    }
}

/// How much of what a leg heard from that packet on is this tone.
fn share(hall: &mut Hall, slot: u32, from: usize, hertz: f64) -> f64 {
    let codec = hall.codec(slot);
    let mut decoder = Decoder::new(codec, 16_000).unwrap();
    let mut all = Vec::new();
    for (n, (.., payload)) in hall.heard[slot as usize].iter().enumerate() {
        let mut samples = vec![0; 1_920];
        let length = decoder.decode(payload, &mut samples);
        if n >= from {
            all.extend_from_slice(&samples[..length]);
        }
    }
    // The measure works at 8 kHz.
    goertzel::share(&all, hertz / 2.0)
}

#[test]
fn who_only_listens_is_encoded_for_with_all_others_who_do() {
    let legs = [
        Codec::Pcma,
        Codec::Opus,
        Codec::Opus,
        Codec::Opus,
        Codec::G722,
        Codec::G722,
        Codec::G722,
    ];
    let mut hall = Hall::new(&legs.map(|codec| (codec, 20)), 16_000);
    for codec in [Codec::Opus, Codec::G722] {
        let broadcast = Box::new(Broadcast::new(codec, 16_000).unwrap());
        assert!(hall.room.share(broadcast).is_none());
    }
    let wrong = Box::new(Broadcast::new(Codec::Opus, 48_000).unwrap());
    assert!(hall.room.share(wrong).is_some());
    let mut voices: Vec<Voice> = (0..7)
        .map(|n| Voice::new(&mut hall, n, 400.0 + 300.0 * f64::from(n)))
        .collect();
    for slot in 0..7 {
        hall.sit(
            slot,
            if slot == 6 {
                Role::Listener
            } else {
                Role::Member
            },
        );
    }
    let mut at = 0;
    // So many beats, in which these say something.
    let mut beats = |hall: &mut Hall, count: u64, loud: &[u32]| {
        for _ in 0..count {
            hall.at(at + 1);
            for voice in &mut voices {
                let is_loud = loud.contains(&voice.slot);
                voice.say(hall, is_loud);
            }
            hall.at(at + 15);
            hall.beat();
            at += 20;
        }
    };
    let alike = |hall: &Hall, legs: &[usize], last: usize| {
        let tail = |leg: usize| {
            let heard = &hall.heard[leg];
            heard[heard.len() - last..]
                .iter()
                .map(|one| one.2.clone())
                .collect::<Vec<_>>()
        };
        legs.windows(2).all(|pair| tail(pair[0]) == tail(pair[1]))
    };
    // One speaks, without a pause in which the change would not be heard.
    beats(&mut hall, 400, &[0]);
    let from = hall.heard[1].len();
    beats(&mut hall, 150, &[0]);
    assert!(alike(&hall, &[1, 2, 3], 30) && alike(&hall, &[4, 5, 6], 30));
    for slot in 1..7 {
        assert!(share(&mut hall, slot, from, 400.0) > 0.9, "{slot}");
    }
    // One of those who listened speaks too: he hears the first one, without himself, and the rest hear both.
    let from = hall.heard[1].len() + 20;
    beats(&mut hall, 60, &[0, 2]);
    assert!(share(&mut hall, 2, from, 400.0) > 0.9);
    let both = share(&mut hall, 1, from, 400.0) + share(&mut hall, 1, from, 1_000.0);
    assert!(both > 0.9, "{both}");
    assert!(alike(&hall, &[1, 3], 30) && !alike(&hall, &[1, 2], 30));
    // After a moment of silence he listens with the others again.
    beats(&mut hall, 100, &[]);
    beats(&mut hall, 30, &[4]);
    assert!(alike(&hall, &[1, 2, 3], 25) && alike(&hall, &[5, 6], 25));
    for heard in &hall.heard {
        let next = |pair: &[Heard]| pair[0].0.wrapping_add(1) == pair[1].0;
        assert!(heard.windows(2).all(next));
        assert_eq!(heard.len(), 740);
    }
}

#[test]
fn an_announcement_is_as_wide_as_its_file() {
    for (rate_hz, hertz) in [(16_000, 5_000.0), (48_000, 5_000.0), (8_000, 1_000.0)] {
        let mut hall = Hall::new(
            &[(Codec::G722, 20), (Codec::G722, 20), (Codec::Pcma, 20)],
            16_000,
        );
        for slot in 0..3 {
            hall.sit(slot, Role::Member);
        }
        let sample =
            |n: u32| (8_000.0 * (TAU * hertz * f64::from(n) / f64::from(rate_hz)).sin()) as i16;
        let wide: Vec<i16> = (0..rate_hz).map(sample).collect();
        let clip = Clip::wide("x", &[0; 8_000], &wide, rate_hz);
        assert!(hall.room.announce(Arc::clone(&clip)).is_none());
        let mut ended = 0;
        for n in 0..55 {
            hall.at(n * 20);
            let Hall {
                ports,
                room,
                scratch,
                heard,
                now,
                ..
            } = &mut hall;
            let spent = room.beat(0, *now, ports, scratch, |slot, _, room, length, _| {
                heard[slot as usize].push(parse(room, length));
            });
            ended += usize::from(spent.is_some());
        }
        assert_eq!(ended, 1);
        hall.heard.iter_mut().for_each(|heard| heard.truncate(50));
        assert!(share(&mut hall, 0, 2, hertz) > 0.95, "{rate_hz}");
        if hertz < 4_000.0 {
            assert!(share(&mut hall, 2, 2, hertz) > 0.95, "{rate_hz}");
        }
    }
}
