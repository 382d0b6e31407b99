//! A media thread that has ended by itself: its legs are told to have failed, so that nobody goes on with a silent call, and
//! the ports that it had can be given out again, those of legs that were about to be closed too.

use super::Plane;
use crate::call::media::MediaEvent;
use crate::ledger::id::LegId;

impl Plane {
    /// Gives up what a worker had, and sends elsewhere what was on its way there.
    pub(super) fn bury(&mut self, worker: usize) {
        // What it was told and had not read goes with it: ports among it, whose sockets are closed so.
        self.crew.forget(worker);
        self.rooms.retain(|_, room| room.worker != worker);
        for place in self.places.values_mut() {
            if place.settled_on().is_none() && place.bound_for() == worker {
                place.redirect(self.crew.choose().unwrap_or(worker));
            }
        }
        let places = self.places.iter();
        let lost: Vec<LegId> = places
            .filter(|(_, place)| place.is_with(worker))
            .map(|(leg, _)| *leg)
            .collect();
        tracing::error!(worker, legs = lost.len(), "a media thread is gone");
        for leg in lost {
            self.leave(leg);
            let Some(place) = self.places.remove(&leg) else {
                continue;
            };
            self.crew.recount(place.bound_for(), -1);
            // Its socket was closed with the worker.
            self.free_port(place.number());
            let why = "its media thread is gone".to_owned();
            self.reports.push_back((leg, MediaEvent::Failed { why }));
        }
        let leaving = self.leaving.extract_if(|(with, _), _| *with == worker);
        let numbers: Vec<u16> = leaving.map(|(_, number)| number).collect();
        for number in numbers {
            self.free_port(number);
        }
    }

    /// A port's socket is closed.
    pub(super) fn free_port(&mut self, number: u16) {
        self.ports.give_back(number);
        self.sockets = self.sockets.saturating_sub(1);
    }
}
