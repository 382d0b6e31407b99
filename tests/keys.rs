//! A menu driven by keys in each of the ways in which phones tell them: RFC 4733, INFO, tones. Every press counts once,
//! however often and in however many ways it is told.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::sound::Law;
use crate::support::{CALLER, pause};
use serde_json::Value;
use vats::sip::wire::Message;

const NUMBER: &str = "+74951000001";
const CALLER_NUMBER: &str = "+79160000001";
const EVENTS: &str = "0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15";

/// Three menus in a row; a key that is told twice leads one too far.
fn plan() -> String {
    pbx::server()
        + &format!(
            r##"
[numbers."{NUMBER}"]
to = "menu:first"

[menus.first]
prompt = "prompts/long.wav"
keys = {{ 5 = "menu:second", 6 = "menu:wrong" }}
[menus.second]
prompt = "prompts/long.wav"
keys = {{ 5 = "menu:third", 6 = "menu:wrong" }}
[menus.third]
prompt = "prompts/long.wav"
keys = {{ 5 = "menu:wrong", "#" = "menu:last" }}
[menus.last]
prompt = "prompts/long.wav"
keys = {{ "#" = "menu:wrong", 5 = "menu:wrong" }}
[menus.wrong]
prompt = "prompts/long.wav"
keys = {{ 0 = "hangup" }}
"##
        )
}

const LED: [&str; 4] = ["menu:first", "menu:second", "menu:third", "menu:last"];

/// A phone in a call: signalling and sound by hand.
struct Phone {
    peer: Peer,
    ok: Message,
    rtp: UdpSocket,
    media: SocketAddr,
    law: Law,
    sequence: u16,
    timestamp: u32,
    requests: u32,
    due: Instant,
}

impl Phone {
    fn call(pbx: &Pbx, law: Law, formats: &str) -> Phone {
        let mut peer = Peer::new(pbx, CALLER);
        let rtp = UdpSocket::bind((CALLER, 0)).unwrap();
        let ok = peer.connected(NUMBER, &sdp(rtp.local_addr().unwrap(), formats));
        Phone {
            media: media_of(&ok),
            peer,
            ok,
            rtp,
            law,
            sequence: 0,
            timestamp: 0,
            requests: 1,
            due: Instant::now(),
        }
    }

    fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(9u32.to_be_bytes());
        packet.extend(payload);
        self.rtp.send_to(&packet, self.media).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Waits for the next 20 ms.
    fn tick(&mut self) {
        self.due =
            self.due.max(Instant::now() - Duration::from_millis(60)) + Duration::from_millis(20);
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.timestamp += 160;
    }

    /// Speaks a sum of tones, or keeps silent.
    fn speak(&mut self, millis: u32, hertz: &[f64]) {
        for _ in 0..millis / 20 {
            let payload: Vec<u8> = (0..160)
                .map(|n| {
                    let at = f64::from(self.timestamp + n) / 8000.0 * std::f64::consts::TAU;
                    let sum: f64 = hertz.iter().map(|hertz| (at * hertz).sin()).sum();
                    self.law.encode((sum * 6000.0) as i16)
                })
                .collect();
            self.packet(self.law.payload_type(), self.timestamp, &payload);
            self.tick();
        }
    }

    /// Presses a key for 100 ms by RFC 4733; `arrives` says which of its eight packets do.
    fn press(&mut self, code: u8, arrives: [u8; 8]) {
        let began = self.timestamp;
        for (n, times) in (1u16..).zip(arrives) {
            let (end, duration) = (if n > 5 { 0x80 } else { 0 }, n.min(5) * 160);
            let [high, low] = duration.to_be_bytes();
            for _ in 0..times {
                self.packet(101, began, &[code, end | 10, high, low]);
            }
            self.tick();
        }
    }

    fn info(&mut self, kind: &str, body: &str) {
        self.requests += 1;
        let kind = format!("Content-Type: {kind}\r\n");
        let info = self
            .peer
            .within(&self.ok, "INFO", self.requests, &kind, body);
        self.peer.send(info);
        assert_eq!(self.peer.answer().status(), 200);
    }

    /// Hangs up; the places where the call was.
    async fn path(mut self, pbx: &Pbx) -> Vec<String> {
        pause(300).await;
        self.peer.hang_up(&self.ok);
        let row = pbx.ended_call(CALLER_NUMBER).await;
        let path = row["path"].as_array().unwrap().iter();
        path.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// The two tones of 5 and of #.
const FIVE: [f64; 2] = [770.0, 1336.0];
const HASH: [f64; 2] = [941.0, 1477.0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_count_once_and_nothing_else_beside_them() {
    let pbx = Pbx::start(&plan()).await;
    let mut phone = Phone::call(&pbx, Law::Mu, EVENTS);
    phone.speak(200, &[]);
    // The start is lost, then the end; what arrives comes twice.
    phone.press(5, [0, 0, 2, 1, 1, 1, 2, 1]);
    // The phone tells the same press in the other ways, too.
    phone.info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    phone.speak(100, &FIVE);
    phone.speak(100, &[]);
    phone.press(5, [2, 1, 1, 0, 0, 0, 0, 0]);
    phone.speak(100, &[]);
    phone.press(11, [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(phone.path(&pbx).await, LED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_counts_once_though_the_tones_are_heard_too() {
    let pbx = Pbx::start(&plan()).await;
    let mut phone = Phone::call(&pbx, Law::Mu, "0");
    phone.speak(200, &[]);
    // The tone is heard first, and then the INFO comes that is about the same press.
    phone.speak(100, &FIVE);
    phone.info("application/dtmf-relay", "Signal= 5\r\nDuration= 100\r\n");
    phone.speak(200, &[]);
    phone.info("application/dtmf", "5");
    phone.speak(100, &FIVE);
    phone.speak(200, &[]);
    phone.speak(100, &HASH);
    phone.info("application/dtmf-relay", "Signal=#\r\n");
    assert_eq!(phone.path(&pbx).await, LED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tones_are_keys_where_nothing_better_was_agreed() {
    for (law, formats) in [(Law::Mu, "0"), (Law::A, "8")] {
        let pbx = Pbx::start(&plan()).await;
        let mut phone = Phone::call(&pbx, law, formats);
        // A voice that hums is no key.
        phone.speak(200, &[220.0, 440.0, 770.0]);
        phone.speak(60, &FIVE);
        phone.speak(60, &[]);
        phone.speak(1000, &FIVE);
        phone.speak(60, &[]);
        phone.speak(80, &HASH);
        phone.speak(100, &[]);
        assert_eq!(phone.path(&pbx).await, LED, "{formats}");
    }
}
