//! SIP and RTP by hand, on raw sockets: for messages that no well-behaved peer sends.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::ledger::entropy::Entropy;
use vats::sip::auth::{Credentials, answer_challenge};
use vats::sip::wire::{Message, Method, Name};

use super::pbx::Pbx;

/// How long an answer may take.
pub const SOON: Duration = Duration::from_secs(3);
/// The same for one that must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(10);
/// After that much silence nothing follows.
pub const QUIET: Duration = Duration::from_millis(300);

/// A socket that speaks SIP by hand.
pub struct Peer {
    /// Its socket.
    pub socket: UdpSocket,
    /// The PBX.
    pub pbx: SocketAddr,
    /// Where it is.
    pub at: SocketAddr,
    count: u32,
}

impl Peer {
    pub fn new(pbx: &Pbx, ip: IpAddr) -> Peer {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let at = socket.local_addr().unwrap();
        Peer {
            socket,
            pbx: pbx.sip,
            at,
            count: 0,
        }
    }

    /// At this address, known before the PBX was started.
    pub fn bound(pbx: &Pbx, at: SocketAddr) -> Peer {
        Peer {
            socket: UdpSocket::bind(at).unwrap(),
            pbx: pbx.sip,
            at,
            count: 0,
        }
    }

    /// REGISTER without credentials; the From header's user is the To header's.
    pub fn draw_register(&mut self, user: &str, more: &str) -> String {
        let aor = format!("<sip:{user}@pbx.test>");
        let text = self.draw("REGISTER", "sip:pbx.test", &aor, more, "");
        text.replace("To: <sip:pbx.test>", &format!("To: {aor}"))
    }

    /// The request again, with credentials that answer this challenge.
    pub fn with_credentials(
        &self,
        request: &str,
        challenge: &Message,
        user: &str,
        password: &str,
        nonce_count: u32,
    ) -> String {
        let credentials = Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
            realm: None,
        };
        let mut words = request.split(' ');
        let (method, uri) = (words.next().unwrap(), words.next().unwrap());
        let mut entropy = Entropy::from_number(7);
        let (name, value) = answer_challenge(
            challenge,
            method,
            uri,
            &credentials,
            nonce_count,
            &mut entropy,
        )
        .unwrap();
        request
            .replace("CSeq: 1", &format!("{name}: {value}\r\nCSeq: 2"))
            .replace("branch=z9hG4bK", "branch=z9hG4bKr")
    }

    pub fn send(&self, text: impl AsRef<[u8]>) {
        self.socket.send_to(text.as_ref(), self.pbx).unwrap();
    }

    pub fn hear(&self, limit: Duration) -> Option<Message> {
        let mut buffer = [0; 65_536];
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(Message::parse(Bytes::copy_from_slice(&buffer[..length])).unwrap())
    }

    pub fn all(&self) -> Vec<Message> {
        std::iter::from_fn(|| self.hear(QUIET)).collect()
    }

    pub fn statuses(&self) -> Vec<u16> {
        self.all().iter().map(Message::status).collect()
    }

    /// The next final response. Refusals are not acknowledged here, and so come again: another peer asks the next thing.
    pub fn answer(&self) -> Message {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(message) = self.hear(SOON)
                && message.status() >= 200
            {
                return message;
            }
        }
        panic!("no answer");
    }

    /// The next request of that method.
    pub fn request(&self, method: Method) -> Message {
        self.request_within(PATIENCE, method)
    }

    /// As `request`, with a limit.
    pub fn request_within(&self, limit: Duration, method: Method) -> Message {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(message) = self.hear(limit)
                && message.is_request()
                && message.method() == method
            {
                return message;
            }
        }
        panic!("no {method:?}");
    }

    /// A request outside a dialog, each with its own Call-ID and branch. `more` are further lines.
    pub fn draw(&mut self, method: &str, uri: &str, from: &str, more: &str, body: &str) -> String {
        self.count += 1;
        let (at, n) = (self.at, self.count);
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{port}x{n}\r\nMax-Forwards: 70\r\n\
             From: {from};tag=f{n}\r\nTo: <{uri}>\r\nCall-ID: c{n}-{at}\r\nCSeq: 1 {method}\r\nContact: <sip:x@{at}>\r\n\
             {more}{kind}Content-Length: {length}\r\n\r\n{body}",
            port = at.port(),
            length = body.len(),
        )
    }

    pub fn call(&mut self, number: &str, more: &str, body: &str) -> String {
        let uri = format!("sip:{number}@{}", self.pbx);
        self.draw("INVITE", &uri, "<sip:+79160000001@x>", more, body)
    }

    pub fn respond(&self, request: &Message, code: u16, tag: &str, contact: &str, body: &str) {
        let contact = format!("Contact: <{contact}>\r\n");
        self.respond_with(request, code, tag, &contact, body);
    }

    /// A response with these further lines.
    pub fn respond_with(&self, request: &Message, code: u16, tag: &str, more: &str, body: &str) {
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let mut text = format!("SIP/2.0 {code} X\r\n");
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            for value in request.headers(name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        let to = request.header(Name::To).unwrap();
        let tag = if request.to_tag().is_some() {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        text += &format!(
            "To: {to}{tag}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(text);
    }

    /// A request within the dialog that this 200 to our INVITE made.
    pub fn within(
        &mut self,
        ok: &Message,
        method: &str,
        cseq: u32,
        more: &str,
        body: &str,
    ) -> String {
        self.count += 1;
        let contact = ok.header(Name::Contact).unwrap();
        let uri = contact.trim_matches(['<', '>']);
        let head = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{port}y{n}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {id}\r\nCSeq: {cseq} {method}\r\n",
            at = self.at,
            port = self.at.port(),
            n = self.count,
            from = ok.header(Name::From).unwrap(),
            to = ok.header(Name::To).unwrap(),
            id = ok.call_id(),
        );
        format!("{head}{more}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Calls a number that answers, and acknowledges.
    pub fn connected(&mut self, number: &str, body: &str) -> Message {
        let invite = self.call(number, "", body);
        self.send(invite);
        let ok = self.answer();
        assert_eq!(ok.status(), 200);
        let ack = self.within(&ok, "ACK", 1, "", "");
        self.send(ack);
        ok
    }

    pub fn hang_up(&mut self, ok: &Message) {
        let bye = self.within(ok, "BYE", 90, "", "");
        self.send(bye);
        assert_eq!(self.answer().status(), 200);
    }

    /// REGISTER with credentials: the final answer and the challenge before it.
    pub fn register(&mut self, user: &str, password: &str, contact: &str) -> (Message, Message) {
        let aor = format!("<sip:{user}@pbx.test>");
        let first = self.draw("REGISTER", "sip:pbx.test", &aor, contact, "");
        let first = first.replace("To: <sip:pbx.test>", &format!("To: {aor}"));
        let ours = format!("Contact: <sip:x@{}>\r\n", self.at);
        let first = first.replace(&ours, "");
        self.send(&first);
        let challenge = self.answer();
        assert_eq!(challenge.status(), 401);
        let credentials = Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
            realm: None,
        };
        let mut entropy = Entropy::from_number(7);
        let uri = "sip:pbx.test";
        let (name, value) =
            answer_challenge(&challenge, "REGISTER", uri, &credentials, 1, &mut entropy).unwrap();
        let second = first
            .replace("CSeq: 1", &format!("{name}: {value}\r\nCSeq: 2"))
            .replace("branch=z9hG4bK", "branch=z9hG4bKr");
        self.send(second);
        (self.answer(), challenge)
    }
}

pub fn contact(uri: &str) -> String {
    format!("Contact: <{uri}>\r\nExpires: 60\r\n")
}

pub fn sdp(media: SocketAddr, formats: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n",
        ip = media.ip(),
        port = media.port()
    )
}

pub fn media_of(ok: &Message) -> SocketAddr {
    let body = String::from_utf8(ok.body().to_vec()).unwrap();
    let line = body
        .lines()
        .find(|line| line.starts_with("m=audio"))
        .unwrap();
    let port = line.split(' ').nth(1).unwrap().parse().unwrap();
    SocketAddr::new("127.0.0.1".parse().unwrap(), port)
}

pub fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(7u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// What came back of `count` packets with this payload, sent one every 10 ms.
pub fn echoed(socket: &UdpSocket, to: SocketAddr, first: u16, count: u16, byte: u8) -> usize {
    socket.set_read_timeout(Some(QUIET)).unwrap();
    for n in 0..count {
        socket
            .send_to(&rtp(first.wrapping_add(n), &[byte; 160]), to)
            .unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| {
        socket
            .recv(&mut buffer)
            .ok()
            .map(|length| buffer[12..length].contains(&byte))
    })
    .filter(|is_it| *is_it)
    .count()
}
