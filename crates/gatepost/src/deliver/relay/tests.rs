//! Relaying to scripted servers on the loopback.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use queue::body::Body;
use queue::disk::Disk as _;
use queue::log_spool::{LogSpool, Options};
use queue::memory_spool::MemorySpool;
use queue::message::{Destination, Origin, QueuedMessage, QueuedRecipient};
use queue::pace::Met;
use queue::schedule::Class;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::Spool;
use smtp::address::{ForwardPath, ReversePath};
use smtp::envelope::{BodyType, MailParameters, Notify, RcptParameters};
use smtp::time::WallTime;
use tokio::net::{TcpListener, TcpSocket};

use super::idle::IDLE_MAX;
use super::scripted::{Scripted, accept, next_hop, run_script};
use super::*;

pub(super) const HELLO: &str = "S 220 mx ready\nC EHLO gatepost.example\nS 250 mx\n";
pub(super) const MESSAGE: &str = "C MAIL FROM:<alice@example.org>\nS 250 ok\nC RCPT TO:<bob@example.net>\nS 250 ok\n\
                       C DATA\nS 354 go on\nD\nS 250 2.0.0 kept as 1\n";
pub(super) const BODY: &[u8] = b"Subject: hello\r\n\r\n.hello\r\n";

fn recipient(mailbox: &str, accepted_as: &str) -> QueuedRecipient {
    QueuedRecipient {
        mailbox: mailbox.parse().unwrap(),
        accepted_as: ForwardPath::Mailbox(accepted_as.parse().unwrap()),
        parameters: RcptParameters::default(),
        destination: Destination::new("smtp"),
    }
}

pub(super) fn queued(mailboxes: &[&str], body: BodyType) -> QueuedMessage {
    QueuedMessage {
        reverse_path: ReversePath::Mailbox("alice@example.org".parse().unwrap()),
        parameters: MailParameters { body, ..MailParameters::default() },
        received: WallTime::from_unix_millis(1),
        hold: None,
        origin: Origin::default(),
        recipients: mailboxes.iter().map(|mailbox| recipient(mailbox, mailbox)).collect(),
    }
}

pub(super) fn relay() -> Relay {
    Relay::new(Security::off())
}

pub(super) async fn store(message: QueuedMessage, body: &[u8]) -> StoredMessage {
    let spool = MemorySpool::new();
    let id = spool.allot(WallTime::from_unix_millis(1));
    spool.enqueue(id, message, Body::Memory(body.to_vec())).await.unwrap();
    spool.open(id).await.unwrap()
}

pub(super) async fn for_bob() -> StoredMessage {
    store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await
}

pub(super) async fn send(relay: &Relay, next_hop: &NextHop, stored: &StoredMessage) -> Vec<Attempt> {
    let indexes: Vec<u32> = (0..).take(stored.message.recipients.len()).collect();
    relay.send(next_hop, "gatepost.example", stored, &indexes).await
}

/// Sends to a server of one connection; gives the attempts and what it read.
async fn send_once(script: &str, stored: &StoredMessage) -> (Vec<Attempt>, String) {
    let server = Scripted::start(&[script]).await;
    let attempts = send(&relay(), &server.next_hop(), stored).await;
    let read = server.finish().await.concat();
    (attempts, read)
}

fn relayed(reply: &str) -> Attempt {
    relayed_by("[127.0.0.1]", reply)
}

pub(super) fn relayed_by(remote: &str, reply: &str) -> Attempt {
    Attempt::Relayed { remote: remote.to_owned(), reply: reply.to_owned(), dsn_offered: false }
}

pub(super) fn remote_failure(status: &str, diagnostic: &str) -> Failure {
    Failure {
        remote: Some(String::from("[127.0.0.1]")),
        ..Failure::local(status, diagnostic).met(Met::Welcome)
    }
}

/// The status of a failure that was found here.
pub(super) fn local_status(attempt: &Attempt) -> (&'static str, &str) {
    match attempt {
        Attempt::Deferred(Failure { status, remote: None, .. }) => ("deferred", status),
        Attempt::Failed(Failure { status, remote: None, .. }) => ("failed", status),
        other => panic!("{other:?}"),
    }
}

/// An address that nobody listens on, nor can, while the socket is kept.
fn closed_address() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_relayed_and_a_relay_that_goes_says_quit() {
    let (attempts, read) = send_once(&format!("{HELLO}{MESSAGE}C QUIT\nE"), &for_bob().await).await;
    assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
    assert!(read.contains("Subject: hello\r\n\r\n..hello\r\n.\r\n"), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_for_the_next_message() {
    let server = Scripted::start(&[&format!("{HELLO}{MESSAGE}{MESSAGE}C QUIT\nE")]).await;
    let relay = relay();
    for _ in 0..2 {
        let attempts = send(&relay, &server.next_hop(), &for_bob().await).await;
        assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
    }
    drop(relay);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waited_too_long_is_closed_with_quit() {
    let script = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let server = Scripted::start(&[&script, &script]).await;
    let relay = relay();
    send(&relay, &server.next_hop(), &for_bob().await).await;
    let later = clock::monotonic() + 2 * IDLE_MAX;
    let next_hop = server.next_hop();
    let peer = Peer::new(&next_hop, &next_hop.hosts[0], &"gatepost.example".parse().unwrap());
    assert!(relay.idle.take(&peer, later).is_none());
    send(&relay, &server.next_hop(), &for_bob().await).await;
    assert!(!relay.idle.expire(clock::monotonic() + 2 * IDLE_MAX));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_under_another_name_is_not_used_again() {
    let other = HELLO.replace("gatepost.example", "renamed.example");
    let server =
        Scripted::start(&[&format!("{HELLO}{MESSAGE}C QUIT\nE"), &format!("{other}{MESSAGE}C QUIT\nE")])
            .await;
    let relay = relay();
    let stored = for_bob().await;
    send(&relay, &server.next_hop(), &stored).await;
    let attempts = relay.send(&server.next_hop(), "renamed.example", &stored, &[0]).await;
    assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
    drop(relay);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_is_replaced() {
    let whole = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let closed = format!("{HELLO}{MESSAGE}X");
    let told = format!("{HELLO}{MESSAGE}S 421 4.4.2 idle too long\nX");
    let told_at_mail = format!("{HELLO}{MESSAGE}C MAIL\nS 421 4.3.2 closing\nX");
    let closed_at_mail = format!("{HELLO}{MESSAGE}C MAIL\nX");
    for first in [closed, told, told_at_mail, closed_at_mail] {
        let server = Scripted::start(&[&first, &whole]).await;
        let relay = relay();
        for _ in 0..2 {
            let attempts = send(&relay, &server.next_hop(), &for_bob().await).await;
            assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")], "{first}");
        }
        drop(relay);
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_that_is_closed_at_mail_is_not_tried_again() {
    let (attempts, _) = send_once(&format!("{HELLO}C MAIL\nS 421 4.3.2 closing\nX"), &for_bob().await).await;
    assert_eq!(
        attempts,
        [Attempt::Deferred(
            remote_failure("4.3.2", "421 4.3.2 closing").met(Met::Reluctance).class(Class::Session)
        )]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_refused_one_by_one() {
    let script = format!(
        "{HELLO}C MAIL\nS 250 ok\nC RCPT TO:<a@example.net>\nS 550 5.1.1 no such user\n\
         C RCPT TO:<b@example.net>\nS 250 ok\nC RCPT TO:<c@example.net>\nS 451 4.2.1 greylisted\n\
         C DATA\nS 354 go on\nD\nS 250 kept\nC QUIT\nE"
    );
    let mailboxes = ["c@example.net", "b@example.net", "a@example.net"];
    let stored = store(queued(&mailboxes, BodyType::SevenBit), BODY).await;
    let server = Scripted::start(&[&script]).await;
    let attempts = relay().send(&server.next_hop(), "gatepost.example", &stored, &[2, 1, 0, 3]).await;
    server.finish().await;
    assert_eq!(
        attempts[0],
        Attempt::Failed(remote_failure("5.1.1", "550 5.1.1 no such user").class(Class::Recipient))
    );
    assert_eq!(attempts[1], relayed("250 kept"));
    assert_eq!(
        attempts[2],
        Attempt::Deferred(remote_failure("4.2.1", "451 4.2.1 greylisted").class(Class::Greylisted))
    );
    assert_eq!(local_status(&attempts[3]), ("deferred", "4.3.0"), "the envelope has no such recipient");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_message_count_for_all_that_were_accepted() {
    for (reply, attempt) in [
        ("550 5.7.1 no", Attempt::Failed(remote_failure("5.7.1", "550 5.7.1 no").class(Class::Data))),
        ("554 no", Attempt::Failed(remote_failure("5.0.0", "554 no").class(Class::Data))),
        ("452 4.3.1 full", Attempt::Deferred(remote_failure("4.3.1", "452 4.3.1 full").class(Class::Data))),
        ("299 odd", relayed("299 odd")),
    ] {
        let script = format!(
            "{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go on\nD\nS {reply}\nC QUIT\nE"
        );
        assert_eq!(send_once(&script, &for_bob().await).await.0, [attempt]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_is_deferred() {
    let begun = format!("{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\n");
    for (script, status) in [
        (format!("{begun}S 354 go on\nD\nX"), "4.4.2"),
        (format!("{begun}X"), "4.4.2"),
        (format!("{begun}S 354 go on\nD\nS nonsense\nE"), "4.5.0"),
        (String::from("X"), "4.4.2"),
        (String::from("S 220 mx\nC EHLO\nX"), "4.4.2"),
    ] {
        let (attempts, _) = send_once(&script, &for_bob().await).await;
        assert_eq!(local_status(&attempts[0]), ("deferred", status), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_that_refuse_defer_unless_the_host_never_takes_mail() {
    for (script, attempt) in [
        (
            "S 421 4.3.2 busy\nE",
            Attempt::Deferred(
                remote_failure("4.3.2", "421 4.3.2 busy").met(Met::Absence).class(Class::Session),
            ),
        ),
        (
            "S 554 5.7.1 go away\nC QUIT\nE",
            Attempt::Deferred(
                remote_failure("4.7.1", "554 5.7.1 go away").met(Met::Absence).class(Class::Session),
            ),
        ),
        (
            "S 521 no mail here\nE",
            Attempt::Failed(remote_failure("5.3.2", "521 no mail here").class(Class::Session)),
        ),
    ] {
        assert_eq!(send_once(script, &for_bob().await).await.0, [attempt]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    let server = Scripted::start(&["E"]).await;
    let greeting = Duration::from_millis(1);
    let relay = Relay { timeouts: Timeouts { greeting, ..Timeouts::default() }, ..relay() };
    let attempts = send(&relay, &server.next_hop(), &for_bob().await).await;
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.4.2"));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_reached_defers() {
    let (address, _socket) = closed_address();
    let target = next_hop(&[address]);
    let attempts = send(&relay(), &target, &for_bob().await).await;
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.4.1"));
    let unnamed = relay().send(&target, "no name", &for_bob().await, &[0]).await;
    assert_eq!(local_status(&unnamed[0]), ("deferred", "4.3.5"));
    assert_eq!(relay().send(&target, "gatepost.example", &for_bob().await, &[]).await, []);
}

/// Tries two addresses of one host.
async fn send_to_two(addresses: [SocketAddr; 2], stored: &StoredMessage) -> Vec<Attempt> {
    relay().send(&next_hop(&addresses), "gatepost.example", stored, &[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_address_is_tried_where_the_first_one_decides_nothing() {
    let stored = for_bob().await;
    let whole = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let second = Scripted::start(&[&whole]).await;
    let (closed, _socket) = closed_address();
    let attempts = send_to_two([closed, second.address], &stored).await;
    assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
    second.finish().await;

    for first in ["S 421 busy\nE", "S 521 never\nE", &format!("{HELLO}C MAIL\nS 451 no\nC QUIT\nE")] {
        let first = Scripted::start(&[first]).await;
        let second = Scripted::start(&[&whole]).await;
        let attempts = send_to_two([first.address, second.address], &stored).await;
        assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
        first.finish().await;
        second.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_address_cannot_take_is_not_failed_while_another_is_out_of_reach() {
    let stored = for_bob().await;
    for never_first in [true, false] {
        let never = Scripted::start(&["S 521 never\nE"]).await;
        let (closed, _socket) = closed_address();
        let mut addresses = [never.address, closed];
        if !never_first {
            addresses.reverse();
        }
        let attempts = send_to_two(addresses, &stored).await;
        assert_eq!(local_status(&attempts[0]), ("deferred", "4.4.1"));
        never.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_mail_waits_for_no_server_that_lacks_8bitmime() {
    let nothing_sent = format!("{HELLO}C QUIT\nE");
    let eight_bit = queued(&["bob@example.net"], BodyType::EightBitMime);
    let stored = store(eight_bit.clone(), "Subject: zoë\r\n\r\nx\r\n".as_bytes()).await;
    let (attempts, _) = send_once(&nothing_sent, &stored).await;
    assert_eq!(local_status(&attempts[0]), ("failed", "5.6.3"));
    let Attempt::Failed(failure) = &attempts[0] else { unreachable!() };
    assert!(
        failure.diagnostic.ends_with("cannot be converted: its header section is not ASCII"),
        "{failure:?}"
    );

    let stored = store(eight_bit, b"\r\nzoe\r\n").await;
    let (attempts, read) = send_once(&format!("{HELLO}{MESSAGE}C QUIT\nE"), &stored).await;
    assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")], "what is ASCII needs no 8BITMIME");
    assert!(!read.contains("BODY="), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_binarymime_or_smtputf8_fails_without_it() {
    let nothing_sent = format!("{HELLO}C QUIT\nE");
    let signed = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n\0\n\r\n--s--\r\n";
    let stored = store(queued(&["bob@example.net"], BodyType::BinaryMime), signed).await;
    assert_eq!(local_status(&send_once(&nothing_sent, &stored).await.0[0]), ("failed", "5.6.3"));
    let stored = store(queued(&["zoë@example.net"], BodyType::SevenBit), BODY).await;
    assert_eq!(local_status(&send_once(&nothing_sent, &stored).await.0[0]), ("failed", "5.6.7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_senders_word_for_a_recipient_goes_along_as_orcpt() {
    let mut message = queued(&[], BodyType::SevenBit);
    let mut known = recipient("a@example.net", "alias@example.org");
    known.parameters.notify = Some(Notify::NEVER);
    known.parameters.original = Some(smtp::envelope::OriginalRecipient {
        kind: String::from("rfc822"),
        address: String::from("first@example.com"),
    });
    let postmaster =
        QueuedRecipient { accepted_as: ForwardPath::Postmaster, ..recipient("d@example.net", "x@y") };
    message.recipients = vec![
        known,
        recipient("b@example.net", "alias@example.org"),
        recipient("c@example.net", "c@example.net"),
        postmaster,
    ];
    let script = "S 220 mx\nC EHLO\nS 250-mx\nS 250 DSN\nC MAIL\nS 250 ok\n\
         C RCPT TO:<a@example.net> NOTIFY=NEVER ORCPT=rfc822;first@example.com\r\nS 250 ok\n\
         C RCPT TO:<b@example.net> ORCPT=rfc822;alias@example.org\nS 250 ok\n\
         C RCPT TO:<c@example.net>\nS 250 ok\n\
         C RCPT TO:<d@example.net> ORCPT=rfc822;postmaster@gatepost.example\nS 250 ok\n\
         C DATA\nS 354 go on\nD\nS 250 kept\nC QUIT\nE";
    let (attempts, read) = send_once(&script.replace("\r\n", "\n"), &store(message, BODY).await).await;
    assert!(read.contains("RCPT TO:<c@example.net>\r\n"), "{read}");
    assert!(attempts.iter().all(|attempt| matches!(attempt, Attempt::Relayed { dsn_offered: true, .. })));
}

/// A script for as many recipients at a time as the server says it takes.
fn limited(recipients: &[&str], limits: &str) -> String {
    let mut script = format!("S 220 mx\nC EHLO\nS 250-mx\nS 250 LIMITS {limits}\nC MAIL\nS 250 ok\n");
    for recipient in recipients {
        let _ = write!(script, "C RCPT TO:<{recipient}>\nS 250 ok\n");
    }
    script.push_str("C DATA\nS 354 go on\nD\nS 250 kept\nC QUIT\nE");
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_beyond_the_servers_limits_go_into_further_sessions() {
    let mailboxes = ["a@example.net", "b@example.net", "c@example.net"];
    let stored = store(queued(&mailboxes, BodyType::SevenBit), BODY).await;
    let limits = "MAILMAX=1 RCPTMAX=2";
    let server =
        Scripted::start(&[&limited(&mailboxes[..2], limits), &limited(&mailboxes[2..], limits)]).await;
    let attempts = send(&relay(), &server.next_hop(), &stored).await;
    assert_eq!(attempts, [relayed("250 kept"), relayed("250 kept"), relayed("250 kept")]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_were_too_many_go_into_another_transaction() {
    let script = format!(
        "{HELLO}C MAIL\nS 250 ok\nC RCPT TO:<a@\nS 250 ok\nC RCPT TO:<b@\nS 452 4.5.3 too many\n\
         C DATA\nS 354 go on\nD\nS 250 first\n\
         C MAIL\nS 250 ok\nC RCPT TO:<b@\nS 250 ok\nC DATA\nS 354 go on\nD\nS 250 second\nC QUIT\nE"
    );
    let stored = store(queued(&["a@example.net", "b@example.net"], BodyType::SevenBit), BODY).await;
    assert_eq!(send_once(&script, &stored).await.0, [relayed("250 first"), relayed("250 second")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_room_for_nobody_is_not_asked_twice() {
    let script = format!("{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 452 4.5.3 too many\nC QUIT\nE");
    let (attempts, _) = send_once(&script, &for_bob().await).await;
    assert_eq!(
        attempts,
        [Attempt::Deferred(remote_failure("4.5.3", "452 4.5.3 too many").class(Class::Recipient))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_pipelined_and_chunks_sent_where_that_is_offered() {
    let script = "S 220 mx\nC EHLO\nS 250-mx\nS 250-PIPELINING\nS 250 CHUNKING\n\
                  C MAIL\nC RCPT\nS 250 ok\nS 250 ok\nC BDAT 26 LAST\nL\nL\nL\nS 250 kept\nC QUIT\nE";
    let (attempts, read) = send_once(script, &for_bob().await).await;
    assert_eq!(attempts, [relayed("250 kept")]);
    assert!(read.contains("LAST\r\nSubject: hello\r\n\r\n.hello\r\nQUIT\r\n"), "{read}");
}

/// Lines that make up more than one portion of a large body.
fn large_body() -> Vec<u8> {
    let mut text = String::from("Subject: large\r\n\r\n");
    for number in 0..100_000 {
        let _ = write!(text, ".line {number:>8} of a large message\r\n");
    }
    text.into_bytes()
}

async fn store_large(disk: &SimulatedDisk, content: &[u8]) -> StoredMessage {
    let (spool, _) = LogSpool::open_on(disk.clone(), Options::new(1)).unwrap();
    let id = spool.allot(WallTime::from_unix_millis(1));
    let mut large = spool.large_body(id).unwrap();
    large.append(content).unwrap();
    let body = Body::Large(large.seal().unwrap());
    spool.enqueue(id, queued(&["bob@example.net"], BodyType::SevenBit), body).await.unwrap();
    spool.open(id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_arrives_whole() {
    let content = large_body();
    assert!(content.len() > 3_000_000);
    let stored = store_large(&SimulatedDisk::new(512), &content).await;
    let (attempts, read) = send_once(&format!("{HELLO}{MESSAGE}C QUIT\nE"), &stored).await;
    assert_eq!(attempts, [relayed("250 2.0.0 kept as 1")]);
    let (_, sent) = read.split_once("DATA\r\n").unwrap();
    let sent = sent.strip_suffix(".\r\nQUIT\r\n").unwrap().replace("\r\n..", "\r\n.");
    assert!(sent.as_bytes() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_while_mail_data_are_sent_is_heard() {
    // The server reads nothing behind its refusal, so that only a client that reads while it writes can hear it.
    let script =
        format!("{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go on\nL\nS 552 5.3.4 too much");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = next_hop(&[listener.local_addr().unwrap()]);
    let stored = store_large(&SimulatedDisk::new(512), &large_body().repeat(5)).await;
    let relay = relay();
    let server = async {
        let mut connection = accept(&listener).await;
        run_script(&script, &mut connection).await;
        connection
    };
    let (attempts, _open) = tokio::join!(send(&relay, &target, &stored), server);
    assert_eq!(attempts, [Attempt::Failed(remote_failure("5.3.4", "552 5.3.4 too much").class(Class::Data))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_data_that_cannot_be_read_are_not_finished() {
    let disk = SimulatedDisk::new(512);
    let stored = store_large(&disk, &large_body()).await;
    let (name, _) = disk.list().unwrap().into_iter().find(|(name, _)| name.starts_with("large")).unwrap();
    let mut octets = disk.contents(&name).unwrap();
    octets[1_000_000] ^= 1;
    disk.set_contents(&name, octets);
    let script = format!("{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go on\nR");
    let (attempts, read) = send_once(&script, &stored).await;
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.3.0"));
    assert!(read.len() > 500_000 && !read.ends_with("\r\n.\r\n"), "{} octets were read", read.len());
}
