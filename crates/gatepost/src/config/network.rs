//! Networks in CIDR notation.
//!
//! Invariants: no bit of the address stands right of the prefix; an IPv4 address mapped into IPv6 is the IPv4 address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of IP addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text is not a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// Not an IP address with an optional prefix length that fits it.
    Malformed,
    /// Bits are set right of the prefix; this network was probably meant.
    HostBits(Network),
}

impl Network {
    /// The network of `prefix_bits` leading bits that holds `address`; longer prefixes than the address has are cut.
    #[must_use]
    pub fn of(address: IpAddr, prefix_bits: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let prefix_bits = prefix_bits.min(32);
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix_bits)).unwrap_or(0);
                Self { address: IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)), prefix_bits }
            }
            IpAddr::V6(v6) => {
                let prefix_bits = prefix_bits.min(128);
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix_bits)).unwrap_or(0);
                Self { address: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), prefix_bits }
            }
        }
    }

    /// Whether `address` lies in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::of(address, self.prefix_bits) == *self
    }

    /// Its first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is of IPv4 addresses.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// The number of leading bits that are fixed.
    #[must_use]
    pub const fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }
}

/// Whether one of `networks` holds `address`.
#[must_use]
pub fn any_contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => width,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|octet| octet.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= width).ok_or(NetworkError::Malformed)?
            }
            Some(_) => return Err(NetworkError::Malformed),
        };
        let canonical = address.to_canonical();
        let prefix_bits = match (address.is_ipv6() && canonical.is_ipv4(), prefix_bits) {
            (true, 0..96) => return Err(NetworkError::Malformed),
            (true, bits) => bits - 96,
            (false, bits) => bits,
        };
        let network = Self::of(canonical, prefix_bits);
        if network.address == canonical { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        assert!(network("192.0.2.0/24").contains(address("192.0.2.255")));
        assert!(!network("192.0.2.0/24").contains(address("192.0.3.0")));
        assert!(network("2001:db8::/32").contains(address("2001:db8:1::1")));
        assert!(!network("0.0.0.0/0").contains(address("::1")));
        assert!(network("::1").contains(address("::1")) && !network("::1").contains(address("::2")));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        assert!(network("127.0.0.0/8").contains(address("::ffff:127.0.0.1")));
        assert_eq!(network("::ffff:192.0.2.0/120"), network("192.0.2.0/24"));
    }

    #[test]
    fn host_bits_are_refused_with_the_network_that_was_meant() {
        assert_eq!("192.0.2.7/24".parse::<Network>(), Err(NetworkError::HostBits(network("192.0.2.0/24"))));
        for text in ["192.0.2.0/33", "192.0.2/24", "", "::/129", "10.0.0.0/+8", "10.0.0.0/", "localhost"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text}");
        }
    }
}
