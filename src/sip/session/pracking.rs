//! Acknowledging the far side's reliable provisional responses (RFC 3262 §4).

use bytes::Bytes;

use super::credentials::{Challenges, is_challenge};
use super::sending::Held;
use super::{Fate, Session};
use crate::ledger::clock::Mono;
use crate::sip::endpoint::core::Core;
use crate::sip::header::rack::RAck;
use crate::sip::transaction::ClientId;
use crate::sip::wire::{Message, Method};

/// A PRACK under way.
#[derive(Debug)]
pub(super) struct OurPrack {
    /// Its latest transaction; `None`: not sent.
    pub(super) client: Option<ClientId>,
    /// The early dialog's remote tag.
    pub(super) tag: String,
    pub(super) rack: RAck,
    /// Our answer to the offer that it acknowledges; empty: none.
    pub(super) answer: Bytes,
    challenges: Challenges,
}

impl OurPrack {
    pub(super) fn is_of(&self, tag: &str, rack: RAck) -> bool {
        self.tag == tag && self.rack == rack
    }
}

/// Where a reliable provisional response stands among those of its early dialog.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The next one: it is acknowledged.
    Next,
    /// Seen already, or one before it is missing: it will come again in its turn.
    OutOfTurn,
}

impl Place {
    pub(super) fn of(rseq: u32, last: Option<u32>) -> Place {
        match last {
            Some(last) if Some(rseq) != last.checked_add(1) => Place::OutOfTurn,
            _ => Place::Next,
        }
    }
}

impl Session {
    /// Sends PRACK within an early dialog; if it is to answer an offer, as soon as the answer is there.
    pub(super) fn prack(
        &mut self,
        core: &mut Core,
        now: Mono,
        tag: &str,
        rack: RAck,
        answers: bool,
    ) {
        self.pracks.push(OurPrack {
            client: None,
            tag: tag.to_owned(),
            rack,
            answer: Bytes::new(),
            challenges: Challenges::default(),
        });
        let held = Held::Prack {
            rack,
            tag: tag.to_owned(),
            lines: Vec::new(),
        };
        if answers {
            self.owed.push(held);
        } else {
            self.submit_early(core, now, held);
        }
    }

    /// PRACK has a response; `None`: it never will. Whoever does not take it refuses the INVITE itself.
    pub fn prack_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        response: Option<&Message>,
    ) -> Fate {
        let code = response.map_or(408, Message::status);
        let place = self
            .pracks
            .iter()
            .position(|prack| prack.client == Some(client));
        let Some(place) = place.filter(|_| code >= 200) else {
            return Fate::Alive;
        };
        let mut prack = self.pracks.swap_remove(place);
        let Some(response) = response.filter(|_| is_challenge(code)) else {
            return Fate::Alive;
        };
        let uri = self
            .dialogs
            .iter()
            .find(|dialog| dialog.remote_tag == prack.tag)
            .map(|dialog| dialog.target.clone())
            .unwrap_or_default();
        let lines = prack.challenges.answer(
            response,
            Method::Prack.as_str(),
            &uri,
            self.credentials.as_ref(),
            &mut core.entropy,
        );
        if let Some(lines) = lines {
            let (rack, tag) = (prack.rack, prack.tag.clone());
            self.pracks.push(prack);
            self.submit_early(core, now, Held::Prack { rack, tag, lines });
        }
        Fate::Alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_one_is_acknowledged() {
        assert_eq!(Place::of(900, None), Place::Next);
        assert_eq!(Place::of(901, Some(900)), Place::Next);
        assert_eq!(Place::of(900, Some(900)), Place::OutOfTurn);
        assert_eq!(Place::of(902, Some(900)), Place::OutOfTurn);
        assert_eq!(Place::of(0, Some(u32::MAX)), Place::OutOfTurn);
    }
}
