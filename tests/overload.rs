//! New calls and registrations while the PBX cannot keep up, in virtual time: 503 with Retry-After before those that run suffer, and an end of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vats::dialplan::config::{self, SourceFile};
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::ledger::journal::Entry;
use vats::sip::endpoint::ListenerId;
use vats::sip::wire::{Message, Name};
use vats::switch::core::Core;
use vats::switch::effect::Effect;
use vats::switch::handle::Views;
use vats::switch::reach::Reach;

use crate::plan_edge::Silence;

const PLAN: &str = r#"
[server]
sip = ["udp://10.0.0.1:5060"]
domain = "pbx.example"
[trunks.acme]
peer = "10.0.0.2:5060"
[operators.anna]
password = "anna-password"
[numbers."+74951000001"]
to = "echo"
"#;

struct World {
    core: Core,
    views: Arc<Views>,
    number: u32,
    journal: Vec<Entry>,
}

fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_micros(millis * 1_000),
        wall: Wall::from_micros(1_772_960_700_000_000 + i64::try_from(millis).unwrap() * 1_000),
    }
}

impl World {
    fn new() -> World {
        let source = SourceFile {
            path: "vats.toml".into(),
            text: PLAN.to_owned(),
        };
        let plan = config::check(&[source], &Silence(8_000), 1).unwrap();
        let pbx: SocketAddr = "10.0.0.1:5060".parse().unwrap();
        let reach = Reach::new(vec![pbx], Box::new(|_| [10, 0, 0, 1].into()));
        let views = Arc::new(Views::default());
        let entropy = Entropy::from_number(1);
        let known = Arc::clone(&views);
        World {
            core: Core::new(at(0), Arc::new(plan), reach, known, Vec::new(), entropy),
            views,
            number: 0,
            journal: Vec::new(),
        }
    }

    /// Takes a request in, which waits for so long until it is served: its final response.
    fn ask(&mut self, method: &str, user: &str, arrives: u64, waits: u64) -> Message {
        self.number += 1;
        let number = self.number;
        // A phone that nobody knows yet; the trunk has all the rest.
        let host = if method == "REGISTER" {
            "10.0.0.3"
        } else {
            "10.0.0.2"
        };
        let text = format!(
            "{method} sip:{user}@pbx.example SIP/2.0\r\n\
             Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+79160000001@x>;tag={number}\r\n\
             To: <sip:{user}@pbx.example>\r\nCall-ID: {number}@x\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:x@{host}:5060>\r\nContent-Length: 0\r\n\r\n"
        );
        let from = SocketAddr::new(host.parse().unwrap(), 5060);
        let bytes = Bytes::from(text);
        self.core.take_in(at(arrives), ListenerId(0), from, bytes);
        assert!(self.core.serve_next(at(arrives + waits)));
        let mut answer = None;
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Transmit(transmit) => {
                    let message = Message::parse(transmit.bytes).unwrap();
                    if !message.is_request() && message.status() >= 200 {
                        answer = Some(message);
                    }
                }
                Effect::Journal(entry) => self.journal.push(entry),
                _ => {}
            }
        }
        answer.unwrap()
    }

    /// A second of calls to nobody, each of which waits for so long; the statuses.
    fn second(&mut self, from: u64, waits: u64) -> Vec<u16> {
        (0..50)
            .map(|number| {
                let arrives = from + number * 20;
                self.ask("INVITE", "+74951999999", arrives, waits).status()
            })
            .collect()
    }
}

fn retry_after(message: &Message) -> u64 {
    let value = message.header(Name::RetryAfter).unwrap();
    value.parse().unwrap()
}

#[test]
fn a_standing_queue_refuses_what_is_new_until_it_is_gone() {
    let mut world = World::new();
    assert!(world.second(0, 5).iter().all(|status| *status == 404));
    let late = world.second(1_000, 300);
    assert_eq!((late[0], late[49]), (404, 503));
    let refused = world.ask("INVITE", "+74951000001", 2_010, 300);
    assert_eq!(refused.status(), 503);
    assert!((5..=10).contains(&retry_after(&refused)));
    let phone = world.ask("REGISTER", "anna", 2_020, 300);
    assert_eq!(phone.status(), 503);
    assert!((15..=30).contains(&retry_after(&phone)));
    // Whether we live is answered all the same.
    let alive = world.ask("OPTIONS", "x", 2_030, 300);
    assert_eq!(alive.status(), 200);
    let kept = serde_json::to_value(world.views.kept.now()).unwrap();
    assert_eq!(kept["refused_registrations"], 1);
    assert!(kept["refused_calls"].as_u64().unwrap() > 10, "{kept}");
    let ended = world
        .journal
        .iter()
        .filter(|entry| format!("{entry:?}").contains("Overload"));
    assert!(ended.count() > 10, "refused calls are accounted");
    let soon = world.second(3_000, 3);
    assert_eq!((soon[0], soon[49]), (503, 404));
    assert_eq!(world.ask("REGISTER", "anna", 4_100, 3).status(), 401);
}

#[test]
fn busy_processors_refuse_what_is_new_until_they_are_calm() {
    let mut world = World::new();
    for second in 0..3 {
        assert_eq!(world.second(second * 1_000, 1), [404; 50]);
        world.core.note_processors(at(second * 1_000 + 999), 0.99);
    }
    assert_eq!(world.second(3_000, 1), [503; 50]);
    world.core.note_processors(at(4_000), 0.5);
    assert_eq!(world.second(4_000, 1), [404; 50]);
    let wait = Duration::from_secs(60);
    world.core.handle_timeout(at(4_000) + wait);
}
