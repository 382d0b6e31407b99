//! Supervisors beside a conversation.

use std::sync::Arc;

use super::plan::{name, plan, secs};
use super::world::World;
use crate::call::Call;
use crate::call::input::{Command, LegEnd};
use crate::call::media::Role;
use crate::call::output::Seat;
use crate::desk::notice::OperatorState;
use crate::dialplan::features::Supervision;
use crate::dialplan::plan::Destination;
use crate::dialplan::routing::Entry;
use crate::ledger::cause::CallResult;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, LegId};
use crate::ledger::leg::LegKind;

/// A caller who talks with anna.
fn talking() -> (World, CallId, LegId, LegId) {
    let mut w = World::new(plan(|_| {}));
    for operator in ["anna", "boris", "clara"] {
        w.register(operator, 1);
    }
    let (call, caller) = w.call("+74950000004");
    let anna = w.ringing("anna")[0];
    w.answer(anna);
    assert!(w.joined(caller, anna));
    (w, call, caller, anna)
}

fn supervise(w: &mut World, into: CallId, mode: Supervision) -> (CallId, LegId) {
    let mut arrival = w.arrival_of("boris", "*90101", Entry::Supervise(name("anna"), mode));
    arrival.join = Some((into, Seat::Supervisor(mode)));
    w.arrive(arrival)
}

#[test]
fn a_supervisor_comes_changes_and_goes() {
    let (mut w, call, caller, anna) = talking();
    assert!(w.calls[&call].can_supervise(&name("anna")));
    assert!(!w.calls[&call].can_supervise(&name("boris")));
    let recorded = (w.legs[&caller].tapped, w.legs[&anna].tapped);
    let (own, boris) = supervise(&mut w, call, Supervision::Listen);
    assert!(w.is_over(own));
    assert!(w.joined(caller, anna));
    assert_eq!(w.legs[&boris].bridge, w.legs[&anna].bridge);
    assert_eq!(w.legs[&boris].role, Role::Listener);
    let keys = [
        ('2', Role::Whisperer(anna)),
        ('3', Role::Member),
        ('7', Role::Member),
        ('1', Role::Listener),
    ];
    for (key, role) in keys {
        w.key(boris, key);
        assert_eq!(w.legs[&boris].role, role, "{key}");
    }
    assert_eq!(w.legs[&boris].tapped, None);
    assert_eq!(recorded, (w.legs[&caller].tapped, w.legs[&anna].tapped));
    assert_eq!(w.record(call).operator, Some(name("anna")));
    // His going ends nothing; neither does his phone's holding.
    w.reinvite(boris, "sendonly");
    assert_eq!(w.hears(caller), None);
    w.ended(boris, LegEnd::Lost);
    assert!(!w.is_over(call) && w.joined(caller, anna));
    assert_eq!(w.state("boris"), OperatorState::Available);
    w.bye(caller);
    let (record, legs) = &w.ended[&call];
    assert_eq!(record.result, Some(CallResult::Answered));
    let kinds: Vec<LegKind> = legs.iter().map(|leg| leg.kind).collect();
    assert!(
        kinds.contains(&LegKind::Supervisor) && legs.len() == 3,
        "{kinds:?}"
    );
    w.assert_empty();
}

#[test]
fn he_is_sent_away_when_the_conversation_is_over() {
    let (mut w, call, caller, anna) = talking();
    let (_, boris) = supervise(&mut w, call, Supervision::Barge);
    assert_eq!(w.legs[&boris].role, Role::Member);
    w.transfer(call, Destination::Operator(name("clara")));
    assert_eq!(w.said(boris).last().unwrap(), "end");
    assert_eq!(w.said(anna).last().unwrap(), "end");
    let clara = w.ringing("clara")[0];
    // Nobody talks: he cannot come.
    let (_, late) = supervise(&mut w, call, Supervision::Listen);
    assert_eq!(w.said(late).last().unwrap(), "end");
    w.answer(clara);
    let (_, again) = supervise(&mut w, call, Supervision::Whisper);
    assert_eq!(w.legs[&again].role, Role::Whisperer(clara));
    w.bye(caller);
    assert_eq!(w.said(again).last().unwrap(), "end");
    w.assert_empty();
}

#[test]
fn whoever_takes_the_operators_seat_is_whispered_to() {
    let (mut w, call, caller, anna) = talking();
    let (_, boris) = supervise(&mut w, call, Supervision::Whisper);
    let mut arrival = w.arrival_of("clara", "*8", Entry::PickUp(None));
    arrival.join = Some((call, Seat::Of(anna)));
    let (_, clara) = w.arrive(arrival);
    assert!(w.joined(caller, clara));
    assert_eq!(w.legs[&boris].role, Role::Whisperer(clara));
    w.bye(clara);
    w.assert_empty();
}

#[test]
fn his_phones_are_rung_when_the_api_asks() {
    let (mut w, call, caller, anna) = talking();
    let own = w.supervise("boris", call, Supervision::Whisper);
    let boris = w.ringing("boris")[0];
    w.ring(boris);
    w.pass(secs(3));
    w.answer(boris);
    assert!(w.is_over(own));
    assert_eq!(w.legs[&boris].role, Role::Whisperer(anna));
    assert_eq!(w.legs[&boris].bridge, w.legs[&caller].bridge);
    // Not answered: nothing happens to the conversation.
    let other = w.supervise("clara", call, Supervision::Listen);
    w.command(other, Command::Hangup);
    assert!(w.joined(caller, anna));
    w.bye(anna);
    w.assert_empty();
}

impl World {
    fn supervise(&mut self, operator: &str, into: CallId, mode: Supervision) -> CallId {
        self.counter += 1;
        let mut entropy = Entropy::from_number(self.counter);
        let call = CallId::new(self.now.wall, &mut entropy);
        let plan = Arc::clone(&self.plan);
        let new = Call::supervise(self.now, plan, call, name(operator), into, mode, entropy);
        self.calls.insert(call, new);
        self.settle();
        call
    }
}
