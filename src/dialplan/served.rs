//! Destinations at which a caller is served without an operator: announcements, voicemail boxes, conferences.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Destination;
use crate::audio::clip::Clip;
use crate::ledger::id::Name;

/// `[announcements.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Announcement {
    /// Its name.
    pub name: Name,
    /// What is played.
    pub prompt: Arc<Clip>,
    /// Then.
    pub then: Destination,
}

/// `[voicemails.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Voicemail {
    /// Its name.
    pub name: Name,
    /// What is played before the tone.
    pub prompt: Arc<Clip>,
    /// The longest message.
    pub max: Duration,
    /// On whose phones a lamp tells of messages; operators whose `otherwise` leads here come besides.
    pub lamp: Vec<Name>,
}

/// `[conferences.*]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Conference {
    /// The room.
    pub name: Name,
    /// What a caller hears before he comes in; it asks for the pin, if there is one.
    pub prompt: Option<Arc<Clip>>,
    /// The digits that let a caller in.
    pub pin: Option<String>,
    /// Parties at once.
    pub max_members: u32,
    /// What all hear when somebody comes, and when somebody leaves.
    pub tones: Option<(Arc<Clip>, Arc<Clip>)>,
    /// What operators dial.
    pub extension: Option<String>,
    /// Whether what is said is recorded.
    pub record: bool,
}
