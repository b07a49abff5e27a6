//! Mail through the program: signed when it is the site's own, sealed and rewritten when it passes through.

use std::net::SocketAddr;

use crate::harness::{DnsServer, Peer, Server, Setup};
use crate::verified::{ED25519, RSA, dkimpy, key};

/// A site that signs, seals and rewrites; 127.0.0.1 may relay, other addresses are outside.
fn site(smart_host: SocketAddr, dns: &DnsServer) -> Server {
    let config = format!(
        "hostname = \"mx.here.example\"\nclients.relay = [\"127.0.0.1\"]\n{}[relay]\nsmart_host = \"{smart_host}\"\n\
         [queue]\nretry_first = \"1s\"\n\
         [dkim.\"here.example\"]\nkeys = [\n    {{ selector = \"r\", file = \"r.pem\" }},\n    \
         {{ selector = \"e\", file = \"e.pem\" }},\n]\n\
         [arc]\ndomain = \"here.example\"\nselector = \"r\"\nkey = \"r.pem\"\n\
         [srs]\ndomain = \"here.example\"\nsecrets_file = \"srs.secrets\"\n\
         [domain.\"here.example\".mailbox]\npostmaster = {{}}\nalice = {{}}\n\
         carol = {{ forward = \"carol@example.org\" }}\n",
        dns.config()
    );
    let files = vec![
        ("r.pem", RSA.to_owned()),
        ("e.pem", ED25519.to_owned()),
        ("srs.secrets", "# made for this test\nthe first secret of all\nthe one before it\n".to_owned()),
    ];
    Server::start(Setup { config: Some(config), files, ..Setup::default() })
}

fn records() -> Vec<(String, String)> {
    let record =
        |selector: &str, pem| (format!("{selector}._domainkey.here.example"), key(pem).record().unwrap());
    vec![record("r", RSA), record("e", ED25519)]
}

fn message(from: &str, body: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: carol@here.example\r\nSubject: onwards\r\n\r\n{body}\r\n").into_bytes()
}

/// Sends a message from `127.0.0.{last}`.
fn send(server: &Server, last: u8, sender: &str, recipients: &[&str], data: &[u8]) {
    let mut session = server.session_from(last);
    session.ask_for(&format!("MAIL FROM:<{sender}>"), "250");
    for recipient in recipients {
        session.ask_for(&format!("RCPT TO:<{recipient}>"), "250");
    }
    session.data(data, "250");
}

/// The reverse-path of the peer's message `place`.
fn reverse_path(peer: &Peer, place: usize) -> String {
    peer.seen().envelopes[place][0].clone()
}

fn arrived(peer: &Peer, count: usize) -> Vec<Vec<u8>> {
    peer.wait_for(count).messages
}

#[test]
fn the_site_s_own_mail_leaves_signed() {
    let (peer, dns) = (Peer::start(&["250 2.0.0 taken"]), DnsServer::start());
    let server = site(peer.address(), &dns);
    send(&server, 1, "alice@here.example", &["bob@example.org"], &message("alice@here.example", "hello"));
    let large = "all work and no play makes Jack a dull boy\r\n".repeat(60_000);
    send(&server, 1, "alice@here.example", &["bob@example.org"], &message("alice@sub.here.example", &large));
    send(&server, 1, "x@other.example", &["bob@example.org"], &message("x@other.example", "not ours"));
    let mut said = dkimpy(&arrived(&peer, 3), &records());
    said.sort();
    let signed = "dkim=pass,pass arc=none";
    assert_eq!(said, ["dkim=none arc=none", signed, signed]);
}

#[test]
fn what_passes_through_is_sealed_and_never_signed() {
    let (peer, dns) = (Peer::start(&["250 2.0.0 taken"]), DnsServer::start());
    dns.add("other.example TXT v=spf1 ip4:127.0.0.0/8 -all");
    let server = site(peer.address(), &dns);
    // Whoever says that he is Alice is not she.
    send(&server, 9, "bob@other.example", &["carol@here.example"], &message("alice@here.example", "hello"));
    let messages = arrived(&peer, 1);
    let text = String::from_utf8(messages[0].clone()).unwrap();
    assert!(text.starts_with("ARC-Seal: i=1; a=rsa-sha256;") && text.contains("cv=none;"), "{text}");
    let results = "ARC-Authentication-Results: i=1; mx.here.example;\r\n\tspf=pass smtp.mailfrom=bob@other.example;\r\n\tdkim=none;";
    assert!(text.contains(results) && text.contains("dmarc=none"), "{text}");
    assert_eq!(dkimpy(&messages, &records()), ["dkim=none arc=pass"]);

    // It comes back by a way that changed nothing, and its chain goes on.
    for record in records() {
        dns.add_txt(&record.0, &record.1.as_bytes().chunks(255).collect::<Vec<_>>());
    }
    let body = text.replace("\r\n.", "\r\n..");
    send(&server, 9, "bob@other.example", &["carol@here.example"], body.as_bytes());
    let again = arrived(&peer, 2);
    let text = String::from_utf8(again[1].clone()).unwrap();
    assert!(text.starts_with("ARC-Seal: i=2;") && text.contains("cv=pass;"), "{text}");
    assert_eq!(dkimpy(&again[1..], &records()), ["dkim=none arc=pass"]);
}

#[test]
fn bounces_find_their_way_back_and_nothing_else_does() {
    let (peer, dns) = (Peer::start(&["250 2.0.0 taken"]), DnsServer::start());
    let server = site(peer.address(), &dns);
    send(&server, 9, "bob@other.example", &["carol@here.example"], &message("bob@other.example", "hello"));
    arrived(&peer, 1);
    let rewritten = reverse_path(&peer, 0);
    assert!(
        rewritten.starts_with("SRS0=") && rewritten.ends_with("=other.example=bob@here.example"),
        "{rewritten}"
    );
    let mut session = server.session_from(9);
    session.ask_for("MAIL FROM:<mallory@other.example>", "250");
    session.ask_for(&format!("RCPT TO:<{rewritten}>"), "550 5.1.1");
    session.ask_for("RSET", "250");
    session.ask_for("MAIL FROM:<>", "250");
    for forged in ["SRS0=AAAA=AA=other.example=bob@here.example", "SRS1=AAAA=a.example==x@here.example"] {
        session.ask_for(&format!("RCPT TO:<{forged}>"), "550 5.1.1");
    }
    session.ask_for(&format!("RCPT TO:<{}>", rewritten.replace("bob", "victim")), "550 5.1.1");
    session.ask_for("RCPT TO:<bob@other.example>", "550 5.7.1");
    session.ask_for(&format!("RCPT TO:<{}>", rewritten.to_lowercase()), "250");
    session.data(b"From: <>\r\nSubject: it came back\r\n\r\nsorry\r\n", "250");
    arrived(&peer, 2);
    assert_eq!(reverse_path(&peer, 1), "", "a bounce stays one");
    let seen = peer.seen();
    let last = seen.commands.iter().rfind(|command| command.starts_with("RCPT")).unwrap();
    assert!(last.starts_with("RCPT TO:<bob@other.example>"), "{seen:?}");
}

#[test]
fn each_recipient_gets_the_reverse_path_that_is_his() {
    let (peer, dns) = (Peer::start(&["250 2.0.0 taken"]), DnsServer::start());
    let server = site(peer.address(), &dns);
    let both = ["bob@example.org", "carol@here.example", "dave@example.org"];
    send(&server, 1, "x@other.example", &both, &message("x@other.example", "hello"));
    // They go beside each other.
    let mut envelopes = peer.wait_for(2).envelopes;
    envelopes.sort_by_key(Vec::len);
    assert_eq!(envelopes[1], ["x@other.example", "bob@example.org", "dave@example.org"]);
    let [rewritten, carol] = &envelopes[0][..] else { panic!("{envelopes:?}") };
    assert_eq!(carol, "carol@example.org");
    assert!(
        rewritten.starts_with("SRS0=") && rewritten.ends_with("=other.example=x@here.example"),
        "{rewritten}"
    );
    // A local sender needs no other name.
    send(&server, 9, "alice@here.example", &["carol@here.example"], &message("alice@here.example", "hello"));
    arrived(&peer, 3);
    assert_eq!(reverse_path(&peer, 2), "alice@here.example");
}

#[test]
fn a_bounce_of_ours_goes_to_the_one_who_sent() {
    let (peer, dns) = (Peer::start(&["554 5.0.0 not this one", "250 2.0.0 taken"]), DnsServer::start());
    let server = site(peer.address(), &dns);
    send(&server, 9, "bob@other.example", &["carol@here.example"], &message("bob@other.example", "hello"));
    let messages = arrived(&peer, 2);
    let seen = peer.seen();
    assert!(
        seen.commands.iter().any(|command| command.starts_with("RCPT TO:<bob@other.example>")),
        "{seen:?}"
    );
    // It names this server as its author, whose domain has keys.
    assert_eq!(dkimpy(&messages[1..], &records()), ["dkim=pass,pass arc=none"]);
}
