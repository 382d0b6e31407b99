//! Subscriptions of phones: who may watch whom, and what is told of operators, slots for parked calls and voicemail boxes.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::reasons;
use crate::call::output::RecordAct;
use crate::call::shown::{ShownLeg, ShownPhase};
use crate::desk::notice::OperatorState;
use crate::dialplan::plan::Destination;
use crate::ledger::clock::Now;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, Name, RecordingId};
use crate::ledger::journal::{Entry, Messages};
use crate::sip::endpoint::command::{Command, Headers};
use crate::sip::endpoint::event::RequestId;
use crate::sip::endpoint::{Flow, SessionId};
use crate::sip::notifier::dialog_info::{DialogPhase, WatchedDialog};
use crate::sip::notifier::package::{Package, State};
use crate::sip::notifier::presence::Presence;
use crate::sip::notifier::{Notifier, Subscribe, Watched};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name as HeaderName};

/// What phones watch, and what has changed since they were told.
#[derive(Debug)]
pub(super) struct Watch {
    pub notifier: Notifier,
    /// Operators and slots whose state may have changed.
    changed: BTreeSet<Name>,
    /// Messages that are kept, by box.
    messages: BTreeMap<Name, Messages>,
    /// Messages that are being left, and where.
    being_left: BTreeMap<RecordingId, Name>,
}

impl Watch {
    pub fn new(entropy: Entropy) -> Watch {
        Watch {
            notifier: Notifier::new(entropy),
            changed: BTreeSet::new(),
            messages: BTreeMap::new(),
            being_left: BTreeMap::new(),
        }
    }

    /// Something may have changed for those who watch this operator or slot.
    pub fn touch(&mut self, name: &Name) {
        if self.notifier.count() > 0 && !self.changed.contains(name) {
            self.changed.insert(name.clone());
        }
    }

    /// A journal entry tells of legs.
    pub fn touch_entry(&mut self, entry: &Entry) {
        if self.notifier.count() == 0 {
            return;
        }
        let legs = match entry {
            Entry::LegChanged(_, leg) => std::slice::from_ref(&**leg),
            Entry::CallEnded { legs, .. } => legs.as_slice(),
            _ => return,
        };
        for operator in legs.iter().filter_map(|leg| leg.operator.as_ref()) {
            self.touch(operator);
        }
    }

    /// Counts messages as they are left.
    pub fn hear_recorder(&mut self, act: &RecordAct) {
        match act {
            RecordAct::StartMessage {
                recording, mailbox, ..
            } => {
                self.being_left.insert(*recording, mailbox.clone());
            }
            RecordAct::Discard { recording } => {
                self.being_left.remove(recording);
            }
            RecordAct::Stop { recording } => {
                if let Some(mailbox) = self.being_left.remove(recording) {
                    self.messages.entry(mailbox).or_default().fresh += 1;
                    self.touch_messages();
                }
            }
            RecordAct::StartConversation { .. }
            | RecordAct::StartConference { .. }
            | RecordAct::Attach { .. }
            | RecordAct::Pause { .. }
            | RecordAct::Detach { .. } => {}
        }
    }

    /// Somebody has heard one message more of a box.
    pub(super) fn note_heard(&mut self, mailbox: &Name) {
        if let Some(messages) = self.messages.get_mut(mailbox)
            && messages.fresh > 0
        {
            messages.fresh -= 1;
            messages.heard += 1;
            self.touch_messages();
        }
    }

    fn touch_messages(&mut self) {
        let lamps = self.notifier.watched();
        let lamps = lamps.filter(|watched| watched.package == Package::MessageSummary);
        let names: Vec<Name> = lamps.map(|watched| watched.name.clone()).collect();
        self.changed.extend(names);
    }
}

impl Core {
    /// How many messages each voicemail box holds, as the store has counted them at start.
    pub fn set_messages(&mut self, messages: BTreeMap<Name, Messages>) {
        self.watch.messages = messages;
    }

    pub(super) fn subscribe(&mut self, now: Now, id: RequestId, flow: Flow, message: &Message) {
        if let Err((code, headers)) = self.try_subscribe(now, id, flow, message) {
            self.endpoint
                .handle_command(now, Command::Reply { id, code, headers });
        }
        self.drain_notifier(now);
    }

    fn try_subscribe(
        &mut self,
        now: Now,
        id: RequestId,
        flow: Flow,
        message: &Message,
    ) -> Result<(), (u16, Headers)> {
        let who = self
            .authenticate(now, flow, message)
            .map_err(|why| (401, why))?;
        let event = message.header(HeaderName::Event).unwrap_or_default();
        let Some(package) = Package::parse(event) else {
            let events = "dialog, message-summary, presence".to_owned();
            return Err((489, vec![(HeaderName::AllowEvents, events)]));
        };
        let request = Subscribe {
            id,
            flow,
            message,
            who: &who,
        };
        if message.to_tag().is_some() {
            self.watch.notifier.renew(now.mono, &request);
            return Ok(());
        }
        let domain = &self.plan.server.domain;
        let refused = |code, sentence: &str| {
            let headers = reasons::refusal(code, None, sentence, domain);
            Err((code, headers))
        };
        let mut accept = message.headers(HeaderName::Accept).peekable();
        if accept.peek().is_some() && !accept.any(|line| package.is_accepted(line)) {
            return refused(406, "The phone does not accept the event's documents");
        }
        let uri = Uri::parse(message.request_uri()).ok();
        let user = uri.as_ref().and_then(Uri::user).unwrap_or_default();
        let Some(name) = self.watchable(package, &user) else {
            return refused(404, "Nobody and no slot of that name can be watched");
        };
        if package == Package::MessageSummary && name != who {
            return refused(403, "Messages are told to whom they are for only");
        }
        let watched = Watched { package, name };
        let state = self.state_of(&watched);
        self.watch
            .notifier
            .begin(now.mono, &request, watched, state);
        Ok(())
    }

    /// Who is meant by the user of a Request-URI: an operator by name or extension, or a slot for parked calls.
    fn watchable(&self, package: Package, user: &str) -> Option<Name> {
        let plan = &self.plan;
        if let Some(name) = plan.extensions.get(user) {
            return Some(name.clone());
        }
        if plan.operators.contains_key(user) {
            return Some(Name::from(user));
        }
        let digits = user
            .strip_prefix(plan.features.park.as_str())
            .unwrap_or(user);
        let is_slot = plan.features.slots.iter().any(|slot| slot == digits);
        (package == Package::Dialog && is_slot).then(|| Name::from(digits))
    }

    fn state_of(&self, watched: &Watched) -> State {
        let name = &watched.name;
        match watched.package {
            Package::Dialog if self.plan.operators.contains_key(name.as_str()) => {
                State::Dialogs(self.dialogs_of(name))
            }
            Package::Dialog => State::Dialogs(self.dialogs_at(name.as_str())),
            Package::MessageSummary => State::Messages(self.messages_for(name)),
            Package::Presence => State::Presence(self.presence_of(name)),
        }
    }

    fn dialogs_of(&self, operator: &Name) -> Vec<WatchedDialog> {
        let calls = self.desk.calls_of(operator);
        let legs = calls
            .iter()
            .filter_map(|call| self.calls.get(call))
            .flat_map(|running| running.call.shown_legs(operator));
        let mut dialogs: Vec<WatchedDialog> = legs.map(|leg| self.watched_dialog(leg)).collect();
        dialogs.sort_by(|a, b| a.id.cmp(&b.id));
        dialogs
    }

    fn watched_dialog(&self, leg: ShownLeg) -> WatchedDialog {
        let identity = self.endpoint.dialog_of(SessionId(leg.leg.as_u128()));
        WatchedDialog {
            id: leg.leg.to_string(),
            phase: match leg.phase {
                ShownPhase::Trying => DialogPhase::Trying,
                ShownPhase::Ringing => DialogPhase::Early,
                ShownPhase::Up => DialogPhase::Confirmed,
            },
            is_initiator: leg.is_caller,
            name: identity
                .filter(|dialog| !dialog.remote_tag.is_empty())
                .map(|dialog| (dialog.call_id, dialog.remote_tag, dialog.local_tag)),
            remote: self.address(leg.remote.as_deref()),
            display: leg.display,
        }
    }

    fn address(&self, user: Option<&str>) -> Option<String> {
        let domain = &self.plan.server.domain;
        user.map(|user| Uri::sip(Some(user), domain, None).to_string())
    }

    /// A parked call, as the dialog of its slot.
    fn dialogs_at(&self, slot: &str) -> Vec<WatchedDialog> {
        let parked = self.parked_at(slot);
        let running = parked.and_then(|id| Some((id, self.calls.get(&id)?)));
        let Some((id, running)) = running else {
            return Vec::new();
        };
        let (remote, display) = running.call.shown_party();
        vec![WatchedDialog {
            id: id.to_string(),
            phase: DialogPhase::Confirmed,
            is_initiator: false,
            name: None,
            remote: self.address(remote.as_deref()),
            display,
        }]
    }

    /// How many messages are kept in the boxes that an operator has to do with.
    fn messages_for(&self, operator: &Name) -> Messages {
        let his = match self.plan.operators.get(operator.as_str()) {
            Some(known) => &known.otherwise,
            None => return Messages::default(),
        };
        let boxes = self.plan.voicemails.values();
        let boxes = boxes.filter(|one| {
            one.lamp.contains(operator) || *his == Destination::Voicemail(one.name.clone())
        });
        boxes
            .filter_map(|one| self.watch.messages.get(&one.name))
            .fold(Messages::default(), |sum, one| Messages {
                fresh: sum.fresh.saturating_add(one.fresh),
                heard: sum.heard.saturating_add(one.heard),
            })
    }

    fn presence_of(&self, operator: &Name) -> Presence {
        match self.desk.state(operator).map(|(state, _)| state) {
            Some(OperatorState::Available) => Presence::Available,
            Some(OperatorState::Ringing | OperatorState::Talking) => Presence::OnThePhone,
            Some(OperatorState::WrapUp) => Presence::Busy,
            Some(OperatorState::Away) => Presence::Away,
            Some(OperatorState::Offline) | None => Presence::Offline,
        }
    }

    /// Tells those who watch what has changed; whether anything may have.
    pub(super) fn tell_watchers(&mut self, now: Now) -> bool {
        if self.watch.changed.is_empty() {
            return false;
        }
        for name in std::mem::take(&mut self.watch.changed) {
            for package in [Package::Dialog, Package::MessageSummary, Package::Presence] {
                let watched = Watched {
                    package,
                    name: name.clone(),
                };
                if self.watch.notifier.is_watched(&watched) {
                    let state = self.state_of(&watched);
                    self.watch.notifier.publish(now.mono, &watched, &state);
                }
            }
        }
        self.drain_notifier(now);
        true
    }

    /// A NOTIFY was answered, or never will be.
    pub(super) fn notify_answered(&mut self, now: Now, id: RequestId, code: u16) {
        self.watch.notifier.answered(now.mono, id, code);
        self.drain_notifier(now);
    }

    /// A phone has registered, perhaps by a new connection or from another port of its NAT: what it watches it is told there.
    pub(super) fn rejoin_subscriptions(&mut self, now: Now, operator: &Name, flow: Flow) {
        let bindings = || self.registrar.contacts(operator);
        for here in bindings().filter(|binding| binding.flow == flow) {
            let contact = &here.contact;
            let is_anothers = |at: &Flow| {
                let mut others = bindings();
                *at != flow && others.any(|other| other.flow == *at)
            };
            self.watch
                .notifier
                .rejoin(now.mono, operator, contact, &flow, is_anothers);
        }
        self.drain_notifier(now);
    }

    /// Subscriptions that are over.
    pub(super) fn expire_subscriptions(&mut self, now: Now) {
        let due = self.watch.notifier.poll_timeout();
        if due.is_some_and(|at| at <= now.mono) {
            self.watch.notifier.handle_timeout(now.mono);
            self.drain_notifier(now);
        }
    }

    /// A new plan: those who are gone watch nobody, and nobody watches them.
    pub(super) fn apply_watchers(&mut self, now: Now) {
        let plan = std::sync::Arc::clone(&self.plan);
        let is_there = |name: &str| {
            plan.operators.contains_key(name) || plan.features.slots.iter().any(|slot| slot == name)
        };
        self.watch.notifier.retain(|who, watched| {
            plan.operators.contains_key(who.as_str()) && is_there(watched.name.as_str())
        });
        self.watch.touch_messages();
        self.drain_notifier(now);
    }

    fn drain_notifier(&mut self, now: Now) {
        while let Some(command) = self.watch.notifier.poll_command() {
            self.endpoint.handle_command(now, command);
        }
    }

    /// Keeps the note of which call is parked where.
    pub(super) fn note_parking(&mut self, call: CallId) {
        let Some(running) = self.calls.get_mut(&call) else {
            return;
        };
        let slot = running.call.parked();
        if slot == running.parked.as_ref().map(Name::as_str) {
            return;
        }
        let slot = slot.map(Name::from);
        let before = std::mem::replace(&mut running.parked, slot.clone());
        for slot in before.iter().chain(&slot) {
            self.watch.touch(slot);
        }
    }
}
