//! Commands around REFER and subscriptions, and the keeping of a late answer.

use super::command::Command;
use super::{Endpoint, outside};
use crate::ledger::clock::Mono;

impl Endpoint {
    /// Those commands that `handle_command` does not know itself.
    pub(super) fn handle_referral(&mut self, at: Mono, command: Command) {
        match command {
            Command::AnswerRefer {
                session,
                code,
                headers,
            } => {
                self.with_session(session, |session, core| {
                    session.answer_refer(core, at, code, &headers)
                });
            }
            Command::ReferNotice {
                session,
                code,
                phrase,
            } => {
                self.with_session(session, |session, core| {
                    session.refer_notice(core, at, code, &phrase)
                });
            }
            Command::Refer {
                session,
                to,
                headers,
            } => {
                self.with_session(session, |session, core| {
                    session.refer(core, at, to, headers)
                });
            }
            Command::ReplyWithin {
                id,
                code,
                tag,
                headers,
            } => outside::reply_within(&mut self.core, at, id, code, tag, &headers),
            Command::Notify(notify) => outside::notify(&mut self.core, at, *notify),
            Command::Keep { session } => {
                self.with_session(session, |session, _| session.keep());
            }
            // All others are carried out where they came in.
            _ => {}
        }
    }
}
