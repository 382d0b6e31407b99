//! Homes behind NAT routers, made of network namespaces: the PBX's machine, a router with masquerading, and a phone's network, which has the same private
//! addresses in every home.

use std::net::IpAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

/// The phone's address in every home.
pub const PHONE: &str = "192.168.77.10";

/// One home. Its namespaces and links are gone when dropped.
pub struct Home {
    name: String,
    /// The address of the PBX's machine towards this home.
    pub pbx: IpAddr,
    /// The router's address, as the PBX sees it.
    pub router: IpAddr,
}

static HOMES: AtomicU8 = AtomicU8::new(0);

impl Home {
    /// Builds one; a sentence why this machine does not let us. A router forgets a UDP flow after `forgets` seconds.
    pub fn build(forgets: u32) -> Result<Home, String> {
        let number = HOMES.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let name = format!("vh{}n{number}", id % 10_000);
        // TEST-NET-3, a network of 8 addresses for each home of each process.
        let block = (id.wrapping_mul(4) + u32::from(number)) % 31 * 8;
        let address = |host: u32| format!("203.0.113.{}", block + host);
        let home = Home {
            pbx: address(1).parse().unwrap(),
            router: address(2).parse().unwrap(),
            name,
        };
        home.lay(&address(1), &address(2), forgets)?;
        Ok(home)
    }

    /// The phone's namespace.
    pub fn phone(&self) -> String {
        format!("{}p", self.name)
    }

    /// The phone's cable is pulled: nothing is said to anybody.
    pub fn cut(&self) {
        let (phone, inner) = (self.phone(), format!("{}i", self.name));
        run(&format!("ip -n {phone} link set {inner} down")).unwrap();
    }

    fn lay(&self, pbx: &str, router: &str, forgets: u32) -> Result<(), String> {
        let (n, phone) = (&self.name, self.phone());
        let gateway = format!("{n}r");
        let (outer, inner) = (format!("{n}o"), format!("{n}i"));
        for line in [
            format!("ip netns add {gateway}"),
            format!("ip netns add {phone}"),
            format!("ip link add {outer} type veth peer name wan netns {gateway}"),
            format!("ip address add {pbx}/29 dev {outer}"),
            format!("ip link set {outer} up"),
            format!("ip -n {gateway} address add {router}/29 dev wan"),
            format!("ip -n {gateway} link set wan up"),
            format!("ip -n {gateway} link add lan type veth peer name {inner} netns {phone}"),
            format!("ip -n {gateway} address add 192.168.77.1/24 dev lan"),
            format!("ip -n {gateway} link set lan up"),
            format!("ip -n {phone} address add {PHONE}/24 dev {inner}"),
            format!("ip -n {phone} link set {inner} up"),
            format!("ip -n {phone} link set lo up"),
            format!("ip -n {phone} route add default via 192.168.77.1"),
        ] {
            run(&line)?;
        }
        let inside = |script: &str| run_in(&gateway, script);
        inside("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
        inside(
            "nft add table ip nat && nft 'add chain ip nat post { type nat hook postrouting priority 100; }' \
             && nft add rule ip nat post oifname wan masquerade",
        )?;
        inside(&format!(
            "for t in udp_timeout udp_timeout_stream; do echo {forgets} > /proc/sys/net/netfilter/nf_conntrack_$t; done"
        ))?;
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What was not built cannot be removed.
        let _ = run(&format!("ip link del {}o", self.name));
        let _ = run(&format!("ip netns del {}r", self.name));
        let _ = run(&format!("ip netns del {}p", self.name));
    }
}

fn run(line: &str) -> Result<String, String> {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    said(line, Command::new(program).args(words).output())
}

fn run_in(namespace: &str, script: &str) -> Result<String, String> {
    let output = Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-c", script])
        .output();
    said(script, output)
}

fn said(what: &str, output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| format!("`{what}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{what}`: {}", why.trim()))
}
