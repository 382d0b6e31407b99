//! SIP endpoints against each other in virtual time, over a network that loses, repeats and reorders.

use std::collections::BTreeMap;

use crate::netem::{Conditions, Random};
use crate::sip_net::{A, B, SipNet, micros, with_seeds};
use bytes::Bytes;
use vats::sip::endpoint::command::{Command, Invite, Request, Routing, Usage};
use vats::sip::endpoint::event::{Event, RequestId};
use vats::sip::endpoint::{Census, SessionId};
use vats::sip::wire::Method;

const OFFER: &[u8] = b"v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\n";
const ANSWER: &[u8] = b"v=0\r\no=b 1 1 IN IP4 10.0.0.2\r\ns=-\r\n";
const SECOND: u64 = 1_000_000;

fn invite(net: &SipNet, session: u128) -> Command {
    Command::Invite(Box::new(Invite {
        session: SessionId(session),
        flow: net.flow(A),
        routing: Routing::Dialog,
        uri: "sip:bob@10.0.0.2".to_owned(),
        from: "<sip:alice@10.0.0.1>".to_owned(),
        to: "<sip:bob@10.0.0.2>".to_owned(),
        contact_user: Some("alice".to_owned()),
        call_id: format!("call-{session}"),
        sdp: Bytes::from_static(OFFER),
        credentials: None,
        max_forwards: 70,
        headers: Vec::new(),
        other_headers: Vec::new(),
        give_up_after: None,
        usage: Usage::default(),
    }))
}

fn assert_empty(net: &mut SipNet) {
    let end = micros(net.now) + 200 * SECOND;
    net.run_until(end);
    for side in [A, B] {
        assert_eq!(net.sides[side].census(), Census::default(), "side {side}");
        assert_eq!(
            net.sides[side].poll_timeout(),
            None,
            "side {side} has a timer left"
        );
    }
}

#[test]
fn requests_end_exactly_once() {
    with_seeds(1, 8, |seed| {
        let mut net = SipNet::new(seed, Conditions::BAD);
        let mut random = Random(seed);
        let mut answered: BTreeMap<RequestId, u16> = BTreeMap::new();
        let mut served = 0;
        let total = 2_000u64;
        let mut started = 0;
        loop {
            let start = (started < total).then_some(started * 10_000);
            let Some(next) = net.next().into_iter().chain(start).min() else {
                break;
            };
            net.advance_to(next);
            if start == Some(next) {
                let request = Request {
                    id: RequestId(started),
                    method: Method::Options,
                    flow: net.flow(A),
                    uri: "sip:10.0.0.2".to_owned(),
                    from: "<sip:a@10.0.0.1>".to_owned(),
                    to: "<sip:b@10.0.0.2>".to_owned(),
                    call_id: None,
                    cseq: 1,
                    credentials: None,
                    headers: Vec::new(),
                };
                started += 1;
                net.command(A, Command::Request(Box::new(request)));
            }
            while let Some(event) = net.event(B) {
                let Event::Request { id, .. } = event else {
                    panic!("unexpected {event:?}")
                };
                served += 1;
                let code = if random.happens(900) { 200 } else { 404 };
                net.command(
                    B,
                    Command::Reply {
                        id,
                        code,
                        headers: Vec::new(),
                    },
                );
            }
            while let Some(event) = net.event(A) {
                let Event::Response { id, code, .. } = event else {
                    panic!("unexpected {event:?}")
                };
                assert_eq!(answered.insert(id, code), None, "answered twice");
            }
        }
        assert_eq!(answered.len() as u64, total);
        assert!(served <= total, "a retransmission was served again");
        let timeouts = answered.values().filter(|code| **code == 408).count();
        assert!(timeouts < 5, "{timeouts} timeouts");
        assert_empty(&mut net);
    });
}

/// What happened to one session at one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Story {
    incoming: u32,
    acked: u32,
    answered: u32,
    late: u32,
    refused: u32,
    cancelled: u32,
    ended: u32,
    /// Re-INVITEs of ours, and how many of them were answered or refused.
    offers: u32,
    offers_settled: u32,
    rejected: bool,
    accepted: bool,
    end_asked: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Invite(u128),
    End(usize, SessionId),
    Accept(SessionId),
    Ring(SessionId),
    Reject(SessionId),
    Offer(usize, SessionId),
    AnswerOffer(usize, SessionId),
}

struct Script {
    net: SipNet,
    random: Random,
    steps: BTreeMap<(u64, u64), Step>,
    order: u64,
    stories: [BTreeMap<SessionId, Story>; 2],
}

impl Script {
    fn new(seed: u64, conditions: Conditions) -> Script {
        Script {
            net: SipNet::new(seed, conditions),
            random: Random(seed ^ 0x5eed),
            steps: BTreeMap::new(),
            order: 0,
            stories: [BTreeMap::new(), BTreeMap::new()],
        }
    }

    fn after(&mut self, delay: u64, step: Step) {
        self.order += 1;
        self.steps
            .insert((micros(self.net.now) + delay, self.order), step);
    }

    fn run(&mut self) {
        loop {
            let step = self.steps.keys().next().map(|(at, _)| *at);
            let Some(next) = self.net.next().into_iter().chain(step).min() else {
                return;
            };
            self.net.advance_to(next);
            while let Some(entry) = self
                .steps
                .first_entry()
                .filter(|entry| entry.key().0 <= next)
            {
                let step = entry.remove();
                self.take(step);
            }
            for side in [A, B] {
                while let Some(event) = self.net.event(side) {
                    self.hear(side, event);
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Invite(id) => {
                let command = invite(&self.net, id);
                self.stories[A].insert(SessionId(id), Story::default());
                self.net.command(A, command);
                if self.random.happens(400) {
                    let patience = self.random.below(3 * SECOND);
                    self.after(patience, Step::End(A, SessionId(id)));
                }
            }
            Step::End(side, session) => {
                self.stories[side]
                    .get_mut(&session)
                    .expect("known")
                    .end_asked = true;
                self.net.command(
                    side,
                    Command::End {
                        session,
                        reason: None,
                    },
                );
            }
            Step::Offer(side, session) => {
                let story = self.stories[side].get_mut(&session).expect("known");
                if story.ended == 0 && !story.end_asked {
                    story.offers += 1;
                    let sdp = Bytes::from_static(OFFER);
                    self.net.command(side, Command::Offer { session, sdp });
                }
            }
            Step::AnswerOffer(side, session) => {
                let command = if self.random.happens(800) {
                    let sdp = Bytes::from_static(ANSWER);
                    Command::AnswerOffer { session, sdp }
                } else {
                    Command::RefuseOffer {
                        session,
                        code: 488,
                        headers: Vec::new(),
                    }
                };
                self.net.command(side, command);
            }
            Step::Ring(session) => self.net.command(
                B,
                Command::Progress {
                    session,
                    code: 180,
                    sdp: None,
                },
            ),
            Step::Accept(session) => {
                let story = self.stories[B].get_mut(&session).expect("known");
                if story.cancelled == 0 && !story.end_asked {
                    story.accepted = true;
                    self.net.command(
                        B,
                        Command::Accept {
                            session,
                            sdp: Bytes::from_static(ANSWER),
                            headers: Vec::new(),
                        },
                    );
                }
            }
            Step::Reject(session) => {
                let story = self.stories[B].get_mut(&session).expect("known");
                if story.cancelled == 0 && !story.end_asked {
                    story.rejected = true;
                    self.net.command(
                        B,
                        Command::Reject {
                            session,
                            code: 486,
                            headers: Vec::new(),
                        },
                    );
                }
            }
        }
    }

    /// Perhaps a re-INVITE from this side soon.
    fn perhaps_offer(&mut self, side: usize, session: SessionId) {
        if self.random.happens(400) {
            let delay = self.random.below(3 * SECOND);
            self.after(delay, Step::Offer(side, session));
        }
    }

    fn hear(&mut self, side: usize, event: Event) {
        match event {
            Event::Offer { session, sdp } => {
                assert_eq!(sdp.as_deref(), Some(OFFER));
                let delay = self.random.below(200_000);
                self.after(delay, Step::AnswerOffer(side, session));
            }
            Event::OfferAnswered { session, sdp } => {
                assert_eq!(sdp.as_deref(), Some(ANSWER));
                self.story(side, session).offers_settled += 1;
                self.perhaps_offer(side, session);
            }
            Event::OfferRefused { session, .. } => self.story(side, session).offers_settled += 1,
            Event::Incoming { session, .. } => {
                self.stories[B].entry(session).or_default().incoming += 1;
                if self.random.happens(700) {
                    let delay = self.random.below(500_000);
                    self.after(delay, Step::Ring(session));
                }
                let delay = self.random.below(3 * SECOND);
                let step = if self.random.happens(800) {
                    Step::Accept(session)
                } else {
                    Step::Reject(session)
                };
                self.after(delay, step);
                if self.random.happens(300) {
                    let delay = self.random.below(6 * SECOND);
                    self.after(delay, Step::End(B, session));
                }
            }
            Event::Cancelled { session } => self.story(side, session).cancelled += 1,
            Event::Acked { session, .. } => {
                self.story(side, session).acked += 1;
                self.perhaps_offer(side, session);
            }
            Event::Progress { .. } => {}
            Event::Answered { session, late, sdp } => {
                assert_eq!(sdp.as_deref(), Some(ANSWER));
                let story = self.story(side, session);
                story.answered += 1;
                if late {
                    story.late += 1;
                    assert!(story.end_asked);
                    if self.random.happens(500) {
                        self.net.command(side, Command::Keep { session });
                        self.story(side, session).end_asked = false;
                    } else {
                        self.net.command(
                            side,
                            Command::End {
                                session,
                                reason: None,
                            },
                        );
                        return;
                    }
                }
                self.perhaps_offer(side, session);
                let talk = self.random.below(10 * SECOND);
                self.after(talk, Step::End(A, session));
            }
            Event::Refused { session, .. } => self.story(side, session).refused += 1,
            Event::Ended { session, .. } => self.story(side, session).ended += 1,
            other => panic!("unexpected {other:?}"),
        }
    }

    fn story(&mut self, side: usize, session: SessionId) -> &mut Story {
        self.stories[side]
            .get_mut(&session)
            .expect("an event of an unknown session")
    }
}

#[test]
fn random_sessions_end_on_both_sides() {
    with_seeds(100, 24, |seed| {
        let mut script = Script::new(seed, Conditions::BAD);
        let total = 500;
        for id in 0..total {
            script.after(id * 20_000, Step::Invite(u128::from(id) + 1));
        }
        script.run();
        let (mut answered, mut late, mut offers) = (0, 0, 0);
        for (session, story) in &script.stories[A] {
            answered += story.answered;
            late += story.late;
            offers += story.offers_settled;
            assert!(
                story.offers_settled <= story.offers,
                "{session:?} {story:?}"
            );
            let over = story.ended == 1 || story.end_asked;
            assert!(
                over || story.offers_settled == story.offers,
                "{session:?} {story:?}"
            );
            assert!(
                story.answered <= 1 && story.refused <= 1 && story.ended <= 1,
                "{session:?} {story:?}"
            );
            assert!(story.refused + story.answered <= 1, "{session:?} {story:?}");
            // Exactly one end: refused, ended from there, or ended by us.
            let ends = story.refused + story.ended;
            assert!(ends <= 1, "{session:?} {story:?}");
            assert!(
                ends == 1 || story.end_asked,
                "{session:?} has no end: {story:?}"
            );
            assert!(story.ended <= story.answered, "{session:?} {story:?}");
        }
        for (session, story) in &script.stories[B] {
            assert_eq!(story.incoming, 1);
            assert!(
                story.cancelled <= 1 && story.ended <= 1,
                "{session:?} {story:?}"
            );
            let ends = story.cancelled + story.ended + u32::from(story.rejected);
            assert!(ends <= 1, "{session:?} {story:?}");
            assert!(
                ends == 1 || story.end_asked,
                "{session:?} has no end: {story:?}"
            );
        }
        assert!(answered > total as u32 / 4, "{answered} answered");
        assert!(late > 0, "no 200 crossed a CANCEL");
        assert!(offers > 20, "{offers} re-INVITEs");
        assert_empty(&mut script.net);
    });
}

/// One session of an hour: the provisional response is acknowledged, the session refreshed every 45 s by whom it was agreed, and both sides
/// offer again and again, often at once.
#[test]
fn a_session_outlives_offers_that_cross_and_its_refreshes() {
    with_seeds(300, 12, |seed| {
        let mut net = SipNet::new(seed, Conditions::BAD);
        let mut random = Random(seed);
        let usage = |timed: bool| Usage {
            session_expires: timed.then_some(90),
            min_se: 0,
            reliable: true,
        };
        let Command::Invite(mut first) = invite(&net, 1) else {
            panic!("an INVITE")
        };
        first.usage = usage(!seed.is_multiple_of(3));
        net.command(A, Command::Invite(first));
        let mut sessions = [Some(SessionId(1)), None];
        let (mut offers, mut settled, mut crossed) = (0, 0, 0);
        let end = 3_600 * SECOND;
        let mut again = 10 * SECOND;
        while micros(net.now) < end {
            let next = net.next().into_iter().chain([again]).min();
            net.advance_to(next.expect("an offer is due"));
            if micros(net.now) >= again {
                again += 5 * SECOND + random.below(30 * SECOND);
                let both = random.happens(500);
                for side in [A, B] {
                    if let Some(session) = sessions[side].filter(|_| both || random.happens(500)) {
                        offers += 1;
                        let sdp = Bytes::from_static(OFFER);
                        net.command(side, Command::Offer { session, sdp });
                    }
                }
            }
            for side in [A, B] {
                while let Some(event) = net.event(side) {
                    match event {
                        Event::Incoming { session, .. } => {
                            let usage = usage(!seed.is_multiple_of(4));
                            net.command(B, Command::Use { session, usage });
                            let sdp = Bytes::from_static(ANSWER);
                            net.command(
                                B,
                                Command::Progress {
                                    session,
                                    code: 183,
                                    sdp: Some(sdp.clone()),
                                },
                            );
                            let headers = Vec::new();
                            net.command(
                                B,
                                Command::Accept {
                                    session,
                                    sdp,
                                    headers,
                                },
                            );
                            sessions[B] = Some(session);
                        }
                        Event::Answered { sdp, late, .. } => {
                            assert!(sdp.is_none() && !late, "the 183 had the answer");
                        }
                        Event::Offer { session, .. } => {
                            let sdp = Bytes::from_static(ANSWER);
                            net.command(side, Command::AnswerOffer { session, sdp });
                        }
                        Event::OfferAnswered { .. } => settled += 1,
                        Event::OfferRefused { code, .. } => {
                            assert_eq!(code, 491);
                            crossed += 1;
                        }
                        Event::Acked { .. } | Event::Progress { .. } => {}
                        Event::Probed { alive, .. } => assert!(alive),
                        other => panic!("unexpected {other:?}"),
                    }
                }
            }
        }
        // All but those of the last seconds are settled.
        assert!(settled + crossed + 4 >= offers, "{settled} of {offers}");
        assert!(
            settled * 2 > offers,
            "{settled} of {offers}, {crossed} crossed"
        );
        let (session, reason) = (SessionId(1), None);
        net.command(A, Command::End { session, reason });
        assert_empty(&mut net);
    });
}
