//! Destinations: where a call can be. Each is a small state machine in its own file; it is handed what happens and says
//! what next: stay, go to another destination (and why this one failed), a person is there, or the end.
//!
//! They drive the call through its [`State`]: play, ring, connect. What comes after a person accepted, and how a call
//! ends, is not here: `call` does that.

mod announcement;
mod claim;
mod conference;
mod dial_out;
mod echo;
mod forward;
mod hunt;
mod menu;
mod operator;
mod outbound;
mod parked;
mod schedule;
mod summon;
mod voicemail;

pub(crate) use self::dial_out::is_worth_another;
pub(crate) use self::outbound::Outbound;
pub(crate) use self::parked::Parked;
pub(crate) use self::summon::Summon;

use self::announcement::Announcement;
use self::conference::Conference;
use self::echo::Echo;
use self::forward::Forward;
use self::hunt::Hunt;
use self::menu::Menu;
use self::operator::Operator;
use self::voicemail::Voicemail;
use crate::call::conversation::Conversation;
use crate::call::legs::Failure;
use crate::call::output::Seat;
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::desk::notice::Notice;
use crate::dialplan::plan::Destination;
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};

/// What a call is doing.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Waits for the guest's media port.
    Opening,
    Menu(Menu),
    Hunt(Hunt),
    Operator(Operator),
    Forward(Forward),
    Voicemail(Voicemail),
    Announcement(Announcement),
    Conference(Conference),
    Echo(Echo),
    /// An operator dials out.
    Outbound(Outbound),
    /// The operator is rung for whom the call was originated.
    Summon(Summon),
    /// A person is there.
    Talking(Conversation),
    /// Waits in a slot.
    Parked(Parked),
    /// The guest takes a seat in another call as soon as his media is agreed.
    Joining(CallId, Seat),
    /// Between two others, and at the end.
    Nowhere,
}

/// What happens to a destination.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Happening {
    /// The guest pressed a key.
    Key(char),
    /// What was played to the guest has ended.
    Played(u64),
    /// A timer of the destination is due.
    Timer(Timer),
    /// The desk tells.
    Notice(Notice),
    /// A dialled leg rings.
    Rings {
        /// The leg.
        leg: LegId,
        /// It speaks by early media.
        early: bool,
    },
    /// A dialled leg was answered and its media agreed.
    Answered(LegId),
    /// A dialled leg will not be answered; it is gone or given up.
    Failed(LegId, Failure),
}

/// What follows.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next {
    /// Nothing yet.
    Stay,
    /// Another destination.
    Go {
        /// Which.
        to: Destination,
        /// Why this one failed, if it sought a person.
        failed: Option<Cause>,
    },
    /// A person accepted on this leg.
    Person(LegId),
    /// The operator for whom the call was originated is there.
    Summoned(LegId),
    /// The call ends.
    End(Ending),
}

/// Why a call is ended by the plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ending {
    /// Why the destination failed, if it sought a person.
    pub(crate) failed: Option<Cause>,
    /// The far side's status and phrase, to be passed on.
    pub(crate) far: Option<(u16, String)>,
}

impl Next {
    /// The end, for a fault of ours.
    pub(crate) const fn fault() -> Next {
        Next::End(Ending {
            failed: Some(Cause::SystemError),
            far: None,
        })
    }
}

/// How a destination is left.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Leaving {
    /// A person accepted: all other phones are told so, and the desk by `Accepted`.
    Taken,
    /// Its time passed.
    TimedOut,
    /// For any other reason.
    Over,
}

impl Stage {
    /// Enters a destination.
    pub(crate) fn enter(state: &mut State, now: Now, to: &Destination) -> (Stage, Next) {
        match to {
            Destination::Menu(name) => Menu::enter(state, now, name),
            Destination::Hunt(name) => Hunt::enter(state, now, name),
            Destination::Operator(name) => Operator::enter(state, now, name),
            Destination::Forward(name) => Forward::enter(state, now, name),
            Destination::Voicemail(name) => Voicemail::enter(state, now, name),
            Destination::Announcement(name) => Announcement::enter(state, now, name),
            Destination::Schedule(name) => (Stage::Nowhere, schedule::choose(state, now, name)),
            Destination::Conference(name) => Conference::enter(state, now, name),
            Destination::Echo => Echo::enter(state, now),
            Destination::Hangup => (Stage::Nowhere, Next::End(Ending::default())),
        }
    }

    /// Something happened.
    pub(crate) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match self {
            Stage::Menu(menu) => menu.handle(state, now, what),
            Stage::Hunt(hunt) => hunt.handle(state, now, what),
            Stage::Operator(operator) => operator.handle(state, now, what),
            Stage::Forward(forward) => forward.handle(state, now, what),
            Stage::Voicemail(voicemail) => voicemail.handle(state, now, what),
            Stage::Announcement(announcement) => announcement.handle(state, what),
            Stage::Conference(conference) => conference.handle(state, now, what),
            Stage::Outbound(outbound) => outbound.handle(state, now, what),
            Stage::Summon(summon) => summon.handle(state, now, what),
            Stage::Parked(parked) => parked.handle(state, now, &what),
            Stage::Opening
            | Stage::Echo(_)
            | Stage::Talking(_)
            | Stage::Joining(..)
            | Stage::Nowhere => Next::Stay,
        }
    }

    /// Leaves: stops what it rings and records, gives claims back.
    pub(crate) fn leave(self, state: &mut State, now: Now, how: Leaving) {
        state.timers.stop_destination();
        match self {
            Stage::Hunt(hunt) => hunt.leave(state, now, how),
            Stage::Operator(operator) => operator.leave(state, now, how),
            Stage::Forward(forward) => forward.leave(state, now, how),
            Stage::Voicemail(voicemail) => voicemail.leave(state, now),
            Stage::Echo(echo) => echo.leave(state),
            Stage::Conference(conference) => conference.leave(state),
            Stage::Outbound(outbound) => outbound.leave(state, now, how),
            Stage::Summon(summon) => summon.leave(state, now, how),
            Stage::Opening
            | Stage::Menu(_)
            | Stage::Announcement(_)
            | Stage::Talking(_)
            | Stage::Parked(_)
            | Stage::Joining(..)
            | Stage::Nowhere => {}
        }
    }

    /// Whether something of ours has taken the call: whoever passed it on is not needed any more.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(
            self,
            Stage::Menu(_)
                | Stage::Voicemail(_)
                | Stage::Announcement(_)
                | Stage::Conference(_)
                | Stage::Echo(_)
        )
    }

    /// What it counts as when the caller leaves now; `None`: he had what he wanted, or the earlier failure counts.
    pub(crate) fn abandoned(&self, state: &State) -> Option<Cause> {
        match self {
            Stage::Opening => Some(Cause::AbandonedGreeting),
            // A menu that catches the callers whom nobody took: why nobody did counts.
            Stage::Menu(_) if state.failure.is_some() => None,
            Stage::Menu(_) if state.greeted => Some(Cause::AbandonedMenu),
            Stage::Menu(_) => Some(Cause::AbandonedGreeting),
            Stage::Hunt(_) if state.rings() => Some(Cause::AbandonedRinging),
            Stage::Hunt(_) => Some(Cause::AbandonedHunt),
            Stage::Operator(_) | Stage::Forward(_) | Stage::Outbound(_) | Stage::Summon(_) => {
                Some(Cause::AbandonedRinging)
            }
            Stage::Announcement(announcement) => announcement.abandoned(state),
            Stage::Voicemail(_)
            | Stage::Conference(_)
            | Stage::Echo(_)
            | Stage::Talking(_)
            | Stage::Parked(_)
            | Stage::Joining(..)
            | Stage::Nowhere => None,
        }
    }

    /// Whether desk notices about this member are expected: it is being rung or may be.
    pub(crate) const fn takes_claims(&self) -> bool {
        matches!(
            self,
            Stage::Hunt(_) | Stage::Operator(_) | Stage::Summon(_) | Stage::Conference(_)
        )
    }
}

/// A name that the plan does not have: the check of the plan forbids it.
fn missing(state: &mut State, now: Now, kind: &str, name: &Name) -> (Stage, Next) {
    state.note(now, format!("The plan has no {kind}:{name}"));
    (Stage::Nowhere, Next::fault())
}
