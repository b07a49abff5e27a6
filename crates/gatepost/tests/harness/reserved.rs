//! Addresses that a test has to itself while nobody listens there: they are bound, so that nobody else is given their
//! ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Connections that the kernel takes before they are accepted: as many as it lets be.
const BACKLOG: i32 = 4_096;

/// An address that is bound. Servers can listen there all the same, as they set SO_REUSEADDR.
#[derive(Debug)]
pub(crate) struct Reserved {
    socket: Socket,
}

impl Reserved {
    /// A port of 127.0.0.1.
    pub(crate) fn new() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    fn at(address: SocketAddr) -> Option<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).ok()?;
        Some(Self { socket })
    }

    /// One port of `127.0.0.{last}` for each, the same for all.
    pub(crate) fn together<const N: usize>(lasts: [u8; N]) -> (u16, [Self; N]) {
        let at = |last, port| Self::at((Ipv4Addr::new(127, 0, 0, last), port).into());
        for _ in 0..100 {
            let first = at(lasts[0], 0).unwrap();
            let port = first.address().port();
            let others = lasts[1..].iter().map(|last| at(*last, port));
            let all = std::iter::once(Some(first)).chain(others).collect::<Option<Vec<_>>>();
            if let Some(all) = all {
                return (port, all.try_into().unwrap());
            }
        }
        panic!("no port is free at all of the addresses");
    }

    /// It.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    /// Listens there.
    pub(crate) fn listen(self) -> TcpListener {
        self.socket.listen(BACKLOG).unwrap();
        self.socket.into()
    }
}

/// An address where nobody listens unless this test does, until its process ends.
pub(crate) fn nowhere() -> SocketAddr {
    let reserved = Reserved::new();
    let address = reserved.address();
    std::mem::forget(reserved);
    address
}
