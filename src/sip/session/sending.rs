//! Our requests within a session's dialog: ACK, BYE, OPTIONS, and where they go (RFC 3261 §12.2.1).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::credentials::{Challenges, is_challenge};
use super::{Fate, Phase, RESOLVE_LIMIT, Session, Timer};
use crate::ledger::clock::Mono;
use crate::sip::dialog::Dialog;
use crate::sip::dialog::route::{self, Choice, NextHop};
use crate::sip::endpoint::Transport;
use crate::sip::endpoint::command::Headers;
use crate::sip::endpoint::core::{self, Core};
use crate::sip::endpoint::event::{Event, Flow};
use crate::sip::endpoint::flow::fit;
use crate::sip::header::rack::RAck;
use crate::sip::locate::Wish;
use crate::sip::transaction::{ClientId, Failure, User};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Method, Name, Writer};

/// A request that is to be sent within the dialog.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// The ACK to a 2xx; it repeats the INVITE's credentials (RFC 3261 §13.2.2.4). With our answer where the 2xx brought an offer; else that is empty.
    Ack {
        client: ClientId,
        cseq: u32,
        lines: Headers,
        sdp: Bytes,
    },
    Bye {
        lines: Headers,
    },
    Probe {
        lines: Headers,
    },
    /// A report about a REFER: Event, Subscription-State, and the status line that is its body.
    Notice {
        lines: Headers,
        body: String,
    },
    /// The REFER that `referring` describes.
    Refer {
        lines: Headers,
    },
    /// The re-INVITE that `ours` describes.
    Offer {
        lines: Headers,
    },
    /// The UPDATE that refreshes the session.
    Update {
        lines: Headers,
    },
    /// The PRACK within the early dialog with this remote tag.
    Prack {
        rack: RAck,
        tag: String,
        lines: Headers,
    },
}

impl Session {
    /// Acknowledges the 2xx that confirmed the dialog.
    pub(super) fn send_ack(
        &mut self,
        core: &mut Core,
        now: Mono,
        client: ClientId,
        cseq: u32,
        lines: Headers,
    ) {
        self.submit(
            core,
            now,
            Held::Ack {
                client,
                cseq,
                lines,
                sdp: Bytes::new(),
            },
        );
    }

    pub(super) fn send_bye(&mut self, core: &mut Core, now: Mono) {
        let lines = self.credentials_before(core, Method::Bye);
        self.submit(core, now, Held::Bye { lines });
    }

    /// What a request within the dialog carries before it is challenged: an answer to the challenges that the INVITE met.
    pub(super) fn credentials_before(&mut self, core: &mut Core, method: Method) -> Headers {
        let Some(dialog) = self.dialogs.first() else {
            return Headers::new();
        };
        let credentials = self.credentials.as_ref();
        let entropy = &mut core.entropy;
        self.authority
            .before(method.as_str(), &dialog.target, credentials, entropy)
    }

    /// Sends OPTIONS, unless one is under way.
    pub fn probe(&mut self, core: &mut Core, now: Mono) -> Fate {
        self.ask_alive(core, now);
        Fate::Alive
    }

    pub(super) fn ask_alive(&mut self, core: &mut Core, now: Mono) {
        if matches!(self.phase, Phase::Established { .. }) && self.probe.is_none() {
            self.probe = Some(Probe::default());
            self.ask_again(core, now);
        }
    }

    pub(super) fn ask_again(&mut self, core: &mut Core, now: Mono) {
        if self.probe.is_some() {
            let lines = self.credentials_before(core, Method::Options);
            self.submit(core, now, Held::Probe { lines });
        }
    }

    /// BYE has a final response; `None`: it never will.
    pub fn bye_answered(&mut self, core: &mut Core, now: Mono, response: Option<&Message>) -> Fate {
        let uri = self.dialogs.first().map(|dialog| dialog.target.clone());
        let (Some(response), Some(uri), Phase::Closing { challenges, .. }) =
            (response, uri, &mut self.phase)
        else {
            return Fate::Gone;
        };
        if response.status() < 200 {
            return Fate::Alive;
        }
        if !is_challenge(response.status()) {
            return Fate::Gone;
        }
        let method = Method::Bye.as_str();
        let credentials = self.credentials.as_ref();
        match challenges.answer(response, method, &uri, credentials, &mut core.entropy) {
            Some(lines) => {
                self.submit(core, now, Held::Bye { lines });
                Fate::Alive
            }
            None => Fate::Gone,
        }
    }

    /// OPTIONS could not be sent, or nobody answers it. A phone whose connection broke may be back on another one in a moment.
    pub fn probe_failed(&mut self, core: &mut Core, now: Mono, how: Failure) -> Fate {
        if how == Failure::Transport
            && let Some(probe) = &mut self.probe
            && probe.unsent < MOST_UNSENT
            && matches!(self.phase, Phase::Established { .. })
        {
            probe.unsent += 1;
            self.timers.set(Timer::Probe as usize, now + UNSENT_WAIT);
            return Fate::Alive;
        }
        self.probe_answered(core, now, None)
    }

    /// OPTIONS has a final response; `None`: it never will.
    pub fn probe_answered(
        &mut self,
        core: &mut Core,
        now: Mono,
        response: Option<&Message>,
    ) -> Fate {
        let uri = self
            .dialogs
            .first()
            .map(|dialog| dialog.target.clone())
            .unwrap_or_default();
        let Some(Probe { challenges, .. }) = &mut self.probe else {
            return Fate::Alive;
        };
        let code = response.map_or(408, Message::status);
        if code < 200 {
            return Fate::Alive;
        }
        if let Some(response) = response
            && is_challenge(code)
        {
            let method = Method::Options.as_str();
            let credentials = self.credentials.as_ref();
            let lines = challenges.answer(response, method, &uri, credentials, &mut core.entropy);
            self.authority.learn(challenges);
            if let Some(lines) = lines {
                self.submit(core, now, Held::Probe { lines });
                return Fate::Alive;
            }
        }
        self.probe = None;
        if matches!(self.phase, Phase::Established { .. }) {
            if code == 481 {
                self.lose(core, now, "The dialog is not known any more");
                return Fate::Alive;
            }
            core.report(Event::Probed {
                session: self.id,
                alive: code != 408,
            });
        }
        Fate::Alive
    }

    /// The addresses of a next hop, or none: as `routed`, by the transport of its URI.
    pub fn resolved(
        &mut self,
        core: &mut Core,
        now: Mono,
        id: Option<u64>,
        addresses: &[SocketAddr],
    ) {
        let Some(dialog) = self.dialogs.first() else {
            return;
        };
        let transport = route::transport(dialog);
        let flows: Vec<Flow> = addresses
            .iter()
            .map(|address| dialog.flow.towards(transport, *address))
            .collect();
        self.routed(core, now, id, &flows);
    }

    /// The flows to a next hop, or none: then requests go where the INVITE went, for there the far side was heard. `id` `None`: whichever look-up is under way.
    pub fn routed(&mut self, core: &mut Core, now: Mono, id: Option<u64>, flows: &[Flow]) {
        let Some(dialog) = self.dialogs.first_mut() else {
            return;
        };
        match dialog.next_hop {
            NextHop::Resolving(waiting) if id.is_none_or(|id| id == waiting) => {
                core.resolving.remove(&waiting);
                let same_family =
                    |flow: &&Flow| flow.remote.is_ipv4() == dialog.flow.remote.is_ipv4();
                let flow = match flows.iter().find(same_family) {
                    Some(flow) if flow.transport.is_reliable() => *flow,
                    Some(flow) => dialog.flow.towards(flow.transport, flow.remote),
                    None => dialog.flow,
                };
                dialog.next_hop = NextHop::At(flow);
            }
            _ => return,
        }
        self.timers.stop(Timer::Resolve as usize);
        for held in std::mem::take(&mut self.held) {
            self.submit(core, now, held);
        }
    }

    pub(super) fn submit(&mut self, core: &mut Core, now: Mono, held: Held) {
        match self.next_hop(core, now) {
            Some(flow) => self.transmit(core, now, &flow, held),
            None => self.held.push(held),
        }
    }

    /// Sends within an early dialog at once: a host name in its Contact is not waited for, the INVITE's way is good enough until the 2xx.
    pub(super) fn submit_early(&mut self, core: &mut Core, now: Mono, held: Held) {
        let Held::Prack { rack, tag, lines } = held else {
            return self.submit(core, now, held);
        };
        let dialog = self
            .dialogs
            .iter_mut()
            .find(|dialog| dialog.remote_tag == tag);
        let Some(dialog) = dialog else { return };
        let flow = match route::choose(dialog) {
            Choice::Send(flow) => flow,
            Choice::Resolve { .. } => dialog.flow,
        };
        let branch = ClientId::new(&mut core.entropy);
        dialog.local_cseq += 1;
        let writer = dialog
            .request(Method::Prack.as_str(), dialog.local_cseq, branch, &flow)
            .header(Name::RAck, rack)
            .header(Name::UserAgent, core.product());
        let writer = core::append(writer, &lines);
        let underway = self.pracks.iter_mut().find(|prack| prack.is_of(&tag, rack));
        let bytes = match underway {
            Some(prack) => {
                prack.client = Some(branch);
                finish_with_sdp(writer, &prack.answer)
            }
            None => writer.finish(),
        };
        let user = User::Prack(self.id);
        core.layer
            .start(now, branch, Method::Prack, flow, user, bytes);
    }

    fn next_hop(&mut self, core: &mut Core, now: Mono) -> Option<Flow> {
        let id = self.id;
        let dialog = self.dialogs.first_mut()?;
        match dialog.next_hop {
            NextHop::At(flow) => return Some(flow),
            NextHop::Resolving(_) => return None,
            NextHop::Unknown => {}
        }
        match route::choose(dialog) {
            Choice::Send(flow) => {
                dialog.next_hop = NextHop::At(flow);
                Some(flow)
            }
            Choice::Resolve {
                host,
                port,
                transport,
            } => {
                let wish = Wish {
                    host,
                    port,
                    transport: Some(transport),
                    secure: false,
                };
                dialog.next_hop = NextHop::Resolving(core.resolve(id, wish));
                self.timers
                    .set(Timer::Resolve as usize, now + RESOLVE_LIMIT);
                None
            }
        }
    }

    fn transmit(&mut self, core: &mut Core, now: Mono, flow: &Flow, held: Held) {
        let (method, user) = match &held {
            Held::Prack { .. } => return self.submit_early(core, now, held),
            Held::Ack { .. } => (Method::Ack, User::Nobody),
            Held::Bye { .. } => (Method::Bye, User::Bye(self.id)),
            Held::Probe { .. } => (Method::Options, User::Probe(self.id)),
            Held::Notice { .. } => (Method::Notify, User::Refer(self.id)),
            Held::Refer { .. } => (Method::Refer, User::ReferSent(self.id)),
            Held::Offer { .. } => (Method::Invite, User::Reinvite(self.id)),
            Held::Update { .. } => (Method::Update, User::Update(self.id)),
        };
        let branch = ClientId::new(&mut core.entropy);
        let Some(cseq) = self.number(branch, &held) else {
            return;
        };
        let Some(dialog) = self.dialogs.first() else {
            return;
        };
        let large = self.large.filter(|large| may_grow(dialog, flow, large));
        let writing = |flow: &Flow| {
            let writer = dialog.request(method.as_str(), cseq, branch, flow);
            self.write(core, dialog, flow, &held, writer)
        };
        let (flow, bytes) = fit(*flow, large, writing);
        match held {
            Held::Ack { client, .. } => {
                let tag = dialog.remote_tag.as_str();
                core.layer.acknowledge(client, tag, flow, bytes);
            }
            _ => core.layer.start(now, branch, method, flow, user, bytes),
        }
    }

    /// The CSeq of a request that is about to be sent, which is noted where its answer is awaited; `None`: it is not wanted any more.
    fn number(&mut self, branch: ClientId, held: &Held) -> Option<u32> {
        let dialog = self.dialogs.first_mut()?;
        if let Held::Ack { cseq, .. } = held {
            return Some(*cseq);
        }
        let cseq = dialog.local_cseq + 1;
        match held {
            Held::Offer { lines } => {
                let ours = self.ours.as_mut()?;
                (ours.client, ours.cseq) = (branch, cseq);
                ours.lines.clone_from(lines);
            }
            Held::Update { .. } => self.updating.as_mut()?.client = branch,
            Held::Refer { .. } => {
                self.referring.as_ref()?;
            }
            _ => {}
        }
        dialog.local_cseq = cseq;
        Some(cseq)
    }

    /// The rest of a request within the dialog.
    fn write(
        &self,
        core: &Core,
        dialog: &Dialog,
        flow: &Flow,
        held: &Held,
        writer: Writer,
    ) -> Bytes {
        let with_contact = |writer: Writer| {
            writer
                .header(Name::Contact, dialog.contact(flow))
                .header(Name::UserAgent, core.product())
        };
        match held {
            Held::Ack { lines, sdp, .. } => finish_with_sdp(core::append(writer, lines), sdp),
            Held::Offer { lines } => {
                let writer = core::abilities_unreliably(with_contact(writer));
                let writer = core::append(core::append(writer, &self.timing.ask()), lines);
                let sdp = self.ours.as_ref().map_or(&[][..], |ours| &ours.sdp);
                writer.finish_with(core::SDP, sdp)
            }
            Held::Update { lines } => {
                let writer = core::abilities_unreliably(with_contact(writer));
                core::append(core::append(writer, &self.timing.ask()), lines).finish()
            }
            Held::Bye { lines } => {
                let reason = match &self.phase {
                    Phase::Closing { reason, .. } => reason.as_deref(),
                    _ => None,
                };
                let writer = match reason {
                    Some(reason) => writer.header(Name::Reason, reason),
                    None => writer,
                };
                core::append(writer.header(Name::UserAgent, core.product()), lines).finish()
            }
            Held::Probe { lines } => {
                let writer = writer
                    .header(Name::Contact, dialog.contact(flow))
                    .header(Name::Accept, core::ACCEPT)
                    .header(Name::UserAgent, core.product());
                core::append(core::abilities(writer), lines).finish()
            }
            Held::Refer { lines } => {
                let none = (String::new(), Headers::new());
                let referring = self.referring.as_ref();
                let (to, headers) =
                    referring.map_or((&none.0, &none.1), |refer| (&refer.to, &refer.headers));
                let writer = writer
                    .header(Name::Contact, dialog.contact(flow))
                    .header(Name::ReferTo, to)
                    .header(Name::UserAgent, core.product());
                core::append(core::append(core::abilities(writer), lines), headers).finish()
            }
            Held::Notice { lines, body } => {
                let writer = core::abilities(with_contact(writer));
                core::append(writer, lines).finish_with(SIPFRAG, body.as_bytes())
            }
            // Within its early dialog.
            Held::Prack { .. } => writer.finish(),
        }
    }
}

/// Whether a large request may take the stream that the peer offers: the next hop is at the same address, and its URI leaves the transport open.
fn may_grow(dialog: &Dialog, flow: &Flow, large: &Flow) -> bool {
    let leaves_open =
        Uri::parse(dialog.next_uri()).is_ok_and(|uri| Transport::of_uri(&uri).is_none());
    leaves_open && flow.remote.ip() == large.remote.ip()
}

fn finish_with_sdp(writer: Writer, sdp: &Bytes) -> Bytes {
    match sdp.is_empty() {
        true => writer.finish(),
        false => writer.finish_with(core::SDP, sdp),
    }
}

/// An OPTIONS under way.
#[derive(Debug, Default)]
pub(super) struct Probe {
    challenges: Challenges,
    /// How often it could not be sent.
    unsent: u8,
}

/// How often an OPTIONS that cannot be sent is tried again, and after which time: about as long as one that is sent waits for its answer.
const MOST_UNSENT: u8 = 3;
const UNSENT_WAIT: Duration = Duration::from_secs(10);

/// A piece of a SIP message (RFC 3420).
const SIPFRAG: &str = "message/sipfrag;version=2.0";
