//! The declaration of every section and key, in the order of DESIGN.md section 4.

use super::Presence::{Default, Later, Optional, Required};
use super::{Key, Kind, Section, Shape};

/// A table of keys: name, what it takes, what when left out, meaning.
macro_rules! keys {
    ($($name:literal: $kind:expr, $presence:expr, $doc:literal;)*) => {
        &[$(Key { name: $name, kind: $kind, presence: $presence, doc: $doc }),*]
    };
}

/// All sections.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "server",
        shape: Shape::Single,
        doc: "Where the PBX listens, how it is seen, and what holds for all calls.",
        keys: SERVER,
    },
    Section {
        name: "security",
        shape: Shape::Single,
        doc: "Strangers: how much they may ask, and when they are banned. Trunks, `allow` and addresses with a registered phone are never banned; there each wrong user is slowed down alone.",
        keys: SECURITY,
    },
    Section {
        name: "recordings",
        shape: Shape::Single,
        doc: "Where conversations and messages are kept.",
        keys: RECORDINGS,
    },
    Section {
        name: "trunks",
        shape: Shape::Named,
        doc: "A provider: where calls to our numbers come from and where outside calls go. It needs a `peer` or an `accept`.",
        keys: TRUNKS,
    },
    Section {
        name: "operators",
        shape: Shape::Named,
        doc: "A person with a SIP account `NAME@server.domain` and one or more phones.",
        keys: OPERATORS,
    },
    Section {
        name: "numbers",
        shape: Shape::Numbered,
        doc: "A telephone number of ours and where its calls go. It is written in E.164, or as it is dialled in `server.country`.",
        keys: NUMBERS,
    },
    Section {
        name: "pools",
        shape: Shape::Later,
        doc: "Numbers that a web page leases to its visitors.",
        keys: &[],
    },
    Section {
        name: "menus",
        shape: Shape::Named,
        doc: "A prompt, and a destination for each key.",
        keys: MENUS,
    },
    Section {
        name: "hunts",
        shape: Shape::Named,
        doc: "A hunt group: members that are rung, a limit to the wait, and an overflow destination.",
        keys: HUNTS,
    },
    Section {
        name: "schedules",
        shape: Shape::Named,
        doc: "A choice by opening hours, in `server.time_zone`.",
        keys: SCHEDULES,
    },
    Section {
        name: "forwards",
        shape: Shape::Named,
        doc: "An outside number that calls are sent to.",
        keys: FORWARDS,
    },
    Section {
        name: "announcements",
        shape: Shape::Named,
        doc: "A prompt, and then a further destination.",
        keys: ANNOUNCEMENTS,
    },
    Section {
        name: "voicemails",
        shape: Shape::Named,
        doc: "A box that callers leave a message in, after a prompt and a tone. `#` ends the message.",
        keys: VOICEMAILS,
    },
    Section {
        name: "callbacks",
        shape: Shape::Later,
        doc: "Callers who are called back.",
        keys: &[],
    },
    Section {
        name: "conferences",
        shape: Shape::Named,
        doc: "A room in which several parties talk: callers come by `conference:NAME`, operators also by its extension.",
        keys: CONFERENCES,
    },
    Section {
        name: "outbound",
        shape: Shape::Named,
        doc: "What operators may dial. Nothing is allowed that no rule allows; the longest prefix decides.",
        keys: OUTBOUND,
    },
    Section {
        name: "features",
        shape: Shape::Single,
        doc: "What operators dial, or pass a call on to, to pick calls up and to park them.",
        keys: FEATURES,
    },
    Section {
        name: "webhooks",
        shape: Shape::Named,
        doc: "Where events are posted, with Standard Webhooks signatures.",
        keys: WEBHOOKS,
    },
    Section {
        name: "test",
        shape: Shape::List,
        doc: "A call that must end where it says; run by `vats check`. Everybody is available unless named.",
        keys: TESTS,
    },
];

const SERVER: &[Key] = keys! {
    "sip": Kind::List(&Kind::Listener), Default(r#"["udp://0.0.0.0:5060"]"#), "Where SIP listens: udp://, tcp://, tls://, ws:// or wss://; port 0 is any free one.";
    "tls": Kind::Table(TLS), Optional("no TLS is accepted"), "The certificate of tls:// and wss:// listeners. The files are read again at every reload.";
    "connections": Kind::Integer(1, 1_000_000), Default("10000"), "The most SIP connections at once that others may open to us.";
    "connections_per_source": Kind::Integer(1, 1_000_000), Default("200"), "The same from one IPv4 address or one IPv6 network of 64 bits.";
    "keep_alive": Kind::Duration("0s", "10m"), Default(r#""25s""#), "How often a phone behind address translation is sent an OPTIONS over UDP, so that it can still be rung; 0s: never.";
    "domain": Kind::Domain, Optional("the host name"), "The operators' domain and digest realm.";
    "rtp_ports": Kind::Ports, Default(r#""20000-29999""#), "Ports for audio, two per side of a call: from an even port to an odd one.";
    "media_io": Kind::OneOf(&["auto", "epoll", "io_uring"], &[]), Default(r#""auto""#), "How audio packets go in and out. auto and io_uring: by io_uring, which costs less, and by epoll where the kernel (before Linux 6.1) or a container forbids it; the log says which and why.";
    "public_address": Kind::Address, Optional("the listening address"), "What Contact, Via and SDP carry towards peers outside `local_networks`.";
    "local_networks": Kind::List(&Kind::Network), Default(r#"["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128"]"#), "Networks that reach us without address translation.";
    "http": Kind::Socket, Default(r#""127.0.0.1:8080""#), "The API and the console.";
    "dns": Kind::List(&Kind::NameServer), Default("[]"), "Name servers; none: those of the system.";
    "api_token": Kind::MadeSecret, Optional("no token: only this machine may use the API"), "The API's bearer token.";
    "database": Kind::Database, Default(r#""sqlite://data/vats.db""#), "Where calls, events and registrations are kept. postgres:// is not available in this version.";
    "drain": Kind::Duration("0s", "24h"), Default(r#""60s""#), "How long running calls may finish after SIGTERM.";
    "time_zone": Kind::Zone, Default(r#""UTC""#), "The time zone of schedules and tests.";
    "country": Kind::Country, Default(r#""RU""#), "How national numbers are read, and the ring-back tone.";
    "music": Kind::Sound, Optional("silence"), "What a held party hears.";
    "max_call": Kind::Duration("1m", "24h"), Default(r#""4h""#), "The longest call.";
    "session_expires": Kind::Duration("0s", "24h"), Default(r#""30m""#), "How long a conversation's phone or trunk may be gone unnoticed (RFC 4028): it is asked at half of this time. 0s: only where the far side asks for it.";
    "min_session_expires": Kind::Duration("2s", "1h"), Default(r#""90s""#), "The shortest such time that a far side may ask for.";
    "max_calls": Kind::Integer(1, 1_000_000), Optional("what open files and `rtp_ports` allow"), "The most calls at once; further ones get 503 with Retry-After and are accounted with the cause `overload`.";
    "watch": Kind::Bool, Later("reload with SIGHUP or the API"), "Reload when a file changes.";
};

const SECURITY: &[Key] = keys! {
    "allow": Kind::List(&Kind::Network), Default("[]"), "Networks that are neither limited nor banned.";
    "requests": Kind::Integer(1, 100_000), Default("100"), "SIP messages a second from an address (IPv6: a network of 64 bits), four times as many at once; more are dropped. An address with a registered phone may send fifty times as many.";
    "failures": Kind::Integer(2, 1_000), Default("10"), "So many failed log-ins of an address within `window` ban it; each further user that it tries counts twice. A challenge is no failure.";
    "window": Kind::Duration("10s", "24h"), Default(r#""10m""#), "How long failed log-ins are remembered.";
    "ban": Kind::Duration("1s", "720h"), Default(r#""1h""#), "How long a ban lasts. A banned address gets no answer.";
};

const TLS: &[Key] = keys! {
    "certificate": Kind::Path, Required, "PEM file with our certificate and those between it and its root, relative to the configuration directory.";
    "key": Kind::Path, Required, "PEM file with its private key.";
    "client_ca": Kind::Path, Optional("clients are asked for no certificate"), "PEM file of the authorities whose certificates clients may show; `trunks.NAME.certificate` demands one.";
    "ca": Kind::Path, Optional("those that the system trusts"), "PEM file of the authorities that must have signed the certificates of the peers that we connect to.";
};

const RECORDINGS: &[Key] = keys! {
    "path": Kind::Path, Default(r#""recordings""#), "The directory of the recordings.";
    "format": Kind::OneOf(&["wav", "opus"], &[]), Default(r#""wav""#), "How recordings are kept. opus: after the call the WAV file is replaced by an Ogg/Opus copy, about eight times smaller, made while nothing else wants the processor; `recording.ready` and `voicemail.left` come then.";
};

const TRUNKS: &[Key] = keys! {
    "peer": Kind::Peer, Optional("no calls go out"), "Calls go out to here, and requests from here are this trunk's. A name without port is located by NAPTR and SRV records, else its addresses at port 5060.";
    "peers": Kind::List(&Kind::Peer), Optional("`peer` alone"), "Several of them in the stead of `peer`: the next one is tried when one does not answer within `timeout`, cannot be reached or says 503.";
    "weights": Kind::List(&Kind::Integer(0, 65_535)), Optional("peers are tried in order"), "One for each of `peers`: its share of the calls.";
    "options": Kind::Duration("5s", "1h"), Optional("only an address that failed is asked"), "How often each address is asked by OPTIONS whether it lives; any answer but 408 and 503 is life.";
    "accept": Kind::List(&Kind::Network), Default("[]"), "Further networks that this trunk's calls come from.";
    "certificate": Kind::Domain, Optional("no certificate is asked for"), "The DNS name that the client certificate of this trunk's TLS connections must have; calls without it are not this trunk's. Needs `server.tls.client_ca`.";
    "register": Kind::Table(REGISTER), Optional("no registration"), "The account that we register; it also answers the provider's challenges.";
    "number_from": Kind::OneOf(&["auto", "request-uri", "to", "p-called-party-id"], &[]), Default(r#""auto""#), "Where the dialled number stands; auto takes the first of the others that is ours.";
    "caller_id": Kind::OneOf(&["ours", "caller"], &[]), Default(r#""ours""#), "The number that a forward shows: the dialled one of ours, or the caller's.";
    "codecs": Kind::List(&Kind::OneOf(&["pcma", "pcmu", "g722", "opus"], &["g729", "gsm"])), Default(r#"["pcma", "pcmu"]"#), "Codecs in order of preference. A call that goes on to another leg takes the codec that both speak where there is one, whatever the order.";
    "timeout": Kind::Duration("500ms", "32s"), Default(r#""3s""#), "After so long without a response the address is given up.";
    "max_calls": Kind::Integer(1, 100_000), Optional("no limit"), "The most calls at once.";
    "calls_per_second": Kind::Integer(1, 10_000), Optional("no limit"), "The most calls a second that go out; what is more goes over the next trunk.";
    "country": Kind::Country, Optional("`server.country`"), "How this trunk's national numbers are read.";
    "transfer": Kind::Bool, Default("false"), "Whether its far sides may pass calls on (REFER): to numbers of ours, and between calls of this trunk.";
    "redirect": Kind::Bool, Default("false"), "Whether its 3xx is obeyed: the number that it names is dialled over this trunk, if an [outbound.*] of this trunk has a prefix of it.";
    "auth": Kind::Table(AUTH), Optional("`register` answers challenges"), "What answers the provider's challenges where we do not register, or where calls need another account.";
    "number_format": Kind::OneOf(&["international", "digits", "dialled", "national"], &[]), Default(r#""international""#), "How numbers are written towards the provider: +74951000001, 74951000001, as dialled in `country` (84951000001), or 4951000001.";
    "identity": Kind::List(&Kind::OneOf(&["from", "p-asserted-identity", "p-preferred-identity", "remote-party-id"], &[])), Default(r#"["from", "p-asserted-identity"]"#), "The headers that show the caller's number to the provider. Without from, From names the account.";
    "caller_from": Kind::List(&Kind::OneOf(&["p-asserted-identity", "remote-party-id", "from"], &[])), Default(r#"["p-asserted-identity", "remote-party-id", "from"]"#), "Where the provider names the caller: the first of these that does.";
    "diversion": Kind::List(&Kind::OneOf(&["diversion", "history-info"], &[])), Default(r#"["diversion"]"#), "The headers that say on a forward which number of ours was called, and why it goes on.";
    "session_expires": Kind::Duration("0s", "24h"), Optional("`server.session_expires`"), "The same for this trunk's calls.";
    "reliable": Kind::Bool, Default("false"), "Ringing and early media are sent, and asked for, with acknowledgement (100rel) wherever the provider can. false: only where it insists.";
    "srtp": Kind::OneOf(&["off", "offered", "required"], &[]), Default(r#""off""#), "Encrypted media (SRTP with keys in SDP, RFC 4568). off: plain RTP alone. offered: whatever the provider offers is taken, encrypted rather than plain; ours is offered unencrypted with keys beside it, and those only where all `peers` are reached over TLS. required: plain media is refused with 488 and never offered.";
    "offer": Kind::OneOf(&["early", "delayed"], &[]), Default(r#""early""#), "Where our INVITE describes our sound: early, in itself; delayed: nowhere, the provider offers in its 200 (or reliable 183) and we answer in the ACK (or PRACK).";
};

const REGISTER: &[Key] = keys! {
    "user": Kind::Text, Required, "The account's user.";
    "password": Kind::Secret, Required, "Its password.";
    "expires": Kind::Duration("60s", "24h"), Default(r#""5m""#), "How long a registration is asked for.";
    "auth_user": Kind::Text, Optional("`user`"), "The user in credentials, where it is another one.";
    "realm": Kind::Text, Optional("the one that the provider names"), "The only realm whose challenges are answered.";
};

const AUTH: &[Key] = keys! {
    "user": Kind::Text, Required, "The user in credentials.";
    "password": Kind::Secret, Required, "The password.";
    "realm": Kind::Text, Optional("the one that the provider names"), "The only realm whose challenges are answered.";
};

const OPERATORS: &[Key] = keys! {
    "name": Kind::Text, Optional("the entry's name"), "Shown to people.";
    "password": Kind::MadeSecret, Required, "The SIP password.";
    "extension": Kind::Extension, Optional("none"), "What colleagues dial.";
    "contact": Kind::SipUri, Optional("the phone registers"), "A phone's fixed address instead of registration.";
    "ring": Kind::Duration("1s", "5m"), Default(r#""20s""#), "How long `operator:NAME` rings.";
    "otherwise": Kind::Destination, Default(r#""hangup""#), "Where `operator:NAME` goes when the operator cannot be had.";
    "wrap_up": Kind::Duration("0s", "1h"), Default(r#""0s""#), "Rest after a conversation, before the next call of a hunt.";
    "outbound": Kind::Table(OPERATOR_OUTBOUND), Optional("no limits"), "Limits on calls to the outside, however they are placed.";
    "auth": Kind::OneOf(&["sha-256", "md5"], &[]), Default(r#""sha-256""#), "How the phone is challenged: sha-256 offers MD5 beside it, md5 offers only that, for old phones.";
    "may": Kind::List(&Kind::OneOf(&["transfer", "pick-up", "park"], &[])), Default(r#"["transfer", "pick-up", "park"]"#), "Pass calls on, take calls that ring at colleagues' phones, park calls and take parked ones. Where a call is passed on to is bound by what the operator may dial.";
    "supervisor": Kind::Bool, Default("false"), "Whether he may listen to colleagues' conversations, whisper to them and barge in: by the codes of `[features]`, or when the API asks for it.";
    "session_expires": Kind::Duration("0s", "24h"), Optional("`server.session_expires`"), "The same for this operator's phones.";
    "srtp": Kind::OneOf(&["off", "offered", "required"], &[]), Default(r#""offered""#), "Encrypted media (SRTP with keys in SDP, RFC 4568). off: plain RTP alone. offered: a phone that wants it has it, and one registered over TLS is offered it beside plain RTP. required: plain media is refused with 488 and never offered.";
    "codecs": Kind::List(&Kind::OneOf(&["pcma", "pcmu", "g722", "opus"], &["g729", "gsm"])), Default(r#"["opus", "g722", "pcma", "pcmu"]"#), "Codecs of this operator's phones in order of preference. Between phones a wide one is taken; towards a trunk that has none, pcma or pcmu are, so that nothing is converted. Opus costs the most processor time where it must be.";
};

const OPERATOR_OUTBOUND: &[Key] = keys! {
    "calls": Kind::Integer(1, 10_000), Optional("no limit"), "The most calls to the outside at once.";
    "minutes_per_day": Kind::Integer(1, 1_440_000), Optional("no limit"), "When so many minutes have been talked to the outside on a day in `server.time_zone`, no further call is placed; running ones go on.";
};

const NUMBERS: &[Key] = keys! {
    "landing_page": Kind::Text, Optional("none"), "The page or source that the number belongs to.";
    "to": Kind::Destination, Required, "Where its calls go.";
    "trunk": Kind::Of("trunks"), Optional("any trunk"), "Calls come only over this trunk.";
    "answer": Kind::OneOf(&["when needed", "at once", "when a person answers"], &[]), Default(r#""when needed""#), "When a call is answered; `when needed`: once something of ours must be heard.";
    "record": Kind::Bool, Default("true"), "Whether conversations are recorded.";
};

const MENUS: &[Key] = keys! {
    "prompt": Kind::Sound, Required, "What is played. A key interrupts it.";
    "say": Kind::Text, Later("record the text and name the file with prompt"), "A text to be spoken.";
    "keys": Kind::Keypad, Required, "A destination for each of the keys 0–9, * and #.";
    "timeout": Kind::Duration("500ms", "2m"), Default(r#""5s""#), "How long a key is waited for, from the end of the prompt or the last key.";
    "attempts": Kind::Integer(1, 10), Default("2"), "How often the prompt is played.";
    "otherwise": Kind::Destination, Default(r#""hangup""#), "Where calls go that make no choice.";
};

const HUNTS: &[Key] = keys! {
    "members": Kind::List(&Kind::Member), Required, "Who is rung, in this order.";
    "strategy": Kind::OneOf(&["ring-all", "linear"], &["round-robin", "longest-idle", "fewest-calls", "random"]), Default(r#""ring-all""#), "ring-all: every free member at once; linear: one at a time, round and round.";
    "ring": Kind::Duration("1s", "5m"), Default(r#""10s""#), "How long each member rings with linear.";
    "wait": Kind::Duration("1s", "1h"), Default(r#""20s""#), "The whole wait; it cuts a ring short.";
    "music": Kind::Sound, Optional("ring-back tone"), "What the caller hears while waiting. With it the call is answered.";
    "when_nobody": Kind::Destination, Optional("`otherwise`"), "Where calls go when no member is registered.";
    "otherwise": Kind::Destination, Default(r#""hangup""#), "Where calls go that nobody took.";
};

const SCHEDULES: &[Key] = keys! {
    "open": Kind::List(&Kind::Hours), Required, "Opening hours. `fri 22:00-06:00` ends on Saturday; `mon-sun 00:00-24:00` is always.";
    "holidays": Kind::List(&Kind::Date), Default("[]"), "Days that are closed from midnight to midnight.";
    "when_open": Kind::Destination, Required, "Where calls go while open.";
    "when_closed": Kind::Destination, Required, "Where calls go while closed.";
};

const FORWARDS: &[Key] = keys! {
    "to": Kind::Number, Required, "The outside number.";
    "trunk": Kind::Of("trunks"), Required, "The trunk that it is reached over.";
    "ring": Kind::Duration("1s", "5m"), Default(r#""25s""#), "How long it rings.";
    "otherwise": Kind::Destination, Optional("the caller gets the far side's code"), "Where the call goes when it is not taken.";
};

const ANNOUNCEMENTS: &[Key] = keys! {
    "prompt": Kind::Sound, Required, "What is played.";
    "say": Kind::Text, Later("record the text and name the file with prompt"), "A text to be spoken.";
    "then": Kind::Destination, Default(r#""hangup""#), "Where the call goes then.";
};

const VOICEMAILS: &[Key] = keys! {
    "prompt": Kind::Sound, Required, "What is played before the tone.";
    "say": Kind::Text, Later("record the text and name the file with prompt"), "A text to be spoken.";
    "max": Kind::Duration("5s", "30m"), Default(r#""2m""#), "The longest message.";
    "lamp": Kind::List(&Kind::Of("operators")), Default("[]"), "On whose phones the message lamp tells of its messages (message-summary), besides operators whose `otherwise` leads here.";
};

const CONFERENCES: &[Key] = keys! {
    "prompt": Kind::Sound, Optional("none"), "What a caller hears before he comes in. With a pin it asks for that.";
    "say": Kind::Text, Later("record the text and name the file with prompt"), "A text to be spoken.";
    "pin": Kind::Text, Optional("none is asked for"), "Four to eight digits that a caller must type; `#` ends them early. After three wrong ones the call is ended.";
    "max_members": Kind::Integer(2, 500), Default("50"), "The most parties at once; the next one is sent away.";
    "beep": Kind::Bool, Default("true"), "Two rising notes when somebody comes, two falling ones when somebody leaves.";
    "extension": Kind::Extension, Optional("none"), "What operators dial.";
    "record": Kind::Bool, Default("false"), "Whether what is said is recorded, whatever the numbers' `record` says: one file from the first one's coming to the last one's leaving, operators on the right, all others on the left.";
};

const OUTBOUND: &[Key] = keys! {
    "prefixes": Kind::List(&Kind::Prefix), Required, "What the dialled number begins with; `+` is every number.";
    "trunks": Kind::List(&Kind::Of("trunks")), Required, "Trunks in order of preference.";
    "caller_id": Kind::Number, Optional("the provider decides"), "The number that is shown; one of ours.";
    "allow": Kind::List(&Kind::Of("operators")), Required, "The operators who may dial by this rule.";
    "max_calls": Kind::Integer(1, 100_000), Optional("no limit"), "The most calls by this rule at once, of all operators together.";
};

const FEATURES: &[Key] = keys! {
    "pick_up": Kind::Text, Default(r#""*8""#), "With an extension behind it (`*8101`) it takes the call that rings there; alone, the call that has rung longest at any colleague.";
    "park": Kind::Text, Default(r#""*7""#), "A call that is passed on to here is parked in the first free slot. Dialled, it takes the call that has been parked longest.";
    "slots": Kind::Text, Default(r#""701-720""#), "Where calls are parked. A call that is passed on to a slot is parked there; whoever dials the slot takes it. An extension of the same digits goes first.";
    "park_timeout": Kind::Duration("5s", "4h"), Default(r#""60s""#), "After so long whoever parked a call is rung.";
    "listen": Kind::Text, Default(r#""*90""#), "With an extension behind it (`*90101`) a supervisor hears the conversation there, and nobody hears him. On his keys 1 listens, 2 whispers, 3 barges in.";
    "whisper": Kind::Text, Default(r#""*91""#), "The same, and the operator alone hears him.";
    "barge": Kind::Text, Default(r#""*92""#), "The same, and both hear him.";
    "pause_recording": Kind::Text, Optional("no keys pause a recording"), "Typed by an operator in a conversation, it pauses the recording, and lets it go on: `*1`. He hears one tone for a pause and two when it goes on.";
};

const WEBHOOKS: &[Key] = keys! {
    "url": Kind::Url, Required, "Where events are posted.";
    "secret": Kind::WebhookSecret, Required, "The key that signs them.";
    "events": Kind::List(&Kind::Event), Required, "Which events.";
};

const TESTS: &[Key] = keys! {
    "name": Kind::Text, Required, "What the test says.";
    "to": Kind::Text, Required, "The dialled number.";
    "from": Kind::Text, Optional("withheld"), "The calling number, or an operator's name.";
    "at": Kind::LocalTime, Optional("now"), "When, in `server.time_zone`.";
    "keys": Kind::Presses, Default(r#""""#), "Keys in order; `-` lets a menu time out. When they run out, menus time out.";
    "busy": Kind::List(&Kind::Absent), Default("[]"), "Who is busy.";
    "offline": Kind::List(&Kind::Absent), Default("[]"), "Who is not registered.";
    "expect": Kind::Expected, Required, "The first destination where a person, a message or the end is reached; `unknown` when the number is not ours.";
};
