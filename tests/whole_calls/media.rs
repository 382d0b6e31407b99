//! A media plane in virtual time: it opens ports, plays clips to their end and presses keys, without packets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use vats::call::media::{MediaAct, MediaEvent, PlayMode};
use vats::ledger::clock::Mono;
use vats::ledger::id::LegId;

/// The legs that are open and what they are doing.
#[derive(Default)]
pub struct Media {
    legs: HashMap<LegId, Leg>,
    playing: BTreeMap<(Mono, u64), (LegId, u64)>,
    serial: u64,
    reports: VecDeque<(LegId, MediaEvent)>,
    port: u16,
    /// What the calls did wrong.
    pub faults: Vec<String>,
}

#[derive(Default)]
struct Leg {
    remote: Option<SocketAddr>,
    /// The clip that counts: a replaced one reports nothing.
    current: u64,
}

impl Media {
    pub fn act(&mut self, now: Mono, act: MediaAct) {
        match act {
            MediaAct::Open { leg, .. } => {
                self.port = self.port.wrapping_add(2);
                let local = SocketAddr::from(([10, 0, 0, 1], 20_000 + self.port));
                if self.legs.insert(leg, Leg::default()).is_some() {
                    self.faults.push(format!("{leg} was opened twice"));
                }
                self.reports.push_back((leg, MediaEvent::Opened { local }));
            }
            MediaAct::Agree { leg, agreed } => match self.legs.get_mut(&leg) {
                Some(open) => open.remote = agreed.remote,
                None => self.faults.push(format!("{leg} agreed without a port")),
            },
            MediaAct::Play {
                leg,
                clip,
                mode,
                token,
            } => {
                let Some(open) = self.legs.get_mut(&leg) else {
                    self.faults
                        .push(format!("{leg} was played to without a port"));
                    return;
                };
                self.serial += 1;
                open.current = self.serial;
                if mode == PlayMode::Once {
                    let end = now + Duration::from_millis(clip.duration_ms());
                    self.playing.insert((end, self.serial), (leg, token));
                }
            }
            MediaAct::StopPlaying { leg } => {
                if let Some(open) = self.legs.get_mut(&leg) {
                    open.current = 0;
                }
            }
            MediaAct::Close { leg } => {
                if self.legs.remove(&leg).is_none() {
                    self.faults.push(format!("{leg} was closed without a port"));
                }
            }
            MediaAct::Announce { .. } => {}
            MediaAct::Join { leg, .. }
            | MediaAct::JoinAs { leg, .. }
            | MediaAct::SetRole { leg, .. }
            | MediaAct::Leave { leg }
            | MediaAct::Echo { leg } => {
                if !self.legs.contains_key(&leg) {
                    self.faults.push(format!("{leg} was joined without a port"));
                }
            }
        }
    }

    /// The far side with this media address presses a key, if its leg is open.
    pub fn press(&mut self, remote: SocketAddr, key: char) {
        if let Some((leg, _)) = self.legs.iter().find(|(_, leg)| leg.remote == Some(remote)) {
            self.reports.push_back((*leg, MediaEvent::Key(key)));
        }
    }

    pub fn next_at(&self) -> Option<Mono> {
        self.playing.keys().next().map(|(at, _)| *at)
    }

    pub fn report(&mut self, now: Mono) -> Option<(LegId, MediaEvent)> {
        while let Some(entry) = self.playing.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, serial), (leg, token)) = entry.remove_entry();
            if self
                .legs
                .get(&leg)
                .is_some_and(|open| open.current == serial)
            {
                self.reports.push_back((leg, MediaEvent::Played { token }));
            }
        }
        self.reports.pop_front()
    }

    pub fn open_legs(&self) -> usize {
        self.legs.len()
    }
}
