//! Messages that came and wait to be served: what running calls say first, new calls next, all the rest after them.
//!
//! So a storm of registrations or a flood of strangers delays no BYE. Only the first bytes and the To header are looked at here.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ledger::clock::Mono;
use crate::net::access::Standing;
use crate::sip::endpoint::Flow;

/// A message that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Where it came from.
    pub flow: Flow,
    /// All of it.
    pub bytes: Bytes,
    /// When it came.
    pub at: Mono,
    /// How urgent it is.
    pub urgency: Urgency,
}

/// What a message is about.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// A running call, or an answer to something of ours.
    Running,
    /// A new call, or a trunk's look whether we live.
    Call,
    /// Registrations, and whatever strangers send.
    Rest,
}

/// The queues.
#[derive(Debug, Default)]
pub struct Intake {
    queues: [VecDeque<Waiting>; 3],
    /// Served in a row while some of the rest waited.
    passed_over: u32,
}

impl Intake {
    /// Takes a message in. False: too many of its kind wait already, and it is dropped; SIP sends it again.
    pub fn push(&mut self, message: Waiting) -> bool {
        let place = message.urgency as usize;
        let (Some(queue), Some(most)) = (self.queues.get_mut(place), MOST.get(place)) else {
            return false;
        };
        // Who sends datagrams sends them again: they must not take the room of connections, which are not read without it.
        let most = match message.flow.transport.is_reliable() {
            true => *most,
            false => *most / 2,
        };
        if queue.len() >= most {
            return false;
        }
        queue.push_back(message);
        true
    }

    /// The next to be served.
    pub fn pop(&mut self) -> Option<Waiting> {
        let [running, calls, rest] = &mut self.queues;
        let turn = !rest.is_empty() && self.passed_over >= PASSED_OVER;
        if !turn && let Some(message) = running.pop_front().or_else(|| calls.pop_front()) {
            self.passed_over += u32::from(!rest.is_empty());
            return Some(message);
        }
        self.passed_over = 0;
        let message = rest.pop_front();
        if rest.is_empty() && rest.capacity() > KEPT {
            rest.shrink_to(KEPT);
        }
        message
    }

    /// Whether there is room for many more, so that connections need not wait.
    pub fn has_room(&self) -> bool {
        let mut queues = self.queues.iter().zip(MOST);
        queues.all(|(queue, most)| queue.len() < most - SPARE)
    }

    /// How urgent a message is that comes from a source of this standing. A CANCEL must not overtake its INVITE: it waits where that may wait.
    pub fn urgency(&self, bytes: &[u8], standing: Standing) -> Urgency {
        if !bytes.starts_with(b"CANCEL ") || is_within_dialog(bytes) {
            return urgency(bytes, standing);
        }
        let place = urgency(b"INVITE ", standing);
        match self.queues.get(place as usize) {
            Some(queue) if !queue.is_empty() => place,
            _ => Urgency::Running,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }
}

/// How urgent a message is that comes from a source of this standing, when none waits.
fn urgency(bytes: &[u8], standing: Standing) -> Urgency {
    let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    match method {
        b"SIP/2.0" | b"ACK" | b"BYE" | b"CANCEL" | b"PRACK" => Urgency::Running,
        b"REGISTER" | b"PUBLISH" | b"MESSAGE" => Urgency::Rest,
        _ if is_within_dialog(bytes) => Urgency::Running,
        b"INVITE" if standing != Standing::Stranger => Urgency::Call,
        b"OPTIONS" if standing == Standing::Trusted => Urgency::Call,
        _ => Urgency::Rest,
    }
}

/// Whether a message can be part of a running call, or an answer to something of ours.
pub(super) fn may_run(bytes: &[u8]) -> bool {
    urgency(bytes, Standing::Stranger) == Urgency::Running
}

/// Whether the To header has a tag.
fn is_within_dialog(bytes: &[u8]) -> bool {
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        if line.is_empty() || line == b"\r" {
            return false;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"To") || name.eq_ignore_ascii_case(b"t") {
            return value
                .windows(5)
                .any(|window| window.eq_ignore_ascii_case(b";tag="));
        }
    }
    false
}

/// How many may wait, by urgency; of datagrams half as many.
const MOST: [usize; 3] = [8_192, 2_048, 8_192];
/// With less room than this left in a queue, connections are not read.
const SPARE: usize = 512;
/// After so many of the others the rest has a turn.
const PASSED_OVER: u32 = 16;
/// Room that the rest keeps.
const KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::sip::endpoint::ListenerId;

    fn of(text: &str, standing: Standing) -> Urgency {
        urgency(text.as_bytes(), standing)
    }

    #[test]
    fn running_calls_go_first_and_strangers_last() {
        use Standing::{Known, Stranger, Trusted};
        let new = "INVITE sip:x SIP/2.0\r\nTo: <sip:x>\r\n\r\n;tag=1";
        assert_eq!(of(new, Trusted), Urgency::Call);
        assert_eq!(of(new, Known), Urgency::Call);
        assert_eq!(of(new, Stranger), Urgency::Rest);
        let again = "INVITE sip:x SIP/2.0\r\nFrom: <sip:y>;tag=1\r\nt : <sip:x>;TAG=2\r\n\r\n";
        assert_eq!(of(again, Stranger), Urgency::Running);
        assert_eq!(of("SIP/2.0 200 OK\r\n\r\n", Stranger), Urgency::Running);
        assert_eq!(
            of("CANCEL sip:x SIP/2.0\r\n\r\n", Stranger),
            Urgency::Running
        );
        assert_eq!(of("REGISTER sip:x SIP/2.0\r\n\r\n", Trusted), Urgency::Rest);
        assert_eq!(of("OPTIONS sip:x SIP/2.0\r\n\r\n", Trusted), Urgency::Call);
        assert_eq!(of("OPTIONS sip:x SIP/2.0\r\n\r\n", Known), Urgency::Rest);
        assert_eq!(of("", Trusted), Urgency::Rest);
    }

    fn waiting(urgency: Urgency, number: u16) -> Waiting {
        Waiting {
            flow: Flow::udp(
                ListenerId(0),
                SocketAddr::from(([192, 0, 2, 1], number)),
                SocketAddr::from(([192, 0, 2, 9], 5060)),
            ),
            bytes: Bytes::new(),
            at: Mono::ZERO,
            urgency,
        }
    }

    #[test]
    fn each_kind_keeps_its_order_and_none_starves() {
        let mut intake = Intake::default();
        for number in 0..100 {
            for urgency in [Urgency::Rest, Urgency::Call, Urgency::Running] {
                assert!(intake.push(waiting(urgency, number)));
            }
        }
        let served: Vec<Waiting> = std::iter::from_fn(|| intake.pop()).collect();
        assert_eq!((served.len(), intake.len()), (300, 0));
        let place = |urgency, number| {
            served
                .iter()
                .position(|one| *one == waiting(urgency, number))
                .unwrap()
        };
        assert!(place(Urgency::Running, 99) < 110);
        assert!(place(Urgency::Call, 99) < 220);
        assert!(place(Urgency::Rest, 0) < 20);
        for urgency in [Urgency::Rest, Urgency::Call, Urgency::Running] {
            assert!((1..100).all(|number| place(urgency, number - 1) < place(urgency, number)));
        }
    }

    #[test]
    fn a_cancel_does_not_overtake_its_invite() {
        use Standing::{Known, Stranger};
        let cancel = b"CANCEL sip:x SIP/2.0\r\nTo: <sip:x>\r\n\r\n";
        let mut intake = Intake::default();
        assert_eq!(intake.urgency(cancel, Known), Urgency::Running);
        intake.push(waiting(Urgency::Call, 1));
        assert_eq!(intake.urgency(cancel, Known), Urgency::Call);
        assert_eq!(intake.urgency(cancel, Stranger), Urgency::Running);
        intake.push(waiting(Urgency::Rest, 1));
        assert_eq!(intake.urgency(cancel, Stranger), Urgency::Rest);
        // That of an offer within a dialog, which goes first.
        let within = b"CANCEL sip:x SIP/2.0\r\nTo: <sip:x>;tag=1\r\n\r\n";
        assert_eq!(intake.urgency(within, Known), Urgency::Running);
        assert_eq!(
            intake.urgency(b"BYE sip:x SIP/2.0\r\n\r\n", Known),
            Urgency::Running
        );
    }

    #[test]
    fn a_flood_is_cut_off() {
        let mut intake = Intake::default();
        let taken = (0..20_000)
            .filter(|_| intake.push(waiting(Urgency::Rest, 1)))
            .count();
        assert_eq!(taken, MOST[2] / 2);
        assert!(intake.push(waiting(Urgency::Running, 1)));
        // Connections are read all the same, and what comes there has its place.
        assert!(intake.has_room());
        let mut on_connection = waiting(Urgency::Rest, 1);
        on_connection.flow.transport = crate::sip::endpoint::Transport::Tcp;
        for _ in taken..MOST[2] - SPARE {
            assert!(intake.has_room() && intake.push(on_connection.clone()));
        }
        assert!(!intake.has_room() && intake.push(on_connection));
        assert_eq!(intake.pop().unwrap().urgency, Urgency::Running);
    }
}
