//! The far sides: a trunk with its callers and called parties, and operators' phones. They behave as the seed says.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now};
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::auth::Credentials;
use vats::sip::endpoint::command::{Command, Invite, Request, Routing};
use vats::sip::endpoint::event::{Event, RequestId};
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, SessionId, Settings, Transport};
use vats::sip::wire::{Method, Name};

/// One far side with an address of its own.
pub struct Peer {
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    /// An operator's phone: his name; it registers.
    pub user: Option<String>,
    pbx: SocketAddr,
    entropy: Entropy,
    plans: BTreeMap<(Mono, u64), Deed>,
    serial: u64,
    sessions: HashMap<SessionId, SocketAddr>,
    port: u16,
    cseq: u32,
    /// Keys pressed by media addresses of this peer.
    pub pressed: Vec<(SocketAddr, char)>,
    /// Calls that this peer placed.
    pub placed: u32,
}

/// What a far side is going to do.
enum Deed {
    Call(String),
    Ring(SessionId),
    Answer(SessionId),
    Refuse(SessionId, u16),
    End(SessionId),
    Press(SessionId, char),
    Register,
}

impl Peer {
    pub fn new(address: &str, pbx: SocketAddr, user: Option<&str>, mut entropy: Entropy) -> Peer {
        let settings = Settings {
            product: "simulated".to_owned(),
        };
        Peer {
            address: address.parse().unwrap(),
            endpoint: Endpoint::new(settings, entropy.split()),
            user: user.map(str::to_owned),
            pbx,
            entropy,
            plans: BTreeMap::new(),
            serial: 0,
            sessions: HashMap::new(),
            port: 0,
            cseq: 1,
            pressed: Vec::new(),
            placed: 0,
        }
    }

    /// Plans to call `number` at `at`.
    pub fn plan_call(&mut self, at: Mono, number: &str) {
        self.plan(at, Deed::Call(number.to_owned()));
    }

    /// Plans to register now and again every 50 s until `until`.
    pub fn plan_registration(&mut self, until: Mono) {
        let mut at = Mono::from_micros(self.entropy.below(1_000_000));
        while at < until {
            self.plan(at, Deed::Register);
            at = at + Duration::from_secs(50);
        }
    }

    fn plan(&mut self, at: Mono, deed: Deed) {
        self.serial += 1;
        self.plans.insert((at, self.serial), deed);
    }

    fn soon(&mut self, now: Now, least_ms: u64, most_ms: u64) -> Mono {
        now.mono + Duration::from_millis(least_ms + self.entropy.below(most_ms - least_ms))
    }

    pub fn next_at(&self) -> Option<Mono> {
        let deed = self.plans.keys().next().map(|(at, _)| *at);
        deed.into_iter().chain(self.endpoint.poll_timeout()).min()
    }

    pub fn receive(&mut self, now: Now, from: SocketAddr, bytes: Bytes) {
        let flow = self.flow(from);
        self.endpoint.handle_message(now, flow, bytes);
    }

    /// Does what is due, then what follows from it.
    pub fn run(&mut self, now: Now) {
        if self
            .endpoint
            .poll_timeout()
            .is_some_and(|at| at <= now.mono)
        {
            self.endpoint.handle_timeout(now);
        }
        while let Some(entry) = self.plans.first_entry() {
            if entry.key().0 > now.mono {
                break;
            }
            let deed = entry.remove();
            self.do_deed(now, deed);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.on_event(now, event);
        }
    }

    fn flow(&self, remote: SocketAddr) -> Flow {
        Flow {
            listener: ListenerId(0),
            remote,
            transport: Transport::Udp,
            advertised: self.address,
        }
    }

    fn new_media(&mut self) -> SocketAddr {
        self.port += 2;
        SocketAddr::new(self.address.ip(), 40_000 + self.port)
    }

    fn do_deed(&mut self, now: Now, deed: Deed) {
        match deed {
            Deed::Call(number) => self.call(now, &number),
            Deed::Register => self.register(now),
            Deed::Ring(session) => self.with(now, session, |session| Command::Progress {
                session,
                code: 180,
                sdp: None,
            }),
            Deed::Answer(session) => self.answer(now, session),
            Deed::Refuse(session, code) => {
                self.with(now, session, |session| Command::Reject {
                    session,
                    code,
                    headers: Vec::new(),
                });
                self.sessions.remove(&session);
            }
            Deed::End(session) => {
                self.with(now, session, |session| Command::End {
                    session,
                    reason: None,
                });
                self.sessions.remove(&session);
            }
            Deed::Press(session, key) => {
                if let Some(media) = self.sessions.get(&session) {
                    self.pressed.push((*media, key));
                }
            }
        }
    }

    fn with(&mut self, now: Now, session: SessionId, command: impl FnOnce(SessionId) -> Command) {
        if self.sessions.contains_key(&session) {
            self.endpoint.handle_command(now, command(session));
        }
    }

    fn answer(&mut self, now: Now, session: SessionId) {
        let Some(media) = self.sessions.get(&session).copied() else {
            return;
        };
        let sdp = description(media);
        self.endpoint.handle_command(
            now,
            Command::Accept {
                session,
                sdp,
                headers: Vec::new(),
            },
        );
        if self.entropy.below(3) > 0 {
            let at = self.soon(now, 500, 40_000);
            self.plan(at, Deed::End(session));
        }
    }

    fn call(&mut self, now: Now, number: &str) {
        self.placed += 1;
        let session = SessionId(LegId::new(now.wall, &mut self.entropy).as_u128());
        let media = self.new_media();
        self.sessions.insert(session, media);
        let from = match &self.user {
            Some(user) => format!("<sip:{user}@pbx.example>"),
            None => format!("<sip:+7916000{:04}@trunk.example>", self.entropy.below(30)),
        };
        let invite = Invite {
            session,
            flow: self.flow(self.pbx),
            routing: Routing::Dialog,
            uri: format!("sip:{number}@{}", self.pbx),
            from,
            to: format!("<sip:{number}@{}>", self.pbx),
            contact_user: None,
            call_id: self.entropy.token(),
            sdp: description(media),
            credentials: self.credentials(),
            max_forwards: 70,
            headers: Vec::new(),
            other_headers: Vec::new(),
            give_up_after: None,
        };
        self.endpoint
            .handle_command(now, Command::Invite(Box::new(invite)));
        let at = self.soon(now, 10, 90_000);
        self.plan(at, Deed::End(session));
    }

    fn credentials(&self) -> Option<Credentials> {
        self.user.as_ref().map(|user| Credentials {
            user: user.clone(),
            password: format!("{user}-password"),
        })
    }

    fn register(&mut self, now: Now) {
        let Some(user) = self.user.clone() else {
            return;
        };
        let address = format!("<sip:{user}@pbx.example>");
        self.cseq += 5;
        let request = Request {
            id: RequestId(u64::from(self.cseq)),
            method: Method::Register,
            flow: self.flow(self.pbx),
            uri: "sip:pbx.example".to_owned(),
            from: address.clone(),
            to: address,
            call_id: Some(format!("registration-of-{user}")),
            cseq: self.cseq,
            credentials: self.credentials(),
            headers: vec![
                (Name::Contact, format!("<sip:{user}@{}>", self.address)),
                (Name::Expires, "120".to_owned()),
            ],
        };
        self.endpoint
            .handle_command(now, Command::Request(Box::new(request)));
    }

    fn on_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Incoming { session, .. } => self.ring(now, session),
            Event::Answered { session, .. } => {
                for _ in 0..self.entropy.below(3) {
                    let at = self.soon(now, 100, 20_000);
                    let key = *b"1239#".get(self.entropy.below(5) as usize).unwrap();
                    self.plan(at, Deed::Press(session, char::from(key)));
                }
            }
            Event::Cancelled { session }
            | Event::Refused { session, .. }
            | Event::Ended { session, .. } => {
                self.sessions.remove(&session);
            }
            Event::Offer { session, .. } => {
                if let Some(media) = self.sessions.get(&session) {
                    let sdp = description(*media);
                    self.endpoint
                        .handle_command(now, Command::AnswerOffer { session, sdp });
                }
            }
            Event::Request { id, .. } => self.endpoint.handle_command(
                now,
                Command::Reply {
                    id,
                    code: 200,
                    headers: Vec::new(),
                },
            ),
            _ => {}
        }
    }

    /// A call came in: rings and is answered, refused, or left alone.
    fn ring(&mut self, now: Now, session: SessionId) {
        let media = self.new_media();
        self.sessions.insert(session, media);
        let ring_at = self.soon(now, 10, 500);
        let act_at = self.soon(now, 600, 24_000);
        match self.entropy.below(10) {
            0 => self.plan(act_at, Deed::Refuse(session, 486)),
            1 => self.plan(ring_at, Deed::Refuse(session, 603)),
            2 => self.plan(ring_at, Deed::Refuse(session, 480)),
            3 => self.plan(ring_at, Deed::Ring(session)),
            4 => {}
            _ => {
                self.plan(ring_at, Deed::Ring(session));
                self.plan(act_at, Deed::Answer(session));
            }
        }
    }
}

fn description(media: SocketAddr) -> Bytes {
    let (ip, port) = (media.ip(), media.port());
    Bytes::from(format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    ))
}
