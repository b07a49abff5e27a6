//! The PROXY protocol, versions 1 and 2: whom a proxy in front of this server connects for.
//!
//! Invariants: nothing behind the header is read; a header that can't be read entirely is none; memory is bounded by
//! [`BODY_OCTETS_MAX`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How long a proxy has for its header (ours; the protocol's §2 asks for three seconds and more).
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest header of version 1, CRLF included (§2.1).
const LINE_OCTETS_MAX: usize = 107;

/// Longest rest of a header of version 2 that is read (ours; addresses take 36 octets, certificates of clients some hundreds).
const BODY_OCTETS_MAX: usize = 4_096;

/// What version 2 begins with (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The kind of the addition that holds a checksum of the header, and the octets of the checksum (§2.2.3).
const CHECKSUM: (u8, usize) = (0x03, 4);

/// Whom a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxied {
    /// A client, which connected to this address.
    Client(SocketAddr, SocketAddr),
    /// The proxy itself, which looks whether the server is well.
    Itself,
}

/// Reads the header that `stream` begins with.
///
/// # Errors
/// The connection is gone, or what came is no such header.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await?;
    let read = if begin == SIGNATURE {
        let mut header = begin.to_vec();
        header.extend([stream.read_u8().await?, stream.read_u8().await?]);
        let octets = stream.read_u16().await?;
        if usize::from(octets) > BODY_OCTETS_MAX {
            return Err(malformed("it is too long"));
        }
        header.extend(octets.to_be_bytes());
        let start = header.len();
        header.resize(start + usize::from(octets), 0);
        stream.read_exact(header.get_mut(start..).unwrap_or_default()).await?;
        binary(&header)
    } else {
        let mut line = begin.to_vec();
        while !line.ends_with(b"\r\n") {
            if line.len() >= LINE_OCTETS_MAX || !line.starts_with(b"PROXY ") {
                return Err(malformed("the connection does not begin with one"));
            }
            line.push(stream.read_u8().await?);
        }
        text(&line)
    };
    read.map_err(malformed)
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Version 1: `PROXY TCP4 203.0.113.9 192.0.2.1 40000 25`, with its CRLF.
fn text(line: &[u8]) -> Result<Proxied, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not ASCII")?;
    let mut words = line.strip_suffix("\r\n").ok_or("it does not end with CRLF")?.split(' ');
    if words.next() != Some("PROXY") {
        return Err("it does not begin with PROXY");
    }
    let is_ipv4 = match words.next() {
        // Whatever else stands there is not to be looked at.
        Some("UNKNOWN") => return Ok(Proxied::Itself),
        Some("TCP4") => true,
        Some("TCP6") => false,
        _ => return Err("it is not about TCP"),
    };
    let mut address = || words.next()?.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == is_ipv4);
    let (source, destination) =
        (address().ok_or("its first address is none")?, address().ok_or("its second address is none")?);
    let mut port = || {
        let word = words.next()?;
        let is_plain =
            word.bytes().all(|octet| octet.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse().ok().filter(|_: &u16| is_plain)
    };
    let (from, at) = (port().ok_or("its first port is none")?, port().ok_or("its second port is none")?);
    if words.next().is_some() {
        return Err("something stands behind the ports");
    }
    Ok(Proxied::Client(SocketAddr::new(source, from), SocketAddr::new(destination, at)))
}

/// Version 2, whole.
fn binary(header: &[u8]) -> Result<Proxied, &'static str> {
    let ([.., version_and_command, family, _, _], body) =
        header.split_first_chunk::<16>().ok_or("it is too short")?;
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err("it is of no known version or command"),
    };
    let (proxied, additions) = match family {
        0x11 => {
            let (octets, additions) = body.split_first_chunk::<12>().ok_or("it has no room for addresses")?;
            let [source @ .., d0, d1, d2, d3, p0, p1, q0, q1] = octets;
            let source: [u8; 4] = *source;
            (client(source.into(), [*d0, *d1, *d2, *d3].into(), [*p0, *p1], [*q0, *q1]), additions)
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or("it has no room for addresses")?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or("it has no room for addresses")?;
            let ([p0, p1, q0, q1], additions) =
                rest.split_first_chunk::<4>().ok_or("it has no room for ports")?;
            (client((*source).into(), (*destination).into(), [*p0, *p1], [*q0, *q1]), additions)
        }
        // Not specified: what is there of addresses is not to be looked at (§2.2).
        0x00 => (Proxied::Itself, &[][..]),
        _ if is_local => (Proxied::Itself, &[][..]),
        _ => return Err("it is not about TCP"),
    };
    check(header, additions)?;
    Ok(if is_local { Proxied::Itself } else { proxied })
}

fn client(source: IpAddr, destination: IpAddr, from: [u8; 2], at: [u8; 2]) -> Proxied {
    Proxied::Client(
        SocketAddr::new(source, u16::from_be_bytes(from)),
        SocketAddr::new(destination, u16::from_be_bytes(at)),
    )
}

/// Whether the checksum among the additions is right, if there is one.
fn check(header: &[u8], mut additions: &[u8]) -> Result<(), &'static str> {
    while let Some((&[kind, high, low], rest)) = additions.split_first_chunk::<3>() {
        let octets = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = rest.split_at_checked(octets).ok_or("an addition ends behind it")?;
        if (kind, octets) == CHECKSUM {
            let place = header.len() - rest.len();
            let (before, behind) = (header.get(..place), header.get(place + octets..));
            let blank = [before.unwrap_or_default(), &[0; CHECKSUM.1], behind.unwrap_or_default()].concat();
            if crc32c(&blank).to_be_bytes() != *value {
                return Err("its checksum is wrong");
            }
        }
        additions = after;
    }
    if additions.is_empty() { Ok(()) } else { Err("an addition ends behind it") }
}

/// CRC-32C (RFC 9260 appendix A), bit by bit: once a connection, over some hundred octets.
fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |sum, octet| {
        (0..8).fold(sum ^ u32::from(*octet), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(octets: &[u8]) -> Result<(Proxied, usize), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rest = octets;
        let read = runtime.block_on(read(&mut rest)).map_err(|error| error.to_string());
        read.map(|proxied| (proxied, rest.len()))
    }

    fn of(client: &str, listener: &str) -> Proxied {
        Proxied::Client(client.parse().unwrap(), listener.parse().unwrap())
    }

    fn binary_header(head: [u8; 2], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &head, &length, body].concat()
    }

    const IPV4: [u8; 12] = [203, 0, 113, 9, 192, 0, 2, 1, 0x9c, 0x40, 0, 25];

    #[test]
    fn version_1_is_read_and_nothing_behind_it() {
        for (line, expected) in [
            ("PROXY TCP4 203.0.113.9 192.0.2.1 40000 25\r\n", of("203.0.113.9:40000", "192.0.2.1:25")),
            ("PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n", of("[2001:db8::9]:1", "[2001:db8::1]:65535")),
            ("PROXY UNKNOWN\r\n", Proxied::Itself),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", Proxied::Itself),
        ] {
            assert_eq!(read_all(format!("{line}EHLO x\r\n").as_bytes()), Ok((expected, 8)), "{line}");
        }
    }

    #[test]
    fn version_2_is_read_and_nothing_behind_it() {
        let ipv6 =
            [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0x20, 1, 0xd, 0xb8], &[0; 11], &[1, 0, 7, 0, 25]]
                .concat();
        let with_additions = [&IPV4[..], &[0x04, 0, 3, 1, 2, 3, 0xea, 0, 0]].concat();
        let client = of("203.0.113.9:40000", "192.0.2.1:25");
        for (head, body, expected) in [
            ([0x21, 0x11], &IPV4[..], client),
            ([0x21, 0x11], &with_additions, client),
            ([0x21, 0x21], &ipv6, of("[2001:db8::9]:7", "[2001:db8::1]:25")),
            ([0x20, 0x00], &[], Proxied::Itself),
            ([0x20, 0x11], &IPV4, Proxied::Itself),
            ([0x21, 0x00], &[1, 2, 3], Proxied::Itself),
        ] {
            let octets = [&binary_header(head, body)[..], b"EHLO x\r\n"].concat();
            assert_eq!(read_all(&octets), Ok((expected, 8)), "{head:?} {body:?}");
        }
    }

    #[test]
    fn a_checksum_is_looked_at() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut header = binary_header([0x21, 0x11], &[&IPV4[..], &[0x03, 0, 4, 0, 0, 0, 0]].concat());
        let (sum, at) = (crc32c(&header).to_be_bytes(), header.len() - 4);
        assert_eq!(read_all(&header), Err("its checksum is wrong".into()));
        header[at..].copy_from_slice(&sum);
        assert_eq!(read_all(&header), Ok((of("203.0.113.9:40000", "192.0.2.1:25"), 0)));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "EHLO client.example\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 40000\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 40000 25 \r\n",
            "PROXY TCP4 203.0.113.9  192.0.2.1 40000 25\r\n",
            "PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 040 25\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 +40 25\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n",
            "PROXY UDP4 203.0.113.9 192.0.2.1 1 25\r\n",
            "proxy TCP4 203.0.113.9 192.0.2.1 1 25\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 1 25\n\n",
        ] {
            assert!(read_all(line.as_bytes()).is_err(), "{line}");
        }
        assert!(read_all(format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).as_bytes()).is_err());
        for (head, body) in [
            ([0x31, 0x11], &IPV4[..]),
            ([0x22, 0x11], &IPV4),
            ([0x21, 0x12], &IPV4),
            ([0x21, 0x11], &IPV4[..11]),
            ([0x21, 0x21], &IPV4),
            ([0x21, 0x11], &[&IPV4[..], &[4, 0, 9, 1]].concat()),
            ([0x21, 0x11], &[&IPV4[..], &[4]].concat()),
            ([0x21, 0x11], &[0; 5_000]),
        ] {
            assert!(read_all(&binary_header(head, body)).is_err(), "{head:?} {body:?}");
        }
        // One that is not whole yet is waited for, and then the connection ends.
        let whole = binary_header([0x21, 0x11], &IPV4);
        for end in 0..whole.len() {
            assert!(read_all(&whole[..end]).is_err(), "{end}");
        }
    }
}
