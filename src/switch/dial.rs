//! Outgoing legs: where a phone or a trunk is reached, and what the INVITE says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, LegPlace};
use super::effect::{Effect, Lookup};
use super::trunks::credentials;
use crate::call::input::{Input, LegEvent};
use crate::call::output::{Dial, Target};
use crate::desk::notice::Phone;
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::endpoint::command::{Command, Hop, Invite, Routing};
use crate::sip::endpoint::{Flow, SessionId, Transport};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::locate::Wish;
use crate::sip::uri::Uri;
use crate::sip::wire::Name as HeaderName;
use crate::trunk::{caller_id, diversion};

/// After so long no further address of a trunk is tried.
const SEARCH: Duration = Duration::from_secs(30);

/// What the first place offers for large messages, and the further places.
type Places = (Option<Flow>, Vec<Hop>);

/// Why an INVITE cannot be sent.
struct Unsendable {
    code: u16,
    sentence: String,
}

impl Core {
    pub(super) fn dial(&mut self, now: Now, call: CallId, leg: LegId, dial: Dial) {
        let (invite, trunk) = match &dial.target {
            Target::Phone { operator, phone } => {
                let invite = self.invite_phone(leg, &dial, operator, phone);
                (invite.map(|invite| (invite, None)), None)
            }
            Target::Trunk { trunk, number } => (
                self.invite_trunk(now, leg, &dial, trunk, number),
                Some(trunk.clone()),
            ),
        };
        match invite {
            Ok((mut invite, others)) => {
                invite.call_id = format!("{}{}", self.entropy.token(), self.entropy.token());
                let place = LegPlace {
                    call,
                    trunk,
                    sip_call_id: Some(invite.call_id.clone()),
                };
                self.place(leg, place);
                let invite = Box::new(invite);
                let command = match others {
                    None => Command::Invite(invite),
                    Some((large, others)) => Command::InviteAny {
                        invite,
                        others,
                        search: SEARCH,
                        large,
                    },
                };
                self.endpoint.handle_command(now, command);
            }
            Err(why) => {
                tracing::warn!(%call, %leg, "{}", why.sentence);
                self.place_leg(leg, call, None);
                let event = LegEvent::Refused {
                    code: why.code,
                    reason: why.sentence,
                    responded: false,
                };
                self.later.push_back((call, Input::Leg(leg, event)));
            }
        }
    }

    fn invite_phone(
        &mut self,
        leg: LegId,
        dial: &Dial,
        operator: &Name,
        phone: &Phone,
    ) -> Result<Invite, Unsendable> {
        let (flow, path) = self.phone_flow(operator, phone).map_err(|why| Unsendable {
            code: 480,
            sentence: format!("the phone {} of {operator} cannot be rung: {why}", phone.0),
        })?;
        let host = Uri::parse(phone.contact()).map(|uri| uri.host().to_owned());
        let flow = self
            .connections
            .towards(flow, host.as_deref().unwrap_or_default());
        let routes = path.into_iter().map(|proxy| (HeaderName::Route, proxy));
        let domain = &self.plan.server.domain;
        let mut other_headers = vec![("X-Vats-Call".to_owned(), dial.call.to_string())];
        if let Some(page) = &dial.landing_page {
            other_headers.push(("X-Vats-Landing-Page".to_owned(), page.clone()));
        }
        let referred_by = dial.referred_by.as_deref().map(|who| {
            let who = Uri::sip(Some(who), domain, None);
            (HeaderName::ReferredBy, format!("<{who}>"))
        });
        Ok(Invite {
            session: SessionId(leg.as_u128()),
            flow,
            routing: Routing::Flow,
            uri: Uri::parse(phone.contact()).map_or_else(
                |_| phone.contact().to_owned(),
                |uri| uri.without_headers().to_owned(),
            ),
            from: name_addr(dial.display_name.as_deref(), dial.caller.as_deref(), domain),
            to: format!("<{}>", Uri::sip(Some(operator.as_str()), domain, None)),
            contact_user: Some("vats".to_owned()),
            call_id: String::new(),
            sdp: dial.sdp.clone(),
            credentials: None,
            max_forwards: dial.max_forwards,
            headers: routes.chain(referred_by).collect(),
            other_headers,
            give_up_after: None,
            usage: self.usage_of_operator(operator),
        })
    }

    /// Where an operator's phone is reached: the flow that it registered on with the proxies on the way, or its fixed address.
    pub(super) fn phone_flow(
        &self,
        operator: &Name,
        phone: &Phone,
    ) -> Result<(Flow, Vec<String>), &'static str> {
        let uri = Uri::parse(phone.contact()).map_err(|_| "its contact is not a SIP URI")?;
        match self.registrar.find_of(operator, &uri, phone.remote()) {
            Some(binding) => Ok((binding.flow, binding.path.clone())),
            None => Ok((self.fixed_contact(&uri)?, Vec::new())),
        }
    }

    fn fixed_contact(&self, uri: &Uri) -> Result<Flow, &'static str> {
        let transport = Transport::of_uri(uri).unwrap_or(Transport::Udp);
        let port = uri.port().unwrap_or(transport.default_port());
        let place = (uri.host().to_owned(), port);
        let address = self
            .names
            .get(&place)
            .and_then(|addresses| addresses.first());
        let address = address
            .copied()
            .ok_or("it is not registered, and its contact's host name does not resolve")?;
        self.reach
            .flow_over(transport, address)
            .ok_or("no listener of [server] sip reaches its address")
    }

    /// The INVITE to a trunk, with its first place, and the further ones.
    fn invite_trunk(
        &mut self,
        now: Now,
        leg: LegId,
        dial: &Dial,
        trunk: &Name,
        number: &str,
    ) -> Result<(Invite, Option<Places>), Unsendable> {
        let failed = |sentence: String| Unsendable {
            code: 503,
            sentence,
        };
        // The call knows a full trunk by this sentence.
        let full = |key: &str| {
            let sentence = Cause::TrunkCapacity.sentence();
            failed(format!("{sentence} ({trunk}, {key})"))
        };
        let plan = Arc::clone(&self.plan);
        let Some(configured) = plan.trunks.get(trunk.as_str()) else {
            return Err(failed(format!("the trunk {trunk} is no longer configured")));
        };
        if !self.has_line(trunk) {
            return Err(full("max_calls"));
        }
        let Some(peer) = &configured.peer else {
            return Err(failed(format!(
                "the trunk {trunk} has no peer to send calls to; set trunks.{trunk}.peer"
            )));
        };
        let choices = self.places_of(now, leg, trunk);
        let written = configured.number_format.write(number, configured.country);
        let mut hops = self.hops(configured, &choices, &written).into_iter();
        let Some(first) = hops.next() else {
            return Err(failed(format!(
                "the host {} of the trunk {trunk} does not resolve, or no listener of [server] sip reaches its addresses",
                peer.host
            )));
        };
        let rate = configured.calls_per_second;
        if !self.trunks.pace.admit(now.mono, trunk, rate) {
            return Err(full("calls_per_second"));
        }
        let domain = &plan.server.domain;
        let shown = caller_id::towards_trunk(
            configured,
            domain,
            dial.caller.as_deref(),
            dial.display_name.as_deref(),
        );
        let mut headers = shown.headers;
        if let Some(diverted) = &dial.diverted {
            headers.extend(diversion::headers(configured, domain, diverted, &first.uri));
        }
        let invite = Invite {
            session: SessionId(leg.as_u128()),
            flow: first.flow,
            routing: Routing::Dialog,
            to: format!("<{}>", first.uri),
            uri: first.uri,
            from: shown.from,
            contact_user: self.trunks.contact_user(trunk).map(str::to_owned),
            call_id: String::new(),
            sdp: dial.sdp.clone(),
            credentials: credentials(configured),
            max_forwards: dial.max_forwards,
            headers,
            other_headers: Vec::new(),
            give_up_after: Some(configured.timeout),
            usage: self.usage_of_trunk(trunk),
        };
        Ok((invite, Some((first.large, hops.collect()))))
    }

    /// Asks for the addresses of the operators' fixed contacts, those that are host names.
    pub(super) fn look_up_contacts(&mut self) {
        let plan = Arc::clone(&self.plan);
        let contacts = plan
            .operators
            .values()
            .filter_map(|operator| operator.contact.as_deref());
        for contact in contacts.filter_map(|contact| Uri::parse(contact).ok()) {
            let transport = Transport::of_uri(&contact).unwrap_or(Transport::Udp);
            let port = contact.port().unwrap_or(transport.default_port());
            let host = contact.host().to_owned();
            if let Ok(ip) = host.parse::<IpAddr>() {
                self.names.insert((host, port), vec![(ip, port).into()]);
                continue;
            }
            self.effects.push_back(Effect::Resolve {
                what: Lookup::Contact(host.clone(), port),
                wish: Wish {
                    host,
                    port: contact.port(),
                    transport: Some(transport),
                    secure: false,
                },
            });
        }
    }
}

/// A name-addr for From and the like; no user: anonymous (RFC 3323 §4.1).
fn name_addr(display: Option<&str>, user: Option<&str>, domain: &str) -> String {
    let address = match user {
        Some(user) => NameAddr {
            display: display.map(str::to_owned),
            uri: Uri::sip(Some(user), domain, None),
            params: Vec::new(),
        },
        None => NameAddr {
            display: Some("Anonymous".to_owned()),
            uri: Uri::sip(Some("anonymous"), "anonymous.invalid", None),
            params: Vec::new(),
        },
    };
    address.to_string()
}
