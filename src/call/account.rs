//! How a call is accounted: the one result it ends with, decided from facts.

use crate::ledger::cause::{CallResult, Cause, Direction};

/// What is known when the calling side's leg ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Which way the call went.
    pub(crate) direction: Direction,
    /// Refused by rule.
    pub(crate) rejected: Option<Cause>,
    /// A person accepted.
    pub(crate) answered: bool,
    /// The caller heard himself.
    pub(crate) echoed: bool,
    /// An announcement was played to its end, or the caller chose the end in a menu.
    pub(crate) informed: bool,
    /// Why the last person-seeking destination failed.
    pub(crate) failure: Option<Cause>,
    /// What the caller left, when he left before the destination had failed.
    pub(crate) abandoned: Option<Cause>,
}

/// The result and cause of a call (DESIGN.md section 5).
pub(crate) fn decide(facts: &Facts) -> (CallResult, Option<Cause>) {
    if let Some(cause) = facts.rejected {
        return (CallResult::Rejected, Some(cause));
    }
    if facts.answered {
        return (CallResult::Answered, None);
    }
    if facts.echoed {
        return (CallResult::Served, None);
    }
    let cause = facts.abandoned.or(facts.failure);
    match (facts.direction, cause) {
        (Direction::Inbound, Some(cause)) => (CallResult::Missed, Some(cause)),
        (_, None) if facts.informed => (CallResult::Served, None),
        // A number that leads to nothing but the end is one that the plan blocks.
        (Direction::Inbound, None) => (CallResult::Rejected, Some(Cause::Blocked)),
        (_, cause) => (CallResult::NotReached, cause.filter(says_a_fault)),
    }
}

/// Whether a cause tells more of an outbound or internal call than that nobody took it.
fn says_a_fault(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NoCodec
            | Cause::TrunkCapacity
            | Cause::Unreachable
            | Cause::Overload
            | Cause::SystemError
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const INBOUND: Facts = Facts {
        direction: Direction::Inbound,
        rejected: None,
        answered: false,
        echoed: false,
        informed: false,
        failure: None,
        abandoned: None,
    };
    const OUTBOUND: Facts = Facts {
        direction: Direction::Outbound,
        ..INBOUND
    };

    fn failed(cause: Cause) -> Facts {
        Facts {
            failure: Some(cause),
            ..INBOUND
        }
    }

    fn left(cause: Cause) -> Facts {
        Facts {
            abandoned: Some(cause),
            ..INBOUND
        }
    }

    fn check(table: impl IntoIterator<Item = (Facts, CallResult, Option<Cause>)>) {
        for (facts, result, cause) in table {
            assert_eq!(decide(&facts), (result, cause), "{facts:?}");
        }
    }

    #[test]
    fn an_inbound_call_that_nobody_took_is_missed_for_one_cause() {
        use Cause::*;
        let gave_up = [
            AbandonedGreeting,
            AbandonedMenu,
            AbandonedHunt,
            AbandonedRinging,
        ];
        check(gave_up.map(|cause| (left(cause), CallResult::Missed, Some(cause))));
        let reasons = [
            WaitLimit,
            AllBusy,
            NoOperators,
            NoAnswer,
            NoChoice,
            Closed,
            Unreachable,
            NoCodec,
            TrunkCapacity,
            Overload,
            Voicemail,
            SystemError,
        ];
        check(reasons.map(|cause| (failed(cause), CallResult::Missed, Some(cause))));
    }

    #[test]
    fn the_later_fact_counts() {
        use Cause::*;
        let second_hunt = Facts {
            abandoned: Some(AbandonedHunt),
            ..failed(WaitLimit)
        };
        let told_that_it_is_closed = Facts {
            informed: true,
            ..failed(Closed)
        };
        let informed = Facts {
            informed: true,
            ..INBOUND
        };
        let echoed = Facts {
            echoed: true,
            ..failed(WaitLimit)
        };
        let answered = Facts {
            answered: true,
            ..failed(WaitLimit)
        };
        let unknown = Facts {
            rejected: Some(UnknownNumber),
            ..INBOUND
        };
        check([
            (second_hunt, CallResult::Missed, Some(AbandonedHunt)),
            (told_that_it_is_closed, CallResult::Missed, Some(Closed)),
            (informed, CallResult::Served, None),
            (echoed, CallResult::Served, None),
            (answered, CallResult::Answered, None),
            (unknown, CallResult::Rejected, Some(UnknownNumber)),
            (INBOUND, CallResult::Rejected, Some(Blocked)),
        ]);
    }

    #[test]
    fn calls_that_operators_place_are_never_missed() {
        use Cause::*;
        let with = |failure| Facts {
            failure: Some(failure),
            ..OUTBOUND
        };
        let answered = Facts {
            answered: true,
            ..OUTBOUND
        };
        let blocked = Facts {
            rejected: Some(Blocked),
            ..OUTBOUND
        };
        check([
            (OUTBOUND, CallResult::NotReached, None),
            (with(NoAnswer), CallResult::NotReached, None),
            (
                with(TrunkCapacity),
                CallResult::NotReached,
                Some(TrunkCapacity),
            ),
            (answered, CallResult::Answered, None),
            (blocked, CallResult::Rejected, Some(Blocked)),
        ]);
    }
}
