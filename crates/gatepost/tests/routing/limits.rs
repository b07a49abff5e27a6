//! How much goes where at a time, and who holds up whom.

use std::time::Duration;

use super::harness::{DnsServer, Manner, Peer, Reserved, Server, now, nowhere};
use super::{MESSAGE, NAME, REST, send, with_ways};

#[test]
fn a_destination_gets_no_more_at_a_time_and_a_minute_than_the_site_says() {
    let (slow, narrow) = (Peer::start(&["250 2.0.0 taken"]), Peer::start(&["250 2.0.0 taken"]));
    let server = with_ways(&format!(
        "[route.slow]\ndomains = \"slow.example\"\nto = \"smtp://{}\"\nrate = 40\n\
         [route.narrow]\ndomains = \"narrow.example\"\nto = \"smtp://{}\"\nconnections = 1\n",
        slow.address(),
        narrow.address()
    ));
    let begin = now();
    let mut client = server.session();
    for _ in 0..3 {
        client.deliver("anna@slow.example", MESSAGE);
    }
    for _ in 0..20 {
        client.deliver("bert@narrow.example", MESSAGE);
    }
    narrow.wait_for(20);
    assert_eq!(narrow.seen().clients.len(), 1, "one delivery at a time uses one connection");
    slow.wait_for(3);
    let spent = now() - begin;
    assert!(spent >= Duration::from_millis(2_900), "two waits of 1.5 s, not {spent:?}");
    server.wait_for_empty_queue();
}

#[test]
fn a_sender_of_the_site_gets_so_many_messages_out_in_a_minute() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let relay = format!("[relay]\nsmart_host = \"{}\"\n", peer.address());
    let config = [NAME, &relay, REST].concat().replace("[queue]\n", "[queue]\nsender_rate = 40\n");
    let server = Server::with_config(&config);
    let begin = now();
    let mut client = server.session();
    for _ in 0..3 {
        client.deliver("anna@example.net", MESSAGE);
    }
    peer.wait_for(3);
    let spent = now() - begin;
    assert!(spent >= Duration::from_millis(2_900), "two waits of 1.5 s, not {spent:?}");
    server.wait_for_empty_queue();
}

#[test]
fn a_sender_who_has_to_wait_keeps_no_other_waiting() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let relay = format!("[relay]\nsmart_host = \"{}\"\n", peer.address());
    // The second message goes a minute after the first.
    let config = [NAME, &relay, REST].concat().replace("[queue]\n", "[queue]\nsender_rate = 1\n");
    let server = Server::with_config(&config);
    let mut client = server.session();
    for _ in 0..2 {
        client.deliver("anna@example.net", MESSAGE);
    }
    client.ask_for("MAIL FROM:<other@client.example>", "250 2.1.0");
    client.ask_for("RCPT TO:<bert@example.net>", "250 2.1.5");
    client.data(MESSAGE, "250 2.6.0");
    let seen = peer.wait_for_at_least(2);
    let mut recipients = seen.recipients();
    recipients.truncate(2);
    recipients.sort();
    assert_eq!(recipients, ["anna@example.net", "bert@example.net"]);
}

#[test]
fn servers_that_do_not_answer_hold_nobody_up() {
    // Connections are taken by the kernel while it has room for them, and nobody greets.
    let (port, [silent, peer]) = Reserved::together([2, 3]);
    let (_silent, peer) = (silent.listen(), Peer::on(peer.listen(), Manner::default()));
    let dns = DnsServer::with(
        "silent.example A 127.0.0.2\nanswers.example A 127.0.0.3\nlive.example MX 10 answers.example\n",
    );
    let domains: Vec<String> = (0..110).map(|number| format!("d{number}.example")).collect();
    domains.iter().for_each(|domain| dns.add(&format!("{domain} MX 10 silent.example")));
    let relay = format!("[relay]\nmx = true\nmx_port = {port}\nmx_loopback = true\n");
    let rest = REST.replace("[queue]\n", "[queue]\nstop_timeout = \"0s\"\n");
    let server = Server::with_config(&[NAME, &relay, &dns.config(), &rest].concat());
    let recipients: Vec<String> = domains.iter().map(|domain| format!("anna@{domain}")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    // More than there are places for, five to each.
    (0..5).for_each(|_| send(&server, &recipients));
    send(&server, &["bert@live.example"]);
    // A greeting is waited for longer than a test waits.
    peer.wait_for(1);
}

#[test]
fn a_destination_that_is_away_holds_nobody_else_up() {
    let away = nowhere();
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let server = with_ways(&format!(
        "[route.\"dead\"]\ndomains = \"dead.example\"\nto = \"smtp://{away}\"\n\
         [route.\"live\"]\ndomains = \"live.example\"\nto = \"smtp://{}\"\n",
        peer.address()
    ));
    let mut client = server.session();
    for _ in 0..100 {
        client.deliver("anna@dead.example", MESSAGE);
    }
    client.deliver("bert@live.example", MESSAGE);
    peer.wait_for(1);
    // Those that were let through at first, and a probe now and then: not all of them.
    let tried = server.log().matches("outcome=\"deferred\"").count();
    assert!(tried < 50, "{tried} attempts at a destination that is away");
}

#[test]
fn a_restart_under_load_loses_nothing_and_repeats_nothing() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let mut server = with_ways(&format!("[relay]\nsmart_host = \"{}\"\n", peer.address()));
    let mut sent = Vec::new();
    for round in 0..4 {
        let mut client = server.session();
        for number in 0..25 {
            let subject = format!("Subject: number {round}-{number}");
            client.deliver("anna@example.net", format!("{subject}\r\n\r\n").as_bytes());
            sent.push(subject);
        }
        drop(client);
        server.stop();
        server.start_again();
    }
    server.wait_for_empty_queue();
    let subject = |message: Vec<u8>| {
        let message = String::from_utf8(message).unwrap();
        message.lines().find(|line| line.starts_with("Subject: ")).unwrap().to_owned()
    };
    let mut came: Vec<String> = peer.seen().messages.into_iter().map(subject).collect();
    came.sort();
    sent.sort();
    assert_eq!(came, sent);
}
