//! Delivery as a whole, over a spool in memory: what becomes of messages, and which DSNs follow.

mod post;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use queue::dsn;
use queue::log_spool::{LogSpool, Options};
use queue::message::Destination;
use queue::postmaster::Entry;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Spool as _, Window};
use smtp::envelope::{MailParameters, OriginalRecipient, Ret};
use smtp::time::WallTime;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock;
use post::{CONFIGURATION, Letter, Post};

/// A message that is over the quota of those who have one.
fn large() -> Vec<u8> {
    [b"Subject: large\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(100)].concat()
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no line {line:?} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_in_the_maildir_and_gone_from_the_queue() {
    let post = Post::new();
    post.send(Letter::to("bob+lists@example.org")).await;
    post.until_empty().await;
    assert_eq!(
        post.letters("bob"),
        ["Return-Path: <alice@example.org>\r\nDelivered-To: bob@example.org\r\n\
          X-Original-To: bob+lists@example.org\r\nSubject: tea\r\n\r\nAt five?\r\n"]
    );
    assert_eq!(post.letters("alice").len(), 0, "nobody asked for a DSN");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_all_delivered_once() {
    let post = Post::new();
    let mut bodies: Vec<String> = (0..300).map(|number| format!("X-Number: {number}\r\n\r\n")).collect();
    for body in &bodies {
        post.send(Letter { body: body.as_bytes(), ..Letter::to("bob@example.org") }).await;
    }
    post.until_empty().await;
    let trace = "Return-Path: <alice@example.org>\r\nDelivered-To: bob@example.org\r\n";
    let mut delivered: Vec<String> =
        post.letters("bob").iter().map(|letter| letter.strip_prefix(trace).unwrap().to_owned()).collect();
    delivered.sort();
    bodies.sort();
    assert_eq!(delivered, bodies);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_mail_goes_while_all_relays_wait() {
    // Connections are taken by the kernel, and nobody greets.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let configuration = format!(
        "{CONFIGURATION}[relay]\nsmart_host = \"127.0.0.1:{}\"\n[queue]\nstop_timeout = \"0s\"\n",
        silent.local_addr().unwrap().port(),
    );
    let post = Post::with(&configuration);
    let relayed = 70;
    for _ in 0..relayed {
        post.send(Letter::to("carol@remote.example")).await;
    }
    post.send(Letter::to("bob@example.org")).await;
    post.until(|entries| entries.len() == relayed).await;
    assert_eq!(post.letters("bob").len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_comes_back_as_a_dsn() {
    let post = Post::new();
    let parameters = MailParameters {
        ret: Some(Ret::Full),
        envid: Some(String::from("QQ314159")),
        ..MailParameters::default()
    };
    let original =
        OriginalRecipient { kind: String::from("rfc822"), address: String::from("Nobody@example.org") };
    let letter = Letter { parameters, original: Some(original), ..Letter::to("nobody@example.org") };
    post.send(letter).await;
    post.until_empty().await;
    let dsn = post.only_letter("alice");
    assert_lines(
        &dsn,
        &[
            "Return-Path: <>",
            "Delivered-To: alice@example.org",
            "To: <alice@example.org>",
            "MIME-Version: 1.0",
            "Reporting-MTA: dns; mx.example.org",
            "Original-Envelope-Id: QQ314159",
            "Original-Recipient: rfc822; Nobody@example.org",
            "Final-Recipient: rfc822; nobody@example.org",
            "Action: failed",
            "Status: 5.1.1",
            "At five?",
        ],
    );
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answers_the_null_reverse_path_or_whoever_wants_no_answer() {
    let post = Post::new();
    post.send(Letter { reverse_path: "<>", ..Letter::to("nobody@example.org") }).await;
    post.send(Letter::to("nobody@example.org").notify(false, false, false)).await;
    post.send(Letter::to("nobody@example.org").notify(true, false, true)).await;
    post.until_empty().await;
    assert_eq!(post.letters("alice").len(), 0);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_named_in_a_flood_gets_so_many_dsns_and_no_more() {
    let post = Post::new();
    for _ in 0..dsn::ADDRESS_AN_HOUR + 10 {
        post.send(Letter::to("nobody@example.org")).await;
    }
    post.until_empty().await;
    assert_eq!(post.letters("alice").len(), dsn::ADDRESS_AN_HOUR as usize);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_is_reported_to_whoever_asks() {
    let post = Post::new();
    post.send(Letter::to("bob@example.org").notify(true, false, false)).await;
    post.until_empty().await;
    let dsn = post.only_letter("alice");
    assert_lines(&dsn, &["Final-Recipient: rfc822; bob@example.org", "Action: delivered", "Status: 2.0.0"]);
    assert!(!dsn.contains("At five?"), "{dsn}");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_success_hears_once_that_an_alias_stands_for_several() {
    let post = Post::new();
    post.send(Letter::to("pair@example.org").notify(true, true, false)).await;
    post.until_empty().await;
    assert_eq!((post.letters("bob").len(), post.letters("postmaster").len()), (1, 1));
    let dsn = post.only_letter("alice");
    assert_lines(&dsn, &["Final-Recipient: rfc822; pair@example.org", "Action: expanded", "Status: 2.0.0"]);
    assert!(!dsn.contains("Action: delivered") && !dsn.contains("bob@"), "{dsn}");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_route_waits_for_one() {
    let post = Post::new();
    let before = clock::wall();
    post.send(Letter::to("carol@elsewhere.example")).await;
    let entries = post.until_tried(1).await;
    let (_, state) = &entries[0].recipients[0];
    assert!(state.last_reply.as_ref().unwrap().contains("relay.smart_host"), "{state:?}");
    assert!(state.due >= before + Duration::from_secs(4 * 60), "{state:?}");
    assert!(state.due <= clock::wall() + Duration::from_secs(6 * 60), "{state:?}");
    post.try_again().await;
    post.until_tried(2).await;
    assert_eq!(post.letters("alice").len(), 0, "too early for a warning");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_where_its_address_leads_by_now() {
    let post = Post::new();
    post.send(Letter::to("carol@elsewhere.example")).await;
    post.send(Letter::to("busy@example.org")).await;
    let big = [b"Subject: big\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(100_000)].concat();
    post.send(Letter { body: &big, ..Letter::to("dave@elsewhere.example") }).await;
    post.until(|entries| {
        entries.len() == 3 && entries.iter().all(|entry| entry.recipients[0].1.attempts == 1)
    })
    .await;
    let elsewhere = "[domain.\"elsewhere.example\".mailbox]\npostmaster = {}\n\
                     carol = { members = [\"bob@example.org\", \"small@example.org\"], owner = \"postmaster\" }\n\
                     dave = { alias = \"alice@example.org\" }\n";
    let busy =
        CONFIGURATION.replace("busy = { busy = true }", "busy = { alias = [\"bob\", \"far@away.example\"] }");
    post.reload(&format!("{busy}{elsewhere}"));
    post.try_again().await;
    let only_far_waits = |entries: &[Entry]| {
        matches!(entries, [entry] if matches!(entry.recipients.as_slice(), [(mailbox, state)]
            if mailbox.to_string() == "far@away.example" && state.attempts == 1))
    };
    post.until(only_far_waits).await;
    let bobs = post.letters("bob");
    let from = |path: &str| bobs.iter().filter(|letter| letter.starts_with(path)).count();
    assert_eq!(
        (from("Return-Path: <alice@example.org>"), from("Return-Path: <postmaster@elsewhere.example>")),
        (1, 1),
        "{bobs:#?}"
    );
    assert_eq!(post.letters("small").len(), 1);
    let alices = post.only_letter("alice");
    assert_lines(&alices, &["X-Original-To: dave@elsewhere.example", "Subject: big"]);
    assert!(alices.len() > big.len());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_reported_once() {
    let post = Post::new();
    let old = Letter::to("carol@elsewhere.example").old(Duration::from_secs(5 * 3_600));
    post.send(
        Letter { received: old.received + Duration::from_secs(1), ..old.clone() }.notify(true, true, false),
    )
    .await;
    post.send(old).await;
    let waits = |entries: &[Entry]| {
        entries.len() == 2 && entries.iter().all(|entry| entry.recipients[0].1.attempts == 1)
    };
    post.until(waits).await;
    let dsn = post.only_letter("alice");
    assert_lines(&dsn, &["Final-Recipient: rfc822; carol@elsewhere.example", "Action: delayed"]);
    assert!(dsn.contains("Will-Retry-Until: "), "{dsn}");
    post.try_again().await;
    post.until_tried(2).await;
    assert_eq!(post.letters("alice").len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_was_not_tried_for_a_week_is_tried_twice_before_it_goes_back() {
    let post = Post::new();
    post.send(Letter::to("carol@elsewhere.example").old(Duration::from_secs(8 * 86_400))).await;
    // The first attempt also comes after the time of the warning.
    post.until(|entries| entries.len() == 1 && entries[0].recipients[0].1.attempts == 1).await;
    assert_lines(&post.only_letter("alice"), &["Action: delayed"]);
    post.try_again().await;
    post.until_empty().await;
    let letters = post.letters("alice");
    assert_eq!(letters.len(), 2, "{letters:#?}");
    let failed = letters.iter().find(|letter| letter.contains("Action: failed")).unwrap();
    assert_lines(failed, &["Status: 4.4.4", "Final-Recipient: rfc822; carol@elsewhere.example"]);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_here_before_is_a_loop() {
    let post = Post::new();
    let body = b"Received: x\r\nDELIVERED-TO:  Bob@Example.org\r\nSubject: round\r\n\r\nDelivered-To: no\r\n";
    post.send(Letter { body, ..Letter::to("bob@example.org") }).await;
    post.until_empty().await;
    assert_eq!(post.letters("bob").len(), 0);
    assert_lines(&post.only_letter("alice"), &["Status: 5.4.6"]);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_message_is_no_loop() {
    let post = Post::new();
    let body = b"Subject: fwd\r\n\r\nDelivered-To: bob@example.org\r\n";
    post.send(Letter { body, ..Letter::to("bob@example.org") }).await;
    post.until_empty().await;
    assert_eq!(post.letters("bob").len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alias_leads_to_decides() {
    let post = Post::new();
    let large = large();
    post.send(Letter { body: &large, ..Letter::to("to-small@example.org") }).await;
    post.send(Letter { body: &large, ..Letter::to("to-patient@example.org") }).await;
    post.send(Letter::to("gone@example.org")).await;
    post.send(Letter::to("busy@example.org")).await;
    let two_wait = |entries: &[Entry]| {
        entries.len() == 2 && entries.iter().all(|entry| entry.recipients[0].1.attempts == 1)
    };
    let mut replies: Vec<String> = post
        .until(two_wait)
        .await
        .into_iter()
        .map(|entry| entry.recipients[0].1.last_reply.clone().unwrap())
        .collect();
    replies.sort();
    assert!(replies[0].contains("busy") && replies[1].contains("full"), "{replies:?}");
    let dsns = post.letters("alice").join("\n");
    assert_lines(&dsns, &["Status: 5.2.2", "Final-Recipient: rfc822; to-small@example.org"]);
    assert_lines(&dsns, &["Status: 5.1.6", "Final-Recipient: rfc822; gone@example.org"]);
    assert!(dsns.contains("gone@new.example"), "{dsns}");
    assert_eq!(post.letters("small").len() + post.letters("patient").len(), 0);
    post.send(Letter::to("to-small@example.org")).await;
    post.until(two_wait).await;
    assert_eq!(post.letters("small").len(), 1, "there was room for a small one");
    post.send(Letter { body: &large, ..Letter::to("hostmaster@example.org") }).await;
    post.until(two_wait).await;
    assert_eq!(post.letters("postmaster").len(), 1, "postmasters have no quota");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_list_hears_which_member_failed() {
    let post = Post::new();
    post.send(Letter { body: &large(), ..Letter::to("team@example.org") }).await;
    post.until_empty().await;
    assert_eq!(post.letters("bob").len(), 1);
    let dsn = post.only_letter("alice");
    assert_lines(&dsn, &["Final-Recipient: rfc822; small@example.org", "Status: 5.2.2"]);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_away_counts_as_delivered() {
    let post = Post::new();
    post.send(Letter::to("sink@example.org").notify(true, false, false)).await;
    post.until_empty().await;
    assert_eq!(post.files("sink").len(), 0);
    assert_lines(&post.only_letter("alice"), &["Action: delivered"]);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_cannot_be_written_to_defers() {
    let post = Post::new();
    let domain = post.state.path().join("maildir/example.org");
    fs::create_dir_all(&domain).unwrap();
    fs::write(domain.join("bob"), "in the way").unwrap();
    post.send(Letter::to("bob@example.org")).await;
    let entries = post.until_tried(1).await;
    assert!(entries[0].recipients[0].1.last_reply.as_ref().unwrap().contains("mailbox"), "{entries:?}");
    fs::remove_file(domain.join("bob")).unwrap();
    post.try_again().await;
    post.until_empty().await;
    assert_eq!(post.letters("bob").len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrong_clock_put_off_for_years_is_tried_now() {
    let post = Post::new();
    let in_years = clock::wall() + Duration::from_secs(3 * 365 * 86_400);
    post.send(Letter { received: in_years, ..Letter::to("bob@example.org") }).await;
    post.until_empty().await;
    assert_eq!(post.letters("bob").len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_kept_when_delivery_stops() {
    let post = Post::new();
    post.send(Letter::to("carol@elsewhere.example")).await;
    post.until_tried(1).await;
    let spool = Arc::clone(&post.spool);
    post.stop().await;
    assert_eq!(spool.census().await.unwrap().deferred, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_a_postmaster_has_tried_in_vain_is_let_alone_again() {
    // Nobody listens at a port that was given back.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let post = Post::with(&format!("relay.smart_host = \"{nobody}\"\n{CONFIGURATION}"));
    let destination = Destination::new("relay");
    post.send(Letter::to("carol@elsewhere.example")).await;
    let let_alone = post.until_let_alone(&destination).await;
    post.spool.set_window(&destination, Window { opens: WallTime::default(), ..let_alone });
    post.try_again().await;
    post.until_tried(2).await;
    assert_eq!(post.until_let_alone(&destination).await, let_alone);
    post.stop().await;
}

/// A server for one connection, without extensions: refuses recipients whose name begins with `no`, takes all others.
async fn smart_host() -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut heard, mut in_data) = (String::new(), false);
        stream.write_all(b"220 relay.example ready\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return heard;
            }
            heard.push_str(&line);
            let reply = match line.trim_end() {
                "." => "250 2.0.0 kept",
                _ if in_data => continue,
                "DATA" => "354 go on",
                // The client goes without waiting for the answer.
                "QUIT" => return heard,
                rcpt if rcpt.starts_with("RCPT TO:<no") => "550-5.1.1 no such user\r\n550 5.1.1 here",
                _ => "250 ok",
            };
            in_data = line == "DATA\r\n";
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        }
    });
    (address, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_smart_host_takes_and_what_it_refuses_is_reported_by_us() {
    let (address, serving) = smart_host().await;
    let post = Post::with(&format!("relay.smart_host = \"{address}\"\n{CONFIGURATION}"));
    post.send(Letter::to("yes@elsewhere.example").notify(true, true, false)).await;
    post.until_empty().await;
    assert_lines(
        &post.only_letter("alice"),
        &[
            "Final-Recipient: rfc822; yes@elsewhere.example",
            "Action: relayed",
            "Remote-MTA: dns; [127.0.0.1]",
        ],
    );
    post.send(Letter::to("no@elsewhere.example")).await;
    post.until_empty().await;
    let dsns = post.letters("alice").join("\n");
    assert_lines(
        &dsns,
        &[
            "Final-Recipient: rfc822; no@elsewhere.example",
            "Action: failed",
            "Status: 5.1.1",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user / here",
        ],
    );
    post.stop().await;
    let heard = serving.await.unwrap();
    let expected = ["MAIL FROM:<alice@example.org>", "RCPT TO:<yes@elsewhere.example>", "At five?", "QUIT"];
    assert_lines(&heard, &expected);
    assert_eq!(heard.matches("EHLO mx.example.org").count(), 1, "one connection serves both:\n{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_record_delivers_into_maildirs_and_relays_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let disk = SimulatedDisk::new(512);
    let (spool, _) = LogSpool::open_on(disk.clone(), Options::new(7)).unwrap();
    let mut post = Post::idle(&format!("relay.smart_host = \"{address}\"\n{CONFIGURATION}"), spool);
    post.send(Letter::to("bob@example.org")).await;
    post.send(Letter::to("carol@elsewhere.example")).await;
    disk.fail_call(disk.calls(), io::ErrorKind::Other);
    assert!(post.offer(Letter::to("alice@example.org")).await.is_err());
    assert!(post.spool.fault().is_some());
    post.start();
    let put_off = |entries: &[Entry]| entries.len() == 1 && entries[0].recipients[0].1.due > clock::wall();
    let entries = post.until(put_off).await;
    assert_eq!(entries[0].recipients[0].1.attempts, 0);
    assert_eq!(post.letters("bob").len(), 1);
    post.stop().await;
    let connection = std::pin::pin!(listener.accept());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(connection.poll(&mut context).is_pending(), "nobody came to the smart host");
}
