//! `[server]` and `[recordings]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::audio::clip::Clip;
use crate::audio::tone;
use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::values::{self, Wrong};
use crate::dialplan::listener::{Listener, TlsFiles};
use crate::dialplan::media_io::MediaIo;
use crate::dialplan::number::Country;
use crate::dialplan::plan::{RecordingFormat, Recordings, Server};

pub(super) fn server(entry: &Entry<'_>) -> Option<Server> {
    let sip = entry.some("sip", values::listener);
    let tls = tls(entry, sip.as_deref().unwrap_or_default());
    let connections = entry.integer("connections");
    let per_source = entry.integer("connections_per_source");
    let keep_alive = entry.duration("keep_alive");
    let domain = match entry.has("domain") {
        true => entry.read("domain", domain),
        false => Some(host_name(entry)),
    };
    let rtp_ports = entry.read("rtp_ports", values::ports);
    let public_address = entry.read("public_address", |text| {
        text.parse::<IpAddr>().map_err(|_| {
            Wrong::new(format!("\"{text}\" is no IP address"))
                .hint("write the address, not a name: names are not available in this version")
        })
    });
    let local_networks = entry.list("local_networks", network);
    let dns = entry.list("dns", values::name_server);
    let http = entry.read("http", |text| {
        text.parse().map_err(|_| {
            Wrong::new(format!("\"{text}\" is no IP address and port"))
                .hint("write it as \"127.0.0.1:8080\"")
        })
    });
    let database = entry.read("database", database);
    let drain = entry.duration("drain");
    let time_zone = entry.read("time_zone", |text| {
        entry.check.edge.time_zone(text).ok_or_else(|| {
            Wrong::new(format!("\"{text}\" is no time zone"))
                .hint("use an IANA name such as \"Europe/Moscow\" or \"UTC\"")
        })
    });
    let country = entry.read("country", country);
    let music = entry.sound("music");
    let max_call = entry.duration("max_call");
    let session_expires = session_expires(entry);
    let min_session_expires = entry.duration("min_session_expires");
    if let (Some(asked), Some(least)) = (session_expires, min_session_expires) {
        look_at_session(entry, asked, least);
    }
    let max_calls = entry.integer("max_calls");
    let media_io = entry.word("media_io").map(|word| match word.as_str() {
        "epoll" => MediaIo::Epoll,
        "io_uring" => MediaIo::Uring,
        _ => MediaIo::Auto,
    });
    let api_token = entry.secret("api_token");
    let http: std::net::SocketAddr = http?;
    if !http.ip().is_loopback() && !entry.has("api_token") {
        let wrong = Wrong::new(
            "without a token the API answers only this machine, whatever address it listens on",
        )
        .hint("add api_token = \"generate\" or \"env:NAME\"");
        entry.check.warn(entry.value_place("http"), wrong);
    }
    let country = country?;
    Some(Server {
        sip: sip?,
        tls: tls?,
        connections: (connections?, per_source?),
        keep_alive: keep_alive?,
        domain: domain?,
        rtp_ports: rtp_ports?,
        media_io: media_io?,
        public_address,
        local_networks: local_networks?,
        http,
        database: database?,
        drain: drain?,
        time_zone: time_zone?,
        country,
        music,
        ringback: Clip::from_samples("ring-back tone", &tone::ringback(country.as_str())),
        beep: Clip::from_samples("beep", &tone::beep()),
        paused_tone: Clip::from_samples("tone of a paused recording", &tone::signals(1)),
        resumed_tone: Clip::from_samples("tone of a resumed recording", &tone::signals(2)),
        max_call: max_call?,
        api_tokens: api_token.into_iter().collect(),
        dns: dns?,
        session_expires: session_expires?,
        min_session_expires: min_session_expires?,
        max_calls,
    })
}

/// `None`: wrong, and reported.
fn tls(entry: &Entry<'_>, listeners: &[Listener]) -> Option<Option<TlsFiles>> {
    if !entry.has("tls") {
        let secure = listeners
            .iter()
            .find(|listener| listener.transport.is_secure());
        if let Some(listener) = secure {
            let wrong = Wrong::new(format!("{listener} needs a certificate"))
                .hint("add tls = { certificate = \"tls/certificate.pem\", key = \"tls/key.pem\" }");
            entry.check.error(entry.value_place("sip"), wrong);
            return None;
        }
        return Some(None);
    }
    let inner = entry.inner("tls")?;
    let edge = entry.check.edge;
    let file = |key: &str| inner.read(key, |text| Ok(edge.file(text)));
    let (certificate, key) = (file("certificate"), file("key"));
    let (client_ca, ca) = (file("client_ca"), file("ca"));
    let files = TlsFiles {
        certificate: certificate?,
        key: key?,
        client_ca,
        ca,
    };
    if let Err(why) = edge.tls(&files) {
        let wrong = Wrong::new(why)
            .hint("give PEM files; the certificate first, then those between it and its root");
        entry.check.error(inner.value_place("certificate"), wrong);
        return None;
    }
    Some(Some(files))
}

/// `session_expires`, here or of a trunk or operator.
pub(super) fn session_expires(entry: &Entry<'_>) -> Option<Duration> {
    let asked = entry.duration("session_expires")?;
    if !asked.is_zero() && asked < Duration::from_secs(2) {
        let wrong = Wrong::new("`session_expires` must be 0s, or 2s at least");
        entry
            .check
            .error(entry.value_place("session_expires"), wrong);
        return None;
    }
    Some(asked)
}

fn look_at_session(entry: &Entry<'_>, asked: Duration, least: Duration) {
    if !asked.is_zero() && asked < least {
        let wrong = Wrong::new("`session_expires` is below `min_session_expires`")
            .hint("ask for as much at least as the far side must");
        entry
            .check
            .error(entry.value_place("session_expires"), wrong);
    }
    if least < RFC_4028_LEAST {
        let wrong = Wrong::new("RFC 4028 wants 90s at least; less is for tests")
            .hint("providers may refuse such calls");
        entry
            .check
            .warn(entry.value_place("min_session_expires"), wrong);
    }
}

const RFC_4028_LEAST: Duration = Duration::from_secs(90);

pub(super) fn recordings(entry: &Entry<'_>) -> Option<Recordings> {
    let format = entry.word("format");
    let path = entry.read("path", |text| Ok(PathBuf::from(text)));
    Some(Recordings {
        path: path?,
        format: match format?.as_str() {
            "opus" => RecordingFormat::Opus,
            _ => RecordingFormat::Wav,
        },
    })
}

pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        Wrong::new(format!("\"{text}\" is no network"))
            .hint("write it as \"203.0.113.0/24\", or one address as \"203.0.113.7\"")
    })?;
    if network != network.trunc() {
        return Err(
            Wrong::new(format!("\"{text}\" has bits behind its prefix length"))
                .hint(format!("did you mean \"{}\"?", network.trunc())),
        );
    }
    Ok(network)
}

pub(super) fn country(text: &str) -> Result<Country, Wrong> {
    Country::parse(text).ok_or_else(|| {
        Wrong::new(format!("\"{text}\" is no country")).hint("use its two letters, such as \"RU\"")
    })
}

fn domain(text: &str) -> Result<String, Wrong> {
    if !values::is_host_name(text) {
        return Err(Wrong::new(format!("\"{text}\" is no host name"))
            .hint("write it without scheme and port, such as \"pbx.shop.example\""));
    }
    Ok(text.to_ascii_lowercase())
}

fn host_name(entry: &Entry<'_>) -> String {
    entry
        .check
        .edge
        .host_name()
        .filter(|name| values::is_host_name(name))
        .map_or_else(|| "localhost".to_owned(), |name| name.to_ascii_lowercase())
}

fn database(text: &str) -> Result<String, Wrong> {
    let Some((scheme, path)) = text.split_once("://") else {
        return Err(Wrong::new(format!("\"{text}\" is no database"))
            .hint("write it as \"sqlite://data/vats.db\""));
    };
    match scheme {
        "sqlite" if !path.is_empty() => Ok(text.to_owned()),
        "postgres" | "postgresql" => Err(Wrong::new(
            "postgres:// databases are not available in this version",
        )
        .hint("use \"sqlite://data/vats.db\"")),
        _ => Err(Wrong::new(format!("\"{text}\" is no database"))
            .hint("write it as \"sqlite://data/vats.db\"")),
    }
}
