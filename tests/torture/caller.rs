//! An INVITE of ours and the far side's responses to it: for the messages of RFC 4475 that are responses.

use std::time::Duration;

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::sip::endpoint::command::{Command, Invite, Routing, Usage};
use vats::sip::endpoint::event::Event;
use vats::sip::endpoint::{Drops, Endpoint, Flow, ListenerId, SessionId, Settings};
use vats::sip::wire::{Message, Name};

use super::rig::{SDP, wire};

pub struct Caller {
    endpoint: Endpoint,
    now: Now,
    /// The INVITE that is under way.
    pub invite: Message,
}

impl Caller {
    pub fn new() -> Caller {
        let settings = Settings {
            product: "vats/test".to_owned(),
        };
        let mut endpoint = Endpoint::new(settings, Entropy::from_number(2));
        let now = Now {
            mono: Mono::from_micros(1_000_000),
            wall: Wall::from_micros(1_772_960_700_000_000),
        };
        let invite = Invite {
            session: SessionId(7),
            flow: flow(),
            routing: Routing::Dialog,
            uri: "sip:bob@192.0.2.20".to_owned(),
            from: "<sip:alice@192.0.2.1>".to_owned(),
            to: "<sip:bob@192.0.2.20>".to_owned(),
            contact_user: None,
            call_id: "a84b4c76e66710".to_owned(),
            sdp: Bytes::from(SDP),
            credentials: None,
            max_forwards: 70,
            headers: Vec::new(),
            other_headers: Vec::new(),
            give_up_after: None,
            usage: Usage::default(),
        };
        endpoint.handle_command(now, Command::Invite(Box::new(invite)));
        let bytes = endpoint.poll_transmit().expect("an INVITE").bytes;
        let invite = Message::parse(bytes).unwrap();
        Caller {
            endpoint,
            now,
            invite,
        }
    }

    /// A response with this start line; `change` may spoil it.
    pub fn hear(&mut self, start: &str, change: impl Fn(String) -> String) {
        let invite = &self.invite;
        let header = |name: Name| invite.header(name).unwrap().to_owned();
        let text = format!(
            "{start}\nVia: {}\nFrom: {}\nTo: {};tag=bob\nCall-ID: {}\nCSeq: {}\nContact: <sip:bob@192.0.2.20>\n\
             Content-Type: application/sdp\nContent-Length: @LENGTH@\n\n{SDP}",
            header(Name::Via),
            header(Name::From),
            header(Name::To),
            invite.call_id(),
            header(Name::CSeq),
        );
        let bytes = Bytes::from(wire(&change(text)));
        self.endpoint.handle_message(self.now, flow(), bytes);
    }

    /// The methods of what was sent since.
    pub fn sent(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.endpoint.poll_transmit())
            .map(|transmit| {
                let message = Message::parse(transmit.bytes).unwrap();
                message.method_text().to_owned()
            })
            .collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    /// Lets the time of one retransmission pass.
    pub fn pass(&mut self) {
        self.now = self.now + Duration::from_millis(600);
        self.endpoint.handle_timeout(self.now);
    }

    pub fn drops(&self) -> Drops {
        self.endpoint.drops()
    }
}

fn flow() -> Flow {
    let [ours, theirs] = ["192.0.2.1:5060", "192.0.2.20:5060"].map(|text| text.parse().unwrap());
    Flow::udp(ListenerId(0), theirs, ours)
}
