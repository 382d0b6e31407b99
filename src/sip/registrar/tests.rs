use proptest::prelude::*;

use super::*;
use crate::ledger::clock::Wall;
use crate::sip::endpoint::ConnectionId;
use crate::sip::wire::Writer;

fn at(seconds: u64) -> Now {
    Now {
        mono: Mono::from_micros(seconds * 1_000_000),
        wall: Wall::from_micros(1_772_960_700_000_000 + seconds as i64 * 1_000_000),
    }
}

fn flow(port: u16) -> Flow {
    Flow::udp(
        ListenerId(0),
        SocketAddr::from(([192, 0, 2, 1], port)),
        SocketAddr::from(([203, 0, 113, 7], 5060)),
    )
}

fn anna() -> Operator {
    Operator::from("anna")
}

/// A REGISTER: Call-ID, CSeq, Contact lines, Expires.
fn register(call_id: &str, cseq: u32, contacts: &[&str], expires: Option<&str>) -> Message {
    let mut writer = Writer::request("REGISTER", "sip:shop")
        .header(Name::Via, "SIP/2.0/UDP h;branch=z9hG4bK1")
        .header(Name::From, "<sip:anna@shop>;tag=1")
        .header(Name::To, "<sip:anna@shop>")
        .header(Name::CallId, call_id)
        .header(Name::CSeq, format!("{cseq} REGISTER"))
        .header(Name::UserAgent, "phone");
    for contact in contacts {
        writer = writer.header(Name::Contact, contact);
    }
    if let Some(expires) = expires {
        writer = writer.header(Name::Expires, expires);
    }
    Message::parse(writer.finish()).unwrap()
}

fn contacts(answer: &Registered) -> Vec<&str> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| *name == Name::Contact)
        .map(|(_, value)| value.as_str())
        .collect()
}

const ONE: &str = "<sip:anna@192.0.2.1:5060>";
const TWO: &str = "<sip:anna@192.0.2.1:5070>";

#[test]
fn a_phone_registers_refreshes_and_leaves() {
    let mut registrar = Registrar::new();
    registrar.set_local(ListenerId(0), "10.0.0.1:5060".parse().unwrap());
    let first = registrar.handle(
        at(0),
        &anna(),
        &register("a", 1, &[ONE], Some("60")),
        flow(5060),
    );
    assert_eq!(
        (first.code, contacts(&first)),
        (200, vec!["<sip:anna@192.0.2.1:5060>;expires=60"])
    );
    let [Change::Saved(record)] = &first.changes[..] else {
        panic!("{:?}", first.changes);
    };
    assert_eq!(
        (record.contact.as_str(), record.local.to_string()),
        ("sip:anna@192.0.2.1:5060", "10.0.0.1:5060".into())
    );
    assert_eq!(
        (record.expires_at, record.user_agent.as_deref()),
        (at(60).wall, Some("phone"))
    );
    assert_eq!(registrar.poll_timeout(), Some(at(60).mono));

    let again = registrar.handle(at(30), &anna(), &register("a", 2, &[ONE], None), flow(6000));
    assert_eq!(contacts(&again), ["<sip:anna@192.0.2.1:5060>;expires=120"]);
    assert_eq!(registrar.contacts(&anna()).next().unwrap().flow, flow(6000));

    let query = registrar.handle(at(40), &anna(), &register("q", 1, &[], None), flow(1));
    assert_eq!(contacts(&query), ["<sip:anna@192.0.2.1:5060>;expires=110"]);
    assert_eq!(query.changes, []);
    let date = (Name::Date, "Sun, 08 Mar 2026 09:05:40 GMT".into());
    assert!(query.headers.contains(&date), "{:?}", query.headers);

    let gone = registrar.handle(
        at(50),
        &anna(),
        &register("a", 3, &[ONE], Some("0")),
        flow(6000),
    );
    assert_eq!(
        (gone.code, contacts(&gone).len(), gone.changes.len()),
        (200, 0, 1)
    );
    assert_eq!(registrar.operators().count(), 0);
}

#[test]
fn expires_of_the_contact_goes_before_the_header_and_nonsense_is_the_default() {
    let mut registrar = Registrar::new();
    let request = register(
        "a",
        1,
        &["<sip:a@h>;expires=30, <sip:b@h>", "<sip:c@h>;expires=soon"],
        Some("50"),
    );
    let answer = registrar.handle(at(0), &anna(), &request, flow(1));
    assert_eq!(
        contacts(&answer),
        [
            "<sip:c@h>;expires=120",
            "<sip:b@h>;expires=50",
            "<sip:a@h>;expires=30"
        ]
    );
    let brief = registrar.handle(
        at(0),
        &anna(),
        &register("b", 1, &["<sip:d@h>", "<sip:e@h>;expires=9"], None),
        flow(1),
    );
    assert_eq!((brief.code, brief.changes.len()), (423, 0));
    assert_eq!(brief.headers[0], (Name::MinExpires, "10".into()));
    assert_eq!(registrar.contacts(&anna()).count(), 3);
}

#[test]
fn an_old_request_of_the_same_call_id_changes_nothing() {
    let mut registrar = Registrar::new();
    registrar.handle(at(0), &anna(), &register("a", 5, &[ONE], None), flow(1));
    for request in [
        register("a", 5, &[TWO, ONE], None),
        register("a", 4, &[ONE], Some("0")),
        register("a", 5, &["*"], Some("0")),
    ] {
        let answer = registrar.handle(at(1), &anna(), &request, flow(2));
        assert_eq!((answer.code, answer.changes.len()), (500, 0));
    }
    assert_eq!(registrar.contacts(&anna()).count(), 1);
    let restarted = registrar.handle(at(2), &anna(), &register("b", 1, &[ONE], None), flow(3));
    assert_eq!(restarted.code, 200);
    assert_eq!(registrar.contacts(&anna()).next().unwrap().flow, flow(3));
}

#[test]
fn the_star_removes_all_and_stands_alone() {
    let mut registrar = Registrar::new();
    registrar.handle(
        at(0),
        &anna(),
        &register("a", 1, &[ONE, TWO], None),
        flow(1),
    );
    for request in [
        register("b", 1, &["*"], None),
        register("b", 1, &["*"], Some("60")),
        register("b", 1, &["*", ONE], Some("0")),
        register("b", 1, &["tel:+7"], None),
        register("b", 1, &["<sip:a@h"], None),
    ] {
        assert_eq!(
            registrar.handle(at(1), &anna(), &request, flow(1)).code,
            400
        );
    }
    let answer = registrar.handle(
        at(1),
        &anna(),
        &register("a", 2, &["*"], Some("0")),
        flow(1),
    );
    assert_eq!((answer.code, answer.changes.len()), (200, 2));
    assert_eq!(registrar.contacts(&anna()).count(), 0);
}

#[test]
fn the_same_instance_at_a_new_address_replaces_the_old() {
    let mut registrar = Registrar::new();
    let instance = "+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let old = format!("{ONE};{instance}");
    let new = format!("{TWO};{instance}");
    let other = format!("{TWO};+sip.instance=\"<urn:uuid:1>\";reg-id=2");
    registrar.handle(at(0), &anna(), &register("a", 1, &[&old], None), flow(1));
    let moved = registrar.handle(at(1), &anna(), &register("b", 1, &[&new], None), flow(2));
    assert_eq!(contacts(&moved), [format!("{TWO};{instance};expires=120")]);
    assert!(
        matches!(&moved.changes[..], [Change::Removed { contact, .. }, Change::Saved(_)] if contact.ends_with("5060"))
    );
    assert_eq!(
        registrar.find(&Uri::parse("sip:anna@192.0.2.1:5070").unwrap()),
        Some(flow(2))
    );
    assert_eq!(
        registrar.find(&Uri::parse("sip:anna@192.0.2.1:5060").unwrap()),
        None
    );
    registrar.handle(at(2), &anna(), &register("c", 1, &[&old], None), flow(2));
    registrar.handle(at(2), &anna(), &register("d", 1, &[&other], None), flow(2));
    assert_eq!(registrar.contacts(&anna()).count(), 2);
}

#[test]
fn bindings_end_and_the_oldest_makes_room() {
    let mut registrar = Registrar::new();
    for phone in 0..12u16 {
        let contact = format!("<sip:anna@h:{}>", 5060 + phone);
        let request = register(&format!("c{phone}"), 1, &[&contact], None);
        let answer = registrar.handle(at(u64::from(phone)), &anna(), &request, flow(phone));
        assert_eq!(answer.changes.len(), if phone < 10 { 1 } else { 2 });
    }
    let ports: Vec<_> = registrar
        .contacts(&anna())
        .filter_map(|phone| phone.contact.port())
        .collect();
    assert_eq!(ports, (5062..5072).rev().collect::<Vec<_>>());
    let due = registrar.poll_timeout().unwrap();
    assert!(due <= at(122).mono);
    assert_eq!(registrar.handle_timeout(at(122)).len(), 1);
    assert_eq!(registrar.poll_timeout(), Some(at(123).mono));
    assert_eq!(registrar.handle_timeout(at(200)).len(), 9);
    assert_eq!(registrar.poll_timeout(), None);
}

#[test]
fn bindings_survive_a_restart_for_what_is_left() {
    let mut registrar = Registrar::new();
    let first = registrar.handle(
        at(0),
        &anna(),
        &register("a", 7, &[ONE], Some("60")),
        flow(1),
    );
    let second = registrar.handle(at(1), &anna(), &register("b", 1, &[TWO], None), flow(2));
    let records: Vec<_> = first
        .changes
        .into_iter()
        .chain(second.changes)
        .map(|change| match change {
            Change::Saved(record) => record,
            Change::Removed { .. } => panic!("nothing was removed"),
        })
        .collect();
    let rebuild = |record: &BindingRecord| {
        (record.transport == "udp").then(|| Flow {
            remote: record.remote,
            ..flow(0)
        })
    };
    let mut restarted = Registrar::new();
    let now = Now {
        mono: Mono::ZERO,
        wall: at(30).wall,
    };
    assert_eq!(restarted.restore(now, records.clone(), rebuild), []);
    let found: Vec<_> = restarted.contacts(&anna()).collect();
    assert_eq!((found[0].flow, found[1].flow), (flow(2), flow(1)));
    assert_eq!(
        restarted.poll_timeout(),
        Some(Mono::from_micros(30_000_000))
    );
    let old = restarted.handle(now, &anna(), &register("a", 7, &[ONE], None), flow(1));
    assert_eq!(old.code, 500);

    let late = Now {
        mono: Mono::ZERO,
        wall: at(60).wall,
    };
    let mut restarted = Registrar::new();
    assert_eq!(restarted.restore(late, records.clone(), rebuild).len(), 1);
    assert_eq!(Registrar::new().restore(now, records, |_| None).len(), 2);
}

proptest! {
    /// What the store was told adds up to what is registered, whatever is sent.
    #[test]
    fn changes_add_up(requests in prop::collection::vec((0u64..40, 0u8..3, 1u32..4, prop::collection::vec((0u16..14, 0u32..200), 0..4), any::<bool>()), 1..30)) {
        let mut registrar = Registrar::new();
        let mut stored: HashMap<String, BindingRecord> = HashMap::new();
        let mut now = at(0);
        for (wait, call_id, cseq, wishes, star) in requests {
            now = now + Duration::from_secs(wait);
            let lines: Vec<_> = if star && wishes.is_empty() {
                vec!["*".to_owned()]
            } else {
                wishes.iter().map(|(port, expires)| format!("<sip:anna@h:{port}>;expires={expires}")).collect()
            };
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let request = register(&call_id.to_string(), cseq, &lines, Some("0"));
            let mut changes = registrar.handle(now, &anna(), &request, flow(1)).changes;
            changes.extend(registrar.handle_timeout(now));
            for change in changes {
                match change {
                    Change::Saved(record) => { stored.insert(record.contact.clone(), record); }
                    Change::Removed { contact, .. } => prop_assert!(stored.remove(&contact).is_some()),
                }
            }
            let mut held: Vec<_> = registrar.contacts(&anna()).map(|phone| phone.place()).collect();
            prop_assert!(held.len() <= MAX_BINDINGS);
            prop_assert!(registrar.contacts(&anna()).all(|phone| phone.expires > now.mono));
            let mut kept: Vec<_> = stored.keys().cloned().collect();
            held.sort();
            kept.sort();
            prop_assert_eq!(held, kept);
        }
    }
}

#[test]
fn the_same_private_contact_of_two_operators_is_two_phones() {
    let mut registrar = Registrar::new();
    let boris = Operator::from("boris");
    let private = "<sip:phone@192.168.1.10:5060>";
    registrar.handle(at(0), &anna(), &register("a", 1, &[private], None), flow(1));
    registrar.handle(at(1), &boris, &register("b", 1, &[private], None), flow(2));
    let contact = Uri::parse("sip:phone@192.168.1.10:5060").unwrap();
    let found = |operator| registrar.find_of(operator, &contact, None).unwrap().flow;
    assert_eq!((found(&anna()), found(&boris)), (flow(1), flow(2)));
}

/// A flow from another home.
fn from(remote: &str, connection: ConnectionId) -> Flow {
    Flow {
        remote: remote.parse().unwrap(),
        connection,
        transport: if connection.is_none() {
            Transport::Udp
        } else {
            Transport::Tls
        },
        ..flow(1)
    }
}

const PRIVATE: &str = "<sip:phone@192.168.1.10:5060>";
const INSTANCE: &str = "\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

#[test]
fn two_homes_with_the_same_private_address_are_two_phones() {
    let mut registrar = Registrar::new();
    let home = from("198.51.100.1:40000", ConnectionId::NONE);
    let cottage = from("198.51.100.2:41000", ConnectionId::NONE);
    let anna = anna();
    registrar.handle(at(0), &anna, &register("a", 1, &[PRIVATE], None), home);
    let changes = registrar.handle(at(1), &anna, &register("b", 1, &[PRIVATE], None), cottage);
    assert_eq!(changes.changes.len(), 1, "{changes:?}");
    let places: Vec<_> = registrar
        .phones(&anna)
        .iter()
        .map(|one| one.place())
        .collect();
    assert_eq!(
        places,
        [
            "sip:phone@192.168.1.10:5060 via 198.51.100.2:41000",
            "sip:phone@192.168.1.10:5060 via 198.51.100.1:40000"
        ]
    );
    let (contact, remote) = split_place(&places[1]);
    let contact = Uri::parse(contact).unwrap();
    let found = registrar.find_of(&anna, &contact, remote).unwrap();
    assert_eq!(found.flow, home);
    // The router forgot and mapped the phone to another port: the same phone.
    let moved = from("198.51.100.1:40002", ConnectionId::NONE);
    let changes = registrar.handle(at(2), &anna, &register("a", 2, &[PRIVATE], None), moved);
    assert_eq!(changes.changes.len(), 2, "{changes:?}");
    // So is the phone that changed the router, as long as it goes on with its Call-ID.
    let roaming = from("203.0.113.50:9000", ConnectionId::NONE);
    registrar.handle(at(3), &anna, &register("a", 3, &[PRIVATE], None), roaming);
    assert_eq!(registrar.phones(&anna).len(), 2);
}

fn outbound(call_id: &str, reg_id: u32, path: Option<&str>, vias: &str) -> Message {
    let contact = format!("{PRIVATE};reg-id={reg_id};+sip.instance={INSTANCE}");
    let mut writer = Writer::request("REGISTER", "sip:shop")
        .header(Name::Via, vias)
        .header(Name::From, "<sip:anna@shop>;tag=1")
        .header(Name::To, "<sip:anna@shop>")
        .header(Name::CallId, call_id)
        .header(Name::CSeq, "1 REGISTER")
        .header(Name::Supported, "path, outbound")
        .header(Name::Contact, contact);
    if let Some(path) = path {
        writer = writer.header(Name::Path, path);
    }
    Message::parse(writer.finish()).unwrap()
}

const ONE_VIA: &str = "SIP/2.0/TLS h;branch=z9hG4bK1";
const TWO_VIAS: &str = "SIP/2.0/TLS p;branch=z9hG4bK2, SIP/2.0/TLS h;branch=z9hG4bK1";

#[test]
fn two_flows_of_one_phone_are_kept_and_one_is_rung() {
    let mut registrar = Registrar::new();
    let first = from("198.51.100.1:40000", ConnectionId::theirs(1));
    let second = from("198.51.100.1:40001", ConnectionId::theirs(2));
    let answer = registrar.handle(at(0), &anna(), &outbound("a", 1, None, ONE_VIA), first);
    assert_eq!(answer.code, 200);
    for header in [
        (Name::Require, "outbound".to_owned()),
        (Name::FlowTimer, "120".to_owned()),
    ] {
        assert!(answer.headers.contains(&header), "{:?}", answer.headers);
    }
    registrar.handle(at(1), &anna(), &outbound("b", 2, None, ONE_VIA), second);
    assert_eq!(registrar.contacts(&anna()).count(), 2);
    let rung = |registrar: &Registrar| {
        let phones = registrar.phones(&anna());
        phones.iter().map(|one| one.flow).collect::<Vec<_>>()
    };
    assert_eq!(rung(&registrar), [second]);
    assert_eq!(registrar.drop_flow(&second).len(), 1);
    assert_eq!(rung(&registrar), [first]);
    // The phone comes back with the flow that it lost.
    let again = from("198.51.100.1:40009", ConnectionId::theirs(3));
    registrar.handle(at(2), &anna(), &outbound("c", 1, None, ONE_VIA), again);
    assert_eq!(rung(&registrar), [again]);
    assert_eq!(registrar.contacts(&anna()).count(), 1);
}

#[test]
fn a_proxy_on_the_way_must_keep_the_flow() {
    let mut registrar = Registrar::new();
    let flow = from("203.0.113.9:5061", ConnectionId::theirs(1));
    for path in [None, Some("<sip:edge.example;lr>")] {
        let refused = registrar.handle(at(0), &anna(), &outbound("a", 1, path, TWO_VIAS), flow);
        assert_eq!(refused.code, 439, "{path:?}");
    }
    let path = "<sip:inner.example;lr>,<sip:edge.example;lr;ob>";
    let taken = registrar.handle(
        at(0),
        &anna(),
        &outbound("a", 1, Some(path), TWO_VIAS),
        flow,
    );
    assert_eq!(taken.code, 200);
    let shown: Vec<_> = taken
        .headers
        .iter()
        .filter(|(name, _)| *name == Name::Path)
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(
        shown,
        ["<sip:inner.example;lr>", "<sip:edge.example;lr;ob>"]
    );
    assert_eq!(registrar.phones(&anna())[0].path, shown);
}

/// Each connection's phones, and no others, go with it, whatever was done to them before.
#[test]
fn a_closed_connection_takes_its_own_bindings() {
    let mut registrar = Registrar::new();
    let flow = |phone: u64| {
        let remote = format!("198.51.100.1:{}", 40_000 + phone);
        from(&remote, ConnectionId::theirs(phone / 2 + 1))
    };
    let who = |phone: u64| Operator::from(format!("phone{phone}"));
    for phone in 0..2_000 {
        let request = outbound(&format!("a{phone}"), 1, None, ONE_VIA);
        assert_eq!(
            registrar
                .handle(at(0), &who(phone), &request, flow(phone))
                .code,
            200
        );
    }
    // One moves to another connection.
    registrar.handle(
        at(1),
        &who(7),
        &outbound("b", 1, None, ONE_VIA),
        flow(1_999),
    );
    assert_eq!(registrar.drop_flow(&flow(7)).len(), 1);
    assert_eq!(registrar.drop_flow(&flow(7)), []);
    assert_eq!(registrar.drop_flow(&flow(1_998)).len(), 3);
    assert_eq!(registrar.operators().count(), 1_996);
    registrar.forget(|_| false);
    assert!(registrar.on.is_empty() && registrar.ends.is_empty());
}
