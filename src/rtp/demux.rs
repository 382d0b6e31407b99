//! Telling apart what arrives on one port: RTP, RTCP (RFC 5761 §4), STUN, DTLS and others (RFC 7983 §7).

/// What a datagram is by its first two bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Voice or events.
    Rtp,
    /// Reports on the same port as RTP.
    Rtcp,
    /// A connectivity check.
    Stun,
    /// A key exchange.
    Dtls,
    /// ZRTP, TURN channels, empty keep-alives, anything else.
    Other,
}

/// What a datagram is. RTP and RTCP are told by range only: whether the rest is well formed is for the parser.
pub fn classify(datagram: &[u8]) -> Kind {
    match *datagram {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        // RTCP packet types 192 to 223 look like a marker with payload types 64 to 95, which RTP therefore never uses.
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        assert_eq!(classify(&[0x80, 0x00]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 0x80 | 101]), Kind::Rtp);
        assert_eq!(classify(&[0x90, 8]), Kind::Rtp);
        for packet_type in 200..=206 {
            assert_eq!(classify(&[0x81, packet_type]), Kind::Rtcp);
        }
        assert_eq!(classify(&[0x00, 0x01, 0x00, 0x00]), Kind::Stun);
        assert_eq!(classify(&[22, 254, 253]), Kind::Dtls);
        assert_eq!(classify(&[16, 0]), Kind::Other);
        assert_eq!(classify(&[0x80]), Kind::Other);
        assert_eq!(classify(b"\r\n\r\n"), Kind::Other);
        assert_eq!(classify(&[]), Kind::Other);
    }
}
