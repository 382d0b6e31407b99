//! Subscriptions in virtual time, without an endpoint.

use super::*;
use crate::ledger::id::Name as Operator;
use crate::sip::endpoint::ListenerId;
use crate::sip::notifier::dialog_info::{DialogPhase, WatchedDialog};
use crate::sip::notifier::presence::Presence;

struct Rig {
    notifier: Notifier,
    now: Mono,
    flow: Flow,
    who: Operator,
    requests: u64,
}

/// What came out, in short.
#[derive(PartialEq, Debug)]
enum Said {
    Refused(u16),
    Accepted(String),
    Notified(String, String),
}

fn flow(port: u16) -> Flow {
    let remote = format!("192.0.2.1:{port}").parse().unwrap();
    Flow::udp(ListenerId(0), remote, "192.0.2.2:5060".parse().unwrap())
}

fn watched(package: Package) -> Watched {
    Watched {
        package,
        name: Operator::from("anna"),
    }
}

fn ringing() -> State {
    State::Dialogs(vec![WatchedDialog {
        id: "1".into(),
        phase: DialogPhase::Early,
        is_initiator: false,
        name: None,
        remote: None,
        display: None,
    }])
}

fn idle() -> State {
    State::Dialogs(Vec::new())
}

impl Rig {
    fn new() -> Rig {
        Rig {
            notifier: Notifier::new(Entropy::from_number(3)),
            now: Mono::from_micros(1_000_000),
            flow: flow(5062),
            who: Operator::from("boris"),
            requests: 0,
        }
    }

    fn message(&mut self, event: &str, expires: Option<u64>, cseq: u32, to_tag: &str) -> Message {
        let expires = expires.map_or(String::new(), |n| format!("Expires: {n}\r\n"));
        let tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        let text = format!(
            "SUBSCRIBE sip:anna@pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK{cseq}\r\n\
             From: <sip:boris@pbx.test>;tag=his\r\nTo: <sip:anna@pbx.test>{tag}\r\nCall-ID: c1\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Contact: <sip:boris@192.0.2.1:5062>\r\nEvent: {event}\r\n{expires}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn begin(&mut self, event: &str, expires: Option<u64>, state: State) -> Vec<Said> {
        let message = self.message(event, expires, 1, "");
        let package = Package::parse(event).unwrap();
        self.requests += 1;
        let who = self.who.clone();
        let request = Subscribe {
            id: RequestId(self.requests),
            flow: self.flow,
            message: &message,
            who: &who,
        };
        self.notifier
            .begin(self.now, &request, watched(package), state);
        self.drain()
    }

    fn renew(&mut self, expires: u64, cseq: u32, tag: &str) -> Vec<Said> {
        let message = self.message("dialog", Some(expires), cseq, tag);
        self.requests += 1;
        let who = self.who.clone();
        let request = Subscribe {
            id: RequestId(self.requests),
            flow: self.flow,
            message: &message,
            who: &who,
        };
        self.notifier.renew(self.now, &request);
        self.drain()
    }

    fn publish(&mut self, state: &State) -> Vec<Said> {
        self.notifier
            .publish(self.now, &watched(Package::Dialog), state);
        self.drain()
    }

    /// The phone registers from its flow; another one of his is at `other`.
    fn rejoin(&mut self, contact: &str, other: Option<Flow>) -> Vec<Said> {
        let contact = Uri::parse(contact).unwrap();
        let (who, flow) = (self.who.clone(), self.flow);
        self.notifier
            .rejoin(self.now, &who, &contact, &flow, |at| Some(*at) == other);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.notifier.poll_command())
            .map(|command| match command {
                Command::Reply { code, .. } => Said::Refused(code),
                Command::ReplyWithin { tag, code, .. } => {
                    assert_eq!(code, 200);
                    Said::Accepted(tag.to_string())
                }
                Command::Notify(notify) => {
                    assert!(Notifier::is_ours(notify.id));
                    let state = &notify.headers[1].1;
                    let (_, body) = notify.body.unwrap();
                    let body = String::from_utf8(body.to_vec()).unwrap();
                    Said::Notified(state.clone(), body)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// The NOTIFY in flight is answered.
    fn answer(&mut self, code: u16) -> Vec<Said> {
        let id = RequestId(OURS | self.notifier.last_request);
        self.notifier.answered(self.now, id, code);
        self.drain()
    }

    fn pass(&mut self, seconds: u64) -> Vec<Said> {
        self.now = self.now + Duration::from_secs(seconds);
        self.notifier.handle_timeout(self.now);
        self.drain()
    }

    fn is_empty(&self) -> bool {
        let one = &self.notifier;
        one.subscriptions.is_empty()
            && one.watchers.is_empty()
            && one.owned.is_empty()
            && one.deadlines.is_empty()
            && one.requests.is_empty()
    }
}

fn tag(said: &[Said]) -> String {
    match &said[0] {
        Said::Accepted(tag) => tag.clone(),
        other => panic!("{other:?}"),
    }
}

fn body(said: &Said) -> &str {
    match said {
        Said::Notified(_, body) => body,
        other => panic!("{other:?}"),
    }
}

fn state(said: &Said) -> &str {
    match said {
        Said::Notified(state, _) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_state_is_told_at_once_and_when_it_changes() {
    let mut rig = Rig::new();
    let said = rig.begin("dialog", Some(300), idle());
    assert_eq!(said.len(), 2);
    assert_eq!(state(&said[1]), "active;expires=300");
    assert!(body(&said[1]).contains("version=\"0\""));
    assert_eq!(rig.answer(200), []);
    assert_eq!(rig.publish(&idle()), [], "no news");
    let said = rig.publish(&ringing());
    assert!(body(&said[0]).contains("version=\"1\""));
    assert!(body(&said[0]).contains("<state>early</state>"));
}

#[test]
fn one_notify_at_a_time_and_the_newest_state_last() {
    let mut rig = Rig::new();
    rig.begin("dialog", Some(300), idle());
    assert_eq!(rig.publish(&ringing()), [], "the first is not answered");
    assert_eq!(rig.publish(&idle()), []);
    assert_eq!(rig.publish(&ringing()), []);
    let said = rig.answer(200);
    assert_eq!(said.len(), 1);
    assert!(body(&said[0]).contains("<state>early</state>"));
    assert_eq!(rig.answer(200), []);
}

#[test]
fn it_expires_unless_it_is_renewed() {
    let mut rig = Rig::new();
    let said = rig.begin("dialog", Some(300), idle());
    let tag = tag(&said);
    rig.answer(200);
    rig.pass(200);
    let said = rig.renew(300, 2, &tag);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(state(&said[1]), "active;expires=300");
    rig.answer(200);
    assert_eq!(rig.pass(200), [], "it was renewed");
    let said = rig.pass(100);
    assert_eq!(state(&said[0]), "terminated;reason=timeout");
    assert!(rig.is_empty());
    assert_eq!(rig.renew(300, 3, &tag), [Said::Refused(481)]);
}

#[test]
fn it_ends_when_the_phone_says_so_or_is_gone() {
    let mut rig = Rig::new();
    let said = rig.begin("dialog", Some(300), idle());
    let first = tag(&said);
    rig.answer(200);
    let said = rig.renew(0, 2, &first);
    assert_eq!(state(&said[1]), "terminated;reason=timeout");
    assert!(rig.is_empty());
    rig.begin("dialog", None, idle());
    assert_eq!(rig.answer(481), []);
    assert!(rig.is_empty());
    rig.begin("dialog", None, idle());
    rig.answer(200);
    rig.notifier.retain(|who, _| who.as_str() != "boris");
    assert_eq!(state(&rig.drain()[0]), "terminated;reason=noresource");
    assert!(rig.is_empty());
}

#[test]
fn another_ones_dialog_and_old_requests_are_refused() {
    let mut rig = Rig::new();
    let said = rig.begin("dialog", Some(300), idle());
    let tag = tag(&said);
    assert_eq!(rig.renew(300, 1, &tag), [Said::Refused(500)]);
    assert_eq!(rig.renew(300, 2, "0123456789abcdef"), [Said::Refused(481)]);
    assert_eq!(rig.renew(30, 2, &tag), [Said::Refused(423)]);
    assert_eq!(rig.notifier.count(), 1);
}

#[test]
fn too_short_too_many_and_only_once() {
    let mut rig = Rig::new();
    assert_eq!(rig.begin("dialog", Some(59), idle()), [Said::Refused(423)]);
    let said = rig.begin("presence", Some(0), State::Presence(Presence::Available));
    assert_eq!(state(&said[1]), "terminated;reason=timeout");
    assert!(body(&said[1]).contains("<basic>open</basic>"));
    assert!(rig.is_empty());
    for _ in 0..MOST_PER_PHONE {
        assert_eq!(rig.begin("dialog", None, idle()).len(), 2);
    }
    assert_eq!(rig.begin("dialog", None, idle()), [Said::Refused(403)]);
    rig.flow = flow(5070);
    assert_eq!(rig.begin("dialog", None, idle()).len(), 2);
    assert_eq!(rig.pass(3600).len(), MOST_PER_PHONE + 1);
    assert!(rig.is_empty());
}

#[test]
fn an_event_keeps_its_id() {
    let mut rig = Rig::new();
    rig.begin("dialog;id=9", None, idle());
    let one = rig.notifier.subscriptions.values().next().unwrap();
    assert_eq!(one.event, "dialog;id=9");
    assert_eq!(one.entity, "sip:anna@pbx.test");
}

#[test]
fn a_restarted_phone_says_that_it_knows_nothing_of_its_older_ones() {
    let mut rig = Rig::new();
    let old = tag(&rig.begin("dialog", None, idle()));
    rig.answer(200);
    let said = rig.begin("dialog", None, idle());
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        body(&said[2]).contains("version=\"1\""),
        "the older one is told as well"
    );
    rig.answer(481);
    assert_eq!(rig.notifier.count(), 1);
    assert_eq!(rig.renew(300, 2, &old), [Said::Refused(481)]);
    assert_eq!(rig.begin("presence", None, idle()).len(), 2);
}

#[test]
fn a_full_phone_gives_up_what_ends_first_but_nothing_that_is_new() {
    let mut rig = Rig::new();
    let first = tag(&rig.begin("dialog", Some(600), idle()));
    for _ in 1..MOST_PER_PHONE {
        rig.begin("dialog", None, idle());
    }
    assert_eq!(rig.begin("dialog", None, idle()), [Said::Refused(403)]);
    rig.who = Operator::from("carla");
    assert_eq!(rig.begin("dialog", None, idle()).len(), 2, "the same proxy");
    rig.who = Operator::from("boris");
    rig.pass(60);
    let said = rig.begin("dialog", None, idle());
    assert_eq!(
        state(&said[0]),
        "terminated;reason=probation;retry-after=300"
    );
    assert!(matches!(said[1], Said::Accepted(_)), "{said:?}");
    assert_eq!(rig.notifier.count(), MOST_PER_PHONE + 1);
    assert_eq!(rig.renew(600, 2, &first), [Said::Refused(481)]);
}

#[test]
fn an_operators_phones_have_a_limit_together() {
    let mut rig = Rig::new();
    for one in 0..MOST_PER_OPERATOR {
        rig.flow = flow(10_000 + u16::try_from(one).unwrap());
        assert!(rig.begin("dialog", None, idle()).len() >= 2);
    }
    rig.flow = flow(9_999);
    assert_eq!(rig.begin("dialog", None, idle()), [Said::Refused(403)]);
    rig.pass(60);
    assert!(rig.begin("dialog", None, idle()).len() > 2);
    assert_eq!(rig.notifier.count(), MOST_PER_OPERATOR);
}

const CONTACT: &str = "sip:boris@192.0.2.1:5062";

#[test]
fn a_lost_phone_hears_nothing_until_it_is_back() {
    for code in [408, 503] {
        let mut rig = Rig::new();
        rig.begin("dialog", Some(300), idle());
        assert_eq!(rig.answer(code), []);
        assert_eq!(rig.publish(&ringing()), [], "{code}");
        let said = rig.rejoin(CONTACT, None);
        assert_eq!(said.len(), 1, "{code}");
        assert_eq!(state(&said[0]), "active;expires=300");
        assert!(body(&said[0]).contains("<state>early</state>"));
        assert_eq!(rig.rejoin(CONTACT, None), [], "it is where it was");
    }
    let mut rig = Rig::new();
    let known = tag(&rig.begin("dialog", Some(300), idle()));
    rig.notifier.close_flow(&flow(5063));
    rig.answer(200);
    assert_eq!(rig.publish(&ringing()).len(), 1, "another phone's flow");
    rig.notifier.close_flow(&flow(5062));
    assert_eq!(rig.answer(503), [], "it is not waited for");
    assert_eq!(rig.publish(&idle()), []);
    assert_eq!(rig.renew(300, 2, &known).len(), 2, "it is back by itself");
    rig.notifier.close_flow(&flow(5062));
    assert_eq!(rig.pass(300), [], "it ends in silence");
    assert!(rig.is_empty());
}

#[test]
fn a_phone_that_is_back_elsewhere_is_told_there() {
    let mut rig = Rig::new();
    rig.begin("dialog", Some(300), idle());
    rig.flow = flow(6000);
    assert_eq!(rig.rejoin("sip:boris@192.0.2.1:5070", None), []);
    assert_eq!(rig.rejoin(CONTACT, Some(flow(5062))), []);
    rig.who = Operator::from("carla");
    assert_eq!(rig.rejoin(CONTACT, None), []);
    rig.who = Operator::from("boris");
    assert_eq!(rig.rejoin(CONTACT, None).len(), 1);
    let one = rig.notifier.subscriptions.values().next().unwrap();
    assert_eq!(one.dialog.flow, flow(6000));
    let first = RequestId(OURS | 1);
    rig.notifier.answered(rig.now, first, 408);
    rig.answer(200);
    let said = rig.publish(&ringing());
    assert_eq!(said.len(), 1, "what went to the old place tells nothing");
}

#[test]
fn what_a_phone_has_lost_gives_way_to_what_it_asks_for_anew() {
    let mut rig = Rig::new();
    rig.begin("dialog", None, idle());
    rig.notifier.close_flow(&flow(5062));
    rig.flow = flow(6000);
    assert_eq!(rig.begin("dialog", None, idle()).len(), 2);
    assert_eq!(rig.notifier.count(), 1);
}
