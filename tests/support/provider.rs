//! A provider written by hand: it does with REGISTER, OPTIONS and INVITE what a test says, and keeps all that it hears.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::sip::wire::{Message, Method, Name};

use super::{CALLER, eventually, free_port};

/// What it does from now on.
#[derive(Clone, Debug)]
pub struct Ways {
    /// The answer to OPTIONS; `None`: silence.
    pub options: Option<u16>,
    /// What it does with REGISTER.
    pub register: Register,
    /// What it does with INVITE.
    pub invite: Invite,
    /// The challenge that INVITE and BYE must answer: a status and the header's value.
    pub challenge: Option<(u16, &'static str)>,
}

/// What it does with REGISTER.
#[derive(Clone, Copy, Debug)]
pub enum Register {
    /// 200 for so many seconds; to fewer than the least, 423.
    Grant { seconds: u32, least: u32 },
    /// Any other answer.
    Refuse(u16),
    /// Nothing.
    Silence,
}

/// What it does with INVITE.
#[derive(Clone, Debug)]
pub enum Invite {
    /// 180 and 200, with its media there.
    Answer(SocketAddr),
    /// 183 with its media there, 200 after so many milliseconds.
    Early(SocketAddr, u64),
    /// To an INVITE without offer: 180, and 200 with an offer of its own.
    Offer(SocketAddr),
    /// The same in a reliable 183, and 200 without any once that is acknowledged.
    OfferEarly(SocketAddr),
    /// A refusal with further lines.
    Refuse(u16, &'static str),
    /// Nothing, or after so many milliseconds 180.
    Silence(Option<u64>),
}

impl Default for Ways {
    fn default() -> Ways {
        Ways {
            options: Some(200),
            register: Register::Grant {
                seconds: 300,
                least: 0,
            },
            invite: Invite::Refuse(480, ""),
            challenge: None,
        }
    }
}

/// One message that it heard, and when.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// The message.
    pub message: Message,
}

/// The provider. Stops when dropped.
pub struct Provider {
    /// Where it is.
    pub address: SocketAddr,
    ways: Arc<Mutex<Ways>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// On a free port where callers come from.
    pub fn start(ways: Ways) -> Provider {
        Provider::at(SocketAddr::new(CALLER, free_port(CALLER)), ways)
    }

    /// At this address.
    pub fn at(address: SocketAddr, ways: Ways) -> Provider {
        let socket = UdpSocket::bind(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let ways = Arc::new(Mutex::new(ways));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut desk = Desk {
            socket,
            address,
            ways: ways.clone(),
            heard: heard.clone(),
            later: Vec::new(),
            ringing: Vec::new(),
        };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                desk.step();
            }
        });
        Provider {
            address,
            ways,
            heard,
            stop,
            thread: Some(thread),
        }
    }

    /// Changes its ways.
    pub fn change(&self, change: impl FnOnce(&mut Ways)) {
        change(&mut self.ways.lock().unwrap());
    }

    /// The requests of that method so far, without repetitions.
    pub fn requests(&self, method: Method) -> Vec<Heard> {
        let mut seen: Vec<(String, u32)> = Vec::new();
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter(|heard| heard.message.is_request() && heard.message.method() == method)
            .filter(|heard| {
                let key = (heard.message.branch().to_owned(), heard.message.cseq());
                let is_new = !seen.contains(&key);
                seen.push(key);
                is_new
            })
            .cloned()
            .collect()
    }

    /// Waits for the request of that method with this number, from 0.
    pub async fn request(&self, method: Method, number: usize, limit: Duration) -> Message {
        let what = format!("{method:?} {number} at {}", self.address);
        eventually(limit, &what, || async {
            let heard = self.requests(method);
            heard.get(number).map(|heard| heard.message.clone())
        })
        .await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Desk {
    socket: UdpSocket,
    address: SocketAddr,
    ways: Arc<Mutex<Ways>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    later: Vec<(Instant, SocketAddr, String)>,
    /// INVITEs without a final answer, for CANCEL.
    ringing: Vec<Message>,
}

impl Desk {
    fn step(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.later.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, to, text) in due {
            self.socket.send_to(text.as_bytes(), to).ok();
        }
        let mut buffer = [0; 65_536];
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
            return;
        };
        let Ok(message) = Message::parse(Bytes::copy_from_slice(&buffer[..length])) else {
            return;
        };
        let is_repeated = {
            let mut heard = self.heard.lock().unwrap();
            let is_repeated = heard.iter().any(|before| {
                before.message.is_request()
                    && before.message.branch() == message.branch()
                    && before.message.method() == message.method()
            });
            heard.push(Heard {
                at: now,
                message: message.clone(),
            });
            is_repeated
        };
        if message.is_request() {
            self.serve(from, &message, is_repeated);
        }
    }

    fn serve(&mut self, from: SocketAddr, request: &Message, is_repeated: bool) {
        let ways = self.ways.lock().unwrap().clone();
        let method = request.method();
        if let (Some((code, challenge)), Method::Invite | Method::Bye) = (ways.challenge, method) {
            let has_credentials = request.header(Name::Authorization).is_some()
                || request.header(Name::ProxyAuthorization).is_some();
            // BYE is challenged anew, as by a proxy that keeps no state.
            let is_fresh = !has_credentials || (method == Method::Bye && self.is_first_bye());
            if is_fresh {
                let name = if code == 407 { "Proxy" } else { "WWW" };
                let more = format!("{name}-Authenticate: {challenge}\r\n");
                return self.send(from, &self.response(request, code, &more, ""));
            }
        }
        match method {
            Method::Register => self.register(from, request, ways.register),
            Method::Options => {
                if let Some(code) = ways.options {
                    self.send(from, &self.response(request, code, "", ""));
                }
            }
            Method::Invite => self.invite(from, request, &ways.invite, is_repeated),
            Method::Cancel => {
                self.send(from, &self.response(request, 200, "", ""));
                if let Some(place) = self
                    .ringing
                    .iter()
                    .position(|invite| invite.branch() == request.branch())
                {
                    let invite = self.ringing.remove(place);
                    self.send(from, &self.response(&invite, 487, "", ""));
                }
            }
            Method::Bye => self.send(from, &self.response(request, 200, "", "")),
            Method::Prack => {
                self.send(from, &self.response(request, 200, "", ""));
                if let Some(invite) = self.ringing.pop() {
                    let contact = format!("Contact: <sip:far@{}>\r\n", self.address);
                    self.send(from, &self.response(&invite, 200, &contact, ""));
                }
            }
            _ => {}
        }
    }

    fn is_first_bye(&self) -> bool {
        let heard = self.heard.lock().unwrap();
        let byes = heard
            .iter()
            .filter(|heard| heard.message.method() == Method::Bye && heard.message.is_request());
        byes.count() <= 1
    }

    fn register(&self, from: SocketAddr, request: &Message, ways: Register) {
        let asked: u32 = request
            .header(Name::Expires)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        let contact = request.header(Name::Contact).unwrap_or("").to_owned();
        let (code, more) = match ways {
            Register::Silence => return,
            Register::Refuse(code) => (code, String::new()),
            Register::Grant { least, .. } if asked > 0 && asked < least => {
                (423, format!("Min-Expires: {least}\r\n"))
            }
            Register::Grant { seconds, .. } => {
                let granted = seconds.min(asked);
                (200, format!("Contact: {contact};expires={granted}\r\n"))
            }
        };
        self.send(from, &self.response(request, code, &more, ""));
    }

    fn invite(&mut self, from: SocketAddr, request: &Message, ways: &Invite, is_repeated: bool) {
        let contact = format!("Contact: <sip:far@{}>\r\n", self.address);
        let later = |millis: u64| Instant::now() + Duration::from_millis(millis);
        match ways {
            Invite::Answer(media) => {
                self.send(from, &self.response(request, 180, &contact, ""));
                self.send(from, &self.response(request, 200, &contact, &sdp(*media)));
            }
            Invite::Offer(media) => {
                assert!(request.body().is_empty(), "there is an offer already");
                self.send(from, &self.response(request, 180, &contact, ""));
                self.send(from, &self.response(request, 200, &contact, &sdp(*media)));
            }
            Invite::OfferEarly(media) => {
                assert!(request.body().is_empty(), "there is an offer already");
                self.ringing.push(request.clone());
                let reliable = format!("{contact}Require: 100rel\r\nRSeq: 41\r\n");
                self.send(from, &self.response(request, 183, &reliable, &sdp(*media)));
            }
            Invite::Early(media, millis) => {
                let early = self.response(request, 183, &contact, &sdp(*media));
                self.send(from, &early);
                if !is_repeated {
                    let answer = self.response(request, 200, &contact, &sdp(*media));
                    self.later.push((later(*millis), from, answer));
                }
            }
            Invite::Refuse(code, more) => {
                self.send(from, &self.response(request, *code, more, ""));
            }
            Invite::Silence(None) => {}
            Invite::Silence(Some(millis)) => {
                if !is_repeated {
                    self.ringing.push(request.clone());
                    let ringing = self.response(request, 180, &contact, "");
                    self.later.push((later(*millis), from, ringing));
                }
            }
        }
    }

    fn send(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).ok();
    }

    fn response(&self, request: &Message, code: u16, more: &str, body: &str) -> String {
        let header = |name| request.header(name).unwrap_or("");
        let to = header(Name::To);
        let tag = match request.to_tag() {
            Some(_) => String::new(),
            None => format!(";tag=far{}", self.address.port()),
        };
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        format!(
            "SIP/2.0 {code} Whatever\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            header(Name::Via),
            header(Name::From),
            request.call_id(),
            header(Name::CSeq),
            body.len(),
        )
    }
}

fn sdp(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=far 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
}
