//! What goes over the two rings between the signalling task and a worker.

use std::sync::Arc;

use super::port::{Link, MediaPort};
use super::tap::TapWriter;
use super::transcode::Transcoder;
use crate::audio::clip::Clip;
use crate::call::media::PlayMode;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::sdp::negotiate::Agreed;

/// To a worker.
#[derive(Debug)]
pub struct Command {
    /// The slot of the leg that it is for.
    pub slot: u32,
    /// What to do.
    pub order: Order,
}

/// What to do with a leg.
#[derive(Debug)]
pub enum Order {
    /// Put this port into the slot, which is empty.
    Insert(Box<MediaPort>),
    /// Give the port back.
    Remove,
    /// Send and expect media as agreed.
    Agree(Mono, Agreed),
    /// Who hears the leg.
    Link(Link),
    /// Play.
    Play(Arc<Clip>, PlayMode, u64),
    /// Stop playing.
    StopPlaying,
    /// Copy what comes in to a recorder.
    Tap(TapWriter),
    /// No longer.
    Untap,
    /// Send a key.
    Press(char),
    /// Hear others through this, or as they are.
    Transcode(Option<Box<Transcoder>>),
}

/// From a worker.
#[derive(Debug)]
pub enum Report {
    /// The first packet came.
    Ready(LegId),
    /// A key was pressed.
    Key(LegId, char),
    /// The far side fell silent.
    Silent(LegId),
    /// A clip was played to its end.
    Played(LegId, u64, Arc<Clip>),
    /// The port that was in the slot.
    Removed(u32, Box<MediaPort>),
    /// A clip that is no longer needed, to be dropped.
    SpentClip(Arc<Clip>),
    /// A tap that is no longer needed, to be dropped.
    SpentTap(TapWriter),
    /// A transcoder that is no longer needed, to be dropped.
    SpentTranscoder(Box<Transcoder>),
}
