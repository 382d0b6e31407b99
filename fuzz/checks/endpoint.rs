use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::sip::endpoint::command::{Command, Headers, Invite, Routing, Usage};
use vats::sip::endpoint::event::Event;
use vats::sip::endpoint::{Census, Endpoint, Flow, ListenerId, SessionId, Settings};
use vats::sip::wire::{Message, Name, Writer};

/// Any sequence of datagrams, commands and pauses: requests of ours are well-formed, and in the end nothing is left.
///
/// The bytes are steps: one that says what happens, one more for how, and for a datagram two of length and its bytes.
pub fn endpoint(bytes: &[u8]) {
    let mut world = World::new();
    let mut steps = bytes.iter().copied();
    let mut left = 200;
    while let (Some(what), Some(how)) = (steps.next(), steps.next()) {
        left -= 1;
        if left == 0 {
            break;
        }
        match what % 8 {
            0 | 1 => {
                let length = usize::from(steps.next().unwrap_or(0)) << 8
                    | usize::from(steps.next().unwrap_or(0));
                let datagram: Vec<u8> = steps.by_ref().take(length).collect();
                world.hear(Bytes::from(datagram));
            }
            2 => world.respond(how),
            3 => world.command(how),
            4 => world.dial(),
            5 => world.repeat_theirs(how),
            _ => world.pass(Duration::from_millis(u64::from(how) * 150)),
        }
    }
    world.end();
}

struct World {
    endpoint: Endpoint,
    now: Now,
    sessions: Vec<SessionId>,
    dialled: u128,
    /// The latest request of ours, to be responded to.
    ours: Option<Message>,
    /// The latest response of ours, whose dialog is spoken in.
    answer: Option<Message>,
}

impl World {
    fn new() -> World {
        let settings = Settings {
            product: "vats/fuzz".to_owned(),
        };
        World {
            endpoint: Endpoint::new(settings, Entropy::from_number(4)),
            now: Now {
                mono: Mono::from_micros(1_000_000),
                wall: Wall::from_micros(1_772_960_700_000_000),
            },
            sessions: Vec::new(),
            dialled: 0,
            ours: None,
            answer: None,
        }
    }

    fn hear(&mut self, datagram: Bytes) {
        self.endpoint.handle_message(self.now, flow(), datagram);
        self.settle();
    }

    /// A response to the latest request of ours.
    fn respond(&mut self, how: u8) {
        let Some(request) = &self.ours else { return };
        let codes = [
            100, 180, 183, 199, 200, 302, 401, 407, 408, 422, 481, 487, 491, 500, 503, 603,
        ];
        let code = codes[usize::from(how & 15)];
        let tag = ["one", "two"][usize::from(how >> 7)];
        let writer = Writer::response_to(request, code, Some(tag))
            .header(Name::Contact, "<sip:bob@192.0.2.9>");
        let datagram = match how & 16 {
            0 => writer.finish(),
            _ => writer.finish_with("application/sdp", b"v=0\r\n"),
        };
        self.hear(datagram);
    }

    /// A request in the dialog of the latest response of ours.
    fn repeat_theirs(&mut self, how: u8) {
        let Some(answer) = &self.answer else { return };
        let methods = [
            "ACK", "BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "PRACK", "CANCEL",
        ];
        let method = methods[usize::from(how & 7)];
        let cseq = answer.cseq().saturating_add(u32::from(how >> 5));
        let mut writer = Writer::request(method, "sip:x@192.0.2.1")
            .header(
                Name::Via,
                format_args!("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{method}{how}"),
            )
            .header(Name::From, answer.header(Name::From).unwrap_or_default())
            .header(Name::To, answer.header(Name::To).unwrap_or_default())
            .header(Name::CallId, answer.call_id())
            .header(Name::CSeq, format_args!("{cseq} {method}"));
        if how & 8 != 0 {
            writer = writer.header(Name::Contact, "<sip:anna@192.0.2.9>");
        }
        let datagram = match how & 16 {
            0 => writer.finish(),
            _ => writer.finish_with("application/sdp", b"v=0\r\n"),
        };
        self.hear(datagram);
    }

    fn command(&mut self, how: u8) {
        let place = usize::from(how >> 4);
        let Some(session) = self.sessions.iter().rev().nth(place).copied() else {
            return;
        };
        let sdp = Bytes::from_static(b"v=0\r\n");
        let headers = Headers::new();
        let command = match how & 15 {
            0 => Command::Progress {
                session,
                code: 180,
                sdp: None,
            },
            1 => Command::Progress {
                session,
                code: 183,
                sdp: Some(sdp),
            },
            2..=4 => Command::Accept {
                session,
                sdp,
                headers,
            },
            5 => Command::Reject {
                session,
                code: 486,
                headers,
            },
            6 => Command::Challenge { session, headers },
            7 => Command::Keep { session },
            8 | 9 => Command::AnswerOffer { session, sdp },
            10 => Command::RefuseOffer {
                session,
                code: 488,
                headers,
            },
            11 | 12 => Command::Offer { session, sdp },
            13 => Command::Probe { session },
            _ => Command::End {
                session,
                reason: None,
            },
        };
        self.endpoint.handle_command(self.now, command);
        self.settle();
    }

    fn dial(&mut self) {
        self.dialled += 1;
        let session = SessionId(self.dialled);
        self.sessions.push(session);
        let invite = Invite {
            session,
            flow: flow(),
            routing: Routing::Flow,
            uri: "sip:bob@192.0.2.9".to_owned(),
            from: "<sip:alice@192.0.2.1>".to_owned(),
            to: "<sip:bob@192.0.2.9>".to_owned(),
            contact_user: None,
            call_id: format!("ours-{}", self.dialled),
            sdp: Bytes::from_static(b"v=0\r\n"),
            credentials: None,
            max_forwards: 70,
            headers: Headers::new(),
            other_headers: Vec::new(),
            give_up_after: None,
            usage: Usage::default(),
        };
        self.endpoint
            .handle_command(self.now, Command::Invite(Box::new(invite)));
        self.settle();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now + at.since(self.now.mono);
            self.endpoint.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            while let Some(transmit) = self.endpoint.poll_transmit() {
                let sent = Message::parse(transmit.bytes).expect("a message of ours");
                if !sent.is_request() {
                    self.answer = Some(sent);
                    continue;
                }
                assert_eq!(sent.defect(), None, "{sent:?}");
                self.ours = Some(sent);
            }
            let Some(event) = self.endpoint.poll_event() else {
                return;
            };
            rounds += 1;
            assert!(rounds < 10_000, "events without end: {event:?}");
            match event {
                Event::Incoming { session, .. } => self.sessions.push(session),
                Event::Request { id, .. } => self.endpoint.handle_command(
                    self.now,
                    Command::Reply {
                        id,
                        code: 404,
                        headers: Headers::new(),
                    },
                ),
                Event::ResolveNeeded { id, .. } => self.endpoint.handle_command(
                    self.now,
                    Command::Resolved {
                        id,
                        addresses: Vec::new(),
                    },
                ),
                _ => {}
            }
        }
    }

    /// Everything is ended; after the last lingering nothing may be left.
    fn end(&mut self) {
        let sessions: BTreeSet<SessionId> = self.sessions.drain(..).collect();
        for session in sessions {
            self.endpoint.handle_command(
                self.now,
                Command::End {
                    session,
                    reason: None,
                },
            );
        }
        self.settle();
        self.pass(Duration::from_secs(200));
        assert_eq!(self.endpoint.census(), Census::default());
        assert_eq!(self.endpoint.poll_timeout(), None);
    }
}

fn flow() -> Flow {
    let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
    Flow::udp(
        ListenerId(0),
        remote,
        SocketAddr::from(([192, 0, 2, 1], 5060)),
    )
}
