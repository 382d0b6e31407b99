//! The DNS at the edge of RFC 3263: gets a search its answers and keeps them for their time to live, also those that say "nothing there".
//!
//! What is asked and what follows from the answers is decided by [`crate::sip::locate`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};

use crate::sip::endpoint::Transport;
use crate::sip::locate::{Answer, Naptr, Question, Search, Servers, Srv, Wish};

/// One try at one name server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Tries.
const ATTEMPTS: usize = 2;
/// "Nothing there" is believed no longer than this, so that a provider's new record is seen.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(300);
/// After this time a question that no name server answered is asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Names kept.
const CACHE: u64 = 1_024;

/// A resolver with its cache. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
}

impl Resolver {
    /// One that asks these name servers; none: those of the system. Must be called within a tokio runtime.
    pub fn new(servers: &[SocketAddr]) -> Result<Resolver, NetError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            Hickory::builder(provider.clone()).unwrap_or_else(|error| {
                tracing::warn!(%error, "the system names no name servers: only /etc/hosts is looked at");
                Hickory::builder_with_config(ResolverConfig::default(), provider)
            })
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            Hickory::builder_with_config(config, provider)
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.cache_size = CACHE;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.negative_max_ttl = Some(LONGEST_NEGATIVE);
        Ok(Resolver {
            hickory: builder.build()?,
        })
    }

    /// The servers of a wish (RFC 3263), by the transports that we speak.
    pub async fn locate(&self, wish: Wish, abilities: &[Transport]) -> Servers {
        let host = wish.host.clone();
        let mut search = Search::new(wish, abilities);
        loop {
            let questions = search.questions();
            if questions.is_empty() {
                break;
            }
            let answers = questions.into_iter().map(|question| self.ask(question));
            search.handle_answers(join_all(answers).await);
        }
        let servers = search.finish();
        if servers.is_empty() {
            tracing::warn!(%host, "the host name leads to no SIP server");
        }
        servers
    }

    async fn ask(&self, question: Question) -> (Question, Answer, Duration) {
        let (answer, ttl) = match &question {
            Question::Naptr(name) => {
                let (records, ttl) = self.records(name, RecordType::NAPTR).await;
                let records = records.iter().filter_map(naptr).collect();
                (Answer::Naptr(records), ttl)
            }
            Question::Srv(name) => {
                let (records, ttl) = self.records(name, RecordType::SRV).await;
                let records = records.iter().filter_map(srv).collect();
                (Answer::Srv(records), ttl)
            }
            Question::Addresses(name) => match self.hickory.lookup_ip(name.as_str()).await {
                Ok(found) => {
                    let ttl = left_until(found.valid_until());
                    (Answer::Addresses(found.iter().collect()), ttl)
                }
                Err(error) => (Answer::Addresses(Vec::new()), life_of_nothing(name, &error)),
            },
        };
        (question, answer, ttl)
    }

    async fn records(&self, name: &str, kind: RecordType) -> (Vec<Record>, Duration) {
        // With its last dot: service names are never looked for in the search domains of the machine.
        let name = format!("{}.", name.trim_end_matches('.'));
        match self.hickory.lookup(name.as_str(), kind).await {
            Ok(found) => {
                let ttl = left_until(found.valid_until());
                (found.answers().to_vec(), ttl)
            }
            Err(error) => (Vec::new(), life_of_nothing(&name, &error)),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = address.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

fn naptr(record: &Record) -> Option<Naptr> {
    let RData::NAPTR(naptr) = &record.data else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: naptr.order,
        preference: naptr.preference,
        flags: text(&naptr.flags),
        service: text(&naptr.services),
        replacement: plain(&naptr.replacement),
    })
}

fn srv(record: &Record) -> Option<Srv> {
    let RData::SRV(srv) = &record.data else {
        return None;
    };
    Some(Srv {
        priority: srv.priority,
        weight: srv.weight,
        port: srv.port,
        target: plain(&srv.target),
    })
}

/// A name without its last dot; the root is a dot.
fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(plain) if !plain.is_empty() => plain.to_owned(),
        _ => text,
    }
}

fn left_until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

/// For how long "nothing" holds: as long as the zone says when it has no such record, a moment when nobody answered.
fn life_of_nothing(name: &str, error: &NetError) -> Duration {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(nothing)) => nothing
            .negative_ttl
            .map_or(LONGEST_NEGATIVE, |seconds| {
                Duration::from_secs(u64::from(seconds))
            })
            .min(LONGEST_NEGATIVE),
        error => {
            tracing::warn!(%name, %error, "no name server answers");
            AFTER_FAILURE
        }
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
