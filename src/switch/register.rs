//! Requests outside a call: REGISTER of phones, OPTIONS, and those that nobody here serves. What operators' phones are reachable at.

use std::sync::Arc;

use super::core::Core;
use super::handle::OperatorView;
use super::reasons;
use crate::desk::notice::{OperatorState, Phone};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, Name};
use crate::ledger::journal::{BindingRecord, Entry};
use crate::sip::auth::Verdict;
use crate::sip::endpoint::Flow;
use crate::sip::endpoint::command::{Command, Headers};
use crate::sip::endpoint::event::RequestId;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::registrar::Change;
use crate::sip::wire::{Message, Method, Name as HeaderName};

/// What a phone may send us (RFC 3261 §20.5).
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, UPDATE, INFO, REFER, SUBSCRIBE, NOTIFY";

impl Core {
    pub(super) fn on_request(&mut self, now: Now, id: RequestId, flow: Flow, message: &Message) {
        let domain = &self.plan.server.domain;
        let (code, headers) = match message.method() {
            Method::Subscribe => return self.subscribe(now, id, flow, message),
            // RFC 6665 §4.1.3: nothing was subscribed to.
            Method::Notify => (
                481,
                reasons::refusal(481, None, "There is no such subscription", domain),
            ),
            Method::Refer => (
                403,
                reasons::refusal(403, None, "A call is passed on from within it", domain),
            ),
            Method::Register => self.register(now, flow, message),
            Method::Options => (
                200,
                vec![
                    (HeaderName::Allow, ALLOW.to_owned()),
                    (HeaderName::Accept, "application/sdp".to_owned()),
                    (
                        HeaderName::AllowEvents,
                        crate::sip::endpoint::core::ALLOW_EVENTS.to_owned(),
                    ),
                ],
            ),
            _ => (405, vec![(HeaderName::Allow, ALLOW.to_owned())]),
        };
        self.endpoint
            .handle_command(now, Command::Reply { id, code, headers });
    }

    fn register(&mut self, now: Now, flow: Flow, message: &Message) -> (u16, Headers) {
        let operator = match self.authenticate(now, message) {
            Ok(operator) => operator,
            Err(challenge) => return (401, challenge),
        };
        let to_user = message
            .header(HeaderName::To)
            .and_then(|to| NameAddr::parse(to).ok())
            .and_then(|to| to.uri.user().map(|user| user.into_owned()));
        if to_user.as_deref() != Some(operator.as_str()) {
            let sentence = "The address-of-record belongs to another user than the credentials; register with the phone's own user name";
            return (
                403,
                reasons::refusal(403, None, sentence, &self.plan.server.domain),
            );
        }
        let registered = self.registrar.handle(now, &operator, message, flow);
        let changed = !registered.changes.is_empty();
        for change in registered.changes {
            self.journal_change(change);
        }
        if changed {
            self.refresh_phones(now, &operator);
        }
        (registered.code, registered.headers)
    }

    /// The operator whose credentials a request carries, or the headers of the 401.
    pub(super) fn authenticate(&mut self, now: Now, message: &Message) -> Result<Name, Headers> {
        let plan = Arc::clone(&self.plan);
        let lookup = |user: &str| {
            let operator = plan.operators.get(user)?;
            Some((operator.password.0.clone(), operator.md5_only))
        };
        match self.verifier.check(now.mono, message, lookup) {
            Verdict::Authenticated { user } => Ok(Name::from(user)),
            Verdict::Challenge { values, .. } => Err(values
                .into_iter()
                .map(|value| (HeaderName::WwwAuthenticate, value))
                .collect()),
        }
    }

    /// The phones of before the restart.
    pub(super) fn restore_bindings(&mut self, now: Now, bindings: Vec<BindingRecord>) {
        let reach = &self.reach;
        let dropped = self.registrar.restore(now, bindings, |binding| {
            if binding.transport != "udp" {
                return None;
            }
            // The phone knows the address it registered at; when that listener is gone, another may still reach it.
            match reach.listener(binding.local) {
                Some(listener) => Some(reach.flow(listener, binding.remote)),
                None => reach.flow_to(binding.remote),
            }
        });
        for change in dropped {
            self.journal_change(change);
        }
    }

    pub(super) fn expire_bindings(&mut self, now: Now) {
        if self.registrar.poll_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        let changes = self.registrar.handle_timeout(now);
        let mut operators: Vec<Name> = Vec::new();
        for change in changes {
            let operator = match &change {
                Change::Saved(binding) => binding.operator.clone(),
                Change::Removed { operator, .. } => operator.clone(),
            };
            self.journal_change(change);
            if !operators.contains(&operator) {
                operators.push(operator);
            }
        }
        for operator in operators {
            self.refresh_phones(now, &operator);
        }
    }

    fn journal_change(&mut self, change: Change) {
        self.journal(match change {
            Change::Saved(binding) => Entry::BindingSaved(binding),
            Change::Removed { operator, contact } => Entry::BindingRemoved { operator, contact },
        });
    }

    /// Tells the desk which phones of an operator can be rung now.
    pub(super) fn refresh_phones(&mut self, now: Now, operator: &Name) {
        let Some(configured) = self.plan.operators.get(operator.as_str()) else {
            return;
        };
        let mut phones: Vec<Phone> = self
            .registrar
            .contacts(operator)
            .map(|binding| Phone(binding.contact.as_str().into()))
            .collect();
        if let Some(contact) = &configured.contact {
            let fixed = Phone(contact.as_str().into());
            if !phones.contains(&fixed) {
                phones.push(fixed);
            }
        }
        if let Some(mut view) = self.views.operators.get_mut(operator) {
            view.phones = phones.iter().map(|phone| phone.0.to_string()).collect();
        }
        self.desk.set_phones(now.mono, operator, phones);
    }

    /// An operator's state changed: into the view and the journal.
    pub(super) fn show_operator(
        &mut self,
        now: Now,
        operator: &Name,
        state: OperatorState,
        call: Option<CallId>,
    ) {
        if let Some(mut view) = self.views.operators.get_mut(operator) {
            view.state = state.as_str();
            view.since = now.wall;
            view.call_id = call;
        }
        self.watch.touch(operator);
        self.journal(Entry::OperatorState {
            tenant: self.tenant.clone(),
            operator: operator.clone(),
            state: state.as_str().to_owned(),
            at: now.wall,
        });
    }

    /// The operators of the plan in force, in view and at the desk.
    pub(super) fn apply_operators(&mut self, now: Now) {
        let plan = Arc::clone(&self.plan);
        let gone = self
            .registrar
            .forget(|operator| plan.operators.contains_key(operator.as_str()));
        for change in gone {
            self.journal_change(change);
        }
        let operators = plan
            .operators
            .values()
            .map(|operator| (operator.id.clone(), operator.wrap_up));
        self.desk.configure(now.mono, operators);
        let md5_only = plan.operators.values().filter(|one| one.md5_only).count();
        self.verifier.set_md5_only(md5_only, plan.operators.len());
        self.views
            .operators
            .retain(|name, _| plan.operators.contains_key(name.as_str()));
        for operator in plan.operators.values() {
            let mut view = self
                .views
                .operators
                .entry(operator.id.clone())
                .or_insert_with(|| OperatorView {
                    operator: operator.id.clone(),
                    name: String::new(),
                    extension: None,
                    state: OperatorState::Offline.as_str(),
                    since: now.wall,
                    call_id: None,
                    phones: Vec::new(),
                });
            view.name.clone_from(&operator.name);
            view.extension.clone_from(&operator.extension);
        }
        for operator in plan.operators.keys() {
            self.refresh_phones(now, operator);
        }
    }
}
