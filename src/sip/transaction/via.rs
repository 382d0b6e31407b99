//! The sent-by of the topmost Via (RFC 3261 §18.2.1) and branches of ours, read without copying.

use std::net::IpAddr;

use super::{COOKIE, ClientId};

/// The sent-by part of a Via value, as written: `host` or `host:port`.
pub fn sent_by(via: &str) -> &str {
    let via = via.trim_start();
    // "SIP/2.0/UDP" may be written with white space around the slashes; sent-by follows the third word part.
    let Some(slash) = via
        .rmatch_indices('/')
        .map(|(at, _)| at)
        .find(|at| !via[..*at].contains(';'))
    else {
        return "";
    };
    let rest = via[slash + 1..].trim_start();
    let Some(space) = rest.find([' ', '\t']) else {
        return "";
    };
    let rest = rest[space..].trim_start();
    let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
    &rest[..end]
}

/// The host of the sent-by, IPv6 without brackets.
pub fn sent_by_host(via: &str) -> &str {
    let sent_by = sent_by(via);
    if let Some(rest) = sent_by.strip_prefix('[') {
        return rest.split(']').next().unwrap_or("");
    }
    sent_by.split(':').next().unwrap_or("")
}

/// The port of the sent-by of the first value of a Via line, if one is written.
pub fn sent_by_port(line: &str) -> Option<u16> {
    let sent_by = sent_by(first_value(line));
    let rest = sent_by.strip_prefix('[').map_or(sent_by, |inside| {
        inside.split_once(']').map_or("", |(_, rest)| rest)
    });
    rest.split_once(':')?
        .1
        .parse()
        .ok()
        .filter(|port| *port != 0)
}

/// Whether the request came from the address that its Via names.
pub fn came_directly(via: &str, source: IpAddr) -> bool {
    sent_by_host(via)
        .parse::<IpAddr>()
        .is_ok_and(|host| host == source)
}

/// The transactions whose branches stand in a Via line and may be ours.
pub fn our_branches(line: &str) -> impl Iterator<Item = ClientId> + '_ {
    line.match_indices(COOKIE)
        .filter_map(move |(at, _)| ClientId::of_branch(line.get(at..)?))
}

/// The first value of a Via line.
pub fn first_value(line: &str) -> &str {
    &line[..first_value_end(line)]
}

fn first_value_end(line: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_by_is_found_in_odd_spacing() {
        assert_eq!(sent_by("SIP/2.0/UDP host:5062;branch=a"), "host:5062");
        assert_eq!(sent_by("SIP / 2.0 / UDP  host ; branch=a/b"), "host");
        assert_eq!(
            sent_by("SIP/2.0/UDP [2001:db8::1]:5060;rport"),
            "[2001:db8::1]:5060"
        );
        assert_eq!(
            sent_by_host("SIP/2.0/UDP [2001:db8::1]:5060;rport"),
            "2001:db8::1"
        );
        assert_eq!(sent_by("nonsense"), "");
        assert_eq!(
            sent_by_port("SIP/2.0/TCP [2001:db8::1]:5062;rport, SIP/2.0/UDP h:1"),
            Some(5062)
        );
        assert_eq!(sent_by_port("SIP/2.0/TCP [2001:db8::1];rport"), None);
        assert_eq!(sent_by_port("SIP/2.0/TCP host;branch=a:7"), None);
    }

    #[test]
    fn branches_that_may_be_ours_are_found_anywhere_in_a_line() {
        let line = "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK0123456789abcdef;rport,\
            SIP/2.0/UDP c;branch=z9hG4bK0123456789abcdef0, SIP/2.0/UDP d;branch=z9hG4bK0123456789ABCDEF";
        let found: Vec<String> = our_branches(line).map(|id| id.to_string()).collect();
        assert_eq!(found, ["z9hG4bK0123456789abcdef"]);
    }

    #[test]
    fn directness_is_about_the_address() {
        let source = "192.0.2.7".parse().unwrap();
        assert!(came_directly("SIP/2.0/UDP 192.0.2.7:5060;branch=a", source));
        assert!(!came_directly("SIP/2.0/UDP 10.0.0.1:5060;branch=a", source));
        assert!(!came_directly("SIP/2.0/UDP phone.example;branch=a", source));
    }

    #[test]
    fn a_line_may_hold_several_values() {
        assert_eq!(
            first_value("SIP/2.0/UDP a;x=\"1,2\", SIP/2.0/UDP b"),
            "SIP/2.0/UDP a;x=\"1,2\""
        );
    }
}
