//! What counts as one source.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 address, or the IPv6 network of 64 bits that an address is in: within that, whoever has one has all.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Source(IpAddr);

impl Source {
    /// The source that an address belongs to. IPv4 seen through an IPv6 socket is IPv4.
    pub fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Source(Ipv6Addr::from_bits(network).into())
            }
            v4 => Source(v4),
        }
    }

    /// Its address; of a network the first.
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// Its bytes, for what is signed for it.
    pub fn bytes(self) -> [u8; 16] {
        match self.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Reads any address of the source, or how it displays.
impl FromStr for Source {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Source, Self::Err> {
        let address = text.strip_suffix("/64").unwrap_or(text);
        address.parse().map(Source::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let of = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7").bytes(), of("192.0.2.8").bytes());
        for text in ["192.0.2.7", "2001:db8:0:1::/64"] {
            assert_eq!(of(text).to_string(), text);
        }
        assert!("192.0.2".parse::<Source>().is_err());
    }
}
