//! A phone that subscribes by hand: its SUBSCRIBEs, its credentials, and the NOTIFYs that it gets.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use vats::ledger::entropy::Entropy;
use vats::sip::auth::{Credentials, answer_challenge};
use vats::sip::wire::{Message, Method, Name};

use super::by_hand::Peer;
use super::pbx::Pbx;

const PATIENCE: Duration = Duration::from_secs(10);

/// A phone that watches.
pub struct Watcher {
    pub peer: Peer,
    user: String,
    count: u32,
}

/// A subscription, as its watcher knows it.
pub struct Subscription {
    uri: String,
    event: String,
    call_id: String,
    to: String,
    contact: String,
    cseq: u32,
}

impl Watcher {
    pub fn new(pbx: &Pbx, ip: IpAddr, user: &str) -> Watcher {
        Watcher {
            peer: Peer::new(pbx, ip),
            user: user.to_owned(),
            count: 0,
        }
    }

    /// SUBSCRIBE with credentials: the final answer, and the subscription if it is 200.
    pub fn subscribe(
        &mut self,
        whom: &str,
        event: &str,
        expires: u32,
    ) -> (Message, Option<Subscription>) {
        self.count += 1;
        let uri = format!("sip:{whom}@pbx.test");
        let mut subscription = Subscription {
            to: format!("<{uri}>"),
            event: event.to_owned(),
            call_id: format!("w{}-{}", self.count, self.peer.at),
            contact: uri.clone(),
            uri,
            cseq: 0,
        };
        let answer = self.send(&mut subscription, expires);
        if answer.status() != 200 {
            return (answer, None);
        }
        subscription.to = answer.header(Name::To).unwrap().to_owned();
        let contact = answer.header(Name::Contact).unwrap();
        subscription.contact = contact.trim_matches(['<', '>']).to_owned();
        (answer, Some(subscription))
    }

    /// Renews it, or ends it with 0: the final answer.
    pub fn renew(&mut self, subscription: &mut Subscription, expires: u32) -> Message {
        self.send(subscription, expires)
    }

    fn send(&mut self, subscription: &mut Subscription, expires: u32) -> Message {
        let plain = self.draw(subscription, expires, "");
        self.peer.send(&plain);
        let challenge = self.answer();
        if challenge.status() != 401 {
            return challenge;
        }
        let credentials = Credentials {
            user: self.user.clone(),
            password: format!("secret-{}", self.user),
            realm: None,
        };
        let mut entropy = Entropy::from_number(u64::from(self.count) + 11);
        let uri = &subscription.contact;
        let (name, value) =
            answer_challenge(&challenge, "SUBSCRIBE", uri, &credentials, 1, &mut entropy).unwrap();
        let line = format!("{name}: {value}\r\n");
        let full = self.draw(subscription, expires, &line);
        self.peer.send(&full);
        self.answer()
    }

    fn draw(&mut self, subscription: &mut Subscription, expires: u32, more: &str) -> String {
        subscription.cseq += 1;
        self.count += 1;
        let (at, user) = (self.peer.at, &self.user);
        format!(
            "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bKw{port}x{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@pbx.test>;tag=w{port}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Contact: <sip:{user}@{at}>\r\nEvent: {event}\r\nExpires: {expires}\r\n{more}Content-Length: 0\r\n\r\n",
            uri = subscription.contact,
            port = at.port(),
            n = self.count,
            to = subscription.to,
            id = subscription.call_id,
            cseq = subscription.cseq,
            event = subscription.event,
        )
    }

    /// The next final response; NOTIFYs before it stay in the socket no longer and are answered, so ask for them with `notified` after it.
    fn answer(&mut self) -> Message {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(message) = self.peer.hear(PATIENCE)
                && !message.is_request()
                && message.status() >= 200
            {
                return message;
            }
        }
        panic!("no answer");
    }

    /// The next NOTIFY that is no retransmission, answered with 200: its Subscription-State and its body.
    pub fn notified(&mut self) -> (String, String) {
        self.notified_with(200)
    }

    /// As `notified`, answered with another status.
    pub fn notified_with(&mut self, code: u16) -> (String, String) {
        let notify = self.peer.request(Method::Notify);
        self.peer.respond(&notify, code, "w", "sip:w@w", "");
        let state = notify.header(Name::SubscriptionState).unwrap().to_owned();
        let body = String::from_utf8(notify.body().to_vec()).unwrap();
        (state, body)
    }

    /// NOTIFYs until one's body says this; gives that one's.
    pub fn until(&mut self, what: &str) -> String {
        let mut heard = Vec::new();
        for _ in 0..8 {
            let (_, body) = self.notified();
            if body.contains(what) {
                return body;
            }
            heard.push(body);
        }
        panic!("{what} was not told: {heard:#?}");
    }

    /// Whether no NOTIFY comes for a while.
    pub fn is_quiet(&mut self) -> bool {
        self.peer.hear(Duration::from_millis(400)).is_none()
    }
}

impl Subscription {
    /// The URI that is watched.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}
