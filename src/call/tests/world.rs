//! A switch for tests: calls, a real desk and far ends in virtual time. It checks the order of what calls ask for as it comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::plan::{name, numbers};
use crate::call::input::{Command, Input, LegEnd, LegEvent};
use crate::call::media::{Feeds, MediaEvent, PlayMode, Role};
use crate::call::output::{Dial, Target};
use crate::call::{Arrival, Call, Source};
use crate::desk::Desk;
use crate::desk::notice::{OperatorState, Phone};
use crate::dialplan::number::E164;
use crate::dialplan::plan::{Destination, Plan};
use crate::dialplan::routing::Entry;
use crate::ledger::call::CallRecord;
use crate::ledger::clock::{Mono, Now, Wall};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{BridgeId, CallId, LegId, Name, RecordingId};
use crate::ledger::leg::LegRecord;
use crate::sdp::negotiate::{Codec, Negotiation};

pub(super) struct World {
    pub(super) now: Now,
    pub(super) plan: Arc<Plan>,
    pub(super) desk: Desk,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) legs: BTreeMap<LegId, Far>,
    pub(super) ended: BTreeMap<CallId, (CallRecord, Vec<LegRecord>)>,
    /// Events raised, by call.
    pub(super) told: Vec<(CallId, &'static str, CallRecord)>,
    /// What was asked of recordings, in words.
    pub(super) tape: Vec<String>,
    pub(super) recordings: BTreeMap<RecordingId, bool>,
    /// Those that are complete when nobody feeds them.
    pub(super) shared: Vec<RecordingId>,
    /// Clips that whole bridges heard.
    pub(super) announced: Vec<(BridgeId, String)>,
    /// Clips that end: when, in which order, for which leg, with which token.
    pub(super) queue: Vec<(Mono, u64, LegId, u64)>,
    entropy: Entropy,
    pub(super) counter: u64,
    /// The media plane has no port left.
    pub(super) no_ports: bool,
}

/// The far end of a leg, and what the switch knows of it.
pub(super) struct Far {
    pub(super) call: CallId,
    pub(super) dial: Option<Dial>,
    /// In words: `180`, `183+`, `200`, `reject 486`, `end`, `keep`, `probe` …
    pub(super) said: Vec<String>,
    pub(super) negotiation: Negotiation,
    pub(super) state: FarState,
    pub(super) port: Option<bool>,
    pub(super) agreed: bool,
    pub(super) bridge: Option<BridgeId>,
    pub(super) role: Role,
    pub(super) playing: Option<(String, PlayMode, u64)>,
    pub(super) echo: bool,
    pub(super) tapped: Option<RecordingId>,
    /// The conference's recording that it feeds.
    pub(super) shared: Option<RecordingId>,
    /// Our offer in a 200, or in a provisional response.
    pub(super) offered: Option<Bytes>,
    /// Its INVITE had no offer.
    pub(super) delayed: bool,
}

impl Far {
    /// The recording of that kind that it feeds.
    pub(super) fn tap(&mut self, feeds: Feeds) -> &mut Option<RecordingId> {
        match feeds {
            Feeds::Call => &mut self.tapped,
            Feeds::Conference => &mut self.shared,
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum FarState {
    New,
    /// Incoming and unanswered.
    Calling,
    /// Dialled and unanswered.
    Ringing,
    Up,
    /// `End` was asked for while it rang.
    GivenUp,
    Over,
}

impl World {
    pub(super) fn new(plan: Arc<Plan>) -> World {
        let mut world = World {
            now: Now {
                mono: Mono::from_micros(1_000_000),
                // A Sunday.
                wall: Wall::from_micros(1_772_960_700_000_000),
            },
            desk: Desk::default(),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            ended: BTreeMap::new(),
            told: Vec::new(),
            tape: Vec::new(),
            recordings: BTreeMap::new(),
            shared: Vec::new(),
            announced: Vec::new(),
            queue: Vec::new(),
            entropy: Entropy::from_number(1),
            counter: 0,
            no_ports: false,
            plan,
        };
        let operators: Vec<(Name, Duration)> = world
            .plan
            .operators
            .values()
            .map(|operator| (operator.id.clone(), operator.wrap_up))
            .collect();
        world.desk.configure(world.now.mono, operators);
        world
    }

    pub(super) fn register(&mut self, operator: &str, phones: usize) {
        let phones = (0..phones)
            .map(|n| Phone(format!("sip:{operator}@192.0.2.{}:5060", 10 + n).into()))
            .collect();
        self.desk.set_phones(self.now.mono, &name(operator), phones);
        self.settle();
    }

    pub(super) fn state(&self, operator: &str) -> OperatorState {
        self.desk.state(&name(operator)).unwrap().0
    }

    pub(super) fn far(&mut self, call: CallId) -> Far {
        self.counter += 1;
        let address = SocketAddr::from(([192, 0, 2, 99], 30_000 + (self.counter % 30_000) as u16));
        Far {
            call,
            dial: None,
            said: Vec::new(),
            negotiation: Negotiation::new(address, &[Codec::Pcmu, Codec::Pcma], self.counter),
            state: FarState::New,
            port: None,
            agreed: false,
            bridge: None,
            role: Role::Member,
            playing: None,
            echo: false,
            tapped: None,
            shared: None,
            offered: None,
            delayed: false,
        }
    }

    /// An arrival from the trunk; tests may change it before `arrive`.
    pub(super) fn arrival(&mut self, dialled: &str) -> Arrival {
        let call = CallId::new(self.now.wall, &mut self.entropy);
        let leg = LegId::new(self.now.wall, &mut self.entropy);
        let mut far = self.far(call);
        let offer = far.negotiation.offer();
        far.state = FarState::Calling;
        self.legs.insert(leg, far);
        let known = numbers().iter().any(|(number, _)| *number == dialled);
        Arrival {
            call,
            leg,
            source: Source::Trunk(name("acme")),
            caller: Some("+79161234567".into()),
            display_name: None,
            dialled: dialled.into(),
            entry: if known {
                Entry::Number(super::plan::e164(dialled))
            } else {
                Entry::Unknown
            },
            offer: Some(offer),
            max_forwards: 70,
            sip_call_id: "abc".into(),
            peer: [192, 0, 2, 1].into(),
            join: None,
            reliable: false,
            refuse: None,
        }
    }

    /// An arrival from an operator's phone.
    pub(super) fn arrival_of(&mut self, operator: &str, dialled: &str, entry: Entry) -> Arrival {
        let mut arrival = self.arrival(dialled);
        arrival.source = Source::Operator(name(operator));
        arrival.caller = Some(operator.into());
        arrival.entry = entry;
        arrival
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) -> (CallId, LegId) {
        let (call, leg) = (arrival.call, arrival.leg);
        if let Some(far) = self.legs.get_mut(&leg) {
            far.delayed = arrival.offer.is_none();
        }
        let entropy = self.entropy.split();
        let new = Call::incoming(self.now, Arc::clone(&self.plan), arrival, entropy);
        self.calls.insert(call, new);
        self.settle();
        (call, leg)
    }

    /// A call from the trunk.
    pub(super) fn call(&mut self, dialled: &str) -> (CallId, LegId) {
        let arrival = self.arrival(dialled);
        self.arrive(arrival)
    }

    pub(super) fn originate(&mut self, operator: &str, dialled: &str, entry: Entry) -> CallId {
        let call = CallId::new(self.now.wall, &mut self.entropy);
        let new = Call::originate(
            self.now,
            Arc::clone(&self.plan),
            call,
            name(operator),
            dialled.into(),
            entry,
            self.entropy.split(),
        );
        self.calls.insert(call, new);
        self.settle();
        call
    }

    pub(super) fn command(&mut self, call: CallId, command: Command) {
        self.input(call, Input::Command(command));
    }

    pub(super) fn transfer(&mut self, call: CallId, to: Destination) {
        self.command(call, Command::Transfer { to });
    }

    pub(super) fn input(&mut self, call: CallId, input: Input) {
        if let Some(found) = self.calls.get_mut(&call) {
            found.handle(self.now, input);
        }
        self.settle();
    }

    pub(super) fn event(&mut self, leg: LegId, event: LegEvent) {
        let call = self.legs[&leg].call;
        self.input(call, Input::Leg(leg, event));
    }

    pub(super) fn media(&mut self, leg: LegId, event: MediaEvent) {
        let call = self.legs[&leg].call;
        self.input(call, Input::Media(leg, event));
    }

    pub(super) fn key(&mut self, leg: LegId, key: char) {
        self.media(leg, MediaEvent::Key(key));
    }

    pub(super) fn cancel(&mut self, leg: LegId) {
        self.legs.get_mut(&leg).unwrap().state = FarState::Over;
        self.event(leg, LegEvent::Cancelled);
    }

    pub(super) fn bye(&mut self, leg: LegId) {
        self.ended(leg, LegEnd::Remote);
    }

    pub(super) fn ended(&mut self, leg: LegId, how: LegEnd) {
        self.legs.get_mut(&leg).unwrap().state = FarState::Over;
        self.event(leg, LegEvent::Ended { how });
    }

    pub(super) fn ring(&mut self, leg: LegId) {
        self.event(
            leg,
            LegEvent::Progress {
                code: 180,
                sdp: None,
            },
        );
    }

    pub(super) fn early(&mut self, leg: LegId) {
        let is_asked = self.legs[&leg].dial.as_ref().unwrap().sdp.is_empty();
        let mut sdp = Some(self.answer_of(leg));
        if is_asked {
            let sdp = sdp.take();
            self.event(leg, LegEvent::Offer { sdp });
        }
        self.event(leg, LegEvent::Progress { code: 183, sdp });
    }

    fn answer_of(&mut self, leg: LegId) -> Bytes {
        let far = self.legs.get_mut(&leg).unwrap();
        let offer = far.dial.as_ref().unwrap().sdp.clone();
        match offer.is_empty() {
            // It is asked to make the offer.
            true => far.negotiation.offer(),
            false => far.negotiation.answer(&offer).unwrap().0,
        }
    }

    /// The answer to the offer in our 200.
    pub(super) fn answer_to_ours(&mut self, leg: LegId) -> Bytes {
        let far = self.legs.get_mut(&leg).unwrap();
        let offer = far.offered.clone().unwrap();
        far.negotiation.answer(&offer).unwrap().0
    }

    /// 200 from a dialled leg; late when it was given up.
    pub(super) fn answer(&mut self, leg: LegId) {
        let sdp = Some(self.answer_of(leg));
        let far = self.legs.get_mut(&leg).unwrap();
        let late = far.state == FarState::GivenUp;
        if !late {
            far.state = FarState::Up;
        }
        self.event(leg, LegEvent::Answered { sdp, late });
    }

    pub(super) fn refuse(&mut self, leg: LegId, code: u16) {
        self.refuse_as(leg, code, "No", true);
    }

    pub(super) fn refuse_as(&mut self, leg: LegId, code: u16, reason: &str, responded: bool) {
        self.legs.get_mut(&leg).unwrap().state = FarState::Over;
        let reason = reason.to_owned();
        self.event(
            leg,
            LegEvent::Refused {
                code,
                reason,
                responded,
            },
        );
    }

    /// A 3xx from a dialled leg that the switch would obey.
    pub(super) fn redirect(&mut self, leg: LegId, dialled: &str, to: Entry) {
        self.legs.get_mut(&leg).unwrap().state = FarState::New;
        let dialled = dialled.to_owned();
        self.event(leg, LegEvent::Redirected { dialled, to });
        let far = self.legs.get_mut(&leg).unwrap();
        if far.state == FarState::New {
            far.state = FarState::Over;
        }
    }

    /// A re-INVITE with this direction for our audio, as the far side writes it.
    pub(super) fn reinvite(&mut self, leg: LegId, direction: &str) {
        let offer = self.legs.get_mut(&leg).unwrap().negotiation.offer();
        let offer = String::from_utf8(offer.to_vec())
            .unwrap()
            .replace("a=sendrecv", &format!("a={direction}"));
        let sdp = Some(Bytes::from(offer));
        self.event(leg, LegEvent::Offer { sdp });
    }

    /// Dialled legs that ring now and belong to this operator or trunk, oldest first.
    pub(super) fn ringing(&self, whom: &str) -> Vec<LegId> {
        self.legs_of(whom, FarState::Ringing)
    }

    pub(super) fn legs_of(&self, whom: &str, state: FarState) -> Vec<LegId> {
        self.legs
            .iter()
            .filter(|(_, far)| far.state == state)
            .filter(
                |(_, far)| match far.dial.as_ref().map(|dial| &dial.target) {
                    Some(Target::Phone { operator, .. }) => operator.as_str() == whom,
                    Some(Target::Trunk { trunk, .. }) => trunk.as_str() == whom,
                    None => false,
                },
            )
            .map(|(leg, _)| *leg)
            .collect()
    }

    pub(super) fn said(&self, leg: LegId) -> &[String] {
        &self.legs[&leg].said
    }

    pub(super) fn hears(&self, leg: LegId) -> Option<&str> {
        let playing = self.legs[&leg].playing.as_ref();
        playing.map(|(clip, _, _)| clip.as_str())
    }

    /// Whether the two legs hear each other.
    pub(super) fn joined(&self, a: LegId, b: LegId) -> bool {
        let (a, b) = (&self.legs[&a], &self.legs[&b]);
        a.bridge.is_some() && a.bridge == b.bridge && a.playing.is_none() && b.playing.is_none()
    }

    pub(super) fn record(&self, call: CallId) -> &CallRecord {
        match self.ended.get(&call) {
            Some((record, _)) => record,
            None => self.calls[&call].record(),
        }
    }

    pub(super) fn is_over(&self, call: CallId) -> bool {
        self.ended.contains_key(&call)
    }

    /// Lets time pass: everything that is due happens in order.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let timers = self.calls.values().filter_map(Call::poll_timeout);
            let desk = self.desk.poll_timeout();
            let queue = self.queue.iter().map(|due| due.0);
            let next = timers.chain(desk).chain(queue).min();
            let Some(next) = next.filter(|next| *next <= until.mono) else {
                break;
            };
            let step = next.since(self.now.mono);
            self.now = self.now + step;
            self.fire();
        }
        self.now = until;
    }

    fn fire(&mut self) {
        let now = self.now;
        // As in the switch: what the desk has to tell is told after the calls' own timers.
        self.desk.handle_timeout(now.mono);
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            if let Some(call) = self.calls.get_mut(&id)
                && call.poll_timeout().is_some_and(|at| at <= now.mono)
            {
                call.handle_timeout(now);
            }
        }
        self.settle();
        self.queue.sort_by_key(|due| (due.0, due.1));
        while self.queue.first().is_some_and(|due| due.0 <= now.mono) {
            let (_, _, leg, token) = self.queue.remove(0);
            let far = self.legs.get_mut(&leg).unwrap();
            if far.playing.as_ref().is_some_and(|(_, _, t)| *t == token) {
                far.playing = None;
                self.media(leg, MediaEvent::Played { token });
            }
        }
    }
}

/// An outside number that operators may dial.
pub(super) fn outbound(number: E164, trunks: &[&str]) -> Entry {
    Entry::Outbound {
        number,
        trunks: trunks.iter().map(|trunk| name(trunk)).collect(),
        caller_id: Some(super::plan::e164("+74950000001")),
    }
}
