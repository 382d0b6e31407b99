//! The early dialogs of an INVITE of ours: what each has said, so that repeated responses are no news, and whose offer has an answer.

use bytes::Bytes;

use super::outgoing::Calling;
use super::pracking::Place;
use super::sdp_of;
use crate::sip::wire::Message;

/// What an early dialog has said.
#[derive(Debug)]
pub(super) struct Heard {
    tag: String,
    code: u16,
    sdp: Option<Bytes>,
    /// Of the latest reliable one.
    rseq: Option<u32>,
    /// A reliable one answered our offer, or brought one that has our answer.
    answered: bool,
}

impl Calling {
    /// The offer of this early dialog, to an INVITE that had none, has our answer.
    pub(super) fn note_answered(&mut self, tag: &str) {
        if let Some(heard) = self.heard.iter_mut().find(|heard| heard.tag == tag) {
            heard.answered = true;
        }
    }

    /// Whether our offer was answered reliably in this early dialog, so that the far side may make one (RFC 3311 §5.1).
    pub(super) fn is_settled(&self, tag: &str) -> bool {
        self.heard
            .iter()
            .any(|heard| heard.tag == tag && heard.answered)
    }

    pub(super) fn place(&self, tag: &str, rseq: u32) -> Place {
        let heard = self.heard.iter().find(|heard| heard.tag == tag);
        Place::of(rseq, heard.and_then(|heard| heard.rseq))
    }

    /// Notes a reliable provisional response; false when its early dialog is one too many.
    pub(super) fn note_rseq(&mut self, tag: &str, rseq: u32) -> bool {
        let Some(heard) = self.heard.iter_mut().find(|heard| heard.tag == tag) else {
            return false;
        };
        heard.rseq = Some(rseq);
        heard.answered |= heard.sdp.is_some() && !self.invite.sdp.is_empty();
        true
    }

    /// Notes a provisional response; false when it says nothing new.
    pub(super) fn note(&mut self, tag: &str, response: &Message) -> bool {
        let code = response.status();
        let sdp = sdp_of(response);
        if let Some(heard) = self.heard.iter_mut().find(|heard| heard.tag == tag) {
            let news = heard.code != code || heard.sdp != sdp;
            heard.code = code;
            heard.sdp = sdp;
            return news;
        }
        let room = self.heard.len() < MAX_EARLY_DIALOGS;
        if room {
            self.heard.push(Heard {
                tag: tag.to_owned(),
                code,
                sdp,
                rseq: None,
                answered: false,
            });
        }
        room
    }
}

/// More early dialogs of one INVITE are an attack.
const MAX_EARLY_DIALOGS: usize = 16;
