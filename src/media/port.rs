//! A media port: a leg's state machine with its socket, as it travels between the signalling task and the workers.

use std::net::UdpSocket;

use super::command::{Order, Report};
use super::leg::Leg;
use super::tap::TapWriter;

/// A leg's media port. Made and dropped by the signalling task only.
#[derive(Debug)]
pub struct MediaPort {
    /// Not blocking, not connected.
    pub socket: UdpSocket,
    /// Its number, unique among those that are open.
    pub number: u16,
    /// What happens on it.
    pub leg: Leg,
    /// Who hears what comes in on it.
    pub link: Link,
    /// The recorder's copy of what comes in.
    pub tap: Option<TapWriter>,
    /// Tells this port from the one that had the slot before.
    pub generation: u32,
    /// Whether it is on the worker's list for beats.
    pub beats: bool,
}

impl MediaPort {
    /// Carries out an order; what is left over must go back to the signalling task.
    pub fn carry_out(&mut self, order: Order) -> Option<Report> {
        match order {
            Order::Agree(now, agreed) => {
                self.leg.agree(now, agreed);
                None
            }
            Order::Link(link) => {
                self.link = link;
                None
            }
            Order::Play(clip, mode, token) => {
                self.leg.play(clip, mode, token).map(Report::SpentClip)
            }
            Order::StopPlaying => self.leg.stop_playing().map(Report::SpentClip),
            Order::Tap(tap) => self.tap.replace(tap).map(Report::SpentTap),
            Order::Untap => self.tap.take().map(Report::SpentTap),
            Order::Press(key) => {
                // A line of keys that is full takes no more.
                let _in_line = self.leg.press(key);
                None
            }
            // These are about the slot, not the port.
            Order::Insert(_) | Order::Remove => None,
        }
    }
}

/// Who hears what a leg sends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// Nobody.
    Nobody,
    /// The leg itself.
    Echo,
    /// The leg in this slot of the same worker.
    To(u32),
}
