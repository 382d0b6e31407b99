//! The notifier of RFC 6665: subscriptions to what phones watch, each with a dialog of its own, and their NOTIFYs.
//!
//! In it: expiry, refresh, the order of NOTIFYs, versions, documents. Not in it: who may watch whom, and what goes on there; both come from above.

pub mod dialog_info;
pub mod message_summary;
pub mod package;
pub mod presence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use self::package::{Package, State};
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::Name as Id;
use crate::ledger::wheel::{Ticket, Wheel};
use crate::sip::dialog::{Dialog, LocalTag};
use crate::sip::endpoint::Flow;
use crate::sip::endpoint::command::{Command, Headers, Notify, Routing};
use crate::sip::endpoint::event::RequestId;
use crate::sip::endpoint::filed::ByFlow;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name};

/// Whom or what somebody watches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Watched {
    /// What of him.
    pub package: Package,
    /// Who: an operator, or a slot for parked calls.
    pub name: Id,
}

/// A SUBSCRIBE whose sender is known.
#[derive(Clone, Debug)]
pub struct Subscribe<'a> {
    /// For the reply.
    pub id: RequestId,
    /// Where it came from.
    pub flow: Flow,
    /// The request.
    pub message: &'a Message,
    /// Who sent it.
    pub who: &'a Id,
}

/// All subscriptions. After each call but the questions, drain `poll_command`, then ask `poll_timeout`.
#[derive(Debug)]
pub struct Notifier {
    subscriptions: HashMap<LocalTag, Box<Subscription>>,
    watchers: BTreeMap<Watched, BTreeSet<LocalTag>>,
    /// By owner; no empty sets.
    owned: HashMap<Id, BTreeSet<LocalTag>>,
    deadlines: Wheel<LocalTag>,
    /// Which of them are on a connection.
    on: ByFlow<LocalTag>,
    /// NOTIFYs that are not answered yet.
    requests: HashMap<RequestId, LocalTag>,
    last_request: u64,
    commands: VecDeque<Command>,
    entropy: Entropy,
}

#[derive(Debug)]
struct Subscription {
    who: Id,
    watched: Watched,
    /// The URI of who is watched, as asked for.
    entity: String,
    /// The value of Event in its NOTIFYs.
    event: String,
    dialog: Dialog,
    /// When it was last asked for.
    asked: Mono,
    until: Mono,
    armed: Option<Ticket>,
    state: State,
    version: u32,
    in_flight: Option<RequestId>,
    /// The state has changed since the NOTIFY that is in flight.
    is_stale: bool,
    /// Its phone cannot be reached: nothing is sent until it is back.
    is_lost: bool,
}

impl Notifier {
    /// Without subscriptions.
    pub fn new(entropy: Entropy) -> Notifier {
        Notifier {
            subscriptions: HashMap::new(),
            watchers: BTreeMap::new(),
            owned: HashMap::new(),
            deadlines: Wheel::default(),
            on: ByFlow::default(),
            requests: HashMap::new(),
            last_request: 0,
            commands: VecDeque::new(),
            entropy,
        }
    }

    /// Whether a request id is one of ours: those of others have the highest bit clear.
    pub const fn is_ours(id: RequestId) -> bool {
        id.0 & OURS != 0
    }

    /// How many subscriptions there are.
    pub fn count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether anybody watches this.
    pub fn is_watched(&self, watched: &Watched) -> bool {
        self.watchers.contains_key(watched)
    }

    /// Everything that somebody watches.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.watchers.keys()
    }

    /// A SUBSCRIBE that begins a subscription, or fetches the state once (`Expires: 0`).
    pub fn begin(&mut self, now: Mono, request: &Subscribe<'_>, watched: Watched, state: State) {
        let Some(granted) = self.granted(request) else {
            return;
        };
        if !self.make_room(now, request) {
            return self.refuse(request.id, 403, Headers::new());
        }
        let tag = LocalTag::new(&mut self.entropy);
        let mut dialog = Dialog::from_request(request.message, request.flow, tag);
        // Phones may be behind NAT: NOTIFYs go where the SUBSCRIBE came from.
        dialog.routing = Routing::Flow;
        dialog.local_cseq = 0;
        let same: Vec<LocalTag> = self
            .owned_by(request.who)
            .filter(|(_, one)| one.watched == watched && one.dialog.target == dialog.target)
            .map(|(tag, _)| tag)
            .collect();
        let subscription = Subscription {
            who: request.who.clone(),
            entity: entity(request.message),
            event: event(watched.package, request.message),
            watched: watched.clone(),
            dialog,
            asked: now,
            until: now + granted,
            armed: Some(self.deadlines.insert(now + granted, tag)),
            state,
            version: 0,
            in_flight: None,
            is_stale: false,
            is_lost: false,
        };
        self.accept(request.id, tag, granted);
        self.on.insert(&subscription.dialog.flow, tag);
        self.subscriptions.insert(tag, Box::new(subscription));
        self.watchers.entry(watched).or_default().insert(tag);
        let his = self.owned.entry(request.who.clone()).or_default();
        his.insert(tag);
        if granted.is_zero() {
            return self.end(tag, "timeout");
        }
        self.notify(now, tag);
        // A phone that was restarted knows nothing of its older ones, and says so when it is told something there (481). One with two keys for the
        // same colleague knows them.
        for older in same {
            if self
                .subscriptions
                .get(&older)
                .is_some_and(|one| one.is_lost)
            {
                self.forget(older);
            } else {
                self.notify(now, older);
            }
        }
    }

    /// A SUBSCRIBE within a dialog: it renews or ends a subscription of its sender's.
    pub fn renew(&mut self, now: Mono, request: &Subscribe<'_>) {
        let message = request.message;
        let tag = message.to_tag().and_then(LocalTag::parse);
        let mine = tag.and_then(|tag| Some((tag, self.subscriptions.get_mut(&tag)?)));
        let mine = mine.filter(|(_, one)| one.dialog.is_of(message) && one.who == *request.who);
        let Some((tag, one)) = mine else {
            return self.refuse(request.id, 481, Headers::new());
        };
        if one.dialog.remote_cseq >= Some(message.cseq()) {
            return self.refuse(request.id, 500, Headers::new());
        }
        let Some(granted) = self.granted(request) else {
            return;
        };
        if let Some(one) = self.subscriptions.get_mut(&tag) {
            one.dialog.take_cseq(message);
            one.dialog.refresh_target(message);
            one.asked = now;
            one.until = now + granted;
            self.deadlines.arm(&mut one.armed, Some(one.until), &tag);
        }
        self.come_by(tag, &request.flow);
        self.accept(request.id, tag, granted);
        if granted.is_zero() {
            self.end(tag, "timeout");
        } else {
            self.notify(now, tag);
        }
    }

    /// What goes on with somebody now: all who watch him are told, if it is news to them.
    pub fn publish(&mut self, now: Mono, watched: &Watched, state: &State) {
        let Some(watchers) = self.watchers.get(watched) else {
            return;
        };
        for tag in watchers.clone() {
            let Some(one) = self.subscriptions.get_mut(&tag) else {
                continue;
            };
            if one.state != *state {
                one.state = state.clone();
                self.notify(now, tag);
            }
        }
    }

    /// A NOTIFY was answered, or never will be (408, 503).
    pub fn answered(&mut self, now: Mono, id: RequestId, code: u16) {
        let Some(tag) = self.requests.remove(&id) else {
            return;
        };
        let Some(one) = self.subscriptions.get_mut(&tag) else {
            return;
        };
        if one.in_flight == Some(id) {
            one.in_flight = None;
        }
        // RFC 6665 §4.2.2, RFC 5057 §5.1: the phone knows nothing of the subscription.
        let is_over = matches!(code, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604);
        if is_over {
            self.forget(tag);
        } else if matches!(code, 408 | 503) {
            // It is not there: perhaps it is back in a moment, by another connection or another port of its NAT, and goes on as if nothing had been.
            self.lose(tag);
        } else if std::mem::take(&mut one.is_stale) {
            self.notify(now, tag);
        }
    }

    /// A flow can no longer be used: nothing is sent to the phones behind it until they are back. Their subscriptions end in their own time.
    pub fn close_flow(&mut self, flow: &Flow) {
        let filed = self.on.cut_by(flow);
        for tag in filed.unwrap_or_else(|| self.subscriptions.keys().copied().collect()) {
            let one = self.subscriptions.get(&tag);
            if one.is_some_and(|one| one.dialog.flow.is_cut_by(flow)) {
                self.lose(tag);
            }
        }
    }

    /// An operator's phone with this Contact has registered from `flow`: of its subscriptions those that are lost, or that came by another flow, go on
    /// there. `is_anothers`: another phone of his is at that flow, behind another NAT with the same Contact.
    pub fn rejoin(
        &mut self,
        now: Mono,
        who: &Id,
        contact: &Uri,
        flow: &Flow,
        is_anothers: impl Fn(&Flow) -> bool,
    ) {
        let is_its = |one: &Subscription| {
            let target = Uri::parse(&one.dialog.target);
            target.is_ok_and(|target| target.matches(contact))
        };
        let back: Vec<LocalTag> = self
            .owned_by(who)
            .filter(|(_, one)| one.is_lost || one.dialog.flow != *flow)
            .filter(|(_, one)| is_its(one) && !is_anothers(&one.dialog.flow))
            .map(|(tag, _)| tag)
            .collect();
        for tag in back {
            self.come_by(tag, flow);
            self.notify(now, tag);
        }
    }

    /// Ends the subscriptions for which `keeps` does not hold, of their owner and what they watch.
    pub fn retain(&mut self, keeps: impl Fn(&Id, &Watched) -> bool) {
        let all = self.subscriptions.iter();
        let lost = all.filter(|(_, one)| !keeps(&one.who, &one.watched));
        let mut lost: Vec<LocalTag> = lost.map(|(tag, _)| *tag).collect();
        lost.sort_unstable();
        for tag in lost {
            self.end(tag, "noresource");
        }
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        while let Some((_, tag)) = self.deadlines.take_due(now) {
            self.end(tag, "timeout");
        }
    }

    /// What the endpoint is to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.deadlines.next()
    }

    fn owned_by(&self, who: &Id) -> impl Iterator<Item = (LocalTag, &Subscription)> {
        let tags = self.owned.get(who).into_iter().flatten();
        tags.filter_map(|tag| Some((*tag, &**self.subscriptions.get(tag)?)))
    }

    /// Whether a phone may have one more: if it or its owner has too many, the one that would end first goes. One that was asked for just now stays,
    /// or a phone with too many keys would take them from itself in turn.
    fn make_room(&mut self, now: Mono, request: &Subscribe<'_>) -> bool {
        let is_here = |one: &Subscription| one.dialog.flow == request.flow;
        let his = self.owned.get(request.who).map_or(0, BTreeSet::len);
        let here = self.owned_by(request.who);
        let is_phone_full = here.filter(|(_, one)| is_here(one)).count() >= MOST_PER_PHONE;
        if !is_phone_full && his < MOST_PER_OPERATOR {
            return true;
        }
        let first = self
            .owned_by(request.who)
            .filter(|(_, one)| is_here(one) || !is_phone_full)
            .filter(|(_, one)| one.is_lost || one.asked + SHORTEST <= now)
            .min_by_key(|(tag, one)| (!one.is_lost, one.until, *tag))
            .map(|(tag, _)| tag);
        if let Some(tag) = first {
            self.end(tag, "probation;retry-after=300");
        }
        first.is_some()
    }

    /// How long is granted; `None`: too short, and refused (423, RFC 6665 §4.2.1.1).
    fn granted(&mut self, request: &Subscribe<'_>) -> Option<Duration> {
        let asked = request.message.header(Name::Expires);
        let asked = asked
            .and_then(|value| value.trim().parse::<u64>().ok())
            .map_or(LONGEST, Duration::from_secs);
        if !asked.is_zero() && asked < SHORTEST {
            let headers = vec![(Name::MinExpires, SHORTEST.as_secs().to_string())];
            self.refuse(request.id, 423, headers);
            return None;
        }
        Some(asked.min(LONGEST))
    }

    fn refuse(&mut self, id: RequestId, code: u16, headers: Headers) {
        self.commands
            .push_back(Command::Reply { id, code, headers });
    }

    fn accept(&mut self, id: RequestId, tag: LocalTag, granted: Duration) {
        self.commands.push_back(Command::ReplyWithin {
            id,
            code: 200,
            tag,
            headers: vec![(Name::Expires, granted.as_secs().to_string())],
        });
    }

    /// Tells the state, or notes that it is to be told when the NOTIFY in flight is answered.
    fn notify(&mut self, now: Mono, tag: LocalTag) {
        let Some(one) = self.subscriptions.get_mut(&tag) else {
            return;
        };
        if one.is_lost {
            return;
        }
        if one.in_flight.is_some() {
            one.is_stale = true;
            return;
        }
        let left = one.until.since(now).as_secs();
        self.send(tag, format!("active;expires={left}"));
    }

    /// Its phone is out of reach; an answer to what is in flight would tell nothing.
    fn lose(&mut self, tag: LocalTag) {
        let Some(one) = self.subscriptions.get_mut(&tag) else {
            return;
        };
        one.is_lost = true;
        if let Some(id) = one.in_flight.take() {
            self.requests.remove(&id);
        }
    }

    /// Its phone is, or is again, at this flow. A NOTIFY that went elsewhere is not waited for.
    fn come_by(&mut self, tag: LocalTag, flow: &Flow) {
        let Some(one) = self.subscriptions.get_mut(&tag) else {
            return;
        };
        let has_moved = one.dialog.flow != *flow;
        one.is_lost = false;
        self.on.remove(&one.dialog.flow, &tag);
        one.dialog.follow(flow);
        self.on.insert(&one.dialog.flow, tag);
        if has_moved && let Some(id) = one.in_flight.take() {
            self.requests.remove(&id);
        }
    }

    /// The last NOTIFY, and the end.
    fn end(&mut self, tag: LocalTag, reason: &str) {
        if self.subscriptions.get(&tag).is_some_and(|one| !one.is_lost) {
            self.send(tag, format!("terminated;reason={reason}"));
        }
        self.forget(tag);
    }

    fn send(&mut self, tag: LocalTag, subscription_state: String) {
        let Some(one) = self.subscriptions.get_mut(&tag) else {
            return;
        };
        self.last_request += 1;
        let id = RequestId(OURS | self.last_request);
        one.dialog.local_cseq += 1;
        let body = one.state.document(&one.entity, one.version);
        one.version = one.version.wrapping_add(1);
        if let Some(before) = one.in_flight.replace(id) {
            self.requests.remove(&before);
        }
        one.is_stale = false;
        let notify = Notify {
            id,
            dialog: one.dialog.clone(),
            headers: vec![
                (Name::Event, one.event.clone()),
                (Name::SubscriptionState, subscription_state),
            ],
            body: Some((one.watched.package.content_type(), Bytes::from(body))),
        };
        self.requests.insert(id, tag);
        self.commands.push_back(Command::Notify(Box::new(notify)));
    }

    fn forget(&mut self, tag: LocalTag) {
        let Some(one) = self.subscriptions.remove(&tag) else {
            return;
        };
        if let Some(ticket) = one.armed {
            self.deadlines.cancel(ticket);
        }
        self.on.remove(&one.dialog.flow, &tag);
        if let Some(id) = one.in_flight {
            self.requests.remove(&id);
        }
        if let Some(watchers) = self.watchers.get_mut(&one.watched) {
            watchers.remove(&tag);
            if watchers.is_empty() {
                self.watchers.remove(&one.watched);
            }
        }
        if let Some(his) = self.owned.get_mut(&one.who) {
            his.remove(&tag);
            if his.is_empty() {
                self.owned.remove(&one.who);
            }
        }
    }
}

/// The URI of the Request-URI, as the entity of documents.
fn entity(subscribe: &Message) -> String {
    let uri = subscribe.request_uri();
    uri.split([';', '?']).next().unwrap_or(uri).to_owned()
}

/// Event as asked for: with its id, without which its NOTIFYs are another subscription's (RFC 6665 §8.2.1).
fn event(package: Package, subscribe: &Message) -> String {
    let written = subscribe.header(Name::Event).unwrap_or_default();
    let id = written.split(';').skip(1).find_map(|param| {
        let (name, value) = param.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("id")).then(|| value.trim())
    });
    match id {
        Some(id) => format!("{};id={id}", package.as_str()),
        None => package.as_str().to_owned(),
    }
}

/// Set in the ids of our requests.
const OURS: u64 = 1 << 63;
/// A key field with modules on a desk has about a hundred lamps.
const MOST_PER_PHONE: usize = 128;
/// Of all his phones.
const MOST_PER_OPERATOR: usize = 8 * MOST_PER_PHONE;
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
