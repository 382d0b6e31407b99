//! Locating SIP servers (RFC 3263): from a host, a port and a transport to the addresses to try, in order.
//!
//! [`Search`] asks questions (NAPTR, SRV, addresses) until it knows the [`Servers`]; these are kept for their time to live and put
//! in order anew for each request, because SRV weights are drawn lots. Whoever owns a `Search` gets the answers from the DNS.
//!
//! Not here: the DNS itself, caching, which of the addresses were found dead.

mod servers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use self::servers::{Group, Place};
pub use self::servers::{Server, Servers, draw};
use super::endpoint::Transport;

/// What is to be reached: a SIP URI's host, port and transport, or a peer of the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Wish {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The transport, where one is written; `Tls` for `transport=tcp` of a sips URI.
    pub transport: Option<Transport>,
    /// A sips URI: nothing but TLS will do.
    pub secure: bool,
}

/// One question for the DNS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Question {
    /// The NAPTR records of a domain.
    Naptr(String),
    /// The SRV records of a name such as `_sip._udp.example.com`.
    Srv(String),
    /// The A and AAAA records of a name.
    Addresses(String),
}

/// What the DNS says; nothing at all when the name has no such records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To `Question::Naptr`.
    Naptr(Vec<Naptr>),
    /// To `Question::Srv`.
    Srv(Vec<Srv>),
    /// To `Question::Addresses`.
    Addresses(Vec<IpAddr>),
}

/// A NAPTR record (RFC 3403 §4.1), as far as RFC 3263 needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lower ones first; once one fits, higher ones are not looked at.
    pub order: u16,
    /// Lower ones first, within an order.
    pub preference: u16,
    /// `s` for those that lead to SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIPS+D2T` …
    pub service: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Its share of the calls among those of its priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}

/// The search for one wish. While [`Search::questions`] gives any, get their answers; then [`Search::finish`].
#[derive(Debug)]
pub struct Search {
    wish: Wish,
    abilities: Vec<Transport>,
    stage: Stage,
    ttl: Option<Duration>,
    /// SRV names in order of preference.
    wanted: Vec<(Transport, String)>,
    found: BTreeMap<String, Vec<Srv>>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// What the host itself is reached by, when no SRV record leads further.
    plain: Option<(Transport, u16)>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    Naptr,
    Srv,
    Addresses,
    Done,
}

impl Search {
    /// Begins. `abilities` are the transports that we speak, the ones we like best first; a wish for another finds nothing.
    pub fn new(wish: Wish, abilities: &[Transport]) -> Search {
        let mut search = Search {
            abilities: abilities.to_vec(),
            stage: Stage::Done,
            ttl: None,
            wanted: Vec::new(),
            found: BTreeMap::new(),
            addresses: BTreeMap::new(),
            plain: None,
            wish,
        };
        search.begin();
        search
    }

    /// §4.1 and §4.2: which transports, and whether SRV records or the addresses of the host itself are looked for.
    fn begin(&mut self) {
        let literal = self.wish.host.parse::<IpAddr>().ok();
        let chosen = self.wish.transport;
        let fallback = chosen.unwrap_or(if self.wish.secure {
            Transport::Tls
        } else {
            Transport::Udp
        });
        let port = self.wish.port.unwrap_or(fallback.default_port());
        if let Some(ip) = literal {
            self.addresses.insert(self.wish.host.clone(), vec![ip]);
            self.plain = Some((fallback, port));
        } else if self.wish.port.is_some() {
            self.plain = Some((fallback, port));
            self.stage = Stage::Addresses;
        } else if let Some(transport) = chosen {
            self.want([transport]);
            self.stage = Stage::Srv;
        } else {
            self.stage = Stage::Naptr;
        }
    }

    /// What to ask the DNS now; each question once. Empty: nothing more.
    pub fn questions(&self) -> Vec<Question> {
        match self.stage {
            Stage::Naptr => vec![Question::Naptr(self.wish.host.clone())],
            Stage::Srv => {
                let names = self.wanted.iter().map(|(_, name)| name.clone());
                names.map(Question::Srv).collect()
            }
            Stage::Addresses => {
                let mut names: Vec<String> = match self.plain {
                    Some(_) => vec![self.wish.host.clone()],
                    None => self
                        .found
                        .values()
                        .flatten()
                        .filter(|srv| srv.is_offered())
                        .map(|srv| srv.target.clone())
                        .collect(),
                };
                names.sort();
                names.dedup();
                names.into_iter().map(Question::Addresses).collect()
            }
            Stage::Done => Vec::new(),
        }
    }

    /// The answers to all of [`Search::questions`], and for how long each holds.
    pub fn handle_answers(&mut self, answers: Vec<(Question, Answer, Duration)>) {
        let mut naptrs = Vec::new();
        for (question, answer, ttl) in answers {
            self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
            match (question, answer) {
                (Question::Naptr(_), Answer::Naptr(found)) => naptrs = found,
                (Question::Srv(name), Answer::Srv(found)) => {
                    self.found.insert(name, found);
                }
                (Question::Addresses(name), Answer::Addresses(found)) => {
                    self.addresses.insert(name, found);
                }
                _ => {}
            }
        }
        self.stage = match self.stage {
            Stage::Naptr => self.after_naptr(&naptrs),
            Stage::Srv => self.after_srv(),
            Stage::Addresses | Stage::Done => Stage::Done,
        };
    }

    /// The records of the lowest order that has one we can use (RFC 3403 §4.1), by preference; none: SRV of every transport that we speak.
    fn after_naptr(&mut self, naptrs: &[Naptr]) -> Stage {
        let mut usable: Vec<(u16, u16, Transport, String)> = naptrs
            .iter()
            .filter(|naptr| naptr.flags.eq_ignore_ascii_case("s"))
            .filter_map(|naptr| {
                let transport = service(&naptr.service, self.wish.secure)?;
                let name = naptr.replacement.trim_end_matches('.').to_owned();
                (self.abilities.contains(&transport) && !name.is_empty()).then_some((
                    naptr.order,
                    naptr.preference,
                    transport,
                    name,
                ))
            })
            .collect();
        usable.sort_by_key(|(order, preference, ..)| (*order, *preference));
        let lowest = usable.first().map(|(order, ..)| *order);
        self.wanted = usable
            .into_iter()
            .filter(|(order, ..)| Some(*order) == lowest)
            .map(|(_, _, transport, name)| (transport, name))
            .collect();
        if self.wanted.is_empty() {
            let likely: Vec<Transport> = self
                .abilities
                .iter()
                .copied()
                .filter(|transport| srv_prefix(*transport).is_some())
                .filter(|transport| *transport == Transport::Tls || !self.wish.secure)
                .collect();
            self.want(likely);
        }
        Stage::Srv
    }

    fn after_srv(&mut self) -> Stage {
        if self.found.values().all(Vec::is_empty) {
            let transport = match (self.wish.transport, self.wish.secure) {
                (Some(transport), _) => transport,
                (None, true) => Transport::Tls,
                (None, false) => Transport::Udp,
            };
            self.plain = Some((transport, transport.default_port()));
        }
        Stage::Addresses
    }

    fn want(&mut self, transports: impl IntoIterator<Item = Transport>) {
        let host = self.wish.host.trim_end_matches('.');
        self.wanted = transports
            .into_iter()
            .filter_map(|transport| Some((transport, format!("{}.{host}", srv_prefix(transport)?))))
            .collect();
    }

    /// What was found. An address, which no DNS was asked for, holds for ever.
    pub fn finish(self) -> Servers {
        let ttl = self.ttl.unwrap_or(Duration::MAX);
        let addresses = |name: &str| self.addresses.get(name).cloned().unwrap_or_default();
        let groups = match self.plain {
            Some((transport, port)) => vec![Group {
                transport,
                places: vec![Place {
                    priority: 0,
                    weight: 0,
                    port,
                    addresses: addresses(&self.wish.host),
                }],
            }],
            None => self
                .wanted
                .iter()
                .map(|(transport, name)| Group {
                    transport: *transport,
                    places: self
                        .found
                        .get(name)
                        .into_iter()
                        .flatten()
                        .filter(|srv| srv.is_offered())
                        .map(|srv| Place {
                            priority: srv.priority,
                            weight: srv.weight,
                            port: srv.port,
                            addresses: addresses(&srv.target),
                        })
                        .collect(),
                })
                .collect(),
        };
        let usable = |group: &Group| self.abilities.contains(&group.transport);
        Servers::new(groups.into_iter().filter(usable).collect(), ttl)
    }
}

impl Srv {
    fn is_offered(&self) -> bool {
        !matches!(self.target.as_str(), "" | ".") && self.port != 0
    }
}

/// The transport of a NAPTR service (RFC 3263 §4.1, RFC 7118 §8); for a sips URI only TLS ones.
fn service(text: &str, secure: bool) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
    ];
    known
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, transport)| transport)
        .filter(|transport| !secure || *transport == Transport::Tls)
}

/// What stands before the domain in the name of a transport's SRV records.
const fn srv_prefix(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        Transport::Ws | Transport::Wss => None,
    }
}
