//! The measure of all: a plain epoll loop that receives each packet and sends it to the call's other phone.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use vats::media::io::epoll::Poller;
use vats::media::io::priority;

use super::phones::sockets;

/// The loop, on a thread of its own.
pub struct Bare {
    pub targets: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

/// What the thread is called.
pub const THREAD: &str = "bare";

impl Bare {
    pub fn start(phones: &[SocketAddr]) -> io::Result<Bare> {
        let ports = sockets(phones.len())?;
        let targets = ports.iter().map(UdpSocket::local_addr);
        let targets = targets.collect::<io::Result<_>>()?;
        let phones = phones.to_vec();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || relay(&ports, &phones, &stopped))?;
        // So that it has its name.
        std::thread::sleep(Duration::from_millis(50));
        Ok(Bare {
            targets,
            stop,
            thread,
        })
    }

    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the bare loop panicked"))?
    }
}

fn relay(ports: &[UdpSocket], phones: &[SocketAddr], stop: &AtomicBool) -> io::Result<()> {
    priority::raise();
    let mut poller = Poller::new(256)?;
    for (index, port) in ports.iter().enumerate() {
        poller.add(port.as_fd(), index as u64)?;
    }
    let mut room = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        for event in 0..poller.wait(Duration::from_millis(100))? {
            let Some(index) = poller.token(event).map(|token| token as usize) else {
                continue;
            };
            let (length, _) = ports[index].recv_from(&mut room)?;
            ports[index ^ 1].send_to(&room[..length], phones[index ^ 1])?;
        }
    }
    Ok(())
}
