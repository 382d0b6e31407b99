//! The end-to-end harness: the real binary, real SIP peers (SIPp, baresip), an RTP peer, a webhook receiver; all on loopback.
//!
//! Addresses: the PBX is 127.0.0.1, callers come from 127.0.0.2 (the trunk `acme` accepts it), operators' phones live on 127.0.0.3.

pub mod baresip;
pub mod by_hand;
pub mod certificates;
pub mod choir;
pub mod edge;
pub mod home;
pub mod kamailio;
pub mod linphone;
pub mod media_peer;
pub mod name_server;
pub mod noise;
pub mod pbx;
pub mod phone;
pub mod provider;
pub mod receiver;
pub mod rtp_peer;
pub mod scenario;
pub mod script;
pub mod sipp;
pub mod softphone;
pub mod sound;
pub mod stream;
pub mod tunnel;
pub mod watcher;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where callers come from.
pub const CALLER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
/// Where operators' phones live.
pub const PHONES: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));

static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

/// Every address: a port that is free there is given on no other one.
pub const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// A UDP port that is free on `ip`, below the range from which the system gives ports of its own; never the same twice in this process.
pub fn free_port(ip: IpAddr) -> u16 {
    let mut given = GIVEN.lock().unwrap();
    // Test binaries that run side by side begin far apart.
    let spread = std::process::id().wrapping_mul(2_654_435_761) >> 16;
    let first = 10_000 + u16::try_from(spread % 2_500 * 4).unwrap();
    for port in (first..20_000).chain(10_000..first).step_by(4) {
        let address = SocketAddr::new(ip, port);
        let clashes = |other: &SocketAddr| {
            let anywhere = ip.is_unspecified() || other.ip().is_unspecified();
            other.port() == port && (anywhere || other.ip() == ip)
        };
        if !given.iter().any(clashes) && UdpSocket::bind(address).is_ok() {
            given.insert(address);
            return port;
        }
    }
    panic!("no free port on {ip}");
}

/// Asks again until there is an answer; fails with `what` after `limit`.
pub async fn eventually<T, F>(limit: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sleeps.
pub async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
