//! Values that are written as strings: durations, addresses, port ranges, prefixes.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::dialplan::listener::Listener;
use crate::dialplan::plan::HostPort;
use crate::sip::endpoint::Transport;
use crate::sip::locate::Wish;

/// Why a string is not what its key wants, and what would be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    /// One sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Wrong {
    /// Without a hint.
    pub fn new(message: impl Into<String>) -> Wrong {
        Wrong {
            message: message.into(),
            hint: None,
        }
    }

    /// With one.
    pub fn hint(mut self, hint: impl Into<String>) -> Wrong {
        self.hint = Some(hint.into());
        self
    }
}

/// `500ms`, `20s`, `5m`, `4h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// The shortest way to write a duration.
pub(crate) fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= length && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    format!("{millis}ms")
}

/// A SIP listener: `udp://0.0.0.0:5060`.
pub(crate) fn listener(text: &str) -> Result<Listener, Wrong> {
    let shape = || {
        Wrong::new(format!("\"{text}\" is no listener")).hint(
            "write it as \"udp://127.0.0.1:5060\" or \"tls://[::1]:5061\": an IP address and a port, 0 for any free one",
        )
    };
    let (scheme, address) = text.split_once("://").ok_or_else(shape)?;
    let transport = Transport::parse(scheme).ok_or_else(|| {
        Wrong::new(format!("{scheme}:// is no transport of SIP"))
            .hint("use udp://, tcp://, tls://, ws:// or wss://")
    })?;
    Ok(Listener {
        transport,
        address: address.parse().map_err(|_| shape())?,
    })
}

/// `20000-29999`.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (first, last) = text
        .split_once('-')
        .and_then(|(first, last)| {
            Some((
                first.trim().parse::<u16>().ok()?,
                last.trim().parse::<u16>().ok()?,
            ))
        })
        .ok_or_else(|| {
            Wrong::new(format!("\"{text}\" is no range of ports"))
                .hint("write it as \"20000-29999\"")
        })?;
    if first < 1024 {
        return Err(Wrong::new("ports below 1024 belong to the system")
            .hint("begin at an even port from 1024 up"));
    }
    if last < first {
        return Err(Wrong::new("the last port is below the first")
            .hint(format!("did you mean \"{last}-{first}\"?")));
    }
    if !first.is_multiple_of(2) || last.is_multiple_of(2) {
        return Err(Wrong::new(
            "media ports are used in pairs, RTP on an even port and RTCP on the next",
        )
        .hint(format!(
            "begin at an even port and end at an odd one: \"{}-{}\"",
            first & !1,
            last | 1
        )));
    }
    if last - first < 3 {
        return Err(Wrong::new("a call with two sides needs four ports")
            .hint("give at least 4; 1000 serve 250 calls"));
    }
    Ok(first..=last)
}

/// `host`, `host:port`, `[v6]:port`; 5060 where none is written.
pub(crate) fn host_port(text: &str) -> Result<HostPort, Wrong> {
    let shape = || {
        Wrong::new(format!("\"{text}\" is no host and port"))
            .hint("write it as \"sip.provider.example:5060\" or \"203.0.113.7:5060\"")
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(HostPort {
            host: address.to_string(),
            port: SIP_PORT,
        });
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            return Err(shape());
        }
        return Ok(HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| shape())?),
        None => (text, SIP_PORT),
    };
    if port == 0 || !is_host_name(host) {
        return Err(shape());
    }
    Ok(HostPort {
        host: host.to_ascii_lowercase(),
        port,
    })
}

/// Where a provider is reached: `host`, `host:port`, `tls://host`. Without port and transport the DNS says (RFC 3263).
pub(crate) fn peer(text: &str) -> Result<Wish, Wrong> {
    let (transport, rest) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, rest)) => match Transport::parse(scheme) {
            Some(transport) if !transport.is_web_socket() => (Some(transport), rest),
            _ => {
                return Err(Wrong::new(format!("{scheme}:// leads to no provider"))
                    .hint("use udp://, tcp:// or tls://, or none and let the DNS say"));
            }
        },
    };
    let found = host_port(rest)?;
    // The brackets of IPv6 are gone in the host.
    let is_written = rest.parse::<IpAddr>().is_err()
        && rest
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(Wish {
        host: found.host,
        port: is_written.then_some(found.port),
        transport,
        secure: false,
    })
}

/// `192.0.2.53`, `127.0.0.1:5353`.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 53));
    }
    text.parse().map_err(|_| {
        Wrong::new(format!("\"{text}\" is no name server's address"))
            .hint("write it as \"192.0.2.53\", or with a port as \"127.0.0.1:5353\"")
    })
}

/// Whether a text can be a host's or a domain's name or an IPv4 address.
pub(crate) fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// A name in the plan: letters, digits, `_`, `-` and `.`, so that it is a SIP user, a part of a path and a word on the command line as it stands.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// `+7`, `+7495`; `+` alone is everywhere.
pub(crate) fn prefix(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('+').ok_or_else(|| {
        Wrong::new(format!("the prefix \"{text}\" does not begin with +"))
            .hint("write prefixes in international form, such as \"+7\"")
    })?;
    if digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            Wrong::new(format!("\"{text}\" is no beginning of a number"))
                .hint("a + and digits, such as \"+7495\""),
        );
    }
    Ok(text.to_owned())
}

const SIP_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("20s"), Some(Duration::from_secs(20)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("4h"), Some(Duration::from_secs(14_400)));
        for wrong in [
            "",
            "20",
            "s",
            "20 s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "5d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for text in ["500ms", "20s", "5m", "4h", "90s", "1500ms"] {
            assert_eq!(write_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(ports("20000-29999"), Ok(20000..=29999));
        for wrong in [
            "",
            "20000",
            "80-99",
            "3000-2000",
            "20001-29999",
            "20000-30000",
            "20000-20001",
            "1-70000",
        ] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts() {
        let read = |text| host_port(text).map(|peer| (peer.host, peer.port)).ok();
        assert_eq!(
            read("sip.acme.example"),
            Some(("sip.acme.example".into(), 5060))
        );
        assert_eq!(read("127.0.0.1:5070"), Some(("127.0.0.1".into(), 5070)));
        assert_eq!(
            read("[2001:db8::1]:5070"),
            Some(("2001:db8::1".into(), 5070))
        );
        assert_eq!(read("2001:db8::1"), Some(("2001:db8::1".into(), 5060)));
        for wrong in [
            "", "a b", "host:", "host:x", "host:0", "sip:host", "-a", "a..b",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn peers() {
        let read = |text| {
            let wish = peer(text).ok()?;
            Some((wish.host, wish.port, wish.transport))
        };
        let acme = || "sip.acme.example".to_owned();
        assert_eq!(read("sip.acme.example"), Some((acme(), None, None)));
        assert_eq!(
            read("tls://sip.acme.example:5071"),
            Some((acme(), Some(5071), Some(Transport::Tls)))
        );
        assert_eq!(
            read("[2001:db8::1]:5070"),
            Some(("2001:db8::1".into(), Some(5070), None))
        );
        assert_eq!(
            read("2001:db8::1"),
            Some(("2001:db8::1".into(), None, None))
        );
        for wrong in ["ws://a", "sips://a", "udp://", "a:b"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn name_servers() {
        assert_eq!(name_server("192.0.2.53").unwrap().port(), 53);
        assert_eq!(name_server("[::1]:5353").unwrap().port(), 5353);
        assert!(name_server("dns.example").is_err());
    }

    proptest! {
        #[test]
        fn no_panics(text in "\\PC{0,30}") {
            let _ = peer(&text);
            let _ = (duration(&text), listener(&text), ports(&text), host_port(&text), prefix(&text));
        }
    }
}
