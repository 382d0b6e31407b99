//! The io_uring backend: each socket has one receive that goes on for ever and fills buffers given in advance, sends are
//! gathered, and one system call submits them and waits. Needs Linux 6.1; from 6.12 on a wait can gather what comes
//! within a [`Window`], so that a busy thread wakes a few thousand times a second instead of once for each packet.
//!
//! The ring belongs to one thread: completions are worked off only inside its own `io_uring_enter`, so nothing interrupts
//! it. Sends never wait for room (`MSG_DONTWAIT`), so each is over when the call that submits it returns, and only a
//! failure is told.

mod buffers;
mod outbox;
mod probe;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, Fixed, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use self::buffers::Buffers;
use self::outbox::Outbox;
use self::window::Window;
use super::{Detach, Told};
use crate::media::counters::{Counters, Reason};

pub use self::probe::{Unusable, probe};

/// A ring with the sockets of one worker.
pub struct Uring {
    /// Before the memory that it uses, which `drop` relies on.
    ring: IoUring,
    buffers: Buffers,
    outbox: Outbox,
    /// How receives are asked for: room for an address, no control data.
    shape: Box<Shape>,
    bell: RawFd,
    seats: Box<[Seat]>,
    /// Slots below this have their sockets in the ring's table of files, which spares the kernel to look each up.
    table: u32,
    attached: usize,
    /// Completions taken from the ring and not told yet.
    taken: VecDeque<cqueue::Entry>,
    /// Detached with the datagram told last.
    gone: Option<u64>,
    /// Sends that failed and are not counted yet.
    refused: u32,
    can_gather: bool,
    window: Window,
    /// What the last wait that gathered brought, and what was sent since.
    came: Option<usize>,
    sent: usize,
}

/// A message header without room of its own.
struct Shape(libc::msghdr);

// SAFETY: its pointers are null.
unsafe impl Send for Shape {}

/// A slot for a socket.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Seat {
    Empty,
    /// Receives under this token from this descriptor.
    Taken(u64, RawFd),
    /// The receive was cancelled, and is not over.
    Leaving(u64),
}

impl Uring {
    /// A ring for up to `slots` sockets that tells when `bell` is rung. Fails where the kernel lacks something or forbids
    /// it.
    pub fn new(slots: usize, bell: RawFd) -> io::Result<Uring> {
        let ring = IoUring::builder()
            // The thread that waits is told by `begin`.
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let can = ring.params();
        if !can.is_feature_nodrop()
            || !can.is_feature_ext_arg()
            || !can.is_feature_skip_cqe_on_success()
        {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let can_gather = can.is_feature_min_timeout();
        let table = u32::try_from(slots.min(most_files())).unwrap_or(u32::MAX);
        let submitter = ring.submitter();
        submitter.register_files_sparse(table)?;
        let mut buffers = Buffers::new()?;
        // SAFETY: the entries stay mapped until the ring is gone (see `drop`).
        unsafe {
            submitter.register_buf_ring_with_flags(buffers.address(), buffers::COUNT, GROUP, 0)?;
        }
        buffers.give_all();
        // SAFETY: the structure is plain numbers and pointers, for which zero is valid.
        let mut shape: libc::msghdr = unsafe { std::mem::zeroed() };
        shape.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
        Ok(Uring {
            ring,
            buffers,
            outbox: Outbox::new(),
            shape: Box::new(Shape(shape)),
            bell,
            seats: vec![Seat::Empty; slots].into_boxed_slice(),
            table,
            attached: 0,
            taken: VecDeque::with_capacity(COMPLETIONS as usize),
            gone: None,
            refused: 0,
            can_gather,
            window: Window::default(),
            came: None,
            sent: 0,
        })
    }

    /// Makes the calling thread the one that waits.
    pub fn begin(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()?;
        self.watch_bell();
        Ok(())
    }

    /// Receives from `socket` from now on. It must block, as new sockets do: a receive on one that does not ends instead
    /// of waiting.
    pub fn attach(&mut self, token: u64, socket: &UdpSocket) -> io::Result<()> {
        let slot = slot_of(token);
        let Some(seat) = self.seats.get_mut(slot as usize) else {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        };
        if *seat != Seat::Empty {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let descriptor = socket.as_raw_fd();
        if slot < self.table {
            self.ring
                .submitter()
                .register_files_update(slot, &[descriptor])?;
        }
        *seat = Seat::Taken(token, descriptor);
        self.attached += 1;
        self.receive(token, descriptor);
        Ok(())
    }

    /// Ends the receive; the last of it is told as [`Told::Detached`].
    pub fn detach(&mut self, token: u64) -> io::Result<Detach> {
        let seat = self.seats.get_mut(slot_of(token) as usize);
        let is_here = |seat: &&mut Seat| matches!(**seat, Seat::Taken(here, _) if here == token);
        let Some(seat) = seat.filter(is_here) else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        *seat = Seat::Leaving(token);
        self.push(opcode::AsyncCancel::new(token).build().user_data(CANCEL));
        Ok(Detach::Later)
    }

    /// Sends what was gathered, and waits until something is there or `timeout` has passed.
    pub fn wait(&mut self, timeout: Duration, counters: &Counters) -> io::Result<()> {
        let timeout = if self.taken.is_empty() {
            timeout
        } else {
            Duration::ZERO
        };
        let time = Timespec::from(timeout);
        let mut args = SubmitArgs::new().timespec(&time);
        let mut want = 1;
        let sent = std::mem::take(&mut self.sent);
        if let Some(came) = self.came.take() {
            self.window.adjust(came, sent);
        }
        let window = self.window.length();
        let is_whole = timeout > window;
        if self.can_gather && self.attached >= GATHERING && !timeout.is_zero() {
            want = GATHER;
            // A shorter timeout gathers until it has passed.
            if is_whole {
                args = args.min_wait_usec(window.as_micros() as u32);
            }
        }
        if timeout.is_zero() {
            want = 0;
        }
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // Nothing came, a signal did, or there are more completions than the ring holds.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        let before = self.taken.len();
        self.settle();
        if want == GATHER && is_whole {
            self.came = Some(self.taken.len() - before);
        }
        for _ in 0..std::mem::take(&mut self.refused) {
            counters.sent.take_back();
            counters.drop(Reason::SendFailed);
        }
        Ok(())
    }

    /// The next of what came; a datagram is copied into `room`.
    pub fn next(&mut self, room: &mut [u8]) -> Option<Told> {
        if let Some(token) = self.gone.take() {
            return Some(Told::Detached(token));
        }
        while let Some(completion) = self.taken.pop_front() {
            let is_last = !cqueue::more(completion.flags());
            match completion.user_data() {
                CANCEL | SEND => {}
                BELL => {
                    if is_last {
                        self.watch_bell();
                    }
                    return Some(Told::Rung);
                }
                token => {
                    let told = self.received(token, &completion, room);
                    if is_last && let Some(gone) = self.receive_ended(token) {
                        self.gone = told.is_some().then_some(gone);
                        return told.or(Some(Told::Detached(gone)));
                    }
                    if told.is_some() {
                        return told;
                    }
                }
            }
        }
        None
    }

    /// Puts a datagram in line for the next wait.
    pub fn send(
        &mut self,
        token: u64,
        socket: RawFd,
        datagram: &[u8],
        to: SocketAddr,
        counters: &Counters,
    ) {
        if self.outbox.is_full() {
            self.submit();
        }
        let Some(letter) = self.outbox.put(datagram, to) else {
            counters.drop(Reason::SendFailed);
            return;
        };
        let slot = slot_of(token);
        let send = if slot < self.table {
            opcode::Send::new(Fixed(slot), letter.bytes, letter.length)
        } else {
            opcode::Send::new(Fd(socket), letter.bytes, letter.length)
        };
        let send = send
            .flags(libc::MSG_DONTWAIT)
            .dest_addr(letter.address)
            .dest_addr_len(letter.address_length)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND);
        self.push(send);
        self.sent += 1;
        counters.sent.count();
    }

    /// Whether a receive that ended was to end: its token then; otherwise it goes on with a new one.
    fn receive_ended(&mut self, token: u64) -> Option<u64> {
        let seat = self.seats.get_mut(slot_of(token) as usize)?;
        match *seat {
            Seat::Leaving(leaving) if leaving == token => {
                *seat = Seat::Empty;
                self.attached -= 1;
                // What others sent through it goes out before it is gone.
                self.submit();
                let slot = slot_of(token);
                if slot < self.table {
                    // The one failure is a slot out of range; it was in range when it was taken.
                    let _freed = self.ring.submitter().register_files_update(slot, &[-1]);
                }
                Some(token)
            }
            Seat::Taken(taken, descriptor) if taken == token => {
                self.receive(token, descriptor);
                None
            }
            _ => None,
        }
    }

    fn received(
        &mut self,
        token: u64,
        completion: &cqueue::Entry,
        room: &mut [u8],
    ) -> Option<Told> {
        let Some(buffer) = cqueue::buffer_select(completion.flags()) else {
            // Out of buffers, or cancelled: nothing is lost, the socket keeps what it has.
            let is_failure = completion.result() < 0
                && !matches!(-completion.result(), libc::ENOBUFS | libc::ECANCELED);
            return is_failure.then_some(Told::Failed);
        };
        let told = match RecvMsgOut::parse(self.buffers.filled(buffer), &self.shape.0) {
            Ok(message) => {
                let datagram = message.payload_data();
                let length = datagram.len().min(room.len());
                room.get_mut(..length)
                    .unwrap_or_default()
                    .copy_from_slice(datagram.get(..length).unwrap_or_default());
                address(message.name_data()).map(|from| Told::Datagram {
                    token,
                    length: if message.is_payload_truncated() {
                        room.len()
                    } else {
                        length
                    },
                    from,
                })
            }
            Err(()) => None,
        };
        self.buffers.give(buffer);
        told.or(Some(Told::Failed))
    }

    fn receive(&mut self, token: u64, socket: RawFd) {
        let (slot, shape) = (slot_of(token), &raw const self.shape.0);
        let receive = if slot < self.table {
            opcode::RecvMsgMulti::new(Fixed(slot), shape, GROUP)
        } else {
            opcode::RecvMsgMulti::new(Fd(socket), shape, GROUP)
        };
        self.push(receive.build().user_data(token));
    }

    fn watch_bell(&mut self) {
        let poll = opcode::PollAdd::new(Fd(self.bell), libc::POLLIN as u32).multi(true);
        self.push(poll.build().user_data(BELL));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what the entries point to lives as long as the ring: letters in `outbox`, which are written again only
        // after they were submitted, and `shape`.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // Only while the kernel has no memory does this go round more than once.
            self.submit();
        }
    }

    fn submit(&mut self) {
        // Refused for now (EBUSY, EAGAIN, EINTR): what is left goes out with the next wait.
        let _submitted = self.ring.submit();
        self.settle();
    }

    /// After a system call: notes what went out, and takes completions out of the ring so that it has room.
    fn settle(&mut self) {
        if self.ring.submission().is_empty() {
            self.outbox.submitted();
        }
        for completion in self.ring.completion() {
            if completion.user_data() == SEND {
                self.refused += 1;
                continue;
            }
            self.taken.push_back(completion);
            if self.taken.len() == self.taken.capacity() {
                break;
            }
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // Until no receive is left that could write to the buffers: what was cancelled ends in the wait. On another thread
        // than the one that waits there never was one, as the ring was not enabled.
        loop {
            let _count = self
                .ring
                .submitter()
                .register_sync_cancel(None, CancelBuilder::any());
            let moment = Timespec::from(Duration::from_millis(1));
            let args = SubmitArgs::new().timespec(&moment);
            let _ended = self.ring.submitter().submit_with_args(1, &args);
            if self.ring.completion().count() == 0 {
                break;
            }
        }
        let submitter = self.ring.submitter();
        // Otherwise the sockets, and so their ports, would be held until the kernel has found time to take the ring down.
        let _none_held = submitter.unregister_files();
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uring({} attached)", self.attached)
    }
}

fn slot_of(token: u64) -> u32 {
    token as u32
}

/// Reads what the kernel wrote as a socket address.
fn address(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let octets = rest.first_chunk::<4>()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*octets)), port))
        }
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk::<4>()?;
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            let scope = rest.first_chunk::<4>()?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(*octets),
                port,
                // As the standard library reads it, so that addresses compare equal.
                u32::from_ne_bytes(*flow),
                u32::from_ne_bytes(*scope),
            )))
        }
        _ => None,
    }
}

/// How many files the process may have open, which is what the kernel takes for a table.
fn most_files() -> usize {
    // SAFETY: the structure is plain numbers, for which zero is valid.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `limit` lives through the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    match usize::try_from(limit.rlim_cur) {
        Ok(most) if result == 0 => most.min(MOST_FILES),
        _ => MOST_FILES,
    }
}

/// Sockets from which on waits gather: below that the processor has time for every packet at once.
const GATHERING: usize = 32;
/// Datagrams for which gathering ends early.
const GATHER: usize = 64;
/// Entries of the submission ring: sends of one round.
const SUBMISSIONS: u32 = 512;
/// Entries of the completion ring.
const COMPLETIONS: u32 = 4096;
/// The largest table of files that is registered.
const MOST_FILES: usize = 1 << 16;
/// The group of buffers.
const GROUP: u16 = 0;
/// Completions that are not a socket's, whose tokens stay below.
const BELL: u64 = u64::MAX;
const SEND: u64 = u64::MAX - 1;
const CANCEL: u64 = u64::MAX - 2;
