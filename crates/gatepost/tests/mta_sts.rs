//! MTA-STS: what the policies of other domains do to mail for them (RFC 8461).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::fs;
use std::time::UNIX_EPOCH;

use harness::{DnsServer, HttpsServer, Peer, Server, Setup, wait_for};

const ENFORCED: &str = "version: STSv1\nmode: enforce\nmx: mx.far.example\nmax_age: 86400\n";

/// The domain far.example: its name server, its policy, and its MX host, which knows no TLS.
struct Far {
    dns: DnsServer,
    https: HttpsServer,
    peer: Peer,
}

impl Far {
    fn with(policy: &str) -> Self {
        let dns = DnsServer::with(
            "far.example MX 10 mx.far.example\nmx.far.example A 127.0.0.1\n\
             _mta-sts.far.example TXT v=STSv1; id=1;\nmta-sts.far.example A 127.0.0.1",
        );
        dns.keep_for(0);
        let https = HttpsServer::start("mta-sts.far.example", policy);
        Self { dns, https, peer: Peer::start(&["250 2.0.0 taken"]) }
    }

    /// A site that sends there, and trusts the policy's server.
    fn site(&self) -> Server {
        let config = format!(
            "hostname = \"out.client.example\"\n{}[relay]\nmx = true\nmx_port = {}\nmx_loopback = true\n\
             [tls]\nca_file = \"ca.pem\"\nmta_sts_port = {}\n[queue]\nretry_first = \"1s\"\nretry_max = \"1s\"\n\
             [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n",
            self.dns.config(),
            self.peer.address().port(),
            self.https.port()
        );
        let files = vec![("ca.pem", self.https.certificate().to_owned())];
        Server::start(Setup { config: Some(config), files, ..Setup::default() })
    }

    fn announce(&self, id: &str) {
        self.dns.remove("_mta-sts.far.example");
        self.dns.add(&format!("_mta-sts.far.example TXT v=STSv1; id={id};"));
    }

    fn wait_for_mail(&self) {
        self.peer.wait_for(1);
    }

    fn has_nothing(&self) -> bool {
        self.peer.seen().messages.is_empty()
    }
}

fn send(server: &Server) {
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
}

#[test]
fn a_host_without_tls_gets_no_mail_under_an_enforced_policy() {
    let far = Far::with(ENFORCED);
    let server = far.site();
    send(&server);
    server.wait_for_line(&["outcome=\"deferred\"", "does not offer STARTTLS"]);
    assert!(far.has_nothing());
    assert_eq!(far.https.asked()[0], "GET /.well-known/mta-sts.txt HTTP/1.1");
}

#[test]
fn a_host_that_the_policy_does_not_name_is_left_out() {
    let far = Far::with("version: STSv1\nmode: enforce\nmx: *.other.example\nmax_age: 86400\n");
    let server = far.site();
    send(&server);
    server.wait_for_log("mx.far.example is left out: the MTA-STS policy of far.example does not name it");
    assert!(far.peer.seen().commands.is_empty(), "it is not even connected to");
}

#[test]
fn a_policy_that_is_tested_stops_nothing() {
    let far = Far::with("version: STSv1\nmode: testing\nmx: mx.other.example\nmax_age: 86400\n");
    let server = far.site();
    send(&server);
    far.wait_for_mail();
}

#[test]
fn what_is_no_policy_stops_nothing() {
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: https://mta-sts.far.example/policy\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{ENFORCED}",
            ENFORCED.len()
        ),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 70000\r\n\r\n{}",
            ENFORCED.repeat(2_000)
        ),
    ] {
        let far = Far::with("no policy");
        far.https.answer_raw(&answer);
        let server = far.site();
        send(&server);
        far.wait_for_mail();
        assert_eq!(far.https.asked().len(), 1, "{answer:.60}");
    }
    let far = Far::with("no policy");
    let server = far.site();
    send(&server);
    far.wait_for_mail();
}

#[test]
fn a_certificate_for_another_name_brings_no_policy() {
    let far = Far { https: HttpsServer::start("policies.far.example", ENFORCED), ..Far::with("") };
    let server = far.site();
    send(&server);
    far.wait_for_mail();
    server.wait_for_log("no MTA-STS policy can be had although one is announced");
}

#[test]
fn nobody_talks_a_policy_away() {
    let far = Far::with(ENFORCED);
    let mut server = far.site();
    send(&server);
    server.wait_for_log("outcome=\"deferred\"");
    server.stop();
    // The announcement is suppressed, the server is gone, and the program has begun anew.
    far.https.fall_silent();
    far.dns.remove("_mta-sts.far.example");
    server.start_again();
    server.wait_for_log("attempts=2");
    assert!(far.has_nothing());
    // Another one is announced and can't be had: the old one holds.
    far.announce("2");
    server.wait_for_log("attempts=3");
    assert!(far.has_nothing());
    // The domain takes it back by a policy that asks nothing.
    far.https.answer("version: STSv1\nmode: none\nmax_age: 86400\n");
    far.announce("3");
    far.wait_for_mail();
}

#[test]
fn a_policy_that_ages_is_asked_for_again_though_no_mail_goes_there() {
    const DAYS_AGO: u64 = 2;
    let far = Far::with(&ENFORCED.replace("86400", "604800"));
    let mut server = far.site();
    server.stop();
    assert!(far.https.asked().is_empty());
    let folder = server.folder().join("state/mta-sts");
    let file = folder.join("far.example.policy");
    fs::create_dir_all(&folder).unwrap();
    let now =
        fs::metadata(&folder).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let kept = format!(
        "1 {}\nversion: STSv1\nmode: enforce\nmx: old.far.example\nmax_age: 604800\n",
        now - DAYS_AGO * 86_400
    );
    fs::write(&file, kept).unwrap();
    server.start_again();
    wait_for("the policy as it is now", || {
        fs::read_to_string(&file).unwrap().contains("mx: mx.far.example").then_some(())
    });
}
