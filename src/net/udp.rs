//! SIP over UDP: the listening sockets, polled together by the signalling task.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::stamp;
use crate::sip::endpoint::ListenerId;

/// The largest datagram there is.
const LARGEST: usize = 65_536;
/// What a burst of registrations may queue in the kernel while the task is busy, in bytes.
const RECEIVE_BUFFER: usize = 4 << 20;

/// All UDP listeners of the process.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<(ListenerId, UdpSocket)>,
    scratch: BytesMut,
    /// Where the next poll begins, so that a busy listener does not starve the others.
    turn: usize,
    /// How long the latest datagram was in its socket.
    waited: Duration,
    /// Datagrams that the kernel would not take at once: SIP retransmits.
    pub unsent: u64,
}

impl Listeners {
    /// Binds every address; port 0 takes any free one. Must be called within a tokio runtime.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Listeners> {
        let ids = (0..=u16::MAX).map(ListenerId);
        let named: Vec<_> = ids.zip(addresses.iter().copied()).collect();
        Listeners::bind_as(&named)
    }

    /// As `bind`, under ids of their own.
    pub fn bind_as(addresses: &[(ListenerId, SocketAddr)]) -> io::Result<Listeners> {
        let sockets = addresses
            .iter()
            .map(|&(id, address)| Ok((id, bind(address)?)))
            .collect::<io::Result<_>>()?;
        Ok(Listeners {
            sockets,
            scratch: BytesMut::new(),
            turn: 0,
            waited: Duration::ZERO,
            unsent: 0,
        })
    }

    /// The real addresses, in the order of the configuration.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets
            .iter()
            .map(|(_, socket)| socket.local_addr())
            .collect()
    }

    /// The next datagram from any listener. Socket errors (an ICMP answer to something sent earlier) are passed over.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<(ListenerId, SocketAddr, Bytes)> {
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((listener, socket)) = self.sockets.get(index) else {
                continue;
            };
            loop {
                if socket.poll_recv_ready(cx).is_pending() {
                    break;
                }
                self.scratch.resize(LARGEST, 0);
                let received = socket.try_io(Interest::READABLE, || {
                    stamp::receive(&SockRef::from(socket), &mut self.scratch)
                });
                match received {
                    Ok(received) => {
                        self.turn = index + 1;
                        self.waited = received.waited;
                        let bytes = Bytes::copy_from_slice(&self.scratch[..received.length]);
                        return Poll::Ready((*listener, received.remote, bytes));
                    }
                    // `try_io` has noted that nothing is there, or the error was taken with it.
                    Err(_) => continue,
                }
            }
        }
        Poll::Pending
    }

    /// How long the datagram that `poll_receive` gave last was in its socket before.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Sends one datagram; what the kernel does not take at once is counted and left to SIP's retransmission.
    pub fn send(&mut self, listener: ListenerId, remote: SocketAddr, bytes: &[u8]) {
        let Some((_, socket)) = self.sockets.iter().find(|(id, _)| *id == listener) else {
            return;
        };
        if socket.try_send_to(bytes, remote).is_err() {
            self.unsent += 1;
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel caps this silently at net.core.rmem_max; a smaller buffer works, too.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    // Without stamps the time in the socket counts as none.
    let _ = stamp::begin(&socket);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on udp://{address}: {error}"),
        )
    })?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn every_listener_is_heard() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut listeners = Listeners::bind(&[any, any]).unwrap();
        let addresses = listeners.addresses().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for (index, address) in addresses.iter().enumerate() {
            sender.send_to(b"hello", address).unwrap();
            let (listener, remote, bytes) = poll_fn(|cx| listeners.poll_receive(cx)).await;
            assert_eq!(
                (listener.0 as usize, remote),
                (index, sender.local_addr().unwrap())
            );
            assert_eq!(&bytes[..], b"hello");
        }
    }

    #[tokio::test]
    async fn the_time_in_the_socket_is_told() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut listeners = Listeners::bind(&[any]).unwrap();
        let address = listeners.addresses().unwrap()[0];
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"one", address).unwrap();
        std::thread::sleep(Duration::from_millis(120));
        sender.send_to(b"two", address).unwrap();
        poll_fn(|cx| listeners.poll_receive(cx)).await;
        let first = listeners.waited();
        poll_fn(|cx| listeners.poll_receive(cx)).await;
        assert!(first >= Duration::from_millis(120), "{first:?}");
        assert!(listeners.waited() < first);
    }
}
