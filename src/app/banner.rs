//! What a start prints on stdout: where it listens, what can be dialled, and two commands to try.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::dialplan::plan::Plan;

/// The lines, of which `listening …` and `ready` are a contract with scripts and tests.
pub fn banner(
    plan: &Plan,
    sip: &[SocketAddr],
    http: SocketAddr,
    most_calls: u64,
    tokens: bool,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for address in sip {
        let _ = writeln!(text, "listening sip udp://{address}");
    }
    let _ = writeln!(text, "listening http http://{http}");
    if !tokens {
        let _ = writeln!(
            text,
            "the API has no token and serves this machine only; set server.api_token to open it"
        );
    }
    let _ = writeln!(text, "room for {most_calls} calls at once");
    let mut numbers: Vec<_> = plan.numbers.values().collect();
    numbers.sort_by(|a, b| a.number.cmp(&b.number));
    for number in &numbers {
        let page = number
            .landing_page
            .as_deref()
            .map(|page| format!(" ({page})"))
            .unwrap_or_default();
        let _ = writeln!(text, "number {}{page} goes to {}", number.number, number.to);
    }
    if let Some(address) = sip.first() {
        let here = reachable(*address);
        if let Some(operator) = plan
            .operators
            .values()
            .find(|operator| operator.contact.is_none())
        {
            // Only where nobody but this machine can use it does a password belong on a screen.
            let password = if address.ip().is_loopback() {
                operator.password.0.as_str()
            } else {
                "…"
            };
            let _ = writeln!(
                text,
                "to answer:  vats answer --user {} --password {password} --server {here} --domain {}",
                operator.id, plan.server.domain
            );
        }
        if let Some(number) = numbers.first() {
            let _ = writeln!(
                text,
                "to call:    vats dial sip:{}@{here} --keys 1@3s",
                number.number
            );
        }
    }
    text.push_str("ready\n");
    text
}

/// An address that another terminal on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback = if address.is_ipv4() {
        [127, 0, 0, 1].into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(loopback, address.port())
}
