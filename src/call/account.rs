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

    #[test]
    fn every_combination_has_its_one_result() {
        use Cause::*;
        let failed = |cause| Facts {
            failure: Some(cause),
            ..INBOUND
        };
        let left = |cause| Facts {
            abandoned: Some(cause),
            ..INBOUND
        };
        let missed = |cause| (CallResult::Missed, Some(cause));
        let table = [
            (left(AbandonedGreeting), missed(AbandonedGreeting)),
            (left(AbandonedMenu), missed(AbandonedMenu)),
            (left(AbandonedHunt), missed(AbandonedHunt)),
            (left(AbandonedRinging), missed(AbandonedRinging)),
            (failed(WaitLimit), missed(WaitLimit)),
            (failed(AllBusy), missed(AllBusy)),
            (failed(NoOperators), missed(NoOperators)),
            (failed(NoAnswer), missed(NoAnswer)),
            (failed(NoChoice), missed(NoChoice)),
            (failed(Closed), missed(Closed)),
            (failed(Unreachable), missed(Unreachable)),
            (failed(NoCodec), missed(NoCodec)),
            (failed(TrunkCapacity), missed(TrunkCapacity)),
            (failed(Overload), missed(Overload)),
            (failed(Voicemail), missed(Voicemail)),
            (failed(SystemError), missed(SystemError)),
            // The later destination counts: he left a second hunt after the first had failed.
            (
                Facts {
                    abandoned: Some(AbandonedHunt),
                    ..failed(WaitLimit)
                },
                missed(AbandonedHunt),
            ),
            // A closed office that says so is missed all the same.
            (
                Facts {
                    informed: true,
                    ..failed(Closed)
                },
                missed(Closed),
            ),
            (
                Facts {
                    informed: true,
                    ..INBOUND
                },
                (CallResult::Served, None),
            ),
            (
                Facts {
                    echoed: true,
                    ..failed(WaitLimit)
                },
                (CallResult::Served, None),
            ),
            (
                Facts {
                    answered: true,
                    ..failed(WaitLimit)
                },
                (CallResult::Answered, None),
            ),
            (
                Facts {
                    rejected: Some(UnknownNumber),
                    ..INBOUND
                },
                (CallResult::Rejected, Some(UnknownNumber)),
            ),
            (INBOUND, (CallResult::Rejected, Some(Blocked))),
            (OUTBOUND, (CallResult::NotReached, None)),
            (
                Facts {
                    failure: Some(NoAnswer),
                    ..OUTBOUND
                },
                (CallResult::NotReached, None),
            ),
            (
                Facts {
                    failure: Some(TrunkCapacity),
                    ..OUTBOUND
                },
                (CallResult::NotReached, Some(TrunkCapacity)),
            ),
            (
                Facts {
                    answered: true,
                    ..OUTBOUND
                },
                (CallResult::Answered, None),
            ),
            (
                Facts {
                    rejected: Some(Blocked),
                    ..OUTBOUND
                },
                (CallResult::Rejected, Some(Blocked)),
            ),
        ];
        for (facts, expected) in table {
            assert_eq!(decide(&facts), expected, "{facts:?}");
        }
    }
}
