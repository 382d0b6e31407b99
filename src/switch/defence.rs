//! The door and the brakes: what is taken in, who is banned, when new calls are refused (DESIGN.md sections 5 and 9).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::core::Core;
use super::effect::Effect;
use super::intake::{Urgency, Waiting, may_run};
use super::overload::Why;
use crate::ledger::cause::Cause;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::journal::{BanEnd, BanRecord, Entry};
use crate::net::access::door::Door;
use crate::net::access::source::Source;
use crate::net::access::{Admission, Consequence, Offence, Standing};
use crate::net::stream::Heard;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::{Flow, ListenerId, Transport};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name as HeaderName};

/// What was kept out since the start. The signalling task writes, the API reads.
#[derive(Debug, Default)]
pub struct Kept {
    /// Messages of banned sources.
    pub banned: AtomicU64,
    /// Messages of sources that sent too many.
    pub limited: AtomicU64,
    /// Messages for which there was no room in the queues.
    pub overflowed: AtomicU64,
    /// Failed authentications.
    pub failed: AtomicU64,
    /// Credentials not looked at because their user had failed too often from there.
    pub slowed: AtomicU64,
    /// Sources banned.
    pub bans: AtomicU64,
    /// Calls refused for overload.
    pub refused_calls: AtomicU64,
    /// Registrations refused for overload.
    pub refused_registrations: AtomicU64,
    /// Calls to the outside refused for a limit.
    pub refused_outbound: AtomicU64,
}

/// [`Kept`] at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct KeptNow {
    banned: u64,
    limited: u64,
    overflowed: u64,
    failed: u64,
    slowed: u64,
    bans: u64,
    refused_calls: u64,
    refused_registrations: u64,
    refused_outbound: u64,
}

impl Kept {
    /// The counts now.
    pub fn now(&self) -> KeptNow {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        KeptNow {
            banned: read(&self.banned),
            limited: read(&self.limited),
            overflowed: read(&self.overflowed),
            failed: read(&self.failed),
            slowed: read(&self.slowed),
            bans: read(&self.bans),
            refused_calls: read(&self.refused_calls),
            refused_registrations: read(&self.refused_registrations),
            refused_outbound: read(&self.refused_outbound),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Core {
    /// A datagram came in: it is dropped unread, or waits for [`Core::serve_next`].
    pub fn take_in(&mut self, now: Now, listener: ListenerId, remote: SocketAddr, bytes: Bytes) {
        self.take_in_late(now, Duration::ZERO, listener, remote, bytes);
    }

    /// As `take_in`, for a datagram that has waited in its socket already.
    pub fn take_in_late(
        &mut self,
        now: Now,
        waited: Duration,
        listener: ListenerId,
        remote: SocketAddr,
        bytes: Bytes,
    ) {
        if let Admission::Served(standing) = self.admit(now.mono, remote.ip(), &bytes) {
            let flow = self.reach.flow(listener, remote);
            let came = now.mono.as_micros().saturating_sub(micros(waited));
            self.queue(Mono::from_micros(came), flow, bytes, standing);
        }
    }

    /// Something happened on a connection: a message waits for [`Core::serve_next`], all else is dealt with at once.
    pub fn take_in_heard(&mut self, now: Now, heard: Heard) {
        match heard {
            Heard::Message { connection, bytes } => {
                let Some(flow) = self.connections.heard(now.mono, connection) else {
                    return;
                };
                match self.admit(now.mono, flow.remote.ip(), &bytes) {
                    Admission::Served(standing) => self.queue(now.mono, flow, bytes, standing),
                    // It will not be sent again by itself.
                    Admission::Limited if wants_answer(&bytes) => {
                        let sentence = "Too much comes at once; try again later";
                        self.endpoint.refuse_unserved(flow, bytes, 503, sentence);
                        self.pump(now);
                    }
                    Admission::Limited | Admission::Banned => {}
                }
            }
            Heard::Accepted {
                connection, remote, ..
            } if self.access.is_banned(now.mono, remote.ip()) => {
                count(&self.views.kept.banned);
                self.effects.push_back(Effect::Disconnect(connection));
            }
            other => self.handle_heard(now, other),
        }
    }

    /// What becomes of a message.
    fn admit(&mut self, now: Mono, address: IpAddr, bytes: &Bytes) -> Admission {
        let mut admission = self.access.admit(now, address);
        // A challenged REGISTER is forgotten at once; the rest lingers in a transaction.
        let stays =
            admission == Admission::Served(Standing::Stranger) && !bytes.starts_with(b"REGISTER ");
        if stays && !self.access.admit_to_stay(now) {
            admission = Admission::Limited;
        }
        // The far side of a running call may have moved, and must not suffer from what others send.
        if admission == Admission::Limited
            && may_run(bytes)
            && self.endpoint.awaits(bytes.clone())
            && self.access.admit_running(now, address)
        {
            admission = Admission::Served(self.access.standing(now, address));
        }
        match admission {
            Admission::Served(_) => {}
            Admission::Banned => count(&self.views.kept.banned),
            Admission::Limited => count(&self.views.kept.limited),
        }
        admission
    }

    fn queue(&mut self, now: Mono, flow: Flow, bytes: Bytes, standing: Standing) {
        let waiting = Waiting {
            flow,
            urgency: self.intake.urgency(&bytes, standing),
            bytes,
            at: now,
        };
        if !self.intake.push(waiting) {
            count(&self.views.kept.overflowed);
        }
    }

    /// Serves the most urgent message that waits; false: none does.
    pub fn serve_next(&mut self, now: Now) -> bool {
        let Some(message) = self.intake.pop() else {
            return false;
        };
        // It waited longer than its connection lived: a registration would bind a phone to nothing, and no answer finds its way.
        if message.urgency == Urgency::Rest && self.connections.has_left(&message.flow) {
            return true;
        }
        if message.urgency != Urgency::Rest
            && self
                .overload
                .note_delay(now.mono, now.mono.since(message.at))
        {
            self.tell_overload(now.mono);
        }
        self.serve(now, message.flow, message.bytes);
        true
    }

    /// Whether connections may be read: with too much waiting, they wait too.
    pub fn has_room(&self) -> bool {
        self.intake.has_room()
    }

    /// Whether messages wait to be served.
    pub fn has_waiting(&self) -> bool {
        !self.intake.is_empty()
    }

    /// The most calls at once that the machine allows; `server.max_calls` may be lower.
    pub fn set_call_ceiling(&mut self, most: u64) {
        self.call_ceiling = Some(most);
        self.apply_ceiling();
    }

    /// The share of all processors that this process used in the last second or so.
    pub fn note_processors(&mut self, now: Now, share: f64) {
        if self.overload.note_processors(share) {
            self.tell_overload(now.mono);
        }
    }

    /// Whom the accepting tasks ask before any handshake.
    pub fn set_door(&mut self, door: Arc<Door>) {
        self.access.set_door(door);
    }

    /// The bans of before a restart.
    pub fn restore_bans(&mut self, now: Now, bans: Vec<BanRecord>) {
        for ban in bans {
            let left = ban.until.as_micros() - now.wall.as_micros();
            let left = std::time::Duration::from_micros(u64::try_from(left).unwrap_or(0));
            let Ok(source) = ban.address.parse::<Source>() else {
                continue;
            };
            if self.access.ban(now.mono, source, now.mono + left) {
                self.views.bans.insert(source, ban);
            } else {
                self.say_unbanned(now, ban.address, BanEnd::Trusted);
            }
        }
    }

    pub(super) fn apply_security(&mut self, now: Now) {
        self.access.configure(&self.plan.security);
        self.apply_ceiling();
        self.refresh_trust(now);
    }

    fn apply_ceiling(&mut self) {
        let configured = self.plan.server.max_calls.map(u64::from);
        let most = configured.into_iter().chain(self.call_ceiling).min();
        self.overload.set_most_calls(most);
    }

    /// Who is trusted has changed: trunks' addresses, and phones at fixed addresses.
    pub(super) fn refresh_trust(&mut self, now: Now) {
        let trunks = self.trunks.addresses().map(|address| address.ip());
        let fixed = self.plan.operators.values().filter_map(|operator| {
            let contact = Uri::parse(operator.contact.as_deref()?).ok()?;
            let transport = Transport::of_uri(&contact).unwrap_or(Transport::Udp);
            let port = contact.port().unwrap_or(transport.default_port());
            let place = (contact.host().to_owned(), port);
            self.names.get(&place).cloned()
        });
        let addresses: Vec<IpAddr> = trunks
            .chain(fixed.flatten().map(|address| address.ip()))
            .collect();
        let networks = self
            .plan
            .trunks
            .values()
            .flat_map(|trunk| trunk.accept.clone());
        let lifted = self.access.trust(addresses, networks);
        for source in lifted {
            self.forget_ban(now, source, BanEnd::Trusted);
        }
        self.end_bans(now);
    }

    /// Lifts a ban; false: there is none.
    pub(super) fn lift_ban(&mut self, now: Now, source: Source) -> bool {
        let lifted = self.access.lift(source);
        if lifted {
            self.forget_ban(now, source, BanEnd::Lifted);
        }
        lifted
    }

    fn forget_ban(&mut self, now: Now, source: Source, why: BanEnd) {
        self.views.bans.remove(&source);
        self.say_unbanned(now, source.to_string(), why);
    }

    fn say_unbanned(&mut self, now: Now, address: String, why: BanEnd) {
        self.journal(Entry::Unbanned {
            address,
            tenant: self.tenant.clone(),
            why,
            at: now.wall,
        });
    }

    /// Forgets the bans that are over.
    pub(super) fn end_bans(&mut self, now: Now) {
        while let Some(source) = self.access.take_ended(now.mono) {
            self.forget_ban(now, source, BanEnd::Expired);
        }
    }

    /// Whether credentials must be answered without a look at them.
    pub(super) fn is_slowed(&self, now: Now, flow: Flow, message: &Message) -> bool {
        if !self.access.slows_anybody() {
            return false;
        }
        let user = self.verifier.user_of(message).map(bare_user);
        user.is_some_and(|user| self.access.is_slowed(now.mono, flow.remote.ip(), user))
    }

    /// Credentials that answered a nonce of ours, sent to that very source, were wrong.
    pub(super) fn on_failed_login(&mut self, now: Now, flow: Flow, message: &Message) {
        count(&self.views.kept.failed);
        let user = self.verifier.user_of(message).map_or("", bare_user);
        match self.access.failed(now.mono, flow.remote.ip(), user) {
            Consequence::None => {}
            Consequence::Slowed(wait) => tracing::warn!(
                address = %flow.remote.ip(),
                user,
                "too many failed log-ins of this user from an address that is not banned: further ones are not looked at for {} s",
                wait.as_secs().max(1)
            ),
            Consequence::Banned(offence) => self.on_ban(now, offence),
        }
    }

    /// Failed authentications so far.
    pub(super) fn failures(&self) -> u64 {
        self.views.kept.failed.load(Ordering::Relaxed)
    }

    fn on_ban(&mut self, now: Now, offence: Offence) {
        count(&self.views.kept.bans);
        let record = BanRecord {
            tenant: self.tenant.clone(),
            address: offence.source.to_string(),
            reason: offence.reason,
            failures: offence.failures,
            users: offence.users,
            banned_at: now.wall,
            until: now.wall + offence.length,
        };
        self.views.bans.insert(offence.source, record.clone());
        self.journal(Entry::Banned(record));
        for connection in self.connections.of(offence.source) {
            self.disconnect(now, connection);
        }
    }

    /// Somebody there has shown who he is: the address is known until then.
    pub(super) fn vouch(&mut self, now: Now, flow: Flow, until: Mono) {
        self.access.vouch(now.mono, flow.remote.ip(), until);
    }

    /// A trunk that is known by the user it calls, wherever it calls from.
    pub(super) fn vouch_for_trunk(&mut self, now: Now, flow: Flow) {
        if self.access.standing(now.mono, flow.remote.ip()) != Standing::Trusted {
            let until = now.mono + self.plan.server.max_call;
            self.vouch(now, flow, until);
        }
    }

    /// Why a new call is refused for the good of those that run.
    pub(super) fn overloaded(&self, now: Now) -> Option<Why> {
        self.overload.refuses(now.mono, self.calls.len())
    }

    /// As `overloaded`, counted, as the cause of the refusal.
    pub(super) fn refuse_for_overload(&self, now: Now) -> Option<Cause> {
        let why = self.overloaded(now)?;
        count(&self.views.kept.refused_calls);
        tracing::debug!("a call is refused: {why}");
        Some(Cause::Overload)
    }

    /// The headers of a registration's refusal while the task is strained. Phones that are there already are let in: else their bindings would end.
    pub(super) fn refuse_registration(&mut self, now: Now, flow: Flow) -> Option<Headers> {
        self.overload.is_strained(now.mono)?;
        if self.access.standing(now.mono, flow.remote.ip()) != Standing::Stranger {
            return None;
        }
        count(&self.views.kept.refused_registrations);
        let seconds = REGISTER_AFTER + self.entropy.below(REGISTER_AFTER);
        Some(vec![(HeaderName::RetryAfter, seconds.to_string())])
    }

    /// Refused callers do not all come back in the same second.
    pub(super) fn spread_retries(&mut self, headers: &mut Headers) {
        for (name, value) in headers {
            if *name == HeaderName::RetryAfter
                && let Ok(seconds) = value.parse::<u64>()
            {
                *value = (seconds + self.entropy.below(seconds + 1)).to_string();
            }
        }
    }

    fn tell_overload(&self, now: Mono) {
        match self.overload.is_strained(now) {
            Some(why) => tracing::warn!(
                calls = self.calls.len(),
                "overloaded, new calls and registrations get 503: {why}"
            ),
            None => tracing::info!("no longer overloaded: calls and registrations are taken again"),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether it is a request that can be answered.
fn wants_answer(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"SIP/2.0 ") && !bytes.starts_with(b"ACK ")
}

/// `anna` of `anna@pbx.shop.example`: one user, however he is written.
fn bare_user(user: &str) -> &str {
    user.split('@').next().unwrap_or_default()
}

/// A phone that was refused registers again after this time and up to as much more, seconds.
const REGISTER_AFTER: u64 = 15;

#[cfg(test)]
mod tests;
