//! How sessions with trunks and phones are kept: what the plan says, in the endpoint's words.

use std::time::Duration;

use super::core::Core;
use super::reasons;
use crate::call::Source;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;
use crate::sip::endpoint::command::{Command, Usage};
use crate::sip::endpoint::{Flow, SessionId};
use crate::sip::session;
use crate::sip::wire::{Message, Name as HeaderName};

impl Core {
    /// For a trunk's sessions.
    pub(super) fn usage_of_trunk(&self, trunk: &Name) -> Usage {
        let configured = self.plan.trunks.get(trunk.as_str());
        Usage {
            reliable: configured.is_some_and(|trunk| trunk.reliable),
            ..self.usage(configured.and_then(|trunk| trunk.session_expires))
        }
    }

    /// For an operator's phones.
    pub(super) fn usage_of_operator(&self, operator: &Name) -> Usage {
        let configured = self.plan.operators.get(operator.as_str());
        self.usage(configured.and_then(|operator| operator.session_expires))
    }

    /// For the sessions of somebody who calls.
    pub(super) fn usage_of(&self, source: &Source) -> Usage {
        match source {
            Source::Trunk(trunk) => self.usage_of_trunk(trunk),
            Source::Operator(operator) => self.usage_of_operator(operator),
        }
    }

    fn usage(&self, session_expires: Option<Duration>) -> Usage {
        let server = &self.plan.server;
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let asked = seconds(session_expires.unwrap_or(server.session_expires));
        Usage {
            session_expires: (asked > 0).then_some(asked),
            min_se: seconds(server.min_session_expires),
            reliable: false,
        }
    }

    /// Tells the endpoint how a new incoming session is kept; false when its INVITE asks for too short a session interval, and was refused.
    pub(super) fn take_session(
        &mut self,
        now: Now,
        session: SessionId,
        flow: Flow,
        message: &Message,
        source: &Source,
    ) -> bool {
        let usage = self.usage_of(source);
        if let Some(least) = session::too_small(message, &usage) {
            let sentence = "The session interval is too small";
            let mut headers = reasons::refusal(422, None, sentence, &self.plan.server.domain);
            headers.push((HeaderName::MinSe, least.to_string()));
            let command = Command::Reject {
                session,
                code: 422,
                headers,
            };
            self.endpoint.handle_command(now, command);
            return false;
        }
        self.endpoint
            .handle_command(now, Command::Use { session, usage });
        if let Source::Trunk(trunk) = source
            && let Some(large) = self.stream_to(trunk, &flow)
        {
            let command = Command::OffersStream { session, large };
            self.endpoint.handle_command(now, command);
        }
        true
    }
}
