//! Servers that say the wrong thing, too much, too late or nothing: each reply at each stage over a real connection is
//! held against the table; nothing is lost, and nothing arrives twice but in the case of RFC 1047.

use std::time::Duration;

use smtp::client::meaning::{Attempt as Dialogue, Fate, Meaning, Retry, Stage, classify, classify_fault};
use smtp::client::{Fault, RemoteCode, RemoteReply};
use smtp::envelope::BodyType;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::scripted::{Scripted, accept, next_hop, run_script};
use super::tests::{BODY, HELLO, MESSAGE, local_status, queued, relayed_by, store};
use super::*;

const ME: &str = "[127.0.0.1]";

/// The steps of a transaction, each with what is said when nothing is wrong.
const STEPS: [(Stage, &str, &str); 6] = [
    (Stage::Greeting, "", "220 mx"),
    (Stage::Ehlo, "C EHLO\n", "250 mx"),
    (Stage::Mail, "C MAIL\n", "250 ok"),
    (Stage::Rcpt, "C RCPT\n", "250 ok"),
    (Stage::Data, "C DATA\n", "354 go on"),
    (Stage::EndOfData, "D\n", "250 kept"),
];

const CODES: [u16; 26] = [
    211, 220, 250, 251, 252, 299, 334, 354, 399, 421, 432, 450, 451, 452, 454, 455, 499, 500, 502, 521, 530,
    550, 552, 554, 556, 571,
];

/// A script in which `said` comes at `stage` instead of what should; the rest is read and not answered.
fn script(stage: Stage, said: &str) -> String {
    let mut script = String::new();
    for (step, heard, usual) in STEPS {
        script.push_str(heard);
        if step == stage {
            return format!("{script}{said}R");
        }
        script.push_str(&format!("S {usual}\n"));
    }
    unreachable!()
}

async fn stored() -> StoredMessage {
    store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await
}

/// The wait for what does not come.
const SHORT: Duration = Duration::from_millis(300);

/// Sends to a server of one script; further connections are not answered.
async fn attempt(script: &str, timeouts: Timeouts) -> (Attempt, String) {
    let server = Scripted::start(&[script]).await;
    let relay = Relay { timeouts, ..Relay::new(Security::off()) };
    let mut attempts = relay.send(&server.next_hop(), "gatepost.example", &stored().await, &[0]).await;
    drop(relay);
    (attempts.remove(0), server.finish().await.concat())
}

/// Waits that no test should see the end of.
fn patient() -> Timeouts {
    let long = Duration::from_secs(60);
    Timeouts {
        greeting: long,
        data_initiation: long,
        data_block: long,
        data_termination: long,
        ..Timeouts::default()
    }
}

fn agrees(attempt: &Attempt, meaning: Meaning) -> bool {
    match meaning.fate {
        Fate::Delivered => matches!(attempt, Attempt::Relayed { .. }),
        Fate::Failed => matches!(attempt, Attempt::Failed(_)),
        Fate::Deferred | Fate::Unknown => matches!(attempt, Attempt::Deferred(_)),
        Fate::Undecided | Fate::Accepted => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reply_at_each_stage_leads_to_what_the_table_says() {
    let mut checked = 0;
    for (stage, ..) in STEPS {
        for code in CODES {
            let reply =
                RemoteReply { code: RemoteCode::new(code).unwrap(), enhanced: None, text: "x".into() };
            let meaning = classify(stage, &reply);
            // Where the dialogue goes on, other tests go on with it.
            let goes_on = matches!(meaning.fate, Fate::Undecided | Fate::Accepted);
            // Alone in its transaction, who is too much is not asked for again.
            if goes_on || meaning.attempt == Dialogue::FallsBack {
                continue;
            }
            let (attempt, read) = attempt(&script(stage, &format!("S {code} x\n")), patient()).await;
            assert!(agrees(&attempt, meaning), "{stage} {code}: {attempt:?}");
            let has_data = read.contains("Subject: hello");
            assert_eq!(has_data, stage == Stage::EndOfData, "{stage} {code}: {read}");
            checked += 1;
        }
    }
    assert!(checked > 90, "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_reply_defers_wherever_it_comes() {
    let long = "x".repeat(10_000);
    let endless = "S 250-x\n".repeat(400);
    for (stage, ..) in STEPS {
        for said in [
            "S nonsense\n",
            "S 250-mx\nS 251 mx\n",
            "P 250 x\\n\n",
            "S 999 x\n",
            "S 250-x\nX\n",
            "X\n",
            &format!("S 250 {long}\n"),
            &endless,
        ] {
            let timeouts = Timeouts { command: SHORT, mail: SHORT, rcpt: SHORT, quit: SHORT, ..patient() };
            let (attempt, _) = attempt(&script(stage, said), timeouts).await;
            let meaning = classify_fault(stage, Fault::Lost);
            assert!(agrees(&attempt, meaning), "{stage} {:?}: {attempt:?}", &said[..said.len().min(20)]);
            let (what, status) = local_status(&attempt);
            assert_eq!(what, "deferred");
            assert!(matches!(status, "4.4.2" | "4.5.0"), "{status}");
        }
    }
}

/// Sends to two hosts; gives the attempt, and whether the second one was asked.
async fn with_two_hosts(first: &str) -> (Attempt, bool) {
    let first = Scripted::start(&[first]).await;
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = next_hop(&[first.address, second.local_addr().unwrap()]);
    let relay = Relay::new(Security::off());
    let stored = stored().await;
    let sending = async {
        let attempts = relay.send(&hop, "gatepost.example", &stored, &[0]).await;
        drop(relay);
        attempts
    };
    tokio::pin!(sending);
    let (mut attempts, was_asked) = tokio::select! {
        attempts = &mut sending => (attempts, false),
        mut connection = accept(&second) => {
            let script = format!("{HELLO}{MESSAGE}C QUIT\nE");
            let served = run_script(&script, &mut connection);
            (tokio::join!(sending, served).0, true)
        }
    };
    first.finish().await;
    (attempts.remove(0), was_asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_arrived_goes_to_no_other_host_at_once_and_what_did_not_does() {
    for said in ["X\n", "S nonsense\n", "S 354 again\n"] {
        let (attempt, was_asked) = with_two_hosts(&script(Stage::EndOfData, said)).await;
        assert!(matches!(attempt, Attempt::Deferred(_)) && !was_asked, "{said} {attempt:?}");
    }
    for (stage, said) in [
        (Stage::EndOfData, "S 421 4.3.2 closing\n"),
        (Stage::EndOfData, "S 452 4.3.1 full\n"),
        (Stage::Data, "X\n"),
        (Stage::Rcpt, "S 421 closing\n"),
        (Stage::Mail, "S 530 5.7.0 log in first\n"),
        (Stage::Greeting, "S 521 never\n"),
    ] {
        let (attempt, was_asked) = with_two_hosts(&script(stage, said)).await;
        assert_eq!((attempt, was_asked), (relayed_by(ME, "250 2.0.0 kept as 1"), true), "{stage} {said}");
    }
    for (stage, said) in
        [(Stage::Rcpt, "S 550 no\n"), (Stage::EndOfData, "S 554 no\n"), (Stage::Rcpt, "S 450 later\n")]
    {
        let (attempt, was_asked) = with_two_hosts(&script(stage, said)).await;
        assert!(!was_asked && !matches!(attempt, Attempt::Relayed { .. }), "{stage} {said} {attempt:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_some_recipients_and_closes_leaves_each_with_its_own_outcome() {
    let mailboxes = ["a@example.net", "b@example.net", "c@example.net"];
    let message = store(queued(&mailboxes, BodyType::SevenBit), BODY).await;
    let server = Scripted::start(&[&format!(
        "{HELLO}C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC RCPT\nS 250 ok\nC RCPT\nS 421 4.3.2 closing\nX"
    )])
    .await;
    let relay = Relay::new(Security::off());
    let attempts = relay.send(&server.next_hop(), "gatepost.example", &message, &[0, 1, 2]).await;
    assert!(
        matches!(attempts[..], [Attempt::Failed(_), Attempt::Deferred(_), Attempt::Deferred(_)]),
        "{attempts:?}"
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_trickles_is_given_up_at_the_deadline_of_the_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = next_hop(&[listener.local_addr().unwrap()]);
    let greeting = Duration::from_millis(200);
    let relay = Relay { timeouts: Timeouts { greeting, ..patient() }, ..Relay::new(Security::off()) };
    let trickle = async {
        let mut connection = accept(&listener).await;
        let mut octets = 0_u32;
        // An octet at a time moves no deadline.
        while connection.write_all(b"2").await.is_ok() {
            octets += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        octets
    };
    let message = stored().await;
    let (attempts, octets) = tokio::join!(relay.send(&hop, "gatepost.example", &message, &[0]), trickle);
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.4.2"));
    assert!(octets > 0);
}

#[test]
fn only_a_lost_answer_to_the_data_may_double_a_message() {
    for (stage, ..) in STEPS {
        let may_double = classify_fault(stage, Fault::Lost).fate == Fate::Unknown;
        assert_eq!(may_double, stage == Stage::EndOfData);
        if may_double {
            assert_eq!(classify_fault(stage, Fault::Lost).retry, Retry::Later);
        }
    }
}
