//! The domain far.example: its name server, an authority, and its MX host.

use std::net::Ipv4Addr;

use hickory_resolver::proto::rr::RData;

use super::harness::{Authority, Certificate, DnsServer, Server, Setup, Taken, TlsPeer, wait_for};

/// The MX host.
pub(crate) const HOST: &str = "mx.far.example";

/// The domain, one MX host of which is a peer of the test.
pub(crate) struct Far {
    pub(crate) dns: DnsServer,
    pub(crate) authority: Authority,
    pub(crate) peer: TlsPeer,
    pub(crate) certificate: Certificate,
    /// The keys that its zone is signed with.
    anchors: Option<String>,
}

impl Far {
    /// Its MX host has a good certificate for its name; nobody knows the authority yet.
    pub(crate) fn new() -> Self {
        Self::with(HOST, 2100)
    }

    /// The same with a certificate for this name until this year.
    pub(crate) fn with(name: &str, until: i32) -> Self {
        let dns = DnsServer::with(&format!("far.example MX 10 {HOST}\n{HOST} A {}", Ipv4Addr::LOCALHOST));
        dns.keep_for(0);
        let authority = Authority::new();
        let certificate = authority.certify(name, until);
        let peer = TlsPeer::start(&certificate);
        Self { dns, authority, peer, certificate, anchors: None }
    }

    /// The same in a signed zone.
    pub(crate) fn signed(mut self) -> Self {
        self.anchors = Some(self.dns.sign());
        self
    }

    /// The name under which the TLSA records of a host are.
    pub(crate) fn tlsa_name(&self, host: &str) -> String {
        format!("_{}._tcp.{host}", self.peer.port())
    }

    /// Adds a TLSA record of a host.
    pub(crate) fn add_tlsa(&self, host: &str, record: RData) {
        self.dns.add_record(&self.tlsa_name(host), record);
    }

    /// A site that sends there; `more` comes behind `[tls]`.
    pub(crate) fn site(&self, more: &str) -> Server {
        self.site_with(&format!("mx = true\nmx_port = {}\nmx_loopback = true", self.peer.port()), more)
    }

    /// The same, which trusts another certificate and the authority of the MX host.
    pub(crate) fn site_of(&self, certificate: &str, more: &str) -> Server {
        let relay = format!("mx = true\nmx_port = {}\nmx_loopback = true", self.peer.port());
        let trusted = format!("{}{certificate}", self.authority.pem());
        self.start(&relay, &format!("ca_file = \"ca.pem\"\n{more}"), trusted)
    }

    /// The same, whose file of authorities holds these.
    pub(crate) fn site_trusting(&self, authorities: &str, more: &str) -> Server {
        let relay = format!("mx = true\nmx_port = {}\nmx_loopback = true", self.peer.port());
        self.start(&relay, more, authorities.to_owned())
    }

    /// A site with these lines in `[relay]`.
    pub(crate) fn site_with(&self, relay: &str, more: &str) -> Server {
        self.start(relay, more, self.authority.pem().to_owned())
    }

    fn start(&self, relay: &str, more: &str, trusted: String) -> Server {
        let validating =
            if self.anchors.is_some() { "dnssec = true\ntrust_anchors = \"root.key\"\n" } else { "" };
        let config = format!(
            "hostname = \"out.client.example\"\n{}{validating}[relay]\n{relay}\n\
             [queue]\nretry_first = \"1s\"\nretry_max = \"1s\"\n\
             [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n[tls]\n{more}\n",
            self.dns.config(),
        );
        let mut files = vec![("ca.pem", trusted)];
        files.extend(self.anchors.clone().map(|anchors| ("root.key", anchors)));
        Server::start(Setup { config: Some(config), files, ..Setup::default() })
    }

    /// Waits until the MX host has a message.
    pub(crate) fn wait_for_mail(&self) -> Taken {
        wait_for("the message at the peer", || self.peer.taken().pop())
    }

    /// Waits until mail is deferred for a reason with these words; the host has none then.
    #[track_caller]
    pub(crate) fn assert_deferred(&self, server: &Server, words: &str) {
        server.wait_for_line(&["outcome=\"deferred\"", words]);
        assert!(self.peer.taken().is_empty(), "mail went although it must not");
    }
}

/// Sends a message there.
pub(crate) fn send(server: &Server) {
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
}
