//! A switch for tests: calls, a real desk and far ends in virtual time. It checks the order of what calls ask for as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::plan::{name, numbers};
use crate::call::input::{Command, Input, LegEnd, LegEvent};
use crate::call::media::{MediaAct, MediaEvent, PlayMode};
use crate::call::output::{Dial, EndReason, LegAct, Output, RecordAct, Target};
use crate::call::{Arrival, Call, Source};
use crate::desk::Desk;
use crate::desk::notice::{Notice, OperatorState, Phone};
use crate::dialplan::number::E164;
use crate::dialplan::plan::{Destination, Plan};
use crate::dialplan::routing::Entry;
use crate::ledger::call::CallRecord;
use crate::ledger::clock::{Mono, Now, Wall};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{BridgeId, CallId, LegId, Name, RecordingId};
use crate::ledger::journal;
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
    recordings: BTreeMap<RecordingId, bool>,
    queue: Vec<(Mono, u64, Due)>,
    entropy: Entropy,
    counter: u64,
}

enum Due {
    Played(CallId, LegId, u64),
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
    pub(super) playing: Option<(String, PlayMode, u64)>,
    pub(super) echo: bool,
    pub(super) tapped: Option<RecordingId>,
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
            queue: Vec::new(),
            entropy: Entropy::from_number(1),
            counter: 0,
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

    fn far(&mut self, call: CallId) -> Far {
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
            playing: None,
            echo: false,
            tapped: None,
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

    fn input(&mut self, call: CallId, input: Input) {
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
        let sdp = Some(self.answer_of(leg));
        self.event(leg, LegEvent::Progress { code: 183, sdp });
    }

    fn answer_of(&mut self, leg: LegId) -> Bytes {
        let far = self.legs.get_mut(&leg).unwrap();
        let offer = far.dial.as_ref().unwrap().sdp.clone();
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
            let queue = self.queue.iter().map(|(at, _, _)| *at);
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
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            if let Some(call) = self.calls.get_mut(&id)
                && call.poll_timeout().is_some_and(|at| at <= now.mono)
            {
                call.handle_timeout(now);
            }
            self.settle();
        }
        self.desk.handle_timeout(now.mono);
        self.settle();
        self.queue.sort_by_key(|(at, order, _)| (*at, *order));
        while let Some((at, _, _)) = self.queue.first() {
            if *at > now.mono {
                break;
            }
            let (_, _, Due::Played(call, leg, token)) = self.queue.remove(0);
            let far = self.legs.get_mut(&leg).unwrap();
            if far.playing.as_ref().is_some_and(|(_, _, t)| *t == token) {
                far.playing = None;
                let _ = call;
                self.media(leg, MediaEvent::Played { token });
            }
        }
    }

    fn settle(&mut self) {
        loop {
            let ids: Vec<CallId> = self.calls.keys().copied().collect();
            let mut idle = true;
            for id in ids {
                while let Some(output) = self.calls.get_mut(&id).and_then(Call::poll_output) {
                    idle = false;
                    self.carry_out(id, output);
                }
            }
            while let Some(notice) = self.desk.poll_notice() {
                let call = match &notice {
                    Notice::Ring { call, .. }
                    | Notice::StopRinging { call, .. }
                    | Notice::NobodyRegistered { call }
                    | Notice::Exhausted { call }
                    | Notice::Refused { call, .. } => *call,
                    Notice::StateChanged { .. } => continue,
                };
                idle = false;
                if let Some(call) = self.calls.get_mut(&call) {
                    call.handle(self.now, Input::Desk(notice));
                }
            }
            if idle {
                return;
            }
        }
    }

    fn carry_out(&mut self, id: CallId, output: Output) {
        match output {
            Output::Leg(leg, act) => self.leg_act(id, leg, act),
            Output::Media(act) => self.media_act(id, act),
            Output::Record(act) => self.record_act(act),
            Output::Desk(request) => self.desk.handle(self.now.mono, request),
            Output::Journal(entry) => self.journal(id, entry),
            Output::Move(into, moved) => {
                self.legs.get_mut(&moved.leg).unwrap().call = into;
                let target = self.calls.get_mut(&into).expect("the call that takes it");
                target.handle(self.now, Input::Command(Command::Adopt(moved)));
            }
            Output::Finished => self.finished(id),
        }
    }

    fn leg_act(&mut self, id: CallId, leg: LegId, act: LegAct) {
        let far = self.legs.get_mut(&leg).expect("a leg that exists");
        assert_eq!(far.call, id, "a leg of another call");
        let word = match act {
            LegAct::Dial(dial) => {
                assert_eq!(far.state, FarState::New);
                assert_eq!(far.port, Some(true), "dialled without a port");
                far.state = FarState::Ringing;
                far.dial = Some(*dial);
                "dial".into()
            }
            LegAct::Progress { code, sdp } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                if let Some(sdp) = &sdp {
                    assert!(far.agreed, "183 before Agree");
                    far.negotiation.accept_answer(sdp).unwrap();
                }
                format!("{code}{}", if sdp.is_some() { "+" } else { "" })
            }
            LegAct::Accept { sdp } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                assert_eq!(far.port, Some(true), "accepted without a port");
                far.state = FarState::Up;
                if far.agreed {
                    far.negotiation.accept_answer(&sdp).unwrap();
                }
                "200".into()
            }
            LegAct::Reject { code, .. } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                far.state = FarState::Over;
                format!("reject {code}")
            }
            LegAct::End(reason) => {
                far.state = match far.state {
                    FarState::Ringing => FarState::GivenUp,
                    // A late answer that is not kept.
                    FarState::GivenUp | FarState::Up | FarState::Calling => FarState::Over,
                    state => panic!("End of a leg in {state:?}: {:?}", far.said),
                };
                match reason {
                    EndReason::AnsweredElsewhere => "end elsewhere".into(),
                    EndReason::Normal => "end".into(),
                    EndReason::Cause(cause) => format!("end {cause:?}"),
                }
            }
            LegAct::Keep => {
                assert_eq!(far.state, FarState::GivenUp);
                far.state = FarState::Up;
                "keep".into()
            }
            LegAct::AnswerOffer { sdp } => {
                if far.negotiation.accept_answer(&sdp).is_err() {
                    far.negotiation.answer(&sdp).unwrap();
                }
                "answer".into()
            }
            LegAct::RefuseOffer { code } => format!("refuse {code}"),
            LegAct::Probe => "probe".into(),
        };
        far.said.push(word);
    }

    fn media_act(&mut self, id: CallId, act: MediaAct) {
        if let MediaAct::Open { leg, .. } = act {
            if !self.legs.contains_key(&leg) {
                let far = self.far(id);
                self.legs.insert(leg, far);
            }
            self.counter += 1;
            let port = 20_000 + (self.counter % 10_000) as u16;
            let far = self.legs.get_mut(&leg).unwrap();
            assert_eq!(far.port, None, "opened twice");
            far.port = Some(true);
            let local = SocketAddr::from(([127, 0, 0, 1], port));
            let call = self.calls.get_mut(&id).unwrap();
            call.handle(self.now, Input::Media(leg, MediaEvent::Opened { local }));
            return;
        }
        let leg = match &act {
            MediaAct::Open { leg, .. }
            | MediaAct::Agree { leg, .. }
            | MediaAct::Join { leg, .. }
            | MediaAct::Leave { leg }
            | MediaAct::Play { leg, .. }
            | MediaAct::StopPlaying { leg }
            | MediaAct::Echo { leg }
            | MediaAct::Close { leg } => *leg,
        };
        let far = self.legs.get_mut(&leg).expect("a leg with a port");
        assert_eq!(far.port, Some(true), "{act:?} without a port");
        match act {
            MediaAct::Open { .. } => {}
            MediaAct::Agree { .. } => far.agreed = true,
            MediaAct::Join { bridge, .. } => far.bridge = Some(bridge),
            MediaAct::Leave { .. } => (far.bridge, far.echo) = (None, false),
            MediaAct::Play {
                clip, mode, token, ..
            } => {
                assert!(far.agreed, "played before Agree");
                far.playing = Some((clip.name().to_owned(), mode, token));
                if mode == PlayMode::Once {
                    let at = self.now.mono + Duration::from_millis(clip.duration_ms());
                    self.counter += 1;
                    self.queue
                        .push((at, self.counter, Due::Played(id, leg, token)));
                }
            }
            MediaAct::StopPlaying { .. } => far.playing = None,
            MediaAct::Echo { .. } => far.echo = true,
            MediaAct::Close { .. } => {
                assert_eq!(far.tapped, None, "closed while tapped");
                (far.port, far.bridge, far.playing) = (Some(false), None, None);
            }
        }
    }

    fn record_act(&mut self, act: RecordAct) {
        let word = match act {
            RecordAct::StartConversation { recording, .. } => {
                assert!(self.recordings.insert(recording, true).is_none());
                "start".into()
            }
            RecordAct::StartMessage { recording, .. } => {
                assert!(self.recordings.insert(recording, true).is_none());
                "message".into()
            }
            RecordAct::Attach {
                recording,
                leg,
                side,
            } => {
                assert_eq!(self.recordings.get(&recording), Some(&true));
                let far = self.legs.get_mut(&leg).unwrap();
                assert_eq!(far.tapped.replace(recording), None, "two taps");
                format!("attach {side:?}")
            }
            RecordAct::Detach { recording, leg } => {
                let far = self.legs.get_mut(&leg).unwrap();
                assert_eq!(far.tapped.take(), Some(recording));
                "detach".into()
            }
            RecordAct::Stop { recording } => {
                assert_eq!(self.recordings.insert(recording, false), Some(true));
                "stop".into()
            }
            RecordAct::Discard { recording } => {
                assert_eq!(self.recordings.insert(recording, false), Some(true));
                "discard".into()
            }
        };
        self.tape.push(word);
    }

    fn journal(&mut self, id: CallId, entry: journal::Entry) {
        let (kind, record) = match entry {
            journal::Entry::CallStarted(record) => ("started", record),
            journal::Entry::CallAnswered(record) => ("answered", record),
            journal::Entry::CallEnded { call, legs, .. } => {
                let before = self.ended.insert(id, ((*call).clone(), legs));
                assert!(before.is_none(), "ended twice");
                ("ended", call)
            }
            _ => return,
        };
        self.told.push((id, kind, *record));
    }

    fn finished(&mut self, id: CallId) {
        assert!(self.ended.contains_key(&id), "finished without CallEnded");
        let mut call = self.calls.remove(&id).expect("finished once");
        assert!(call.poll_output().is_none(), "output after Finished");
        assert_eq!(call.poll_timeout(), None, "a timer is left");
        let kinds: Vec<&str> = self
            .told
            .iter()
            .filter(|(call, _, _)| *call == id)
            .map(|(_, kind, _)| *kind)
            .collect();
        let unique: BTreeSet<&str> = kinds.iter().copied().collect();
        assert_eq!(unique.len(), kinds.len(), "an event twice: {kinds:?}");
        for (leg, far) in self.legs.iter().filter(|(_, far)| far.call == id) {
            assert_ne!(far.port, Some(true), "{leg} keeps its port: {:?}", far.said);
            assert!(
                matches!(
                    far.state,
                    FarState::Over | FarState::GivenUp | FarState::New
                ),
                "{leg} is {:?}: {:?}",
                far.state,
                far.said
            );
        }
    }

    /// Nothing is left of any call.
    pub(super) fn assert_empty(&self) {
        assert!(self.calls.is_empty(), "calls run on");
        assert_eq!(self.desk.census(), (0, 0));
        assert!(self.recordings.values().all(|open| !open));
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
