//! Where mail goes: MX hosts, smart hosts, routes, LMTP, and back to its sender where no way leads.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod command;
#[path = "../harness/mod.rs"]
mod harness;
mod limits;

use harness::{DnsServer, Fault, Manner, Peer, Reserved, Server, nowhere};
use rustix::process::Signal;

const MESSAGE: &[u8] = b"Subject: onwards\r\n\r\nhello\r\n";

/// What comes behind the name and the ways out of a site whose local sender is `sender@client.example`.
const REST: &str =
    "[queue]\nretry_first = \"1s\"\n[domain.\"client.example\".mailbox]\npostmaster = {}\nsender = {}\n";

const NAME: &str = "hostname = \"out.client.example\"\n";

/// A site that sends mail to MX hosts, which listen on `port`.
fn by_mx(dns: &DnsServer, port: u16) -> Server {
    let relay = format!("[relay]\nmx = true\nmx_port = {port}\nmx_loopback = true\n");
    Server::with_config(&[NAME, &relay, &dns.config(), REST].concat())
}

/// A site with these ways out.
fn with_ways(ways: &str) -> Server {
    Server::with_config(&[NAME, ways, REST].concat())
}

fn send(server: &Server, recipients: &[&str]) {
    let mut client = server.session();
    client.transaction(recipients);
    client.data(MESSAGE, "250 2.6.0");
}

/// The DSN that came to the local sender, its lines unfolded.
fn report(server: &Server) -> String {
    let letter = server.maildir("client.example", "sender").wait_for_one();
    assert_eq!(letter.return_path, "<>");
    String::from_utf8(letter.content).unwrap().replace("\r\n ", " ")
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn mail_goes_to_the_mx_host_that_is_preferred_and_to_the_next_when_that_is_away() {
    let (port, [first, second]) = Peer::all_at([(2, Manner::default()), (3, Manner::default())]);
    let dns = DnsServer::with(
        "up.example MX 20 second.example\nup.example MX 10 first.example\n\
         down.example MX 20 second.example\ndown.example MX 10 away.example\n\
         first.example A 127.0.0.2\nsecond.example A 127.0.0.3\naway.example A 127.0.0.4\n",
    );
    let server = by_mx(&dns, port);
    send(&server, &["anna@up.example"]);
    first.wait_for(1);
    send(&server, &["bert@down.example"]);
    second.wait_for(1);
    server.wait_for_empty_queue();
    assert_eq!(first.seen().recipients(), ["anna@up.example"]);
    assert_eq!(second.seen().recipients(), ["bert@down.example"]);
}

#[test]
fn a_host_that_is_closed_for_now_or_for_good_is_passed_over() {
    let closing = Manner { greeting: "421 4.3.2 not today", ..Manner::default() };
    let refusing = Manner { greeting: "554 5.3.2 never", ..Manner::default() };
    let (port, [closing, refusing, open]) =
        Peer::all_at([(2, closing), (3, refusing), (4, Manner::default())]);
    let dns = DnsServer::with(
        "example.net MX 10 one.example\nexample.net MX 20 two.example\nexample.net MX 30 three.example\n\
         one.example A 127.0.0.2\ntwo.example A 127.0.0.3\nthree.example A 127.0.0.4\n",
    );
    let server = by_mx(&dns, port);
    send(&server, &["anna@example.net"]);
    open.wait_for(1);
    server.wait_for_empty_queue();
    assert_eq!((closing.seen().clients.len(), refusing.seen().clients.len()), (1, 1));
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn all_addresses_of_a_host_are_tried() {
    let (port, [peer]) = Peer::all_at([(3, Manner::default())]);
    // The alias of a host is no reason to refuse it, although RFC 2181 §10.3 has none.
    let dns = DnsServer::with(
        "example.net MX 10 alias.example\nalias.example CNAME host.example\n\
         host.example A 127.0.0.2\nhost.example A 127.0.0.3\nhost.example A 127.0.0.4\n",
    );
    let server = by_mx(&dns, port);
    send(&server, &["anna@example.net"]);
    peer.wait_for(1);
    server.wait_for_empty_queue();
}

#[test]
fn a_domain_without_mx_records_is_its_own_host() {
    let (port, [peer]) = Peer::all_at([(2, Manner::default())]);
    let dns = DnsServer::with("bare.example A 127.0.0.2\nwww.alias.example CNAME bare.example\n");
    let server = by_mx(&dns, port);
    send(&server, &["anna@bare.example", "bert@www.alias.example", "carl@[127.0.0.2]"]);
    server.wait_for_empty_queue();
    let seen = peer.seen();
    let mut recipients = seen.recipients();
    recipients.sort();
    assert_eq!(recipients, ["anna@bare.example", "bert@www.alias.example", "carl@[127.0.0.2]"]);
}

#[test]
fn what_the_dns_proves_to_be_nowhere_goes_back() {
    let (port, [peer]) = Peer::all_at([(2, Manner::default())]);
    for (records, domain, said) in [
        (
            "other.example A 127.0.0.2\n",
            "missing.example",
            ["Status: 5.1.2", "missing.example does not exist"],
        ),
        (
            "null.example MX 0 .\nnull.example A 127.0.0.2\n",
            "null.example",
            ["Status: 5.1.10", "takes no mail"],
        ),
        // The A record of a domain that has an MX record says nothing.
        (
            "far.example MX 10 gone.example\nfar.example A 127.0.0.2\n",
            "far.example",
            ["Status: 5.4.4", "address"],
        ),
        ("txt.example TXT no host\n", "txt.example", ["Status: 5.4.4", "address"]),
        (
            "loop.example MX 10 out.client.example\nloop.example MX 20 host.example\nhost.example A 127.0.0.2\n",
            "loop.example",
            ["Status: 5.4.6", "loops back"],
        ),
    ] {
        let dns = DnsServer::with(records);
        let server = by_mx(&dns, port);
        send(&server, &[&format!("anna@{domain}")]);
        assert_says(&report(&server), &said);
        server.wait_for_empty_queue();
    }
    assert!(peer.seen().clients.is_empty(), "{:?}", peer.seen());
}

#[test]
fn what_cannot_be_looked_up_waits() {
    let (port, [peer]) = Peer::all_at([(2, Manner::default())]);
    let dns = DnsServer::with(
        "example.net MX 10 host.example\nhost.example A 127.0.0.2\nexample.com MX 10 host.example\n",
    );
    dns.spoil("example.net", Fault::ServerFailure);
    dns.spoil("host.example", Fault::Refused);
    let server = by_mx(&dns, port);
    send(&server, &["anna@example.net"]);
    send(&server, &["bert@example.com"]);
    server.wait_for_log("cannot look up example.net: SERVFAIL");
    server.wait_for_log("cannot look up host.example: REFUSED");
    assert!(peer.seen().clients.is_empty());
    dns.mend();
    peer.wait_for(2);
    server.wait_for_empty_queue();
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn hosts_behind_this_server_are_left_out() {
    let (port, [better, worse]) = Peer::all_at([(2, Manner::default()), (3, Manner::default())]);
    let dns = DnsServer::with(
        "example.net MX 10 better.example\nexample.net MX 20 out.client.example\n\
         example.net MX 30 worse.example\nbetter.example A 127.0.0.2\nworse.example A 127.0.0.3\n\
         away.example MX 10 away-host.example\naway.example MX 20 OUT.client.example\n\
         away.example MX 30 worse.example\naway-host.example A 127.0.0.9\n",
    );
    let server = by_mx(&dns, port);
    send(&server, &["anna@example.net"]);
    better.wait_for(1);
    send(&server, &["anna@away.example"]);
    server.wait_for_log("away-host.example");
    server.wait_for_log("outcome=\"deferred\"");
    assert!(worse.seen().clients.is_empty(), "mail would go in a circle");
}

#[test]
fn without_a_way_nobody_may_relay() {
    // A route that names no domain is for this server's own mailboxes.
    let config = "[route.inside]\nto = \"lmtp://127.0.0.1:9\"\n[domain.\"example.org\"]\nroute = \"inside\"\n\
                  [domain.\"example.org\".mailbox]\npostmaster = {}\n";
    let server = with_ways(config);
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example>", "250 2.1.0");
    client.ask_for("RCPT TO:<anna@example.net>", "550 5.7.1");
    client.ask_for("RCPT TO:<postmaster@example.org>", "250 2.1.5");
}

#[test]
fn the_next_smart_host_is_tried_when_one_is_away_or_closed() {
    let away = nowhere();
    let closed = Manner { greeting: "421 4.3.2 not today", ..Manner::default() };
    let closed = Peer::at(([127, 0, 0, 1], 0).into(), closed);
    let open = Peer::start(&["250 2.0.0 taken"]);
    let server = with_ways(&format!(
        "[relay]\nsmart_host = [\"{away}\", \"{}\", \"{}\"]\nsource_ipv4 = \"127.0.0.77\"\n",
        closed.address(),
        open.address()
    ));
    send(&server, &["anna@example.net"]);
    open.wait_for(1);
    server.wait_for_empty_queue();
    assert_eq!(closed.seen().clients.len(), 1);
    assert_eq!(open.seen().clients[0].ip().to_string(), "127.0.0.77", "the source address");
}

#[test]
fn the_route_that_names_a_domain_most_closely_counts() {
    let [exact, below, smart] = [(); 3].map(|()| Peer::start(&["250 2.0.0 taken"]));
    let server = with_ways(&format!(
        "[relay]\nsmart_host = \"{}\"\n\
         [route.\"below\"]\ndomains = [\"*.partner.example\", \"other.example\"]\nto = \"smtp://{}\"\n\
         [route.\"exact\"]\ndomains = \"Sales.Partner.example\"\nto = [\"smtp://{}\", \"smtp://{}\"]\n",
        smart.address(),
        below.address(),
        nowhere(),
        exact.address()
    ));
    send(
        &server,
        &["a@sales.partner.example", "b@it.partner.example", "c@partner.example", "d@other.example"],
    );
    server.wait_for_empty_queue();
    assert_eq!(exact.seen().recipients(), ["a@sales.partner.example"]);
    assert_eq!(below.seen().recipients(), ["b@it.partner.example", "d@other.example"]);
    assert_eq!(smart.seen().recipients(), ["c@partner.example"]);
}

#[test]
fn mail_in_the_queue_follows_the_configuration() {
    let away = nowhere();
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let route = format!("[route.\"old\"]\ndomains = \"example.net\"\nto = \"smtp://{away}\"\n");
    let server = with_ways(&route);
    send(&server, &["anna@example.net"]);
    server.wait_for_log("destination=route:old");
    let relay = format!("[relay]\nsmart_host = \"{}\"\n", peer.address());
    server.configure(&[NAME, &relay, REST].concat());
    server.signal(Signal::HUP);
    peer.wait_for(1);
    server.wait_for_empty_queue();
}

#[test]
fn mailboxes_behind_lmtp_answer_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp");
    let peer = Peer::on_socket(&socket, Manner::default());
    let config = format!(
        "{NAME}[route.\"dovecot\"]\nto = \"lmtp:{}\"\n{REST}[domain.\"example.org\"]\nroute = \"dovecot\"\n\
         [domain.\"example.org\".mailbox]\npostmaster = {{}}\nanna = {{}}\nfull = {{}}\nrefused = {{}}\n\
         alias = {{ alias = \"anna\" }}\n",
        socket.display()
    );
    let server = Server::with_config(&config);
    let mut client = server.session();
    client.transaction(&["anna+lists@example.org", "full@example.org", "refused@example.org"]);
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    client.data(MESSAGE, "250 2.6.0");
    drop(client);
    server.wait_for_empty_queue();
    let report = report(&server);
    assert_says(&report, &["full@example.org", "552 5.2.2 mailbox full at the peer", "Status: 5.2.2"]);
    assert_says(&report, &["refused@example.org", "550 5.1.1 no such mailbox at the peer"]);
    assert!(!report.contains("anna"), "{report}");
    let seen = peer.seen();
    assert_eq!(seen.messages.len(), 1, "{seen:?}");
    assert_says(&seen.commands[0], &["LHLO out.client.example"]);
}

#[test]
fn a_server_under_another_name_is_not_its_own_next_hop() {
    let (port, [_own, worse]) = Reserved::together([2, 3]);
    let worse = Peer::on(worse.listen(), Manner::default());
    let dns = DnsServer::with(
        "example.net MX 10 other-name.example\nother-name.example A 127.0.0.2\n\
         example.net MX 20 worse.example\nworse.example A 127.0.0.3\n",
    );
    let listen = format!("listen.mx = [\"127.0.0.2:{port}\"]\n");
    let relay = format!("[relay]\nmx = true\nmx_port = {port}\nmx_loopback = true\n");
    let server = Server::with_config(&[NAME, &listen, &relay, &dns.config(), REST].concat());
    send(&server, &["anna@example.net"]);
    assert_says(&report(&server), &["Status: 5.4.6", "loops back"]);
    assert!(worse.seen().clients.is_empty());
}

#[test]
fn mail_that_goes_in_a_circle_comes_back() {
    let first = with_ways("");
    let relay = format!("[relay]\nsmart_host = \"{}\"\n", first.address());
    let other_name = "hostname = \"in.client.example\"\n";
    let elsewhere = "[domain.\"elsewhere.example\".mailbox]\npostmaster = {}\n";
    let second = Server::with_config(&[other_name, &relay, elsewhere].concat());
    let back = format!("[relay]\nsmart_host = \"{}\"\n", second.address());
    first.configure(&[NAME, &back, REST].concat());
    first.reload();
    send(&first, &["anna@example.net"]);
    let report = report(&first);
    assert_says(&report, &["Status: 5.4.6", "Received fields, a mail loop"]);
    first.wait_for_empty_queue();
    second.wait_for_empty_queue();
}
