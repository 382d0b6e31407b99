//! The world of one seed: the core, the far sides, the network, the media plane and the clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use vats::call::output::RecordAct;
use vats::dialplan::config::{self, SourceFile};
use vats::dialplan::plan::Plan;
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::ledger::id::{CallId, RecordingId};
use vats::ledger::journal::Entry;
use vats::sip::endpoint::ListenerId;
use vats::sip::endpoint::command::Usage;
use vats::sip::locate::Servers;
use vats::switch::core::Core;
use vats::switch::effect::Effect;
use vats::switch::handle::{Ask, Views};
use vats::switch::reach::Reach;

use super::account::{call_of, faults_of, tally};
use super::media::Media;
use super::network::Network;
use super::peer::Peer;
use super::traffic::note;
use crate::plan_edge::Silence;

const PBX: &str = "10.0.0.1:5060";

const PLAN: &str = r#"
[server]
sip = ["udp://10.0.0.1:5060"]
domain = "pbx.example"
country = "RU"
max_call = "10m"
session_expires = "90s"
[trunks.acme]
peer = "10.0.0.2:5060"
reliable = RELIABLE
[operators.anna]
password = "anna-password"
extension = "101"
otherwise = "voicemail:box"
wrap_up = "3s"
[operators.boris]
password = "boris-password"
extension = "102"
wrap_up = "0s"
[operators.clara]
password = "clara-password"
contact = "sip:clara@10.0.0.13:5060"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "menu:main"
[numbers."+74951000002"]
to = "hunt:all"
[numbers."+74951000003"]
to = "operator:anna"
[numbers."+74951000004"]
to = "forward:mobile"
[menus.main]
prompt = "prompts/menu.wav"
keys = { 1 = "hunt:all", 2 = "hunt:line", 3 = "operator:boris", 9 = "echo" }
timeout = "3s"
attempts = 2
otherwise = "hunt:line"
[hunts.all]
members = ["anna", "boris", "clara", "forward:mobile"]
strategy = "ring-all"
music = "prompts/music.wav"
otherwise = "voicemail:box"
[hunts.line]
members = ["anna", "boris", "clara"]
strategy = "linear"
ring = "6s"
otherwise = "announcement:busy"
[forwards.mobile]
to = "+79990000000"
trunk = "acme"
ring = "15s"
otherwise = "voicemail:box"
[announcements.busy]
prompt = "prompts/busy.wav"
then = "hangup"
[voicemails.box]
prompt = "prompts/leave.wav"
max = "20s"
[outbound.russia]
prefixes = ["+7"]
trunks = ["acme"]
caller_id = "+74951000001"
allow = ["anna", "boris"]
"#;

/// The plan of this text, which many worlds share: its prompts are made once.
fn checked(text: String) -> Arc<Plan> {
    static PLANS: Mutex<BTreeMap<String, Arc<Plan>>> = Mutex::new(BTreeMap::new());
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plans.entry(text).or_insert_with_key(|text| {
        let path = "vats.toml".into();
        let source = SourceFile {
            path,
            text: text.clone(),
        };
        let plan = config::check(&[source], &Silence(16_000), 1);
        Arc::new(plan.unwrap_or_else(|problems| panic!("{problems:#?}")))
    });
    Arc::clone(plan)
}

pub struct World {
    now: Now,
    core: Core,
    views: Arc<Views>,
    peers: Vec<Peer>,
    network: Network,
    media: Media,
    journal: Vec<Entry>,
    ended: HashSet<CallId>,
    recordings: HashMap<RecordingId, bool>,
    /// Commands from the API, by time.
    asks: BTreeMap<(Mono, u32), Deed>,
    entropy: Entropy,
    /// Whether the network spoils what comes to the PBX; then the far sides cannot know everything.
    spoilt: bool,
    /// Whether draining was asked for, and whether it is complete.
    draining: Option<bool>,
    outcome: Outcome,
}

/// What came of a world.
#[derive(Default)]
pub struct Outcome {
    /// What is wrong; empty when all is well.
    pub faults: Vec<String>,
    /// How often each result and cause came.
    pub results: BTreeMap<String, u32>,
    /// Holds that were answered, transfers and hang-ups that were carried out.
    pub deeds: BTreeMap<&'static str, u32>,
    /// How long each call was, milliseconds from the first person's answer.
    pub talked: Vec<u64>,
}

/// What the API asks for.
enum Deed {
    Transfer(&'static str),
    Hangup,
    Originate(&'static str, &'static str),
    Drain,
}

impl World {
    pub fn new(seed: u64, loss: u64, calls: u32) -> World {
        World::with_plan(seed, loss, calls, PLAN)
    }

    /// Two calls of this length, to an operator and over a trunk, between far sides that keep their sessions so.
    pub fn steady(seed: u64, loss: u64, lasts: Duration, sides: [Usage; 2]) -> World {
        let plan = PLAN.replace("max_call = \"10m\"", "max_call = \"5h\"");
        let plan = plan.replace("session_expires = \"90s\"", "");
        let mut world = World::with_plan(seed, loss, 0, &plan);
        world.asks.clear();
        for (place, peer) in world.peers.iter_mut().enumerate() {
            peer.steady = Some((sides[usize::from(place > 0)], lasts));
        }
        for number in ["+74951000003", "+74951000004"] {
            world.peers[0].plan_call(Mono::from_micros(5_000_000), number);
        }
        world
    }

    fn with_plan(seed: u64, loss: u64, calls: u32, plan: &str) -> World {
        let mut entropy = Entropy::from_number(seed);
        let reliable = seed.is_multiple_of(2).to_string();
        let plan = checked(plan.replace("RELIABLE", &reliable));
        let now = Now {
            mono: Mono::ZERO,
            wall: Wall::from_micros(1_772_960_700_000_000),
        };
        let pbx: SocketAddr = PBX.parse().unwrap();
        let reach = Reach::new(vec![pbx], Box::new(|_| [10, 0, 0, 1].into()));
        let views = Arc::new(Views::default());
        let core = Core::new(
            now,
            plan,
            reach,
            Arc::clone(&views),
            Vec::new(),
            entropy.split(),
        );
        let mut peers = vec![
            Peer::new("10.0.0.2:5060", pbx, None, entropy.split()),
            Peer::new("10.0.0.11:5060", pbx, Some("anna"), entropy.split()),
            Peer::new("10.0.0.12:5060", pbx, Some("boris"), entropy.split()),
            Peer::new("10.0.0.13:5060", pbx, None, entropy.split()),
        ];
        peers[usize::try_from(seed % 4).unwrap()].hides_update = true;
        for phone in &mut peers[1..=2] {
            phone.plan_registration(Mono::from_micros(150_000_000));
        }
        for _ in 0..calls {
            let at = Mono::from_micros(2_000_000 + entropy.below(120_000_000));
            match entropy.below(16) {
                12 => peers[2].plan_call(at, "*8"),
                13 => peers[1].plan_call(at, "*8102"),
                14 => peers[2].plan_call(at, "*7"),
                0 => peers[1].plan_call(at, "102"),
                1 => peers[2].plan_call(at, "+79990000000"),
                2 => peers[0].plan_call(at, "+74950000000"),
                n => peers[0].plan_call(at, &format!("+7495100000{}", 1 + n % 4)),
            }
        }
        let spoilt = seed.is_multiple_of(7);
        let mut network = Network::new(entropy.split(), loss);
        if spoilt {
            network = network.spoiling(pbx);
        }
        World {
            now,
            spoilt,
            asks: asks(seed, &mut entropy),
            entropy: entropy.split(),
            draining: None,
            core,
            views,
            peers,
            network,
            media: Media::default(),
            journal: Vec::new(),
            ended: HashSet::new(),
            recordings: HashMap::new(),
            outcome: Outcome::default(),
        }
    }

    /// Runs until nothing more can happen, and says what is wrong then.
    pub fn run(mut self) -> Outcome {
        // Calls end by max_call at the latest.
        let end = Mono::from_micros(6 * 3_600_000_000);
        self.settle();
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            let step = at.since(self.now.mono);
            self.now = self.now + step;
            self.step();
        }
        self.judge();
        self.outcome
    }

    fn next_at(&self) -> Option<Mono> {
        let peers = self.peers.iter().filter_map(Peer::next_at);
        // Once everyone is silent, what the core waits for (look-ups, expiries) changes nothing any more.
        let quiet = self.network.next_at().is_none()
            && self.asks.is_empty()
            && peers.clone().next().is_none()
            && self.core.live_calls() == 0;
        if quiet
            && self.core.census().transactions == 0
            && self.now.mono > Mono::from_micros(600_000_000)
        {
            return None;
        }
        peers
            .chain(self.network.next_at())
            .chain(self.media.next_at())
            .chain(self.asks.keys().next().map(|(at, _)| *at))
            .chain(self.core.poll_timeout())
            .min()
    }

    fn step(&mut self) {
        while let Some(datagram) = self.network.receive(self.now.mono) {
            if datagram.to == PBX.parse().unwrap() {
                self.core
                    .handle_datagram(self.now, ListenerId(0), datagram.from, datagram.bytes);
            } else if let Some(peer) = self
                .peers
                .iter_mut()
                .find(|peer| peer.address == datagram.to)
            {
                peer.receive(self.now, datagram.from, datagram.bytes);
            }
        }
        if self
            .core
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono)
        {
            self.core.handle_timeout(self.now);
        }
        while let Some(entry) = self.asks.first_entry() {
            if entry.key().0 > self.now.mono {
                break;
            }
            let deed = entry.remove();
            self.ask(deed);
        }
        for peer in &mut self.peers {
            peer.run(self.now);
            for (remote, key) in peer.pressed.drain(..) {
                self.media.press(remote, key);
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            while let Some(effect) = self.core.poll_effect() {
                self.carry_out(effect);
            }
            let Some((leg, event)) = self.media.report(self.now.mono) else {
                break;
            };
            self.core.handle_media(self.now, leg, event);
        }
        for peer in &mut self.peers {
            while let Some(transmit) = peer.poll_transmit() {
                note(&mut self.outcome, &transmit.bytes, "their");
                self.network.send(
                    self.now.mono,
                    peer.address,
                    transmit.flow.remote,
                    transmit.bytes,
                );
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Transmit(transmit) => {
                note(&mut self.outcome, &transmit.bytes, "our");
                let from = PBX.parse().unwrap();
                self.network
                    .send(self.now.mono, from, transmit.flow.remote, transmit.bytes);
            }
            Effect::Media(act) => self.media.act(self.now.mono, act),
            Effect::Record(act) => self.record(act),
            Effect::Journal(entry) => {
                if let Entry::CallEnded { call, .. } = &entry {
                    self.ended.insert(call.call_id);
                } else if call_of(&entry).is_some_and(|call| self.ended.contains(&call)) {
                    let fault = format!("after the end: {entry:?}");
                    self.outcome.faults.push(fault);
                }
                self.journal.push(entry);
            }
            // Peers name addresses: a host's name is a spoilt one, and nobody has it.
            Effect::Resolve { what, .. } => {
                self.core.handle_located(self.now, what, Servers::default());
            }
            Effect::Connect(_) | Effect::Disconnect(_) => {
                self.outcome
                    .faults
                    .push("a connection, where all is UDP".to_owned());
            }
            Effect::Drained(_) => self.draining = Some(true),
        }
    }

    /// Does what the API was asked for, to a running call if it needs one.
    fn ask(&mut self, deed: Deed) {
        let mut running: Vec<CallId> = self.views.calls.iter().map(|call| *call.key()).collect();
        running.sort();
        let chosen = self.entropy.below(running.len().max(1) as u64) as usize;
        let chosen = running.get(chosen).copied();
        let done = match (deed, chosen) {
            (Deed::Transfer(to), Some(call)) => {
                let (reply, mut answer) = oneshot::channel();
                let to = to.to_owned();
                self.core
                    .handle_ask(self.now, Ask::Transfer { call, to, reply });
                answer.try_recv().unwrap().is_ok().then_some("transfer")
            }
            (Deed::Hangup, Some(call)) => {
                let (reply, mut answer) = oneshot::channel();
                self.core.handle_ask(self.now, Ask::Hangup { call, reply });
                answer.try_recv().unwrap().then_some("hangup")
            }
            (Deed::Transfer(_) | Deed::Hangup, None) => None,
            (Deed::Originate(operator, to), _) => {
                let (reply, mut answer) = oneshot::channel();
                let (operator, to) = (operator.into(), to.to_owned());
                let ask = Ask::Originate {
                    operator,
                    to,
                    reply,
                };
                self.core.handle_ask(self.now, ask);
                answer.try_recv().unwrap().is_ok().then_some("originate")
            }
            (Deed::Drain, _) => {
                self.draining = Some(false);
                let (reply, _) = oneshot::channel();
                self.core.handle_ask(self.now, Ask::Drain { reply });
                Some("drain")
            }
        };
        if let Some(done) = done {
            *self.outcome.deeds.entry(done).or_default() += 1;
        }
    }

    fn record(&mut self, act: RecordAct) {
        match act {
            RecordAct::StartConversation { recording, .. }
            | RecordAct::StartConference { recording, .. }
            | RecordAct::StartMessage { recording, .. } => {
                if self.recordings.insert(recording, true).is_some() {
                    self.outcome.faults.push(format!("{recording} began twice"));
                }
            }
            RecordAct::Stop { recording } | RecordAct::Discard { recording } => {
                if self.recordings.insert(recording, false) != Some(true) {
                    self.outcome
                        .faults
                        .push(format!("{recording} ended without being open"));
                }
            }
            RecordAct::Attach { recording, .. } => {
                if self.recordings.get(&recording) != Some(&true) {
                    self.outcome
                        .faults
                        .push(format!("{recording} was attached to without being open"));
                }
            }
            RecordAct::Detach { .. } | RecordAct::Pause { .. } => {}
        }
    }

    fn judge(&mut self) {
        let mut faults = std::mem::take(&mut self.outcome.faults);
        faults.append(&mut self.media.faults);
        let mut check = |ok: bool, text: String| {
            if !ok {
                faults.push(text);
            }
        };
        check(
            self.core.live_calls() == 0,
            format!("{} calls are left", self.core.live_calls()),
        );
        check(
            self.media.open_legs() == 0,
            format!("{} media legs are left", self.media.open_legs()),
        );
        check(
            self.core.desk_census() == (0, 0),
            format!("the desk holds {:?}", self.core.desk_census()),
        );
        let census = self.core.census();
        check(
            census.dialogs == 0 && census.sessions == 0 && census.transactions == 0,
            format!("{census:?}"),
        );
        check(
            self.views.calls.is_empty(),
            "a call is left in the view".to_owned(),
        );
        for open in self.recordings.iter().filter(|(_, open)| **open) {
            check(false, format!("the recording {} is left open", open.0));
        }
        for view in &self.views.operators {
            let idle = !matches!(view.state, "ringing" | "talking");
            check(idle, format!("{} is still {}", view.operator, view.state));
        }
        for view in &self.views.trunks {
            check(
                view.calls == 0,
                format!("{} lines are left on {}", view.calls, view.trunk),
            );
        }
        for (call, (started, answered, ended)) in tally(&self.journal) {
            check(
                started == 1 && ended == 1 && answered <= 1,
                format!("{call}: started {started}, answered {answered}, ended {ended} times"),
            );
        }
        for entry in &self.journal {
            if let Entry::CallEnded { call, legs, .. } = entry {
                let result = format!("{:?} {:?}", call.result, call.cause);
                *self.outcome.results.entry(result).or_default() += 1;
                self.outcome.talked.extend(call.talk_ms);
                for fault in faults_of(call, legs) {
                    check(false, format!("{}: {fault}", call.call_id));
                }
            }
        }
        for peer in &self.peers {
            let census = peer.endpoint.census();
            check(
                census.dialogs == 0 || self.spoilt,
                format!("{} is left with {census:?}", peer.address),
            );
        }
        check(
            self.draining != Some(false),
            "it drains and drains".to_owned(),
        );
        for peer in &mut self.peers {
            if !self.spoilt {
                faults.append(&mut peer.faults);
            }
            *self.outcome.deeds.entry("offer").or_default() += peer.offers_answered;
            *self.outcome.deeds.entry("refer").or_default() += peer.referred;
            *self.outcome.deeds.entry("passed on").or_default() += peer.passed_on;
        }
        self.outcome.faults = faults;
    }
}

/// What the API asks for in this world; a fifth of the worlds drains in the middle of its calls.
fn asks(seed: u64, entropy: &mut Entropy) -> BTreeMap<(Mono, u32), Deed> {
    let mut asks = BTreeMap::new();
    for n in 0..8 {
        let at = Mono::from_micros(5_000_000 + entropy.below(130_000_000));
        let deed = match entropy.below(8) {
            0 => Deed::Transfer("hunt:all"),
            1 => Deed::Transfer("operator:boris"),
            2 => Deed::Transfer("voicemail:box"),
            3 => Deed::Transfer("echo"),
            4 => Deed::Originate("anna", "+79990000000"),
            5 => Deed::Originate("boris", "101"),
            _ => Deed::Hangup,
        };
        asks.insert((at, n), deed);
    }
    if seed.is_multiple_of(5) {
        let at = Mono::from_micros(80_000_000 + entropy.below(20_000_000));
        asks.insert((at, 8), Deed::Drain);
    }
    asks
}
