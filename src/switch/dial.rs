//! Outgoing legs: where a phone or a trunk is reached, and what the INVITE says.

use std::net::IpAddr;
use std::sync::Arc;

use super::core::{Core, LegPlace};
use super::effect::{Effect, Lookup};
use crate::call::input::{Input, LegEvent};
use crate::call::output::{Dial, Target};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::endpoint::command::{Command, Invite, Routing};
use crate::sip::endpoint::{Flow, SessionId};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::Name as HeaderName;
use crate::trunk::caller_id;

/// Why an INVITE cannot be sent.
struct Unsendable {
    code: u16,
    sentence: String,
}

impl Core {
    pub(super) fn dial(&mut self, now: Now, call: CallId, leg: LegId, dial: Dial) {
        let (invite, trunk) = match &dial.target {
            Target::Phone { operator, phone } => {
                (self.invite_phone(leg, &dial, operator, &phone.0), None)
            }
            Target::Trunk { trunk, number } => (
                self.invite_trunk(leg, &dial, trunk, number),
                Some(trunk.clone()),
            ),
        };
        match invite {
            Ok(mut invite) => {
                invite.call_id = format!("{}{}", self.entropy.token(), self.entropy.token());
                let place = LegPlace {
                    call,
                    trunk,
                    sip_call_id: Some(invite.call_id.clone()),
                };
                self.place(leg, place);
                self.endpoint
                    .handle_command(now, Command::Invite(Box::new(invite)));
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
        &self,
        leg: LegId,
        dial: &Dial,
        operator: &Name,
        contact: &str,
    ) -> Result<Invite, Unsendable> {
        let flow = self
            .phone_flow(operator, contact)
            .map_err(|why| Unsendable {
                code: 480,
                sentence: format!("the phone {contact} of {operator} cannot be rung: {why}"),
            })?;
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
            uri: contact.to_owned(),
            from: name_addr(dial.display_name.as_deref(), dial.caller.as_deref(), domain),
            to: format!("<{}>", Uri::sip(Some(operator.as_str()), domain, None)),
            contact_user: Some("vats".to_owned()),
            call_id: String::new(),
            sdp: dial.sdp.clone(),
            credentials: None,
            max_forwards: dial.max_forwards,
            headers: referred_by.into_iter().collect(),
            other_headers,
            give_up_after: None,
        })
    }

    /// Where an operator's phone is reached: the flow that it registered on, or its fixed address.
    pub(super) fn phone_flow(&self, operator: &Name, contact: &str) -> Result<Flow, &'static str> {
        let uri = Uri::parse(contact).map_err(|_| "its contact is not a SIP URI")?;
        match self.registrar.find_of(operator, &uri) {
            Some(flow) => Ok(flow),
            None => self.fixed_contact(&uri),
        }
    }

    fn fixed_contact(&self, uri: &Uri) -> Result<Flow, &'static str> {
        let place = (uri.host().to_owned(), uri.port().unwrap_or(5060));
        let address = self
            .names
            .get(&place)
            .and_then(|addresses| addresses.first());
        let address = address
            .copied()
            .ok_or("it is not registered, and its contact's host name does not resolve")?;
        self.reach
            .flow_to(address)
            .ok_or("no listener of [server] sip reaches its address")
    }

    fn invite_trunk(
        &self,
        leg: LegId,
        dial: &Dial,
        trunk: &Name,
        number: &str,
    ) -> Result<Invite, Unsendable> {
        let failed = |sentence: String| Unsendable {
            code: 503,
            sentence,
        };
        let Some(configured) = self.plan.trunks.get(trunk.as_str()) else {
            return Err(failed(format!("the trunk {trunk} is no longer configured")));
        };
        if !self.has_line(trunk) {
            // The call knows a full trunk by this sentence.
            return Err(failed(format!(
                "{} ({trunk}, max_calls)",
                Cause::TrunkCapacity.sentence()
            )));
        }
        let Some(peer) = &configured.peer else {
            return Err(failed(format!(
                "the trunk {trunk} has no peer to send calls to; set trunks.{trunk}.peer"
            )));
        };
        let Some(address) = self.trunks.address(trunk) else {
            return Err(failed(format!(
                "the host {} of the trunk {trunk} does not resolve",
                peer.host
            )));
        };
        let Some(flow) = self.reach.flow_to(address) else {
            return Err(failed(format!(
                "no listener of [server] sip reaches {address} of the trunk {trunk}"
            )));
        };
        let port = (peer.port != 5060).then_some(peer.port);
        let uri = Uri::sip(Some(number), &peer.host, port);
        let domain = &self.plan.server.domain;
        let shown = caller_id::towards_trunk(
            configured,
            domain,
            dial.caller.as_deref(),
            dial.display_name.as_deref(),
        );
        Ok(Invite {
            session: SessionId(leg.as_u128()),
            flow,
            routing: Routing::Dialog,
            to: format!("<{uri}>"),
            uri: uri.as_str().to_owned(),
            from: shown.from,
            contact_user: self.trunks.contact_user(trunk).map(str::to_owned),
            call_id: String::new(),
            sdp: dial.sdp.clone(),
            credentials: self.trunks.credentials(trunk),
            max_forwards: dial.max_forwards,
            headers: shown.headers,
            other_headers: Vec::new(),
            give_up_after: Some(configured.timeout),
        })
    }

    /// Asks for the addresses of the operators' fixed contacts, those that are host names.
    pub(super) fn look_up_contacts(&mut self) {
        let plan = Arc::clone(&self.plan);
        let contacts = plan
            .operators
            .values()
            .filter_map(|operator| operator.contact.as_deref());
        for contact in contacts.filter_map(|contact| Uri::parse(contact).ok()) {
            let (host, port) = (contact.host().to_owned(), contact.port().unwrap_or(5060));
            if let Ok(ip) = host.parse::<IpAddr>() {
                self.names.insert((host, port), vec![(ip, port).into()]);
                continue;
            }
            self.effects.push_back(Effect::Resolve {
                what: Lookup::Peer(host.clone(), port),
                host,
                port,
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
