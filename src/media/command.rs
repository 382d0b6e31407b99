//! What goes over the two rings between the signalling task and a worker.

use std::net::UdpSocket;
use std::sync::Arc;

use super::port::{Link, MediaPort};
use super::room::Room;
use super::room::broadcast::Broadcast;
use super::room::seat::Seat;
use super::stream::Security;
use super::tap::TapWriter;
use super::transcode::Transcoder;
use crate::audio::clip::Clip;
use crate::audio::voice::Decoder;
use crate::call::media::{Feeds, PlayMode, Role};
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::rtp::quality::{Change, Sounding, Summary};
use crate::rtp::srtp::Life;
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
    /// Give the port back, because it goes to another worker or for good.
    Remove { moves: bool },
    /// Send and expect media as agreed.
    Agree(Mono, Agreed),
    /// Who hears the leg.
    Link(Link),
    /// Play.
    Play(Arc<Clip>, PlayMode, u64),
    /// Stop playing.
    StopPlaying,
    /// Copy what comes in to a recorder, instead of to the one before for that recording.
    Tap(Feeds, TapWriter),
    /// No longer.
    Untap(Feeds),
    /// Send a key.
    Press(char),
    /// Play once, unless something is played already.
    Beep(Arc<Clip>),
    /// Sit in a room of this worker.
    Sit(Box<Seat>),
    /// Be heard otherwise in the room.
    Role(Role),
    /// Put this room into the slot for rooms; if there is one, its seats are this one's from now on.
    OpenRoom(Box<Room>),
    /// Give the room in the slot back.
    CloseRoom,
    /// Let everybody in the room in the slot hear a clip.
    Announce(Arc<Clip>),
    /// Protect what is sent and received, or no longer; with these contexts from now on, or with those before.
    Secure(bool, Option<Box<Security>>),
    /// Receive reports on this socket.
    Reports(UdpSocket),
    /// Say how the leg sounds.
    Measure(Box<Sounding>),
    /// Hear others through this, or as they are.
    Transcode(Option<Box<Transcoder>>),
    /// Listen for keys in tones through this.
    Listen(Option<Box<Decoder>>),
    /// Encode in the room in the slot once for all who only listen.
    Share(Box<Broadcast>),
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
    /// A seat that is no longer needed, to be dropped.
    SpentSeat(Box<Seat>),
    /// A room that is no longer needed, to be dropped.
    SpentRoom(Box<Room>),
    /// What the room in this slot was let hear has ended.
    Announced(u32, Arc<Clip>),
    /// The room that was in the slot.
    ClosedRoom(u32, Box<Room>),
    /// A leg stays bad, or has recovered; and how the last few seconds were.
    Sounds(LegId, Change, Summary),
    /// The key of the far side's protection comes to its end, or has.
    KeyLife(LegId, Life),
    /// How the leg sounds, as was asked.
    Measured(LegId, Box<Sounding>),
    /// Contexts that are no longer needed, to be dropped.
    SpentSecurity(Box<Security>),
    /// A socket that is not needed, to be closed.
    SpentSocket(UdpSocket),
    /// A transcoder that is no longer needed, to be dropped.
    SpentTranscoder(Box<Transcoder>),
    /// A decoder that is no longer needed, to be dropped.
    SpentListener(Box<Decoder>),
    /// What is not needed in a room, to be dropped.
    SpentBroadcast(Box<Broadcast>),
}
