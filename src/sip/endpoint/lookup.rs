//! Finding a session by its dialog, and telling a dialog's name: for Replaces and for those who watch others' phones.

use bytes::Bytes;

use super::Endpoint;
use super::event::SessionId;
use crate::sip::dialog::LocalTag;
use crate::sip::wire::Message;

/// A session that was named by its dialog.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The session.
    pub session: SessionId,
    /// Whether the dialog is confirmed.
    pub is_confirmed: bool,
    /// Whether its INVITE was ours.
    pub is_ours: bool,
}

/// What names a dialog (RFC 3261 §12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialogIdentity {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far side's tag.
    pub remote_tag: String,
}

impl Endpoint {
    /// Whether a message is part of a transaction or dialog that is here; who cannot have seen our branches and tags cannot make one.
    pub fn awaits(&mut self, bytes: Bytes) -> bool {
        let Ok(message) = Message::parse(bytes) else {
            return false;
        };
        let within = message.is_request() && self.session_of(&message).is_some();
        within || self.core.layer.awaits(&message)
    }

    /// The session that has a dialog of this name, whichever of the tags is ours.
    pub fn find_dialog(&self, call_id: &str, one_tag: &str, other_tag: &str) -> Option<Found> {
        let named = |ours: &str, theirs: &str| {
            let id = self.tags.get(&LocalTag::parse(ours)?)?;
            let session = self.sessions.get(id)?;
            let (is_confirmed, is_ours) = session.standing(call_id, theirs)?;
            Some(Found {
                session: *id,
                is_confirmed,
                is_ours,
            })
        };
        named(one_tag, other_tag).or_else(|| named(other_tag, one_tag))
    }

    /// The name of a session's dialog; `None`: it has none yet, or is gone.
    pub fn dialog_of(&self, session: SessionId) -> Option<DialogIdentity> {
        let session = self.sessions.get(&session)?;
        let (call_id, remote_tag) = session.first_dialog()?;
        Some(DialogIdentity {
            call_id: call_id.to_owned(),
            local_tag: session.local_tag.to_string(),
            remote_tag: remote_tag.to_owned(),
        })
    }
}
