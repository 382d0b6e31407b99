//! Via (RFC 3261 §20.42, RFC 3581).

use super::params::{self, ParamList};
use crate::sip::wire::scan;

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP` … in upper case.
    pub transport: String,
    /// sent-by host, IPv6 without brackets.
    pub host: String,
    /// sent-by port.
    pub port: Option<u16>,
    /// Parameters in order, names in lower case.
    pub params: ParamList,
}

impl Via {
    /// Reads one value.
    pub fn parse(text: &str) -> Option<Via> {
        let (transport, host, port, params) = read_hop(text)?;
        Some(Via {
            transport: transport.to_ascii_uppercase(),
            host: host.to_owned(),
            port,
            params: params::read(text, params)?,
        })
    }

    /// Whether a line is a list of values, as far as their hops go; nothing is copied.
    pub fn is_list(line: &str) -> bool {
        let mut from = 0;
        while from <= line.len() {
            let Ok(end) = scan::element_end(line.as_bytes(), from) else {
                return false;
            };
            if read_hop(line.get(from..end).unwrap_or_default()).is_none() {
                return false;
            }
            from = end + 1;
        }
        true
    }

    /// Reads a comma-separated list.
    pub fn parse_list(text: &str) -> Option<Vec<Via>> {
        params::elements(text)?
            .into_iter()
            .map(Via::parse)
            .collect()
    }

    /// The value of a parameter, `Some("")` for one without.
    pub fn param(&self, name: &str) -> Option<&str> {
        params::find(&self.params, name)
    }
}

/// Transport, host, port, and where the parameters begin.
fn read_hop(text: &str) -> Option<(&str, &str, Option<u16>, usize)> {
    let sent_end = text.find(';').unwrap_or(text.len());
    let mut protocol = text.get(..sent_end)?.splitn(3, '/');
    let name = protocol.next()?.trim();
    let version = protocol.next()?.trim();
    if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
        return None;
    }
    let (transport, sent_by) = protocol.next()?.trim_start().split_once([' ', '\t'])?;
    let (host, port) = read_sent_by(sent_by.trim())?;
    Some((transport, host, port, sent_end))
}

fn read_sent_by(sent_by: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match sent_by.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => sent_by.split_at(sent_by.find(':').unwrap_or(sent_by.len())),
    };
    let host = host.trim_end();
    if host.is_empty() || host.contains([' ', '\t', '"', '<', '>']) {
        return None;
    }
    let rest = rest.trim();
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port.trim().parse().ok()?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SIP/2.0/{} ", self.transport)?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        params::print(&self.params, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_ipv6_and_lists() {
        let list =
            Via::parse_list("SIP / 2.0 / udp [2001:db8::9] : 5062 ;branch=z9hG4bK1;rport;received=2001:db8::1, sip/2.0/TCP h").unwrap();
        assert_eq!(list.len(), 2);
        let first = &list[0];
        assert_eq!(
            (first.transport.as_str(), first.host.as_str(), first.port),
            ("UDP", "2001:db8::9", Some(5062))
        );
        assert_eq!(first.param("rport"), Some(""));
        assert_eq!(first.param("Received"), Some("2001:db8::1"));
        assert_eq!((list[1].host.as_str(), list[1].port), ("h", None));
    }

    #[test]
    fn a_list_is_one_without_being_read_whole() {
        for (line, is_one) in [
            ("SIP/2.0/UDP h;branch=z9hG4bK1", true),
            (
                "SIP / 2.0 / UNKNOWN [2001:db8::1]:5060 ;;rport, SIP/2.0/TCP h",
                true,
            ),
            ("SIP/2.0/UDP 192.0.2.15;;,;,,", false),
            ("SIP/2.0/UDP h,", false),
            ("", false),
            ("SIP/2.0/UDP h;x=\"a", false),
        ] {
            assert_eq!(Via::is_list(line), is_one, "{line}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "SIP/2.0 h",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "HTTP/1.1/UDP h",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h;a b",
        ] {
            assert_eq!(Via::parse_list(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(host in "[a-z0-9.]{1,12}|([0-9a-f]{1,4}:){7}1", port: Option<u16>, branch in "[ -~]{1,12}") {
            let via = Via {
                transport: "UDP".into(),
                host,
                port,
                params: vec![("branch".into(), Some(branch)), ("rport".into(), None)],
            };
            prop_assert_eq!(Via::parse(&via.to_string()), Some(via));
        }

        #[test]
        fn no_text_does_harm(text in "[ -~]{0,40}") {
            let _ = Via::parse_list(&text);
            let _ = Via::parse_list(&format!("SIP/2.0/UDP {text}"));
        }
    }
}
