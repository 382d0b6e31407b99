//! A plan for tests, written as values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::audio::clip::Clip;
use crate::dialplan::media_io::MediaIo;
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::*;
use crate::dialplan::provider::{DiversionHeader, IdentityHeader, NumberFormat};
use crate::dialplan::schedule::Schedule;
use crate::ledger::id::Name;

pub(super) const PROMPT: Duration = Duration::from_secs(3);
pub(super) const BEEP: Duration = Duration::from_millis(500);

pub(super) fn e164(text: &str) -> E164 {
    E164::read(text, country()).unwrap()
}

fn country() -> Country {
    Country::parse("RU").unwrap()
}

fn clip(name: &str, length: Duration) -> Arc<Clip> {
    Clip::from_samples(name, &vec![0; length.as_millis() as usize * 8])
}

pub(super) fn name(text: &str) -> Name {
    Name::from(text)
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn operator(id: &str, extension: &str, otherwise: Destination) -> Operator {
    Operator {
        id: name(id),
        name: id.into(),
        password: Secret("x".into()),
        extension: Some(extension.into()),
        contact: None,
        ring: secs(20),
        otherwise,
        wrap_up: secs(10),
        session_expires: None,
        md5_only: false,
        may: May::ALL,
        supervisor: false,
        outbound: OutboundLimits::default(),
        srtp: crate::sdp::crypto::Policy::Offered,
        codecs: vec![CodecName::Pcma, CodecName::Pcmu],
    }
}

fn number(number: &str, page: &str, to: Destination) -> Number {
    Number {
        number: e164(number),
        landing_page: Some(page.into()),
        to,
        trunk: None,
        answer: AnswerPolicy::WhenNeeded,
        record: true,
    }
}

fn hunt(id: &str, members: &[&str], strategy: Strategy, otherwise: Destination) -> Hunt {
    let members = members
        .iter()
        .map(|member| match member.strip_prefix("forward:") {
            Some(forward) => Member::Forward(name(forward)),
            None => Member::Operator(name(member)),
        })
        .collect();
    Hunt {
        name: name(id),
        members,
        strategy,
        ring: secs(8),
        wait: secs(20),
        music: None,
        when_nobody: None,
        otherwise,
    }
}

/// `+7495000000N` leads to what stands at `N` here.
pub(super) fn numbers() -> Vec<(&'static str, Destination)> {
    vec![
        ("+74950000001", Destination::Menu(name("main"))),
        ("+74950000002", Destination::Hunt(name("sales"))),
        ("+74950000003", Destination::Hunt(name("line"))),
        ("+74950000004", Destination::Operator(name("anna"))),
        ("+74950000005", Destination::Forward(name("mobile"))),
        ("+74950000006", Destination::Voicemail(name("box"))),
        ("+74950000007", Destination::Announcement(name("closed"))),
        ("+74950000008", Destination::Schedule(name("never"))),
        ("+74950000009", Destination::Echo),
        ("+74950000031", Destination::Conference(name("daily"))),
        ("+74950000032", Destination::Conference(name("board"))),
        ("+74950000033", Destination::Conference(name("recorded"))),
        ("+74950000010", Destination::Hangup),
        ("+74950000011", Destination::Hunt(name("musical"))),
        ("+74950000012", Destination::Hunt(name("circle"))),
        ("+74950000013", Destination::Hunt(name("outside"))),
        ("+74950000014", Destination::Forward(name("bare"))),
        ("+74950000015", Destination::Hunt(name("dead"))),
    ]
}

/// The plan that all tests use; `change` makes it theirs.
pub(super) fn plan(change: impl FnOnce(&mut Plan)) -> Arc<Plan> {
    let voicemail = Destination::Voicemail(name("box"));
    let mut plan = Plan {
        version: 7,
        server: Server {
            media_io: MediaIo::Auto,
            sip: Vec::new(),
            tls: None,
            connections: (10, 10),
            keep_alive: secs(25),
            domain: "pbx.example".into(),
            rtp_ports: 20000..=20100,
            public_address: None,
            local_networks: Vec::new(),
            http: "127.0.0.1:8080".parse().unwrap(),
            database: String::new(),
            drain: secs(60),
            time_zone: jiff::tz::TimeZone::UTC,
            country: country(),
            music: Some(clip("hold", secs(1))),
            ringback: clip("ringback", secs(1)),
            beep: clip("beep", BEEP),
            paused_tone: clip("paused", BEEP),
            resumed_tone: clip("resumed", BEEP),
            max_call: secs(4 * 3600),
            session_expires: secs(1800),
            min_session_expires: secs(90),
            api_tokens: Vec::new(),
            dns: Vec::new(),
            max_calls: None,
        },
        security: Security::default(),
        recordings: Recordings {
            path: "recordings".into(),
            format: RecordingFormat::Wav,
        },
        trunks: BTreeMap::new(),
        operators: BTreeMap::new(),
        extensions: HashMap::new(),
        numbers: HashMap::new(),
        menus: BTreeMap::new(),
        hunts: BTreeMap::new(),
        schedules: BTreeMap::new(),
        forwards: BTreeMap::new(),
        announcements: BTreeMap::new(),
        voicemails: BTreeMap::new(),
        conferences: BTreeMap::new(),
        outbound: BTreeMap::new(),
        webhooks: BTreeMap::new(),
        tests: Vec::new(),
        features: Features::default(),
    };
    for id in ["acme", "spare"] {
        plan.trunks.insert(name(id), trunk(id));
    }
    for (id, extension) in [("anna", "101"), ("boris", "102"), ("clara", "103")] {
        let otherwise = if id == "anna" {
            voicemail.clone()
        } else {
            Destination::Hangup
        };
        plan.operators
            .insert(name(id), operator(id, extension, otherwise));
    }
    for (text, to) in numbers() {
        plan.numbers.insert(e164(text), number(text, "/sofas", to));
    }
    add_destinations(&mut plan, &voicemail);
    change(&mut plan);
    Arc::new(plan)
}

fn trunk(id: &str) -> Trunk {
    Trunk {
        name: name(id),
        peer: Some(HostPort {
            host: "192.0.2.1".into(),
            port: 5060,
        }),
        accept: Vec::new(),
        certificate: None,
        register: None,
        number_from: NumberFrom::Auto,
        caller_id: CallerIdPolicy::Ours,
        codecs: vec![CodecName::Pcma, CodecName::Pcmu],
        timeout: secs(3),
        max_calls: None,
        session_expires: None,
        reliable: false,
        srtp: crate::sdp::crypto::Policy::Off,
        delayed_offer: false,
        country: country(),
        transfer: false,
        redirect: false,
        peers: Vec::new(),
        weights: Vec::new(),
        options: None,
        calls_per_second: None,
        account: None,
        number_format: NumberFormat::International,
        identity: vec![IdentityHeader::From],
        caller_from: vec![IdentityHeader::From],
        diversion: vec![DiversionHeader::Diversion],
    }
}

fn add_conferences(plan: &mut Plan) {
    for (id, prompt, pin) in [
        ("daily", None, None),
        ("board", Some("pin, please"), Some("4711")),
        ("recorded", None, None),
    ] {
        let conference = Conference {
            name: name(id),
            prompt: prompt.map(|prompt| clip(prompt, PROMPT)),
            pin: pin.map(str::to_owned),
            max_members: 3,
            tones: Some((clip("comes", BEEP), clip("leaves", BEEP))),
            extension: None,
            record: id == "recorded",
        };
        plan.conferences.insert(name(id), conference);
    }
}

fn add_destinations(plan: &mut Plan, voicemail: &Destination) {
    plan.menus.insert(
        name("main"),
        Menu {
            name: name("main"),
            prompt: clip("menu", PROMPT),
            keys: BTreeMap::from([
                ('1', Destination::Hunt(name("sales"))),
                ('3', Destination::Announcement(name("closed"))),
                ('9', Destination::Hangup),
            ]),
            timeout: secs(5),
            attempts: 2,
            otherwise: Destination::Hunt(name("sales")),
        },
    );
    let mut musical = hunt("musical", &["anna"], Strategy::RingAll, Destination::Hangup);
    musical.music = Some(clip("music", secs(1)));
    for hunt in [
        hunt(
            "sales",
            &["anna", "boris"],
            Strategy::RingAll,
            voicemail.clone(),
        ),
        hunt(
            "line",
            &["anna", "boris"],
            Strategy::Linear,
            Destination::Announcement(name("closed")),
        ),
        musical,
        hunt(
            "circle",
            &["clara"],
            Strategy::RingAll,
            Destination::Hunt(name("circle")),
        ),
        hunt(
            "outside",
            &["anna", "forward:mobile"],
            Strategy::RingAll,
            voicemail.clone(),
        ),
        hunt("dead", &["anna"], Strategy::RingAll, Destination::Hangup),
    ] {
        plan.hunts.insert(hunt.name.clone(), hunt);
    }
    plan.outbound.insert(
        name("russia"),
        OutboundRule {
            name: name("russia"),
            prefixes: vec!["+7".into()],
            trunks: vec![name("acme")],
            caller_id: Some(e164("+74950000001")),
            allow: vec![name("anna")],
            max_calls: None,
        },
    );
    for (id, otherwise) in [("mobile", Some(voicemail.clone())), ("bare", None)] {
        plan.forwards.insert(
            name(id),
            Forward {
                name: name(id),
                to: e164("+79990000000"),
                trunk: name("acme"),
                ring: secs(15),
                otherwise,
            },
        );
    }
    add_conferences(plan);
    plan.schedules.insert(
        name("never"),
        ScheduledChoice {
            name: name("never"),
            schedule: Schedule::read(["mon 00:00-00:01"], std::iter::empty::<&str>()).unwrap(),
            when_open: Destination::Hunt(name("sales")),
            when_closed: Destination::Announcement(name("closed")),
        },
    );
    plan.announcements.insert(
        name("closed"),
        Announcement {
            name: name("closed"),
            prompt: clip("closed", PROMPT),
            then: Destination::Hangup,
        },
    );
    plan.voicemails.insert(
        name("box"),
        Voicemail {
            lamp: Vec::new(),
            name: name("box"),
            prompt: clip("leave_message", PROMPT),
            max: secs(60),
        },
    );
}
