//! The far sides: a trunk with its callers and called parties, and operators' phones. They behave as the seed says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now};
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::auth::Credentials;
use vats::sip::endpoint::command::{Command, Invite, Request, Routing, Usage};
use vats::sip::endpoint::event::{Event, RequestId};
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, SessionId, Settings, Transmit};
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
    /// The port that the PBX described in each session.
    described: HashMap<SessionId, String>,
    /// Calls to this peer that are unanswered.
    ringing: HashSet<SessionId>,
    /// What the PBX did wrong.
    pub faults: Vec<String>,
    /// Offers of ours that were answered.
    pub offers_answered: u32,
    port: u16,
    cseq: u32,
    /// Keys pressed by media addresses of this peer.
    pub pressed: Vec<(SocketAddr, char)>,
    /// Calls that this peer placed.
    pub placed: u32,
    /// REFERs sent, and those that came to a good end.
    pub referred: u32,
    pub passed_on: u32,
    /// It does not say that it takes UPDATE: sessions with it are refreshed by re-INVITE.
    pub hides_update: bool,
    /// It does nothing at random: it answers after a second, and its own calls last so long.
    pub steady: Option<(Usage, Duration)>,
}

/// What a far side is going to do.
enum Deed {
    Call(String),
    /// Rings, with early media or without.
    Ring(SessionId, bool),
    Answer(SessionId),
    /// Nobody is there, and the far side has seen neither our responses nor a reason to cancel.
    StopRinging(SessionId),
    Refuse(SessionId, u16),
    End(SessionId),
    Press(SessionId, char),
    /// Puts the PBX on hold, or takes it back: an offer with this direction.
    Offer(SessionId, &'static str),
    Register,
    /// Passes the call on.
    Refer(SessionId),
    /// Joins the call with another one that this peer has.
    ReferToOther(SessionId),
    /// Sends the call elsewhere.
    Redirect(SessionId, &'static str),
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
            described: HashMap::new(),
            ringing: HashSet::new(),
            faults: Vec::new(),
            offers_answered: 0,
            port: 0,
            cseq: 1,
            pressed: Vec::new(),
            placed: 0,
            referred: 0,
            passed_on: 0,
            hides_update: false,
            steady: None,
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
        Flow::udp(ListenerId(0), remote, self.address)
    }

    fn new_media(&mut self) -> SocketAddr {
        self.port += 2;
        SocketAddr::new(self.address.ip(), 40_000 + self.port)
    }

    fn do_deed(&mut self, now: Now, deed: Deed) {
        match deed {
            Deed::Call(number) => self.call(now, &number),
            Deed::Register => self.register(now),
            Deed::Refer(session) => {
                let targets = [
                    "101",
                    "102",
                    "line",
                    "main",
                    "echo",
                    "+79990000000",
                    "+4930123456",
                    "999",
                    "*7",
                    "702",
                ];
                let chosen = targets[self.entropy.below(targets.len() as u64) as usize];
                self.refer(now, session, format!("<sip:{chosen}@pbx.example>"));
            }
            Deed::ReferToOther(session) => self.refer_to_other(now, session),
            Deed::Redirect(session, user) => {
                self.ringing.remove(&session);
                let contact = format!("<sip:{user}@pbx.example>");
                self.with(now, session, |session| Command::Reject {
                    session,
                    code: 302,
                    headers: vec![(Name::Contact, contact)],
                });
                self.sessions.remove(&session);
            }
            Deed::Ring(session, early) => {
                let Some(media) = self.sessions.get(&session).copied() else {
                    return;
                };
                let (code, sdp) = match early {
                    true => (183, Some(description(media, "sendrecv"))),
                    false => (180, None),
                };
                self.with(now, session, |session| Command::Progress {
                    session,
                    code,
                    sdp,
                });
            }
            Deed::Answer(session) => self.answer(now, session),
            Deed::StopRinging(session) => {
                if self.ringing.remove(&session) {
                    self.do_deed(now, Deed::Refuse(session, 480));
                }
            }
            Deed::Refuse(session, code) => {
                self.ringing.remove(&session);
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
            Deed::Offer(session, direction) => {
                if let Some(media) = self.sessions.get(&session).copied() {
                    let sdp = description(media, direction);
                    self.endpoint
                        .handle_command(now, Command::Offer { session, sdp });
                }
            }
            Deed::Press(session, key) => {
                if let Some(media) = self.sessions.get(&session) {
                    self.pressed.push((*media, key));
                }
            }
        }
    }

    fn refer(&mut self, now: Now, session: SessionId, to: String) {
        if self.sessions.contains_key(&session) {
            self.referred += 1;
        }
        self.with(now, session, |session| Command::Refer {
            session,
            to,
            headers: Vec::new(),
        });
    }

    /// Any other session of this peer, whatever its state, by the name of its dialog.
    fn refer_to_other(&mut self, now: Now, session: SessionId) {
        let mut others: Vec<SessionId> = self.sessions.keys().copied().collect();
        others.sort_unstable();
        let other = others.into_iter().find(|other| *other != session);
        let Some(dialog) = other.and_then(|other| self.endpoint.dialog_of(other)) else {
            return;
        };
        let (id, ours, theirs) = (dialog.call_id, dialog.local_tag, dialog.remote_tag);
        let to =
            format!("<sip:x@pbx.example?Replaces={id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}>");
        self.refer(now, session, to);
    }

    /// Some phones pass a conversation on, some after they have asked a colleague.
    fn plan_referrals(&mut self, now: Now, session: SessionId) {
        if self.user.is_none() || self.steady.is_some() {
            return;
        }
        match self.entropy.below(4) {
            0 | 1 => {
                let at = self.soon(now, 200, 6_000);
                self.plan(at, Deed::Refer(session));
            }
            2 => {
                let colleague = ["101", "102", "+79990000000"][self.entropy.below(3) as usize];
                let at = self.soon(now, 200, 5_000);
                self.plan(at, Deed::Call(colleague.to_owned()));
                let at = self.soon(now, 1_000, 12_000);
                self.plan(at, Deed::ReferToOther(session));
            }
            _ => {}
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
        self.ringing.remove(&session);
        let sdp = description(media, "sendrecv");
        self.endpoint.handle_command(
            now,
            Command::Accept {
                session,
                sdp,
                headers: Vec::new(),
            },
        );
        self.plan_holds(now, session);
        self.plan_referrals(now, session);
        if self.steady.is_none() && self.entropy.below(3) > 0 {
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
            sdp: description(media, "sendrecv"),
            credentials: self.credentials(),
            max_forwards: 70,
            headers: Vec::new(),
            other_headers: Vec::new(),
            give_up_after: None,
            usage: self.usage(),
        };
        self.endpoint
            .handle_command(now, Command::Invite(Box::new(invite)));
        let at = match self.steady {
            Some((_, lasts)) => now.mono + lasts,
            None => self.soon(now, 10, 90_000),
        };
        self.plan(at, Deed::End(session));
    }

    /// Most far sides know session timers, some of the shortest interval; half of them acknowledge provisional responses.
    fn usage(&mut self) -> Usage {
        if let Some((usage, _)) = self.steady {
            return usage;
        }
        Usage {
            session_expires: [None, Some(90), Some(1800)][self.entropy.below(3) as usize],
            min_se: 0,
            reliable: self.entropy.below(2) == 0,
        }
    }

    /// The next message to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let mut transmit = self.endpoint.poll_transmit()?;
        if self.hides_update {
            let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
            transmit.bytes = text.replacen(" UPDATE,", "", 1).into();
        }
        Some(transmit)
    }

    fn credentials(&self) -> Option<Credentials> {
        self.user.as_ref().map(|user| Credentials {
            user: user.clone(),
            password: format!("{user}-password"),
            realm: None,
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
            Event::Incoming {
                session, message, ..
            } => {
                self.note_port(session, message.body_of("application/sdp"));
                let usage = self.usage();
                self.endpoint
                    .handle_command(now, Command::Use { session, usage });
                self.ring(now, session);
            }
            Event::Answered { session, sdp, .. } => {
                self.note_port(session, sdp);
                self.plan_holds(now, session);
                self.plan_referrals(now, session);
                let keys = match self.steady {
                    Some(_) => 0,
                    None => self.entropy.below(3),
                };
                for _ in 0..keys {
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
            Event::ReferReport { code: 200, .. } => self.passed_on += 1,
            Event::OfferAnswered { session, sdp } => {
                self.offers_answered += 1;
                self.note_port(session, sdp);
            }
            Event::OfferRefused { session, code } if code != 491 => {
                self.faults
                    .push(format!("{session:?}: a hold was refused with {code}"));
            }
            Event::Offer { session, .. } => {
                if let Some(media) = self.sessions.get(&session) {
                    let sdp = description(*media, "sendrecv");
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

    /// Half of the conversations has holds in it, some several, some with a re-INVITE that changes nothing.
    fn plan_holds(&mut self, now: Now, session: SessionId) {
        if self.steady.is_some() {
            return;
        }
        let mut at = self.soon(now, 300, 8_000);
        for _ in 0..[0, 0, 1, 3][self.entropy.below(4) as usize] {
            let held = ["sendonly", "inactive", "recvonly", "sendrecv"];
            let held = held[self.entropy.below(4) as usize];
            self.plan(at, Deed::Offer(session, held));
            if self.entropy.below(4) > 0 {
                let later = Duration::from_millis(50 + self.entropy.below(6_000));
                self.plan(at + later, Deed::Offer(session, "sendrecv"));
            }
            at = at + Duration::from_millis(100 + self.entropy.below(20_000));
        }
    }

    /// What the PBX describes does not change within a session (DESIGN.md section 5).
    fn note_port(&mut self, session: SessionId, sdp: Option<Bytes>) {
        let Some(port) = sdp.as_deref().and_then(audio_port) else {
            return;
        };
        let first = self
            .described
            .entry(session)
            .or_insert_with(|| port.clone());
        if *first != port {
            self.faults
                .push(format!("{session:?}: the port went from {first} to {port}"));
        }
    }

    /// A call came in: rings and is answered, refused, or left alone.
    fn ring(&mut self, now: Now, session: SessionId) {
        let media = self.new_media();
        self.sessions.insert(session, media);
        self.ringing.insert(session);
        let stop_at = now.mono + Duration::from_secs(180);
        self.plan(stop_at, Deed::StopRinging(session));
        if self.steady.is_some() {
            let at = now.mono + Duration::from_secs(1);
            return self.plan(at, Deed::Answer(session));
        }
        let ring_at = self.soon(now, 10, 500);
        let act_at = self.soon(now, 600, 24_000);
        match self.entropy.below(11) {
            10 => {
                let elsewhere = ["+79990000000", "102", "+4930123456"];
                let user = elsewhere[self.entropy.below(3) as usize];
                self.plan(ring_at, Deed::Redirect(session, user));
            }
            0 => self.plan(act_at, Deed::Refuse(session, 486)),
            1 => self.plan(ring_at, Deed::Refuse(session, 603)),
            2 => self.plan(ring_at, Deed::Refuse(session, 480)),
            3 => self.plan(ring_at, Deed::Ring(session, false)),
            4 => {}
            _ => {
                let early = self.entropy.below(3) == 0;
                self.plan(ring_at, Deed::Ring(session, early));
                if self.entropy.below(4) == 0 {
                    let again = self.soon(now, 10, 900);
                    self.plan(again, Deed::Ring(session, true));
                }
                self.plan(act_at, Deed::Answer(session));
            }
        }
    }
}

/// The port of a description's audio.
fn audio_port(sdp: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(sdp).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next().map(str::to_owned)
}

fn description(media: SocketAddr, direction: &str) -> Bytes {
    let (ip, port) = (media.ip(), media.port());
    Bytes::from(format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    ))
}
