//! A phone with several lines, driven step by step: the crate's SIP endpoint on a socket of its own, without sound.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::auth::Credentials;
use vats::sip::endpoint::command::{Command, Headers, Invite, Request, Routing, Usage};
use vats::sip::endpoint::event::{Event, RequestId};
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, SessionId, Settings};
use vats::sip::wire::{Message, Method, Name};

use super::pbx::Pbx;

const PATIENCE: Duration = Duration::from_secs(10);

/// A registered phone.
pub struct Softphone {
    socket: UdpSocket,
    pbx: SocketAddr,
    user: String,
    endpoint: Endpoint,
    entropy: Entropy,
    began: Instant,
    heard: VecDeque<Event>,
}

impl Softphone {
    /// Registers `user` with the password that `pbx::operator` gives.
    pub fn register(pbx: &Pbx, ip: IpAddr, user: &str) -> Softphone {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let mut entropy = Entropy::from_number(u64::from(socket.local_addr().unwrap().port()));
        let settings = Settings {
            product: "softphone".to_owned(),
        };
        let mut phone = Softphone {
            socket,
            pbx: pbx.sip,
            user: user.to_owned(),
            endpoint: Endpoint::new(settings, entropy.split()),
            entropy,
            began: Instant::now(),
            heard: VecDeque::new(),
        };
        let address = format!("<sip:{user}@pbx.test>");
        let request = Request {
            id: RequestId(1),
            method: Method::Register,
            flow: phone.flow(),
            uri: "sip:pbx.test".to_owned(),
            from: address.clone(),
            to: address,
            call_id: None,
            cseq: 1,
            credentials: phone.credentials(),
            headers: vec![
                (Name::Contact, format!("<sip:{user}@{}>", phone.at())),
                (Name::Expires, "300".to_owned()),
            ],
        };
        phone.command(Command::Request(Box::new(request)));
        let code = phone.until("the registration", |event| match event {
            Event::Response { code, .. } => Some(*code),
            _ => None,
        });
        assert_eq!(code, 200);
        phone
    }

    /// Where it is.
    pub fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Calls `number`; `headers` are further lines of the INVITE.
    pub fn call(&mut self, number: &str, headers: Headers) -> SessionId {
        let now = self.now();
        let session = SessionId(LegId::new(now.wall, &mut self.entropy).as_u128());
        let invite = Invite {
            session,
            flow: self.flow(),
            routing: Routing::Dialog,
            uri: format!("sip:{number}@{}", self.pbx),
            from: format!("<sip:{}@pbx.test>", self.user),
            to: format!("<sip:{number}@pbx.test>"),
            contact_user: Some(self.user.clone()),
            call_id: self.entropy.token(),
            sdp: self.description(),
            credentials: self.credentials(),
            max_forwards: 70,
            headers,
            other_headers: Vec::new(),
            give_up_after: None,
            usage: Usage::default(),
        };
        self.command(Command::Invite(Box::new(invite)));
        session
    }

    /// Waits for a call to come in, lets it ring, and gives its INVITE.
    pub fn rings(&mut self) -> (SessionId, Message) {
        let (session, invite) = self.until("a call", |event| match event {
            Event::Incoming {
                session, message, ..
            } => Some((*session, message.clone())),
            _ => None,
        });
        self.command(Command::Progress {
            session,
            code: 180,
            sdp: None,
        });
        (session, invite)
    }

    /// Answers a call that rings.
    pub fn answer(&mut self, session: SessionId) {
        let sdp = self.description();
        self.command(Command::Accept {
            session,
            sdp,
            headers: Vec::new(),
        });
        self.until("the ACK", |event| {
            matches!(event, Event::Acked { session: of, .. } if *of == session).then_some(())
        });
    }

    /// Waits until a call of ours is answered.
    pub fn answered(&mut self, session: SessionId) {
        self.until("an answer", |event| match event {
            Event::Answered { session: of, .. } if *of == session => Some(()),
            Event::Refused {
                session: of, code, ..
            } if *of == session => panic!("refused with {code}"),
            _ => None,
        });
    }

    /// Waits until a call of ours rings.
    pub fn hears_ringing(&mut self, session: SessionId) {
        self.until("ringing", |event| {
            matches!(event, Event::Progress { session: of, .. } if *of == session).then_some(())
        });
    }

    /// Waits until a call of ours is refused; gives the status.
    pub fn refused(&mut self, session: SessionId) -> u16 {
        self.until("a refusal", |event| match event {
            Event::Refused {
                session: of, code, ..
            } if *of == session => Some(*code),
            Event::Answered { session: of, .. } if *of == session => panic!("answered"),
            _ => None,
        })
    }

    /// Waits until the far side has ended a call, or given it up.
    pub fn ended(&mut self, session: SessionId) {
        self.until("the end", |event| {
            let is_it = matches!(event, Event::Ended { session: of, .. } | Event::Cancelled { session: of } | Event::Refused { session: of, .. } if *of == session);
            is_it.then_some(())
        });
    }

    /// Sends REFER; gives the status that answers it.
    pub fn refer(&mut self, session: SessionId, to: &str) -> u16 {
        self.command(Command::Refer {
            session,
            to: to.to_owned(),
            headers: Vec::new(),
        });
        self.until("the answer to REFER", |event| match event {
            Event::ReferAnswered { session: of, code } if *of == session => Some(*code),
            _ => None,
        })
    }

    /// Waits for the final report on a REFER.
    pub fn report(&mut self, session: SessionId) -> u16 {
        self.until("the final report", |event| match event {
            Event::ReferReport { session: of, code } if *of == session && *code >= 200 => {
                Some(*code)
            }
            _ => None,
        })
    }

    /// Refer-To with Replaces that names a dialog of this phone's.
    pub fn replacing(&self, session: SessionId) -> String {
        let dialog = self.endpoint.dialog_of(session).expect("a dialog");
        let (id, ours, theirs) = (dialog.call_id, dialog.local_tag, dialog.remote_tag);
        format!("<sip:x@pbx.test?Replaces={id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}>")
    }

    /// Replaces that names a dialog of this phone's, as another phone of the same operator writes it.
    pub fn replaces(&self, session: SessionId) -> String {
        let dialog = self.endpoint.dialog_of(session).expect("a dialog");
        let (id, ours, theirs) = (dialog.call_id, dialog.local_tag, dialog.remote_tag);
        format!("{id};to-tag={theirs};from-tag={ours}")
    }

    /// Ends a call.
    pub fn hang_up(&mut self, session: SessionId) {
        self.command(Command::End {
            session,
            reason: None,
        });
        self.pass(Duration::from_millis(100));
    }

    /// Hands a command to the endpoint.
    pub fn command(&mut self, command: Command) {
        let now = self.now();
        self.endpoint.handle_command(now, command);
        self.flush();
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step();
        }
    }

    /// Waits for an event; those before it that are of no interest are kept for later.
    pub fn until<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self
                .heard
                .iter()
                .enumerate()
                .find_map(|(place, event)| Some((place, wanted(event)?)));
            if let Some((place, found)) = found {
                self.heard.remove(place);
                return found;
            }
            assert!(
                Instant::now() < end,
                "{}: not heard: {what}; heard {:?}",
                self.user,
                self.heard
            );
            self.step();
        }
    }

    fn step(&mut self) {
        self.socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut buffer = [0; 65_536];
        if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap());
            let (now, flow) = (self.now(), self.flow());
            self.endpoint.handle_message(now, flow, bytes);
        }
        let now = self.now();
        self.endpoint.handle_timeout(now);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.socket
                .send_to(&transmit.bytes, transmit.flow.remote)
                .unwrap();
        }
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Offer { session, .. } = event {
                let sdp = self.description();
                let now = self.now();
                self.endpoint
                    .handle_command(now, Command::AnswerOffer { session, sdp });
                continue;
            }
            self.heard.push_back(event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.socket
                .send_to(&transmit.bytes, transmit.flow.remote)
                .unwrap();
        }
    }

    fn now(&self) -> Now {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap();
        Now {
            mono: Mono::from_micros(1_000_000 + micros),
            wall: Wall::from_micros(1_772_960_700_000_000 + i64::try_from(micros).unwrap()),
        }
    }

    fn flow(&self) -> Flow {
        Flow::udp(ListenerId(0), self.pbx, self.at())
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            user: self.user.clone(),
            password: format!("secret-{}", self.user),
            realm: None,
        })
    }

    fn description(&self) -> Bytes {
        let at = self.at();
        Bytes::from(super::by_hand::sdp(SocketAddr::new(at.ip(), 9), "0 8"))
    }
}
