//! Dialogs (RFC 3261 §12): identity, sequence numbers, remote target, route set, and the requests made from them.
//!
//! Not here: what a dialog is used for (`session`), transactions.

pub mod route;

use crate::ledger::entropy::Entropy;
use crate::sip::endpoint::command::Routing;
use crate::sip::endpoint::flow::OurVia;
use crate::sip::endpoint::{ConnectionId, Flow};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::transaction::{ClientId, via};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name, Writer};

use self::route::{NextHop, Route};

/// The local tag of a dialog; printed as sixteen hexadecimal digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LocalTag(u64);

impl LocalTag {
    /// A new one.
    pub fn new(entropy: &mut Entropy) -> LocalTag {
        LocalTag(entropy.u64())
    }

    /// Reads a tag that we may have made.
    pub fn parse(text: &str) -> Option<LocalTag> {
        crate::sip::transaction::hexadecimal(text).map(LocalTag)
    }
}

impl std::fmt::Display for LocalTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One dialog, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our From value (as UAC) or To value (as UAS), with the tag.
    pub local: String,
    /// The far side's To or From value, with its tag if it has one.
    pub remote: String,
    /// The far side's tag; empty for RFC 2543 peers.
    pub remote_tag: String,
    /// CSeq of our last request.
    pub local_cseq: u32,
    /// CSeq of the far side's last request.
    pub remote_cseq: Option<u32>,
    /// The far side's Contact.
    pub target: String,
    /// The route set, in the order in which our requests pass it.
    pub routes: Vec<Route>,
    /// The user of our Contact.
    pub contact_user: Option<String>,
    /// The flow of the INVITE.
    pub flow: Flow,
    /// How our requests travel.
    pub routing: Routing,
    /// Where the next of our requests goes, once found out.
    pub next_hop: NextHop,
}

/// What the UAC's dialogs of one INVITE have in common.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The INVITE's flow.
    pub flow: Flow,
    /// How requests travel.
    pub routing: Routing,
    /// Used until a response names a Contact.
    pub target: &'a str,
    /// The user of our Contact.
    pub contact_user: Option<&'a str>,
}

/// What a request's sequence number means (RFC 3261 §12.2.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// In order.
    Fine,
    /// Lower than one before: 500.
    Late,
}

impl Dialog {
    /// The dialog that a response to our INVITE creates (RFC 3261 §12.1.2).
    pub fn from_response(response: &Message, origin: &Origin<'_>) -> Dialog {
        let mut routes = Route::list(response);
        routes.reverse();
        Dialog {
            call_id: response.call_id().to_owned(),
            local: response.header(Name::From).unwrap_or("").to_owned(),
            remote: response.header(Name::To).unwrap_or("").to_owned(),
            remote_tag: response.to_tag().unwrap_or("").to_owned(),
            local_cseq: response.cseq(),
            remote_cseq: None,
            target: contact(response).unwrap_or_else(|| origin.target.to_owned()),
            routes,
            contact_user: origin.contact_user.map(str::to_owned),
            flow: origin.flow,
            routing: origin.routing,
            next_hop: NextHop::Unknown,
        }
    }

    /// The dialog that our response to an INVITE creates (RFC 3261 §12.1.1). Requests go by route set and target only where nothing says that
    /// the far side is behind a NAT: its Via named the address that the INVITE came from, and the next hop is an IP literal.
    pub fn from_request(invite: &Message, flow: Flow, local_tag: LocalTag) -> Dialog {
        let to = invite.header(Name::To).unwrap_or("");
        let mut dialog = Dialog {
            call_id: invite.call_id().to_owned(),
            local: format!("{to};tag={local_tag}"),
            remote: invite.header(Name::From).unwrap_or("").to_owned(),
            remote_tag: invite.from_tag().to_owned(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq()),
            target: contact(invite).unwrap_or_else(|| format!("sip:{}", flow.remote)),
            routes: Route::list(invite),
            contact_user: Uri::parse(invite.request_uri())
                .ok()
                .and_then(|uri| uri.user().map(|user| user.into_owned())),
            flow,
            routing: Routing::Flow,
            next_hop: NextHop::Unknown,
        };
        let via_line = invite.header(Name::Via).unwrap_or("");
        let direct = via::came_directly(via::first_value(via_line), flow.remote.ip());
        if direct && route::is_literal(dialog.next_uri()) {
            dialog.routing = Routing::Dialog;
        }
        dialog
    }

    /// Takes over what the 2xx says: the route set of the early dialog is computed anew (RFC 3261 §13.2.2.4).
    pub fn confirm(&mut self, response: &Message) {
        let mut routes = Route::list(response);
        routes.reverse();
        let target = contact(response).unwrap_or_else(|| self.target.clone());
        if routes != self.routes || target != self.target {
            self.routes = routes;
            self.target = target;
            self.next_hop = NextHop::Unknown;
        }
        self.remote.clear();
        self.remote
            .push_str(response.header(Name::To).unwrap_or(""));
    }

    /// A target refresh request (re-INVITE, UPDATE) was answered with 2xx: its Contact is the new remote target (RFC 3261 §12.2.2).
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = contact(message)
            && target != self.target
        {
            self.target = target;
            self.next_hop = NextHop::Unknown;
        }
    }

    /// A flow closed. A far side that is reached by its Contact is so over a new connection; one that connected to us can only be waited for.
    pub fn leave(&mut self, closed: &Flow) {
        if self.flow.connection.is_none() || self.flow.connection != closed.connection {
            return;
        }
        if self.routing == Routing::Dialog && !self.flow.connection.is_ours() {
            self.flow.connection = ConnectionId::NONE;
        }
        if !matches!(self.next_hop, NextHop::Resolving(_)) {
            self.next_hop = NextHop::Unknown;
        }
    }

    /// A request within the dialog came on another connection: the far side is there now.
    pub fn come_by(&mut self, flow: &Flow) {
        if self.routing == Routing::Flow
            && flow.transport.is_reliable()
            && self.flow.transport.is_reliable()
            && flow.connection != self.flow.connection
        {
            self.flow = *flow;
            self.next_hop = NextHop::Unknown;
        }
    }

    /// A target refresh request came over another flow (a phone whose NAT gave it another port): requests that travel by flow follow it.
    pub fn follow(&mut self, flow: &Flow) {
        if self.routing == Routing::Flow && self.flow != *flow {
            self.flow = *flow;
            self.next_hop = NextHop::Unknown;
        }
    }

    /// Whether a request belongs to this dialog, its To tag having been found ours.
    pub fn is_of(&self, request: &Message) -> bool {
        self.remote_tag == request.from_tag() && self.call_id == request.call_id()
    }

    /// Checks and notes the sequence number of a request.
    pub fn take_cseq(&mut self, request: &Message) -> Order {
        let cseq = request.cseq();
        if self.remote_cseq.is_some_and(|last| cseq < last) {
            return Order::Late;
        }
        self.remote_cseq = Some(cseq);
        Order::Fine
    }

    /// The URI that decides where our next request goes: the first route, else the remote target.
    pub fn next_uri(&self) -> &str {
        self.routes.first().map_or(self.target.as_str(), Route::uri)
    }

    /// Begins a request within the dialog that leaves on `flow`: Request-URI and Route (RFC 3261 §12.2.1.1, strict routers too), Via,
    /// Max-Forwards, From, To, Call-ID and CSeq.
    pub fn request(&self, method: &str, cseq: u32, branch: ClientId, flow: &Flow) -> Writer {
        let strict = self.routes.first().is_some_and(|route| !route.is_loose());
        let uri = if strict {
            self.next_uri()
        } else {
            &self.target
        };
        let mut writer = Writer::request(method, uri)
            .header(Name::Via, format_args!("{};branch={branch}", OurVia(flow)))
            .header(Name::MaxForwards, 70);
        for route in self.routes.iter().skip(usize::from(strict)) {
            writer = writer.header(Name::Route, route);
        }
        if strict {
            writer = writer.header(Name::Route, format_args!("<{}>", self.target));
        }
        writer
            .header(Name::From, &self.local)
            .header(Name::To, &self.remote)
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format_args!("{cseq} {method}"))
    }

    /// Our Contact value; a sips: URI where the far side's is one (RFC 3261 §12.1.1).
    pub fn contact(&self, flow: &Flow) -> String {
        contact_to(self.contact_user.as_deref(), flow, &self.target)
    }
}

/// A Contact value of ours: `<sip:user@advertised>`, with the transport unless it is UDP.
pub fn contact_value(user: Option<&str>, flow: &Flow) -> String {
    let advertised = flow.advertised;
    let host = match advertised.ip() {
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    let uri = Uri::sip(user, &host, Some(advertised.port()));
    match flow.transport.in_uri() {
        Some(transport) => format!("<{}>", uri.with_param("transport", transport)),
        None => format!("<{uri}>"),
    }
}

/// As `contact_value`, towards a URI: a sips: one is told one.
pub fn contact_to(user: Option<&str>, flow: &Flow, uri: &str) -> String {
    let value = contact_value(user, flow);
    let secure = uri
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    match value.strip_prefix("<sip:") {
        // What TLS is used over is told by no parameter then (RFC 5630 §3.1.4).
        Some(rest) if secure => format!("<sips:{}", rest.replace(";transport=tls", "")),
        _ => value,
    }
}

/// The URI of a message's Contact, if it has a usable one.
fn contact(message: &Message) -> Option<String> {
    let value = message.header(Name::Contact)?;
    let first = NameAddr::parse_list(value).ok()?.into_iter().next()?;
    (!first.uri.host().is_empty()).then(|| first.uri.without_headers().to_owned())
}
