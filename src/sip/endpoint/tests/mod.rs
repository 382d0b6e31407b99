//! Tests of the endpoint, message by message: what comes in, what goes out, what is reported.

mod admission;
mod credentials;
mod delayed_offer;
mod fuzz;
mod incoming;
mod outgoing;
mod places;
mod referral;
mod reliable;
mod routing;
mod session_timer;
mod streams;
mod transactions;
mod within;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::command::{Command, Headers, Invite, Request, Routing};
use super::event::{Event, RequestId};
use super::*;
use crate::ledger::clock::Wall;
use crate::sip::wire::{Message, Method, Name};

/// An endpoint at 192.0.2.1:5060 whose far side is 192.0.2.9:5060.
struct Rig {
    endpoint: Endpoint,
    now: Now,
}

const US: &str = "192.0.2.1:5060";
const THEM: &str = "192.0.2.9:5060";
const OFFER: &[u8] = b"v=0\r\ns=offer\r\n";
const ANSWER: &[u8] = b"v=0\r\ns=answer\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn flow_to(remote: &str) -> Flow {
    Flow::udp(ListenerId(0), address(remote), address(US))
}

impl Rig {
    fn new() -> Rig {
        let settings = Settings {
            product: "vats/test".to_owned(),
        };
        Rig {
            endpoint: Endpoint::new(settings, Entropy::from_number(1)),
            now: Now {
                mono: Mono::from_micros(1_000_000),
                wall: Wall::from_micros(1_772_960_700_000_000),
            },
        }
    }

    /// Hands in a message; line ends are made CRLF, and Content-Length is added.
    fn receive(&mut self, text: &str) {
        self.receive_from(THEM, text);
    }

    fn receive_from(&mut self, remote: &str, text: &str) {
        self.receive_on(flow_to(remote), text);
    }

    fn receive_on(&mut self, flow: Flow, text: &str) {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let body = body.trim_start_matches('\n');
        let head = head
            .trim()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("\r\n");
        let body = body.replace('\n', "\r\n");
        let whole = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.endpoint
            .handle_message(self.now, flow, Bytes::from(whole));
    }

    fn command(&mut self, command: Command) {
        self.endpoint.handle_command(self.now, command);
    }

    /// What was sent, with its destination.
    fn sent(&mut self) -> Vec<(SocketAddr, Message)> {
        std::iter::from_fn(|| self.endpoint.poll_transmit())
            .map(|transmit| {
                (
                    transmit.flow.remote,
                    Message::parse(transmit.bytes).unwrap(),
                )
            })
            .collect()
    }

    /// The one message that was sent.
    fn one(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0).1
    }

    fn sent_nothing(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "{sent:?}");
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    /// Lets time pass, and does what is due on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now + at.since(self.now.mono);
            self.endpoint.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Sends an INVITE and returns it.
    fn dial(&mut self, change: impl FnOnce(&mut Invite)) -> Message {
        let mut invite = outgoing_invite();
        change(&mut invite);
        self.command(Command::Invite(Box::new(invite)));
        self.one()
    }

    /// An established outgoing session; the far side's tag is `bob`.
    fn dialled(&mut self, change: impl FnOnce(&mut Invite)) -> SessionId {
        let invite = self.dial(change);
        self.receive(&response(
            &invite,
            200,
            "bob",
            "Contact: <sip:bob@192.0.2.9>",
            "v=0\ns=answer\n",
        ));
        self.sent();
        self.events();
        SESSION
    }

    /// An incoming session, reported; 100 was sent.
    fn rung(&mut self) -> SessionId {
        self.receive(INVITE);
        assert_eq!(self.one().status(), 100);
        match self.events().as_slice() {
            [Event::Incoming { session, .. }] => *session,
            other => panic!("{other:?}"),
        }
    }

    /// An established incoming session, acknowledged; gives the 200 as well.
    fn accepted(&mut self) -> (SessionId, Message) {
        let session = self.rung();
        self.accept(session);
        let ok = self.one();
        self.receive(&ack(&ok));
        self.events();
        (session, ok)
    }

    fn accept(&mut self, session: SessionId) {
        self.command(Command::Accept {
            session,
            sdp: Bytes::from_static(ANSWER),
            headers: Headers::new(),
        });
    }

    /// The whole endpoint is empty after the last lingering.
    fn assert_ends(&mut self) {
        self.pass(Duration::from_secs(200));
        self.sent();
        assert_eq!(self.endpoint.census(), Census::default());
        assert_eq!(self.endpoint.poll_timeout(), None);
    }
}

const SESSION: SessionId = SessionId(7);

fn outgoing_invite() -> Invite {
    Invite {
        session: SESSION,
        flow: flow_to(THEM),
        routing: Routing::Dialog,
        uri: "sip:bob@192.0.2.9".to_owned(),
        from: "\"Alice\" <sip:alice@192.0.2.1>".to_owned(),
        to: "<sip:bob@192.0.2.9>".to_owned(),
        contact_user: Some("alice".to_owned()),
        call_id: "a84b4c76e66710".to_owned(),
        sdp: Bytes::from_static(OFFER),
        credentials: None,
        max_forwards: 69,
        headers: vec![(Name::Subject, "Sofas".to_owned())],
        other_headers: vec![("X-Vats-Call".to_owned(), "1".to_owned())],
        give_up_after: None,
        usage: command::Usage::default(),
    }
}

const INVITE: &str = "INVITE sip:74951000001@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKinvite;rport
Max-Forwards: 70
From: <sip:anna@192.0.2.9>;tag=anna
To: <sip:74951000001@192.0.2.1>
Call-ID: incoming
CSeq: 1 INVITE
Contact: <sip:anna@192.0.2.9:5060>
Content-Type: application/sdp

v=0
s=offer
";

/// The ACK to a 200 of ours to `INVITE`, or to a re-INVITE.
fn ack(ok: &Message) -> String {
    format!(
        "ACK sip:74951000001@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKack{}
        From: <sip:anna@192.0.2.9>;tag=anna
        To: {}
        Call-ID: incoming
        CSeq: {} ACK\n\n",
        ok.cseq(),
        ok.header(Name::To).unwrap(),
        ok.cseq(),
    )
}

/// A request of the far side within the dialog of a 200 of ours.
fn within(ok: &Message, method: &str, cseq: u32, more: &str, body: &str) -> String {
    let content = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    format!(
        "{method} sip:74951000001@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKwithin{cseq}{method}
        Max-Forwards: 70
        From: <sip:anna@192.0.2.9>;tag=anna
        To: {}
        Call-ID: incoming
        CSeq: {cseq} {method}
        Contact: <sip:anna@192.0.2.9:5060>
        {content}{more}\n\n{body}",
        ok.header(Name::To).unwrap(),
    )
}

/// A response to a request of ours.
fn response(request: &Message, code: u16, tag: &str, more: &str, body: &str) -> String {
    let to = request.header(Name::To).unwrap();
    let tag = match (tag, request.to_tag()) {
        ("", _) | (_, Some(_)) => String::new(),
        (tag, None) => format!(";tag={tag}"),
    };
    let content = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    format!(
        "SIP/2.0 {code} Whatever
        Via: {}
        From: {}
        To: {to}{tag}
        Call-ID: {}
        CSeq: {}
        {content}{more}\n\n{body}",
        request.header(Name::Via).unwrap(),
        request.header(Name::From).unwrap(),
        request.call_id(),
        request.header(Name::CSeq).unwrap(),
    )
}
