//! Which addresses of the DNS are asked: never those of nobody, and those of this machine only where that is allowed.

use std::net::{IpAddr, Ipv4Addr};

/// Whether a host may be asked at `address`; `loopback`: whether it may be this machine.
pub(crate) fn is_usable(address: IpAddr, loopback: bool) -> bool {
    let address = address.to_canonical();
    let is_nobody = match address {
        IpAddr::V4(address) => address == Ipv4Addr::BROADCAST || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unspecified(),
    };
    !is_nobody && !address.is_multicast() && (loopback || !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nobody_are_no_hosts() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_usable(text.parse().unwrap(), false), "{text}");
        }
        for text in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            assert!(is_usable(text.parse().unwrap(), false), "{text}");
        }
        assert!(is_usable("127.0.0.1".parse().unwrap(), true));
    }
}
