//! The checked dial plan. Every name in it resolves, every number is E.164, every prompt is decoded.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use super::keeping::{RecordingFormat, Recordings, Security};
use super::listener::{Listener, TlsFiles};
use super::media_io::MediaIo;
use super::number::{Country, E164};
use super::provider::{Account, DiversionHeader, IdentityHeader, NumberFormat};
use super::schedule::Schedule;
use crate::audio::clip::Clip;
use crate::ledger::event::EventType;
use crate::ledger::id::Name;
use crate::sdp::crypto::Policy;
use crate::sip::endpoint::Transport;
use crate::sip::locate::Wish;

/// Everything the admin configured. A running call keeps the plan that it began with.
#[derive(Debug)]
pub struct Plan {
    /// Counts reloads: 1 for the first plan of a process.
    pub version: u64,
    /// `[server]`.
    pub server: Server,
    /// `[security]`.
    pub security: Security,
    /// `[recordings]`.
    pub recordings: Recordings,
    /// `[trunks.*]`.
    pub trunks: BTreeMap<Name, Trunk>,
    /// `[operators.*]`.
    pub operators: BTreeMap<Name, Operator>,
    /// Extension to operator.
    pub extensions: HashMap<String, Name>,
    /// `[numbers.*]`.
    pub numbers: HashMap<E164, Number>,
    /// `[menus.*]`.
    pub menus: BTreeMap<Name, Menu>,
    /// `[hunts.*]`.
    pub hunts: BTreeMap<Name, Hunt>,
    /// `[schedules.*]`.
    pub schedules: BTreeMap<Name, ScheduledChoice>,
    /// `[forwards.*]`.
    pub forwards: BTreeMap<Name, Forward>,
    /// `[announcements.*]`.
    pub announcements: BTreeMap<Name, Announcement>,
    /// `[voicemails.*]`.
    pub voicemails: BTreeMap<Name, Voicemail>,
    /// `[conferences.*]`.
    pub conferences: BTreeMap<Name, Conference>,
    /// `[outbound.*]`, in the order of their names.
    pub outbound: BTreeMap<Name, OutboundRule>,
    /// `[webhooks.*]`.
    pub webhooks: BTreeMap<Name, Webhook>,
    /// `[[test]]`, in order.
    pub tests: Vec<PlanTest>,
    /// `[features]`.
    pub features: Features,
}

impl Plan {
    /// Why this plan cannot follow `old` in a running process: a sentence with every key of a listener, port or file that differs.
    pub fn needs_restart_after(&self, old: &Plan) -> Option<String> {
        let (then, now) = (&old.server, &self.server);
        let fixed = [
            ("server.sip", then.sip != now.sip),
            ("server.connections", then.connections != now.connections),
            ("server.http", then.http != now.http),
            ("server.rtp_ports", then.rtp_ports != now.rtp_ports),
            ("server.media_io", then.media_io != now.media_io),
            ("server.dns", then.dns != now.dns),
            ("server.database", then.database != now.database),
            (
                "server.public_address",
                then.public_address != now.public_address,
            ),
            (
                "server.local_networks",
                then.local_networks != now.local_networks,
            ),
            (
                "recordings.path",
                old.recordings.path != self.recordings.path,
            ),
        ];
        let changed: Vec<&str> = fixed
            .into_iter()
            .filter_map(|(key, changed)| changed.then_some(key))
            .collect();
        (!changed.is_empty())
            .then(|| format!("{} changed: that needs a restart", changed.join(", ")))
    }
}

/// Where a call can go. Displays as the dial plan writes it: `menu:main`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Destination {
    /// A menu of keys.
    Menu(Name),
    /// A hunt group.
    Hunt(Name),
    /// One operator.
    Operator(Name),
    /// An outside number.
    Forward(Name),
    /// A voicemail box.
    Voicemail(Name),
    /// A prompt and then a further destination.
    Announcement(Name),
    /// A choice by opening hours.
    Schedule(Name),
    /// A room in which several parties talk.
    Conference(Name),
    /// The caller hears himself.
    Echo,
    /// The end.
    Hangup,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Menu(name) => write!(f, "menu:{name}"),
            Destination::Hunt(name) => write!(f, "hunt:{name}"),
            Destination::Operator(name) => write!(f, "operator:{name}"),
            Destination::Forward(name) => write!(f, "forward:{name}"),
            Destination::Voicemail(name) => write!(f, "voicemail:{name}"),
            Destination::Announcement(name) => write!(f, "announcement:{name}"),
            Destination::Schedule(name) => write!(f, "schedule:{name}"),
            Destination::Conference(name) => write!(f, "conference:{name}"),
            Destination::Echo => f.write_str("echo"),
            Destination::Hangup => f.write_str("hangup"),
        }
    }
}

/// `[server]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Server {
    /// Where SIP listens.
    pub sip: Vec<Listener>,
    /// The files of TLS; they are read again at every reload.
    pub tls: Option<TlsFiles>,
    /// The most connections at once, in all and from one source.
    pub connections: (u32, u32),
    /// How often a phone behind NAT gets an OPTIONS over UDP; zero: never.
    pub keep_alive: Duration,
    /// The operators' domain and digest realm.
    pub domain: String,
    /// Media ports, both ends included.
    pub rtp_ports: RangeInclusive<u16>,
    /// How media packets go in and out.
    pub media_io: MediaIo,
    /// What Contact, Via and SDP carry towards peers outside `local_networks`.
    pub public_address: Option<IpAddr>,
    /// Networks that reach us directly.
    pub local_networks: Vec<IpNet>,
    /// API and console.
    pub http: SocketAddr,
    /// `sqlite://…`.
    pub database: String,
    /// How long running calls may finish after SIGTERM.
    pub drain: Duration,
    /// IANA name, `Europe/Moscow`.
    pub time_zone: jiff::tz::TimeZone,
    /// How national numbers are read.
    pub country: Country,
    /// What a held party hears.
    pub music: Option<Arc<Clip>>,
    /// The country's ring-back tone, one period of it: what a connected caller hears while phones ring and no music is set.
    pub ringback: Arc<Clip>,
    /// The tone before a voicemail message.
    pub beep: Arc<Clip>,
    /// What an operator hears who pauses the recording.
    pub paused_tone: Arc<Clip>,
    /// What he hears when he lets it go on.
    pub resumed_tone: Arc<Clip>,
    /// The longest call.
    pub max_call: Duration,
    /// The API's bearer tokens; empty: loopback only.
    pub api_tokens: Vec<String>,
    /// Name servers; empty: those of the system.
    pub dns: Vec<SocketAddr>,
    /// The session interval that we ask for (RFC 4028); zero: none.
    pub session_expires: Duration,
    /// The shortest session interval that we agree to.
    pub min_session_expires: Duration,
    /// The most calls at once; none: what files and ports allow.
    pub max_calls: Option<u32>,
}

/// `operators.x.outbound`: limits on calls to the outside.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboundLimits {
    /// The most calls at once.
    pub calls: Option<u32>,
    /// The most minutes talked on a local day.
    pub minutes_per_day: Option<u32>,
}

/// `[trunks.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: Name,
    /// The first of `peers`, 5060 where it names no port: what the provider is called in our messages.
    pub peer: Option<HostPort>,
    /// Further source networks.
    pub accept: Vec<IpNet>,
    /// The DNS name that the client certificate of its connections must have.
    pub certificate: Option<String>,
    /// The account we register, if any.
    pub register: Option<Registration>,
    /// Where the dialled number stands.
    pub number_from: NumberFrom,
    /// Whose number a forward shows.
    pub caller_id: CallerIdPolicy,
    /// Codecs in order of preference.
    pub codecs: Vec<CodecName>,
    /// No response for so long: the address is given up.
    pub timeout: Duration,
    /// The most calls at once.
    pub max_calls: Option<u32>,
    /// How this trunk's national numbers are read.
    pub country: Country,
    /// Its far sides may pass calls on (REFER), to numbers of ours and between its own calls.
    pub transfer: bool,
    /// A 3xx of its is obeyed.
    pub redirect: bool,
    /// Where INVITEs go; requests from there are this trunk's.
    pub peers: Vec<Wish>,
    /// Each peer's share of the calls; empty: they are tried in order.
    pub weights: Vec<u16>,
    /// How often each address is asked whether it lives; `None`: only those that failed are.
    pub options: Option<Duration>,
    /// The most calls a second that go out.
    pub calls_per_second: Option<u32>,
    /// What answers challenges; `None`: nothing does.
    pub account: Option<Account>,
    /// How numbers are written towards the provider.
    pub number_format: NumberFormat,
    /// Which headers show the caller to the provider.
    pub identity: Vec<IdentityHeader>,
    /// Where the provider names the caller; the first that does counts.
    pub caller_from: Vec<IdentityHeader>,
    /// Which headers say that a call is a forwarded one.
    pub diversion: Vec<DiversionHeader>,
    /// The session interval that we ask for; `None`: the server's.
    pub session_expires: Option<Duration>,
    /// Provisional responses are acknowledged wherever the provider can (RFC 3262).
    pub reliable: bool,
    /// Whether its media is encrypted.
    pub srtp: Policy,
    /// Our INVITEs make no offer: the provider does.
    pub delayed_offer: bool,
}

impl Trunk {
    /// Whether nobody on the way reads what it is told: all its peers are reached over TLS.
    pub fn is_private(&self) -> bool {
        let is_tls = |peer: &Wish| peer.secure || peer.transport == Some(Transport::Tls);
        !self.peers.is_empty() && self.peers.iter().all(is_tls)
    }
}

/// A host (name or address) and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPort {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// UDP port; 5060 where none was written.
    pub port: u16,
}

/// `register = { … }`: credentials also answer challenges to our INVITE and BYE.
#[derive(Clone, PartialEq, Debug)]
pub struct Registration {
    /// The account's user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// What we ask for.
    pub expires: Duration,
    /// The user in credentials, where it is another one.
    pub auth_user: Option<String>,
    /// The only realm that is answered; `None`: whichever the provider names.
    pub realm: Option<String>,
}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a trunk puts the dialled number.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NumberFrom {
    /// The first of the others that is one of our numbers.
    Auto,
    /// The Request-URI's user.
    RequestUri,
    /// The To header's user.
    To,
    /// P-Called-Party-ID (RFC 7315 §4.2).
    PCalledPartyId,
}

/// Whose number a forward shows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CallerIdPolicy {
    /// The number of ours that was dialled.
    Ours,
    /// The caller's.
    Caller,
}

/// A codec that this version speaks.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum CodecName {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus.
    Opus,
}

/// `[operators.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Operator {
    /// The SIP user.
    pub id: Name,
    /// Shown to people.
    pub name: String,
    /// The SIP password.
    pub password: Secret,
    /// Dialled by colleagues.
    pub extension: Option<String>,
    /// A fixed address instead of registration, a SIP URI.
    pub contact: Option<String>,
    /// How long the phone rings for `operator:…`.
    pub ring: Duration,
    /// For `operator:…`, when the operator cannot be had.
    pub otherwise: Destination,
    /// Rest after a conversation.
    pub wrap_up: Duration,
    /// Challenge with MD5 alone, for old phones (`auth = "md5"`).
    pub md5_only: bool,
    /// What he may do with others' calls.
    pub may: May,
    /// He may listen to colleagues' conversations, whisper to them and barge in.
    pub supervisor: bool,
    /// The session interval that we ask this operator's phones for; `None`: the server's.
    pub session_expires: Option<Duration>,
    /// Limits on calls to the outside.
    pub outbound: OutboundLimits,
    /// Whether the media of his phones is encrypted.
    pub srtp: Policy,
    /// Codecs in order of preference.
    pub codecs: Vec<CodecName>,
}

pub use super::features::{Features, May};
pub use super::served::{Announcement, Conference, Voicemail};

/// When an inbound call is answered (DESIGN.md section 5).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AnswerPolicy {
    /// When something of ours must be heard or spoken to.
    WhenNeeded,
    /// On arrival.
    AtOnce,
    /// Only when a person accepts.
    WhenAPersonAnswers,
}

/// `[numbers.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Number {
    /// The number.
    pub number: E164,
    /// The page or source that it belongs to.
    pub landing_page: Option<String>,
    /// Where its calls go.
    pub to: Destination,
    /// Only from this trunk.
    pub trunk: Option<Name>,
    /// When its calls are answered.
    pub answer: AnswerPolicy,
    /// Whether conversations are recorded.
    pub record: bool,
}

/// `[menus.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Menu {
    /// Its name.
    pub name: Name,
    /// What is played.
    pub prompt: Arc<Clip>,
    /// Key (`0`–`9`, `*`, `#`) to destination.
    pub keys: BTreeMap<char, Destination>,
    /// From the end of the prompt or the last key.
    pub timeout: Duration,
    /// How often the prompt is played.
    pub attempts: u32,
    /// After the last attempt.
    pub otherwise: Destination,
}

/// A member of a hunt.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Member {
    /// An operator.
    Operator(Name),
    /// An outside number.
    Forward(Name),
}

/// How a hunt rings its members.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// All free members at once, for the whole wait.
    RingAll,
    /// One at a time in the order written, round and round.
    Linear,
}

/// `[hunts.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Hunt {
    /// Its name.
    pub name: Name,
    /// In the order written.
    pub members: Vec<Member>,
    /// How they are rung.
    pub strategy: Strategy,
    /// Per member, for one-at-a-time strategies.
    pub ring: Duration,
    /// The whole wait.
    pub wait: Duration,
    /// What the caller hears while waiting; none: ring-back.
    pub music: Option<Arc<Clip>>,
    /// Nobody registered; default: `otherwise`.
    pub when_nobody: Option<Destination>,
    /// The overflow destination.
    pub otherwise: Destination,
}

/// `[schedules.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ScheduledChoice {
    /// Its name.
    pub name: Name,
    /// Opening hours.
    pub schedule: Schedule,
    /// While open.
    pub when_open: Destination,
    /// While closed.
    pub when_closed: Destination,
}

/// `[forwards.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Forward {
    /// Its name.
    pub name: Name,
    /// The outside number.
    pub to: E164,
    /// Over which trunk.
    pub trunk: Name,
    /// How long it rings.
    pub ring: Duration,
    /// Where the call goes when it fails; none: the far code is passed on.
    pub otherwise: Option<Destination>,
}

/// `[outbound.*]`: what operators may dial.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboundRule {
    /// Its name.
    pub name: Name,
    /// E.164 prefixes with `+`.
    pub prefixes: Vec<String>,
    /// In order of preference.
    pub trunks: Vec<Name>,
    /// The number shown.
    pub caller_id: Option<E164>,
    /// The operators who may use it.
    pub allow: Vec<Name>,
    /// The most calls by it at once.
    pub max_calls: Option<u32>,
}

/// `[webhooks.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: Name,
    /// Where events are posted.
    pub url: String,
    /// The key, decoded from `whsec_` + base64.
    pub secret: WebhookKey,
    /// Which events.
    pub events: Vec<EventType>,
}

/// The bytes of a webhook's key; they do not print.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookKey(pub Vec<u8>);

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(…)")
    }
}

/// `[[test]]`: a call that must end where it says.
#[derive(Clone, PartialEq, Debug)]
pub struct PlanTest {
    /// Its name.
    pub name: String,
    /// The dialled number.
    pub to: String,
    /// The calling number.
    pub from: Option<String>,
    /// When, in the server's time zone; none: now.
    pub at: Option<jiff::civil::DateTime>,
    /// Keys in order; `-` lets a menu time out.
    pub keys: String,
    /// Busy operators.
    pub busy: Vec<Name>,
    /// Offline operators.
    pub offline: Vec<Name>,
    /// The first destination where a person, a message or the end is reached.
    pub expect: String,
    /// Where it stands: file and line.
    pub place: String,
}
