//! Supervisors: legs that take part in a conversation without being one of its two sides. The conversation does not depend on them, and its recording
//! does not hear them.

use super::Call;
use super::leg::Leg;
use super::media::{MediaAct, Role};
use super::output::{EndReason, MovedLeg};
use crate::destination::Stage;
use crate::dialplan::features::Supervision;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name};
use crate::ledger::leg::LegKind;

/// One who supervises.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) leg: LegId,
    mode: Supervision,
    /// What the media plane was told last.
    role: Role,
}

impl Call {
    /// Whether this operator talks here, so that he can be listened to.
    pub fn can_supervise(&self, operator: &Name) -> bool {
        let talks = |leg: LegId| self.other_than(leg).is_some();
        let mut legs = self.state.legs.iter();
        legs.any(|leg| leg.record.operator.as_ref() == Some(operator) && talks(leg.id()))
    }

    /// Whether somebody can listen here: two who talk.
    pub fn is_conversation(&self) -> bool {
        self.state
            .guest
            .is_some_and(|guest| self.other_than(guest).is_some())
    }

    /// Whether an operator is in this call already.
    pub fn has_operator(&self, operator: &Name) -> bool {
        let mut legs = self.state.legs.iter();
        legs.any(|leg| leg.record.operator.as_ref() == Some(operator))
    }

    /// A leg comes from another call to supervise.
    pub(super) fn adopt_supervisor(&mut self, now: Now, moved: MovedLeg, mode: Supervision) {
        let id = moved.leg;
        let mut leg = Leg::adopted(moved);
        leg.record.kind = LegKind::Supervisor;
        leg.record.accepted_at.get_or_insert(now.wall);
        let who = leg.record.operator.as_ref().map(Name::to_string);
        let who = who.unwrap_or_else(|| "Somebody".to_owned());
        self.state.legs.push(leg);
        self.state
            .note(now, format!("{who} supervises: {}", mode.as_str()));
        let role = self.role_of(mode);
        self.state.supervisors.push(Supervisor {
            leg: id,
            mode,
            role,
        });
        if let Some(bridge) = self.state.bridge {
            self.state.leave_bridge(id);
            if let Some(leg) = self.state.leg_mut(id) {
                leg.bridge = Some(bridge);
            }
            let leg = id;
            self.state.media(MediaAct::JoinAs { leg, bridge, role });
        }
        self.state.leg_changed(id);
        self.state.changed();
    }

    /// A key of a supervisor changes how he takes part; `true`: the leg is a supervisor's.
    pub(super) fn supervisor_key(&mut self, now: Now, leg: LegId, key: char) -> bool {
        if !self.state.is_supervisor(leg) {
            return false;
        }
        if let Some(mode) = Supervision::of_key(key) {
            let all = &mut self.state.supervisors;
            if let Some(one) = all.iter_mut().find(|one| one.leg == leg) {
                one.mode = mode;
            }
            self.state
                .note(now, format!("Supervised: {}", mode.as_str()));
            self.refresh_supervisors(now);
        }
        true
    }

    /// A supervisor's leg is gone; `true`: it was one.
    pub(super) fn supervisor_gone(&mut self, now: Now, leg: LegId) -> bool {
        if !self.state.is_supervisor(leg) {
            return false;
        }
        self.state.supervisors.retain(|one| one.leg != leg);
        self.release_operator(leg);
        self.state.leave_bridge(leg);
        self.state.drop_leg(now, leg, None, None);
        self.state.changed();
        true
    }

    /// Whom a supervisor whispers to may have changed; where nobody talks any more, supervisors are sent away.
    pub(super) fn refresh_supervisors(&mut self, now: Now) {
        if self.state.supervisors.is_empty() || self.is_over {
            return;
        }
        if !matches!(self.stage, Stage::Talking(_)) {
            for one in std::mem::take(&mut self.state.supervisors) {
                self.release_operator(one.leg);
                self.state.leave_bridge(one.leg);
                self.state.end(now, one.leg, EndReason::Normal);
            }
            return;
        }
        let wanted: Vec<Role> = self
            .state
            .supervisors
            .iter()
            .map(|one| self.role_of(one.mode))
            .collect();
        for (index, role) in wanted.into_iter().enumerate() {
            let Some(one) = self.state.supervisors.get_mut(index) else {
                continue;
            };
            if std::mem::replace(&mut one.role, role) != role {
                let leg = one.leg;
                self.state.media(MediaAct::SetRole { leg, role });
            }
        }
    }

    /// Who hears a supervisor. The operator is the person who was called, or else the one who calls.
    fn role_of(&self, mode: Supervision) -> Role {
        let of_operator = |leg: &LegId| self.operator_on(*leg).is_some();
        let person = match &self.stage {
            Stage::Talking(conversation) => Some(conversation.person),
            _ => None,
        };
        let operator = person
            .filter(of_operator)
            .or(self.state.guest.filter(of_operator));
        match (mode, operator) {
            (Supervision::Barge, _) => Role::Member,
            (Supervision::Whisper, Some(operator)) => Role::Whisperer(operator),
            (Supervision::Whisper | Supervision::Listen, _) => Role::Listener,
        }
    }
}
