//! The words between a call and the media plane.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::audio::clip::Clip;
use crate::ledger::id::{BridgeId, LegId};
use crate::rtp::quality::Summary;
use crate::rtp::srtp::Life;
use crate::sdp::negotiate::Agreed;

/// Which recording a leg feeds; it can feed one of each at a time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Feeds {
    /// The call's, or a message.
    Call,
    /// A conference's.
    Conference,
}

/// What a call wants of the media plane.
#[derive(Clone, PartialEq, Debug)]
pub enum MediaAct {
    /// Give the leg a media port; answered by `MediaEvent::Opened` or `MediaEvent::Failed`.
    Open {
        /// The leg.
        leg: LegId,
        /// The far side's signalling address: decides which address of ours is advertised.
        towards: IpAddr,
    },
    /// Send and expect media as agreed; again after each offer/answer.
    Agree {
        /// The leg.
        leg: LegId,
        /// What was agreed.
        agreed: Agreed,
    },
    /// The leg hears the others of the bridge, and they it. A leg is in one bridge at most: joining another leaves the first.
    Join {
        /// The leg.
        leg: LegId,
        /// The bridge.
        bridge: BridgeId,
    },
    /// The leg hears nobody any more.
    Leave {
        /// The leg.
        leg: LegId,
    },
    /// Play to the leg, instead of what it hears else; replaces what was playing. `Once` ends with `MediaEvent::Played`.
    Play {
        /// The leg.
        leg: LegId,
        /// What.
        clip: Arc<Clip>,
        /// How.
        mode: PlayMode,
        /// Comes back in `Played`.
        token: u64,
    },
    /// Stop playing.
    StopPlaying {
        /// The leg.
        leg: LegId,
    },
    /// Send back to the leg what it sends.
    Echo {
        /// The leg.
        leg: LegId,
    },
    /// As `Join`, with a role of its own in the bridge.
    JoinAs {
        /// The leg.
        leg: LegId,
        /// The bridge.
        bridge: BridgeId,
        /// Who hears it.
        role: Role,
    },
    /// Changes who hears a leg of a bridge.
    SetRole {
        /// The leg.
        leg: LegId,
        /// Who hears it.
        role: Role,
    },
    /// All legs of the bridge hear a clip once, beside each other where they are mixed.
    Announce {
        /// The bridge.
        bridge: BridgeId,
        /// What.
        clip: Arc<Clip>,
    },
    /// The leg is over: release its port.
    Close {
        /// The leg.
        leg: LegId,
    },
}

/// Who hears a leg of a bridge; each of them hears all members.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// All others.
    Member,
    /// Nobody.
    Listener,
    /// This leg only.
    Whisperer(LegId),
}

/// How a clip is played.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PlayMode {
    /// Once.
    Once,
    /// Round and round until stopped.
    Loop,
}

/// What the media plane reports about a leg.
#[derive(Clone, PartialEq, Debug)]
pub enum MediaEvent {
    /// The leg's port is open: this address goes into its SDP.
    Opened {
        /// The address as the far side must see it.
        local: SocketAddr,
    },
    /// No port could be had.
    Failed {
        /// Why.
        why: String,
    },
    /// The first packet from the far side came.
    Ready,
    /// A key by RFC 4733, once per press.
    Key(char),
    /// A clip played to its end.
    Played {
        /// The token it was started with.
        token: u64,
    },
    /// Nothing was received for 30 s although both sides should send.
    Silent,
    /// The leg has been bad for a while; how it sounded lately. Told once until it has recovered.
    Poor(Summary),
    /// The leg's port is closed: how it sounded all in all. The last thing told of it, after `MediaAct::Close`.
    Measured(Summary),
    /// The key that the far side protects its audio with comes to its end, or has: then nothing of it is heard any more.
    KeyLife(Life),
}
