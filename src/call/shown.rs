//! What colleagues' lamps show of a call: the legs of an operator, and how far each is.

use super::Call;
use super::leg::{Leg, LegState};
use crate::ledger::cause::Direction;
use crate::ledger::id::{LegId, Name};

/// A leg of an operator as it is shown to those who watch him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownLeg {
    /// The leg.
    pub leg: LegId,
    /// How far it is.
    pub phase: ShownPhase,
    /// Whether he called.
    pub is_caller: bool,
    /// Whom he talks with: a number or a name.
    pub remote: Option<String>,
    /// Shown beside it.
    pub display: Option<String>,
}

/// How far a shown leg is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ShownPhase {
    /// The INVITE is out.
    Trying,
    /// It rings.
    Ringing,
    /// It is answered.
    Up,
}

impl Call {
    /// An operator's legs in this call.
    pub fn shown_legs(&self, operator: &Name) -> impl Iterator<Item = ShownLeg> {
        let of_his = move |leg: &&Leg| leg.record.operator.as_ref() == Some(operator);
        let legs = self.state.legs.iter().filter(of_his);
        legs.filter_map(move |leg| self.shown(leg))
    }

    /// Who is in the call beside us, for whoever watches a slot.
    pub fn shown_party(&self) -> (Option<String>, Option<String>) {
        (self.state.shown_caller(), self.state.display_name.clone())
    }

    fn shown(&self, leg: &Leg) -> Option<ShownLeg> {
        let phase = match leg.state {
            LegState::Preparing | LegState::GivenUp => return None,
            LegState::Ringing if !leg.rang => ShownPhase::Trying,
            LegState::Unanswered { ringing: false, .. } => ShownPhase::Trying,
            LegState::Ringing | LegState::Unanswered { .. } => ShownPhase::Ringing,
            LegState::Connected => ShownPhase::Up,
        };
        let dialling = leg.dialling.as_ref();
        let is_calling = self.state.calling == Some(leg.id());
        let (remote, display) = match dialling {
            Some(dialling) => (dialling.caller.clone(), dialling.display_name.clone()),
            None if is_calling => (self.state.record.number.clone(), None),
            None => self.talks_with(leg.id()),
        };
        Some(ShownLeg {
            leg: leg.id(),
            phase,
            is_caller: dialling.is_none() && is_calling,
            remote,
            display,
        })
    }

    /// Whom a leg talks with that was neither called nor called here: it came from another call.
    fn talks_with(&self, leg: LegId) -> (Option<String>, Option<String>) {
        let other = self.other_than(leg);
        if let Some(colleague) = other.and_then(|other| self.operator_on(other)) {
            return (Some(colleague.to_string()), None);
        }
        let is_inbound = self.state.record.direction == Direction::Inbound;
        let display = self.state.display_name.clone().filter(|_| is_inbound);
        (self.state.outside_party(), display)
    }
}
