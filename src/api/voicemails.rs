//! `voicemails`: which messages were heard.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tokio::sync::Mutex;

use super::Api;
use super::calls::ask;
use super::error::Refusal;
use super::recordings::find;
use crate::ledger::journal::{Entry, RecordingKind};
use crate::switch::handle::Ask;

/// One at a time, so that a message which two people open at once counts once.
static TURN: Mutex<()> = Mutex::const_new(());

/// `POST /api/v1/voicemails/{voicemail_id}/heard`: the message counts as heard from now on, and lamps for it go out. Its recording's id does as well.
pub(super) async fn heard(
    State(api): State<Api>,
    Path(voicemail): Path<String>,
) -> Result<StatusCode, Refusal> {
    let recording = find(&api, &voicemail).await?;
    let is_message = matches!(recording.kind, RecordingKind::Voicemail(_));
    let mailbox = recording.voicemail_box.filter(|_| is_message);
    let (Some(mailbox), Some(_)) = (mailbox, recording.duration_ms) else {
        return Err(Refusal::missing(
            "complete voicemail message",
            "`voicemail.left` names one when it is.",
        ));
    };
    let _turn = TURN.lock().await;
    let recording_id = recording.recording_id;
    if api.current().await.heard(recording_id).await?.is_some() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let at = crate::clock::wall();
    api.journal.write(Entry::MessageHeard { recording_id, at });
    ask(&api, |reply| Ask::MessageHeard { mailbox, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
