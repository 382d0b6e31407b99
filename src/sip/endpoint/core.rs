//! What sessions and requests share: the transaction layer, randomness, events on their way out, and the headers of our messages.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use bytes::Bytes;

use super::Settings;
use super::command::Headers;
use super::event::{Event, Flow, SessionId};
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::sip::header::warning::Warning;
use crate::sip::locate::Wish;
use crate::sip::transaction::ServerId;
use crate::sip::transaction::layer::Layer;
use crate::sip::wire::{Message, Name, Writer};

/// The methods we serve.
pub const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY, REGISTER";
/// The extensions we know: ended early dialogs are reported to us (RFC 6228), session timers (RFC 4028), reliable provisional
/// responses (RFC 3262), a REFER without reports (RFC 4488), Replaces (RFC 3891).
pub const SUPPORTED: &str = "199, timer, 100rel, norefersub, replaces";
/// The same for our INVITEs: who reads 100rel there may send each provisional response so, which is worth its PRACK on few lines only.
pub const SUPPORTED_UNRELIABLY: &str = "199, timer, norefersub, replaces";
/// The body types we read in an INFO.
pub const ACCEPT_INFO: &str = "application/dtmf-relay, application/dtmf";
/// The events whose reports can be subscribed to (RFC 6665 §8.2.2).
pub const ALLOW_EVENTS: &str = "dialog, message-summary, presence, refer";
/// The body types we read in an INVITE.
pub const ACCEPT: &str = "application/sdp";
/// The type of session descriptions.
pub const SDP: &str = "application/sdp";

/// The endpoint without its sessions.
#[derive(Debug)]
pub struct Core {
    /// The transactions.
    pub layer: Layer,
    /// Tags, branches, Call-IDs.
    pub entropy: Entropy,
    /// What happened.
    pub events: VecDeque<Event>,
    /// Which session waits for which name.
    pub resolving: HashMap<u64, SessionId>,
    last_resolve: u64,
    product: String,
    warn_agent: String,
}

impl Core {
    /// For one endpoint.
    pub fn new(settings: Settings, entropy: Entropy) -> Core {
        let warn_agent = settings
            .product
            .split(['/', ' '])
            .next()
            .unwrap_or("")
            .to_owned();
        Core {
            layer: Layer::default(),
            entropy,
            events: VecDeque::new(),
            resolving: HashMap::new(),
            last_resolve: 0,
            product: settings.product,
            warn_agent: if warn_agent.is_empty() {
                "-".to_owned()
            } else {
                warn_agent
            },
        }
    }

    /// Reports.
    pub fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Asks for the addresses of a name on a session's behalf.
    pub fn resolve(&mut self, session: SessionId, wish: Wish) -> u64 {
        self.last_resolve += 1;
        let id = self.last_resolve;
        self.resolving.insert(id, session);
        self.report(Event::ResolveNeeded { id, wish });
        id
    }

    /// Begins a response to a request: what is copied from it, and Server.
    pub fn response(
        &self,
        request: &Message,
        flow: &Flow,
        code: u16,
        to_tag: Option<&dyn fmt::Display>,
    ) -> Writer {
        let tag = to_tag.map(ToString::to_string);
        Writer::response_from(request, code, tag.as_deref(), Some(flow.remote))
            .header(Name::Server, &self.product)
    }

    /// User-Agent for our requests.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Adds a Warning with our sentence (RFC 3261 §20.43).
    pub fn warn(&self, writer: Writer, sentence: &str) -> Writer {
        writer.header(Name::Warning, Warning::new(&self.warn_agent, sentence))
    }

    /// Answers a server transaction finally, with a sentence and nothing else.
    pub fn refuse(
        &mut self,
        now: Mono,
        server: ServerId,
        tag: Option<&dyn fmt::Display>,
        refusal: &Refusal<'_>,
    ) {
        let Some((request, flow)) = self.layer.request(server) else {
            return;
        };
        let response = self.refusal(&request, &flow, tag, refusal);
        self.layer.respond(now, server, refusal.code, response);
    }

    /// A final refusal.
    pub fn refusal(
        &mut self,
        request: &Message,
        flow: &Flow,
        tag: Option<&dyn fmt::Display>,
        refusal: &Refusal<'_>,
    ) -> Bytes {
        let fresh;
        let tag: &dyn fmt::Display = match tag {
            Some(tag) => tag,
            None => {
                fresh = self.entropy.token();
                &fresh
            }
        };
        let mut writer = self.response(request, flow, refusal.code, Some(tag));
        if let Some((name, value)) = refusal.header {
            writer = writer.header(name, value);
        }
        if !refusal.sentence.is_empty() {
            writer = self.warn(writer, refusal.sentence);
        }
        writer.finish()
    }

    /// Answers a server transaction with a bare 200.
    pub fn accept(&mut self, now: Mono, server: ServerId, tag: &dyn fmt::Display) {
        if let Some((request, flow)) = self.layer.request(server) {
            let response = self.response(&request, &flow, 200, Some(tag)).finish();
            self.layer.respond(now, server, 200, response);
        }
    }
}

/// Why and how a request is refused.
#[derive(Copy, Clone, Debug)]
pub struct Refusal<'a> {
    /// The status.
    pub code: u16,
    /// Goes into Warning; may be empty.
    pub sentence: &'a str,
    /// One more header line.
    pub header: Option<(Name, &'a str)>,
}

impl<'a> Refusal<'a> {
    /// With a sentence alone.
    pub const fn new(code: u16, sentence: &'a str) -> Refusal<'a> {
        Refusal {
            code,
            sentence,
            header: None,
        }
    }

    /// With a header line.
    pub const fn with(code: u16, sentence: &'a str, name: Name, value: &'a str) -> Refusal<'a> {
        Refusal {
            code,
            sentence,
            header: Some((name, value)),
        }
    }
}

/// Adds header lines as they are.
pub fn append(mut writer: Writer, headers: &Headers) -> Writer {
    for (name, value) in headers {
        writer = writer.header(*name, value);
    }
    writer
}

/// As `abilities`, for requests that can have provisional responses.
pub fn abilities_unreliably(writer: Writer) -> Writer {
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Supported, SUPPORTED_UNRELIABLY)
}

/// Adds Allow and Supported.
pub fn abilities(writer: Writer) -> Writer {
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Supported, SUPPORTED)
}
