//! Requests outside a call: REGISTER of phones, OPTIONS, and those that nobody here serves. What operators' phones are reachable at.

use std::sync::Arc;

use super::core::Core;
use super::defence::count;
use super::handle::OperatorView;
use super::reasons;
use crate::desk::notice::{OperatorState, Phone};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{CallId, Name};
use crate::ledger::journal::{BindingRecord, Entry};
use crate::net::access::source::Source;
use crate::sip::auth::Verdict;
use crate::sip::endpoint::command::{Command, Headers};
use crate::sip::endpoint::core::ALLOW;
use crate::sip::endpoint::event::RequestId;
use crate::sip::endpoint::{Flow, Transport};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::registrar::{Binding, Change};
use crate::sip::wire::{Message, Method, Name as HeaderName};

impl Core {
    pub(super) fn on_request(&mut self, now: Now, id: RequestId, flow: Flow, message: &Message) {
        let failures = self.failures();
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
            Method::Register => match self.refuse_registration(now, flow) {
                Some(headers) => (503, headers),
                None => self.register(now, flow, message),
            },
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
        let forgettable = message.method() == Method::Register && matches!(code, 401 | 503);
        // What counted as a failure must not count again when it is only repeated.
        if forgettable && self.failures() == failures {
            self.endpoint.forget_request(id);
        }
    }

    fn register(&mut self, now: Now, flow: Flow, message: &Message) -> (u16, Headers) {
        let operator = match self.authenticate(now, flow, message) {
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
        let here = |binding: &&Binding| binding.flow.remote.ip() == flow.remote.ip();
        let until = self.registrar.contacts(&operator).filter(here);
        if let Some(until) = until.map(|binding| binding.expires).max() {
            self.vouch(now, flow, until);
        }
        let changed = !registered.changes.is_empty();
        for change in registered.changes {
            self.journal_change(change);
        }
        if changed {
            self.refresh_phones(now, &operator);
            self.rejoin_dialogs(&operator, flow);
            self.rejoin_subscriptions(now, &operator, flow);
        }
        (registered.code, registered.headers)
    }

    /// A phone that lost its connection in a call and came back goes on with the call there.
    fn rejoin_dialogs(&mut self, operator: &Name, flow: Flow) {
        if flow.connection.is_none() {
            return;
        }
        let contacts: Vec<String> = self
            .registrar
            .contacts(operator)
            .filter(|binding| binding.flow.connection == flow.connection)
            .map(|binding| binding.contact.to_string())
            .collect();
        let connections = &self.connections;
        for contact in contacts {
            self.endpoint
                .rejoin(&contact, flow, |connection| connections.is_open(connection));
        }
    }

    /// The operator whose credentials a request carries, or the headers of the 401.
    ///
    /// A failure counts against the source that the request came from.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message,
    ) -> Result<Name, Headers> {
        let plan = Arc::clone(&self.plan);
        let lookup = |user: &str| {
            let operator = plan.operators.get(user)?;
            Some((operator.password.0.clone(), operator.md5_only))
        };
        let origin = Source::of(flow.remote.ip()).bytes();
        let verdict = if self.is_slowed(now, flow, message) {
            count(&self.views.kept.slowed);
            self.verifier.refuse(now.mono, &origin, message, lookup)
        } else {
            self.verifier.check_from(now.mono, &origin, message, lookup)
        };
        let (values, failed) = match verdict {
            Verdict::Authenticated { user } => return Ok(Name::from(user)),
            Verdict::Challenge { values, failed } => (values, failed),
        };
        if failed {
            self.on_failed_login(now, flow, message);
        }
        Err(values
            .into_iter()
            .map(|value| (HeaderName::WwwAuthenticate, value))
            .collect())
    }

    /// The phones of before the restart.
    pub(super) fn restore_bindings(&mut self, now: Now, bindings: Vec<BindingRecord>) {
        let reach = &self.reach;
        let dropped = self.registrar.restore(now, bindings, |binding| {
            if binding.transport != Transport::Udp.as_str() {
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
        let restored: Vec<(Flow, Mono)> = self
            .registrar
            .operators()
            .flat_map(|(_, bindings)| bindings)
            .map(|binding| (binding.flow, binding.expires))
            .collect();
        for (flow, until) in restored {
            self.vouch(now, flow, until);
        }
    }

    pub(super) fn expire_bindings(&mut self, now: Now) {
        if self.registrar.poll_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        let changes = self.registrar.handle_timeout(now);
        self.take_changes(now, changes);
    }

    /// Notes changed bindings in the journal and at the desk.
    pub(super) fn take_changes(&mut self, now: Now, changes: Vec<Change>) {
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
        // A connection does not survive a restart, and neither does a binding on it.
        if let Change::Saved(binding) = &change
            && binding.transport != Transport::Udp.as_str()
        {
            return;
        }
        self.journal(match change {
            Change::Saved(binding) => Entry::BindingSaved(Box::new(binding)),
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
            .phones(operator)
            .into_iter()
            .map(|binding| Phone(binding.place().into()))
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
        self.keep_phones_alive(now, operator);
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
