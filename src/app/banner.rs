//! What a start prints on stdout: where it listens, what can be dialled, and three commands to try.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::dialplan::listener::Listener;
use crate::dialplan::plan::{Destination, Number, Operator, Plan};
use crate::sip::endpoint::Transport;

/// The lines, of which `listening …` and `ready` are a contract with scripts and tests.
#[derive(Debug)]
pub struct Banner<'a> {
    /// The plan in force.
    pub plan: &'a Plan,
    /// Where SIP listens.
    pub sip: &'a [Listener],
    /// Where the API listens.
    pub http: SocketAddr,
    /// The most calls at once.
    pub most_calls: u64,
    /// Where generated secrets are.
    pub secrets_file: Option<&'a Path>,
    /// How this program was called: what another terminal in the same directory can call, too.
    pub program: String,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in self.sip {
            writeln!(f, "listening sip {address}")?;
        }
        writeln!(f, "listening http http://{}", self.http)?;
        if self.plan.server.api_tokens.is_empty() {
            writeln!(
                f,
                "the API has no token and serves this machine only; set server.api_token to open it"
            )?;
        }
        writeln!(f, "room for {} calls at once", self.most_calls)?;
        if let Some(path) = self.secrets_file {
            writeln!(f, "generated passwords and tokens: {}", path.display())?;
        }
        let mut numbers: Vec<&Number> = self.plan.numbers.values().collect();
        numbers.sort_by(|a, b| a.number.cmp(&b.number));
        for number in &numbers {
            write!(f, "number {}", number.number)?;
            if let Some(page) = &number.landing_page {
                write!(f, " ({page})")?;
            }
            writeln!(f, " goes to {}", number.to)?;
        }
        if let Some(listener) = self.tried() {
            self.write_commands(f, listener, numbers.first().copied())?;
        }
        f.write_str("ready\n")
    }
}

impl Banner<'_> {
    fn write_commands(
        &self,
        f: &mut fmt::Formatter<'_>,
        listener: Listener,
        number: Option<&Number>,
    ) -> fmt::Result {
        let here = reachable(listener.address);
        let transport = match listener.transport {
            Transport::Udp => String::new(),
            other => format!(" --transport {other}"),
        };
        let program = quoted(&self.program);
        let domain = &self.plan.server.domain;
        if let Some(operator) = self.phones().next() {
            let password = self.password(operator);
            write!(
                f,
                "to answer:  {program} answer --user {} --password {password} --server {here}{transport}",
                operator.id
            )?;
            if *domain != here.ip().to_string() {
                write!(f, " --domain {domain}")?;
            }
            writeln!(f)?;
        }
        if let Some(number) = number {
            let number_there = format!("sip:{}@{here}", number.number);
            write!(f, "to call:    {program} dial {number_there}{transport}")?;
            // Who is no trunk's caller calls as an operator, best as another one than he who answers.
            if !self.is_trunk(here.ip())
                && let Some(operator) = self.phones().last()
            {
                let password = self.password(operator);
                write!(
                    f,
                    " --from sip:{}@{domain} --password {password}",
                    operator.id
                )?;
            }
            if let Some(key) = self.first_key(&number.to) {
                write!(f, " --keys {key}@3s")?;
            }
            writeln!(f)?;
        }
        f.write_str("to look:    curl ")?;
        if let Some(token) = self.plan.server.api_tokens.first() {
            let token = self.shown(token, self.http.ip());
            write!(f, "-H 'Authorization: Bearer {token}' ")?;
        }
        writeln!(f, "http://{}/api/v1/calls", reachable(self.http))
    }

    /// The listener that the commands use: the first one, over UDP if there is one.
    fn tried(&self) -> Option<Listener> {
        let plain = |listener: &&Listener| listener.transport == Transport::Udp;
        let listeners = self.sip.iter();
        listeners.clone().find(plain).or(self.sip.first()).copied()
    }

    /// Operators whose phones register.
    fn phones(&self) -> impl Iterator<Item = &Operator> {
        let operators = self.plan.operators.values();
        operators.filter(|operator| operator.contact.is_none())
    }

    fn password(&self, operator: &Operator) -> String {
        let listening = self
            .tried()
            .map_or(LOOPBACK, |listener| listener.address.ip());
        quoted(&self.shown(&operator.password.0, listening))
    }

    /// A secret, where only this machine can use it; elsewhere it does not belong on a screen.
    fn shown(&self, secret: &str, listening: IpAddr) -> String {
        if listening.is_loopback() {
            secret.to_owned()
        } else {
            "…".to_owned()
        }
    }

    /// Whether calls from this address are a trunk's.
    fn is_trunk(&self, ip: IpAddr) -> bool {
        let trunks = self.plan.trunks.values();
        trunks
            .flat_map(|trunk| &trunk.accept)
            .any(|network| network.contains(&ip))
    }

    fn first_key(&self, to: &Destination) -> Option<char> {
        let Destination::Menu(name) = to else {
            return None;
        };
        let keys = &self.plan.menus.get(name.as_str())?.keys;
        let one = keys.contains_key(&'1').then_some('1');
        one.or_else(|| keys.keys().next().copied())
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address that another terminal on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback = match address {
        SocketAddr::V4(_) => LOOPBACK,
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, address.port())
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@+=…".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("target/release/vats"), "target/release/vats");
        assert_eq!(quoted("my vats"), "'my vats'");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn another_terminal_can_use_the_address() {
        let any: SocketAddr = "0.0.0.0:5060".parse().unwrap();
        assert_eq!(reachable(any).to_string(), "127.0.0.1:5060");
        let own: SocketAddr = "192.0.2.7:5060".parse().unwrap();
        assert_eq!(reachable(own), own);
    }
}
