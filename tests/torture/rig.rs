//! A PBX without a network: datagrams go into the core of the switch, its answers come out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use vats::call::media::{MediaAct, MediaEvent};
use vats::dialplan::config::{self, SourceFile};
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::auth::{Credentials, answer_challenge};
use vats::sip::endpoint::ListenerId;
use vats::sip::wire::{Message, Name};
use vats::switch::core::Core;
use vats::switch::effect::Effect;
use vats::switch::handle::Views;
use vats::switch::reach::Reach;

use crate::plan_edge::Silence;

/// A provider's machine: its calls are taken without credentials.
pub const TRUNK: &str = "192.0.2.20:5060";
/// The same in IPv6.
pub const TRUNK_6: &str = "[2001:db8::20]:5060";

/// One number leads to an echo, which answers at once; one operator may register.
const PLAN: &str = r#"
[server]
sip = ["udp://192.0.2.1:5060", "udp://[2001:db8::1]:5060"]
domain = "pbx.example"
country = "RU"
[trunks.acme]
accept = ["192.0.2.0/24", "2001:db8::/32"]
[operators.anna]
password = "anna-password"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "echo"
"#;

pub struct Rig {
    core: Core,
    now: Now,
    entropy: Entropy,
    port: u16,
    sent: Vec<Message>,
}

impl Rig {
    pub fn new() -> Rig {
        let source = SourceFile {
            path: "vats.toml".into(),
            text: PLAN.to_owned(),
        };
        let plan = config::check(&[source], &Silence(800), 1)
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let now = Now {
            mono: Mono::from_micros(1_000_000),
            wall: Wall::from_micros(1_772_960_700_000_000),
        };
        let ours = ["192.0.2.1:5060", "[2001:db8::1]:5060"].map(|text| text.parse().unwrap());
        let reach = Reach::new(ours.to_vec(), Box::new(our_address));
        let mut entropy = Entropy::from_number(1);
        let views = Arc::new(Views::default());
        let core = Core::new(
            now,
            Arc::new(plan),
            reach,
            views,
            Vec::new(),
            entropy.split(),
        );
        let mut rig = Rig {
            core,
            now,
            entropy,
            port: 20_000,
            sent: Vec::new(),
        };
        rig.settle();
        rig.sent.clear();
        rig
    }

    /// What is sent because of a datagram that the trunk sent.
    pub fn answers(&mut self, datagram: impl AsRef<[u8]>) -> Vec<Message> {
        self.answers_to(TRUNK, datagram)
    }

    /// What is sent because of a datagram.
    pub fn answers_to(&mut self, from: &str, datagram: impl AsRef<[u8]>) -> Vec<Message> {
        let from: SocketAddr = from.parse().unwrap();
        let listener = ListenerId(u16::from(from.is_ipv6()));
        let bytes = Bytes::copy_from_slice(datagram.as_ref());
        self.core.handle_datagram(self.now, listener, from, bytes);
        self.settle();
        std::mem::take(&mut self.sent)
    }

    /// The one answer, whatever it is.
    pub fn answer(&mut self, datagram: impl AsRef<[u8]>) -> Message {
        let mut answers = self.answers(datagram);
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// As a phone does: asks without credentials, is challenged, and asks with anna's. `draw` gets a serial number and the line.
    pub fn register(&mut self, draw: impl Fn(u32, &str) -> String) -> Message {
        let challenge = self.answer(draw(1, ""));
        assert_eq!(challenge.status(), 401);
        let anna = Credentials {
            user: "anna".to_owned(),
            password: "anna-password".to_owned(),
            realm: None,
        };
        let uri = "sip:pbx.example";
        let entropy = &mut self.entropy;
        let (name, value) = answer_challenge(&challenge, "REGISTER", uri, &anna, 1, entropy)
            .expect("a challenge that can be answered");
        self.answer(draw(2, &format!("{name}: {value}\n")))
    }

    pub fn live_calls(&self) -> usize {
        self.core.live_calls()
    }

    fn settle(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Transmit(transmit) => {
                    self.sent.push(Message::parse(transmit.bytes).unwrap());
                }
                Effect::Media(MediaAct::Open { leg, towards }) => self.open(leg, towards),
                _ => {}
            }
        }
    }

    fn open(&mut self, leg: LegId, towards: IpAddr) {
        self.port += 2;
        let local = SocketAddr::new(our_address(towards), self.port);
        self.core
            .handle_media(self.now, leg, MediaEvent::Opened { local });
    }
}

/// Which of our addresses a far side must see.
fn our_address(far: IpAddr) -> IpAddr {
    match far {
        IpAddr::V4(_) => [192, 0, 2, 1].into(),
        IpAddr::V6(_) => "2001:db8::1".parse().unwrap(),
    }
}

/// A description that anybody can agree on.
pub const SDP: &str =
    "v=0\no=- 1 1 IN IP4 192.0.2.20\ns=-\nc=IN IP4 192.0.2.20\nt=0 0\nm=audio 49170 RTP/AVP 8 0\n";

/// A message as it goes over the wire: line ends become CR LF, `@LENGTH@` the length of the body.
pub fn wire(text: &str) -> Vec<u8> {
    let text = text.replace('\n', "\r\n");
    let body = text.find("\r\n\r\n").map_or(0, |end| text.len() - end - 4);
    text.replace("@LENGTH@", &body.to_string()).into_bytes()
}

/// The statuses of answers.
pub fn statuses(answers: &[Message]) -> Vec<u16> {
    answers.iter().map(Message::status).collect()
}

/// Asserts that an answer has this status and that its Warning says so much.
pub fn assert_refused(answer: &Message, status: u16, says: &str) {
    let warning = answer.header(Name::Warning).unwrap_or_default();
    assert_eq!(answer.status(), status, "{warning}");
    assert!(warning.contains(says), "{status} {warning}");
}
