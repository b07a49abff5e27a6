//! Ways out: MX hosts from the DNS, routes, and what becomes of mail that has no way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::net::{Ipv4Addr, SocketAddr};

use harness::{DnsServer, Fault, Letter, Peer, Server, finish, program, script, wait_for};
use hickory_resolver::proto::rr::RecordType;

/// A site that sends to MX hosts at `port`, and asks `dns`; `more` stands behind.
fn site(dns: &DnsServer, port: u16, more: &str) -> Server {
    Server::with_config(&format!(
        "hostname = \"out.client.example\"\n{}[relay]\nmx = true\nmx_port = {port}\nmx_loopback = true\n\
         [queue]\nretry_first = \"1s\"\n[domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n{more}",
        dns.config()
    ))
}

/// Peers at 127.0.0.2, 127.0.0.3 ... of one port.
fn peers<const N: usize>(replies: &'static [&'static str]) -> [Peer; N] {
    let mut port = 0;
    std::array::from_fn(|number| {
        let address = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number).unwrap());
        let peer = Peer::start_at(SocketAddr::from((address, port)), replies);
        port = peer.address().port();
        peer
    })
}

fn send(server: &Server, recipients: &[&str]) {
    let mut session = server.session();
    session.transaction(recipients);
    session.data(b"Subject: onwards\r\nFrom: sender@client.example\r\n\r\nhello\r\n", "250");
}

fn took(peer: &Peer) -> Vec<String> {
    let commands = peer.seen().commands;
    let recipient = |command: String| {
        let address = command.strip_prefix("RCPT TO:<")?.split('>').next()?.to_owned();
        Some(address)
    };
    commands.into_iter().filter_map(recipient).collect()
}

fn wait_for_mail(peer: &Peer, count: usize) {
    wait_for("the message at the peer", || (peer.seen().messages.len() >= count).then_some(()));
}

/// What Python's email package reads in the DSN that came to the sender.
fn report(server: &Server) -> String {
    let letter: Letter = server.maildir("client.example", "sender").wait_for_one();
    finish(program("python3").arg(script("report_reader.py")), &letter.content)
}

#[test]
fn the_preferred_host_gets_the_mail_and_the_next_one_when_it_is_away() {
    let [first, second] = peers(&["250 2.0.0 taken"]);
    let dns = DnsServer::with(
        "far.example MX 10 a.far.example\nfar.example MX 20 b.far.example\n\
         a.far.example A 127.0.0.2\nb.far.example A 127.0.0.3\n\
         gone.example MX 5 nobody.gone.example\ngone.example MX 20 b.far.example\nnobody.gone.example A 127.0.0.9",
    );
    let server = site(&dns, first.address().port(), "");
    send(&server, &["bob@far.example"]);
    wait_for_mail(&first, 1);
    send(&server, &["bob@gone.example"]);
    wait_for_mail(&second, 1);
    assert_eq!(
        (took(&first), took(&second)),
        (vec!["bob@far.example".into()], vec!["bob@gone.example".into()])
    );
    server.wait_for_empty_queue();
}

#[test]
fn a_domain_without_mx_records_is_its_own_host() {
    let [peer] = peers(&["250 2.0.0 taken"]);
    let dns = DnsServer::with("far.example A 127.0.0.2\nFAR.example TXT no MX");
    let server = site(&dns, peer.address().port(), "");
    send(&server, &["bob@Far.Example", "eve@[127.0.0.2]"]);
    wait_for_mail(&peer, 2);
    let mut recipients = took(&peer);
    recipients.sort();
    assert_eq!(recipients, ["bob@Far.Example", "eve@[127.0.0.2]"]);
}

#[test]
fn what_the_dns_proves_comes_back_at_once() {
    let dns = DnsServer::with(
        "null.example MX 0 .\nloop.example MX 10 out.client.example\nout.client.example A 127.0.0.8\n\
         empty.example MX 10 mx.empty.example\nempty.example A 127.0.0.2\nmx.empty.example TXT no address",
    );
    for (domain, status) in [
        ("null.example", "5.1.10"),
        ("nowhere.example", "5.1.2"),
        ("loop.example", "5.4.6"),
        ("empty.example", "5.4.4"),
    ] {
        let server = site(&dns, 9, "");
        send(&server, &[&format!("bob@{domain}")]);
        let report = report(&server);
        assert!(report.contains(status) && report.contains(&format!("bob@{domain}")), "{domain}: {report}");
        server.wait_for_empty_queue();
    }
}

#[test]
fn what_the_dns_cannot_tell_waits() {
    let [peer] = peers(&["250 2.0.0 taken"]);
    let dns = DnsServer::with("far.example MX 10 a.far.example\na.far.example A 127.0.0.2");
    dns.spoil_type("far.example", RecordType::MX, Fault::ServerFailure);
    let server = site(&dns, peer.address().port(), "");
    send(&server, &["bob@far.example"]);
    server.wait_for_log("cannot look up far.example: SERVFAIL");
    assert!(peer.seen().commands.is_empty(), "the domain's own address is none of its MX hosts");
    dns.mend();
    wait_for_mail(&peer, 1);
    server.wait_for_empty_queue();
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn a_destination_that_is_away_holds_no_other_up() {
    let [peer] = peers(&["250 2.0.0 taken"]);
    let dns = DnsServer::with(
        "far.example MX 10 a.far.example\na.far.example A 127.0.0.2\n\
         away.example MX 10 nobody.example\nnobody.example A 127.0.0.9",
    );
    let server = site(&dns, peer.address().port(), "");
    for _ in 0..40 {
        send(&server, &["eve@away.example"]);
    }
    send(&server, &["bob@far.example"]);
    wait_for_mail(&peer, 1);
    server.wait_for_log("is_shut_off=true");
    let attempts = server.log().matches("destination=\"mx:away.example\"").count()
        + server.log().matches("destination=mx:away.example").count();
    assert!(attempts < 40, "{attempts} of 40 messages were tried at a destination that is away");
}

#[test]
fn a_route_goes_before_everything_and_the_closest_one_counts() {
    let [any, close] = peers(&["250 2.0.0 taken"]);
    let dns = DnsServer::start();
    let port = any.address().port();
    let server = site(
        &dns,
        9,
        &format!(
            "[route.any]\ndomains = \"*.far.example\"\nto = \"smtp://127.0.0.2:{port}\"\n\
             [route.close]\ndomains = [\"very.far.example\"]\nto = [\"smtp://127.0.0.9:{port}\", \"smtp://127.0.0.3:{port}\"]\n"
        ),
    );
    send(&server, &["bob@very.far.example", "bob@other.far.example"]);
    wait_for_mail(&any, 1);
    wait_for_mail(&close, 1);
    assert_eq!(
        (took(&any), took(&close)),
        (vec!["bob@other.far.example".into()], vec!["bob@very.far.example".into()])
    );
    server.wait_for_empty_queue();
}

#[test]
fn nobody_is_relayed_for_without_a_way_out() {
    let server = Server::with_config(
        "hostname = \"out.client.example\"\n[route.inside]\nto = \"lmtp://127.0.0.1:9\"\n\
         [domain.\"client.example\"]\nroute = \"inside\"\n[domain.\"client.example\".mailbox]\npostmaster = {}\n",
    );
    let mut session = server.session();
    session.ask_for("MAIL FROM:<sender@client.example>", "250");
    session.ask_for("RCPT TO:<bob@far.example>", "550 5.7.1");
    session.ask_for("RCPT TO:<postmaster@client.example>", "250");
}
