//! What the outside floor asks: originate, hang up, transfer, a new plan, draining.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::core::{Core, Draining};
use super::effect::Effect;
use super::handle::Ask;
use crate::call::Call;
use crate::call::input::{Command as CallCommand, Input};
use crate::desk::notice::OperatorState;
use crate::dialplan::features::Supervision;
use crate::dialplan::plan::{Destination, Plan};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, Name, RecordingId};
use crate::ledger::journal::Entry;
use crate::sip::auth::Verifier;

impl Core {
    pub(super) fn answer_ask(&mut self, now: Now, ask: Ask) {
        // A reply that nobody waits for any more is no fault: the asker went away.
        match ask {
            Ask::Originate {
                operator,
                to,
                reply,
            } => {
                let _ = reply.send(self.originate(now, operator, &to));
            }
            Ask::Hangup { call, reply } => {
                let there = self.calls.contains_key(&call);
                self.give(now, call, Input::Command(CallCommand::Hangup));
                let _ = reply.send(there);
            }
            Ask::Transfer { call, to, reply } => {
                let _ = reply.send(self.transfer(now, call, &to));
            }
            Ask::PauseRecording {
                call,
                paused,
                reply,
            } => {
                let _ = reply.send(self.pause_recording(now, call, paused));
            }
            Ask::Supervise {
                call,
                operator,
                mode,
                reply,
            } => {
                let _ = reply.send(self.supervise(now, call, operator, mode));
            }
            Ask::Unban { source, reply } => {
                let _ = reply.send(self.lift_ban(now, source));
            }
            Ask::MessageHeard { mailbox, reply } => {
                self.watch.note_heard(&mailbox);
                let _ = reply.send(());
            }
            Ask::Install { plan, reply } => {
                let _ = reply.send(self.install(now, plan));
            }
            // What the core does not know of, its shell answers.
            Ask::Census { .. } | Ask::Measure { .. } | Ask::Listen { .. } => {}
            Ask::Drain { reply } => self.begin_drain(now, reply),
        }
    }

    fn originate(&mut self, now: Now, operator: Name, to: &str) -> Result<CallId, String> {
        if self.drain.is_some() {
            return Err("this PBX is shutting down and takes no new calls".to_owned());
        }
        if !self.plan.operators.contains_key(operator.as_str()) {
            return Err(format!(
                "there is no operator {operator}; see [operators.*] in the configuration"
            ));
        }
        if let Some((OperatorState::Ringing | OperatorState::Talking, _)) =
            self.desk.state(&operator)
        {
            return Err(format!("{operator} is on the phone"));
        }
        if let Some(why) = self.overloaded(now) {
            return Err(format!(
                "this PBX is overloaded and takes no new calls: {why}"
            ));
        }
        let (entry, dialled) = self.entry_for(now, &operator, to)?;
        let id = CallId::new(now.wall, &mut self.entropy);
        self.note_outbound(id, &operator, &entry);
        let entropy = self.entropy.split();
        let call = Call::originate(
            now,
            Arc::clone(&self.plan),
            id,
            operator,
            dialled,
            entry,
            entropy,
        );
        self.start_call(now, id, call, None);
        Ok(id)
    }

    fn supervise(
        &mut self,
        now: Now,
        into: CallId,
        operator: Name,
        mode: Supervision,
    ) -> Result<CallId, String> {
        if self.drain.is_some() {
            return Err("this PBX is shutting down and takes no new calls".to_owned());
        }
        match self.plan.operators.get(operator.as_str()) {
            None => {
                return Err(format!(
                    "there is no operator {operator}; see [operators.*] in the configuration"
                ));
            }
            Some(known) if !known.supervisor => {
                return Err(format!(
                    "{operator} is no supervisor: add supervisor = true to operators.{operator}"
                ));
            }
            Some(_) => {}
        }
        let Some(running) = self.calls.get(&into) else {
            return Err(format!("the call {into} is not running"));
        };
        if !running.call.is_conversation() {
            return Err("nobody talks in this call yet".to_owned());
        }
        if running.call.has_operator(&operator) {
            return Err(format!("{operator} is in this call already"));
        }
        if let Some((OperatorState::Ringing | OperatorState::Talking, _)) =
            self.desk.state(&operator)
        {
            return Err(format!("{operator} is on the phone"));
        }
        let id = CallId::new(now.wall, &mut self.entropy);
        let entropy = self.entropy.split();
        let plan = Arc::clone(&self.plan);
        let call = Call::supervise(now, plan, id, operator, into, mode, entropy);
        self.start_call(now, id, call, None);
        Ok(id)
    }

    fn transfer(&mut self, now: Now, call: CallId, to: &str) -> Result<(), String> {
        let Some(running) = self.calls.get(&call) else {
            return Err(format!("the call {call} is not running"));
        };
        if !running.call.can_transfer() {
            return Err("nobody is there yet who could be transferred".to_owned());
        }
        let destination = self.destination(to)?;
        self.give(
            now,
            call,
            Input::Command(CallCommand::Transfer { to: destination }),
        );
        Ok(())
    }

    fn pause_recording(
        &mut self,
        now: Now,
        call: CallId,
        paused: bool,
    ) -> Result<RecordingId, String> {
        let Some(running) = self.calls.get(&call) else {
            return Err(format!("the call {call} is not running"));
        };
        let recording = running.call.recording().ok_or_else(|| {
            "this call is not recorded: nobody has answered it yet, or its number says record = false"
                .to_owned()
        })?;
        let command = CallCommand::PauseRecording { paused };
        self.give(now, call, Input::Command(command));
        Ok(recording)
    }

    /// A destination as the plan writes it: `hunt:sales`, `echo`.
    fn destination(&self, text: &str) -> Result<Destination, String> {
        let plan = &self.plan;
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let wanted = Name::from(name);
        let (known, destination) = match kind {
            "menu" => (plan.menus.contains_key(name), Destination::Menu(wanted)),
            "hunt" => (plan.hunts.contains_key(name), Destination::Hunt(wanted)),
            "operator" => (
                plan.operators.contains_key(name),
                Destination::Operator(wanted),
            ),
            "forward" => (
                plan.forwards.contains_key(name),
                Destination::Forward(wanted),
            ),
            "voicemail" => (
                plan.voicemails.contains_key(name),
                Destination::Voicemail(wanted),
            ),
            "announcement" => (
                plan.announcements.contains_key(name),
                Destination::Announcement(wanted),
            ),
            "schedule" => (
                plan.schedules.contains_key(name),
                Destination::Schedule(wanted),
            ),
            "conference" => (
                plan.conferences.contains_key(name),
                Destination::Conference(wanted),
            ),
            "echo" => (name.is_empty(), Destination::Echo),
            "hangup" => (name.is_empty(), Destination::Hangup),
            _ => (false, Destination::Hangup),
        };
        if !known {
            return Err(format!(
                "{text} is no destination of the dial plan; write it as the plan does, such as hunt:sales"
            ));
        }
        Ok(destination)
    }

    fn install(&mut self, now: Now, plan: Arc<Plan>) -> Result<(), String> {
        if let Some(why) = plan.needs_restart_after(&self.plan) {
            return Err(why);
        }
        if self.plan.server.domain != plan.server.domain {
            self.verifier = Verifier::new(&plan.server.domain, self.entropy.split());
        }
        self.plan = plan;
        self.apply_plan(now);
        self.journal(Entry::ConfigReloaded {
            tenant: self.tenant.clone(),
            plan_version: self.plan.version,
            at: now.wall,
        });
        Ok(())
    }

    /// Puts the plan in force at the desk and the trunks; running calls keep theirs.
    pub(super) fn apply_plan(&mut self, now: Now) {
        self.apply_trunks(now);
        self.look_up_contacts();
        self.apply_operators(now);
        self.apply_watchers(now);
        self.apply_security(now);
    }

    fn begin_drain(&mut self, now: Now, reply: oneshot::Sender<()>) {
        if let Some(drain) = &mut self.drain {
            // Asked again: no more waiting. Who asked first is told when all is over.
            drain.until = now.mono;
            return;
        }
        let until = now.mono + self.plan.server.drain;
        self.unregister_trunks(now);
        self.trunks.is_leaving = true;
        self.drain = Some(Draining {
            until,
            ended: false,
            left: None,
            reply: Some(reply),
        });
    }

    /// The time to finish is over: BYE on every leg, of some calls at a time, so that connections and their far sides keep up.
    pub(super) fn end_some_calls(&mut self, now: Now) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        let left = drain
            .left
            .get_or_insert_with(|| self.calls.keys().copied().collect());
        let some = left.split_off(left.len().saturating_sub(ENDED_AT_ONCE));
        drain.ended = left.is_empty();
        drain.until = now.mono + ENDED_EVERY;
        for call in some {
            self.give(now, call, Input::Command(CallCommand::Drain));
        }
    }

    /// Tells who asked for draining once nothing is left, the last BYEs' transactions included.
    pub(super) fn finish_drain(&mut self) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        if self.calls.is_empty()
            && self.endpoint.census().transactions <= self.trunks.open_questions()
            && let Some(reply) = drain.reply.take()
        {
            self.effects.push_back(Effect::Drained(reply));
        }
    }
}

/// So many calls are ended at a time when draining is over.
const ENDED_AT_ONCE: usize = 50;
/// And the next ones after this time.
const ENDED_EVERY: Duration = Duration::from_millis(5);
