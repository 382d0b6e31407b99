//! The one answer that a phone needs which keeps its UDP flow alive by STUN (RFC 5626 §4.4.2, RFC 5389): from where its packets come.

use std::net::{IpAddr, SocketAddr};

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
const HEADER: usize = 20;

/// The answer to a Binding request from `remote`; `None`: it is none, and perhaps SIP, whose messages never begin with a zero.
pub fn answer(datagram: &[u8], remote: SocketAddr) -> Option<Vec<u8>> {
    let header = datagram.get(..HEADER)?;
    let (kind, rest) = header.split_at_checked(2)?;
    let (length, rest) = rest.split_at_checked(2)?;
    let length: usize = u16::from_be_bytes(length.try_into().ok()?).into();
    if kind != BINDING_REQUEST || !rest.starts_with(&COOKIE) || datagram.len() != HEADER + length {
        return None;
    }
    let (family, address) = match remote.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let size = u16::try_from(address.len()).ok()? + 4;
    let mut answer = Vec::with_capacity(HEADER + 4 + usize::from(size));
    answer.extend_from_slice(&BINDING_SUCCESS);
    answer.extend_from_slice(&(size + 4).to_be_bytes());
    // Cookie and transaction id, which also hide the address from well-meaning routers.
    answer.extend_from_slice(rest);
    answer.extend_from_slice(&XOR_MAPPED_ADDRESS);
    answer.extend_from_slice(&size.to_be_bytes());
    answer.extend_from_slice(&[0, family]);
    let port = remote.port().to_be_bytes();
    answer.extend(port.iter().zip(rest).map(|(byte, mask)| byte ^ mask));
    answer.extend(address.iter().zip(rest).map(|(byte, mask)| byte ^ mask));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 12] = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];

    fn request() -> Vec<u8> {
        [&BINDING_REQUEST[..], &[0, 0], &COOKIE, &ID].concat()
    }

    /// The addresses and their hidden form are those of RFC 5769 §2.2 and §2.3.
    #[test]
    fn the_source_is_told_in_its_hidden_form() {
        let four = answer(&request(), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(
            &four[HEADER..],
            [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]
        );
        assert_eq!(&four[..4], [1, 1, 0, 12]);
        assert_eq!(four[8..HEADER], ID);
        let remote = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        let six = answer(&request(), remote.parse().unwrap()).unwrap();
        assert_eq!(
            &six[HEADER + 4..],
            [
                0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
                0xb5, 0xbe, 0xd2, 0xb9, 0xd9
            ]
        );
    }

    #[test]
    fn nothing_else_is_answered() {
        let remote = "192.0.2.1:5060".parse().unwrap();
        let mut success = request();
        success[0] = 1;
        let mut no_cookie = request();
        no_cookie[4] = 0;
        let mut lying = request();
        lying[3] = 4;
        for datagram in [
            &success[..],
            &no_cookie,
            &lying,
            b"OPTIONS sip:a SIP/2.0\r\n",
            b"",
        ] {
            assert_eq!(answer(datagram, remote), None);
        }
    }
}
