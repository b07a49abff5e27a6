//! Relaying under TLS to scripted servers on the loopback.

use std::net::SocketAddr;
use std::sync::Mutex;

use smtp::envelope::BodyType;

use super::certificates::{Client, NAME};
use super::scripted::{Scripted, next_hop};
use super::security::TlsResults;
use super::tests::{BODY, HELLO, MESSAGE, local_status, queued, relayed_by, store};
use super::*;
use crate::deliver::next_hop::{TlsLevel, TlsPlan};
use crate::net::tls_result::{PolicyKind, ReportedPolicy, TlsFailure};

const OFFER: &str = "S 220 mx\nC EHLO\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\n";

/// A relay with the tests' certificate, and what it told of its sessions.
fn secured() -> (Relay, Arc<Mutex<Vec<Option<TlsFailure>>>>) {
    let told = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&told);
    let results: TlsResults = Arc::new(move |result| {
        assert_eq!(result.source, Some("127.0.0.1".parse().unwrap()));
        kept.lock().unwrap().push(result.failure);
    });
    (Relay::new(Security { handshake: Arc::new(Client), results }), told)
}

fn verified(name: &str) -> TlsLevel {
    TlsLevel::Verified(Arc::from([name.to_owned()]))
}

/// The next hop of these addresses, all under the tests' name.
fn hop(addresses: &[SocketAddr], level: &TlsLevel, implicit: bool) -> NextHop {
    let mut hop = next_hop(addresses);
    for host in &mut hop.hosts {
        host.name = NAME.to_owned();
        host.tls = TlsPlan {
            level: level.clone(),
            implicit,
            reported: Some(Arc::new(ReportedPolicy {
                domain: String::from("example.org"),
                kind: PolicyKind::NoPolicyFound,
                lines: Vec::new(),
                mx: Vec::new(),
                told: String::from("example.org"),
                fault: None,
            })),
        };
    }
    hop
}

/// Sends to a server of these connections; gives the attempt, what it read, and what was told.
async fn send(
    level: &TlsLevel,
    implicit: bool,
    scripts: &[&str],
) -> (Attempt, Vec<String>, Vec<Option<TlsFailure>>) {
    let server = Scripted::start(scripts).await;
    let (relay, told) = secured();
    let stored = store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await;
    let mut attempts =
        relay.send(&hop(&[server.address], level, implicit), "gatepost.example", &stored, &[0]).await;
    drop(relay);
    let read = server.finish().await;
    let told = told.lock().unwrap().clone();
    (attempts.remove(0), read, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_under_tls_where_it_is_offered() {
    let names = verified(NAME);
    for level in [&TlsLevel::Opportunistic, &TlsLevel::Encrypted, &names] {
        let script = format!("{OFFER}S 220 go on\nT\nC EHLO gatepost.example\nS 250 mx\n{MESSAGE}C QUIT\nE");
        let (attempt, read, told) = send(level, false, &[&script]).await;
        assert_eq!(attempt, relayed_by(NAME, "250 2.0.0 kept as 1"), "{level:?}");
        assert!(read[0].contains("Subject: hello\r\n\r\n..hello\r\n.\r\nQUIT\r\n"), "{read:?}");
        assert_eq!(told, [None], "{level:?}");
    }
    let script = format!("T\n{HELLO}{MESSAGE}C QUIT\nE");
    let (attempt, _, told) = send(&names, true, &[&script]).await;
    assert_eq!((attempt, told), (relayed_by(NAME, "250 2.0.0 kept as 1"), vec![None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_protection_goes_in_clear_text_when_tls_is_missing_or_fails() {
    let clear = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let (attempt, _, told) = send(&TlsLevel::Opportunistic, false, &[&clear]).await;
    assert_eq!(
        (attempt, told),
        (relayed_by(NAME, "250 2.0.0 kept as 1"), vec![Some(TlsFailure::StarttlsNotSupported)])
    );

    let refused = format!("{OFFER}S 454 4.7.0 not now\n{MESSAGE}C QUIT\nE");
    let (attempt, ..) = send(&TlsLevel::Opportunistic, false, &[&refused]).await;
    assert_eq!(attempt, relayed_by(NAME, "250 2.0.0 kept as 1"));

    for broken in ["S nonsense\nX", "X"] {
        let broken = format!("{OFFER}S 220 go on\nB\n{broken}");
        let (attempt, read, told) = send(&TlsLevel::Opportunistic, false, &[&broken, &clear]).await;
        assert_eq!(attempt, relayed_by(NAME, "250 2.0.0 kept as 1"));
        assert_eq!(read.len(), 2);
        assert_eq!(told, [Some(TlsFailure::ValidationFailure)]);
    }
    let twice = format!("{OFFER}S 220 go on\nT\nX");
    let (attempt, ..) = send(&TlsLevel::Opportunistic, false, &[&twice, &clear]).await;
    assert_eq!(attempt, relayed_by(NAME, "250 2.0.0 kept as 1"), "closed right behind the handshake");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_protection_never_goes_in_clear_text() {
    let (right, wrong) = (verified(NAME), verified("other.example.org"));
    for (level, script, status) in [
        (&TlsLevel::Encrypted, format!("{}C QUIT\nE", HELLO), "4.7.10"),
        (&right, format!("{}C QUIT\nE", HELLO), "4.7.10"),
        (&TlsLevel::Encrypted, format!("{OFFER}S 220 go on\nB\nS nonsense\nX"), "4.7.5"),
        (&wrong, format!("{OFFER}S 220 go on\nT\nE"), "4.7.5"),
        (&TlsLevel::Encrypted, format!("{OFFER}S 220 go on\nX"), "4.7.5"),
    ] {
        let (attempt, read, told) = send(level, false, &[&script]).await;
        assert_eq!(local_status(&attempt), ("deferred", status), "{script}");
        assert!(!read.concat().contains("MAIL FROM"), "{read:?}");
        assert!(matches!(told[..], [Some(_)]), "{told:?}");
    }
    let (attempt, read, _) =
        send(&TlsLevel::Encrypted, false, &[&format!("{OFFER}S 454 4.7.0 not now\nC QUIT\nE")]).await;
    assert!(matches!(attempt, Attempt::Deferred(_)) && !read.concat().contains("MAIL"));
    for level in [&wrong, &TlsLevel::Opportunistic] {
        let (attempt, ..) = send(level, true, &["B\nX"]).await;
        assert_eq!(
            local_status(&attempt),
            ("deferred", "4.7.5"),
            "a port of TLS has no clear text: {level:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_the_go_ahead_ends_the_connection() {
    for level in [TlsLevel::Opportunistic, TlsLevel::Encrypted] {
        let script = format!("{OFFER}P 220 go on\\r\\n250-mx\\r\\n250 AUTH PLAIN\\r\\n\nX");
        let (attempt, read, _) = send(&level, false, &[&script]).await;
        assert_eq!(local_status(&attempt), ("deferred", "4.7.0"), "{level:?}");
        assert!(read[0].ends_with("STARTTLS\r\n"), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_tls_fails_leaves_the_mail_to_the_next_one() {
    let broken = Scripted::start(&[&format!("{OFFER}S 220 go on\nB\nX")]).await;
    let script = format!("{OFFER}S 220 go on\nT\nC EHLO\nS 250 mx\n{MESSAGE}{MESSAGE}C QUIT\nE");
    let good = Scripted::start(&[&script]).await;
    let (relay, _) = secured();
    let stored = store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await;
    let hop = hop(&[broken.address, good.address], &verified(NAME), false);
    for _ in 0..2 {
        let attempts = relay.send(&hop, "gatepost.example", &stored, &[0]).await;
        assert_eq!(attempts, [relayed_by(NAME, "250 2.0.0 kept as 1")], "the connection is used again");
    }
    drop(relay);
    broken.finish().await;
    good.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_clear_text_is_not_used_again_for_what_needs_protection() {
    let clear = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let server = Scripted::start(&[&clear, &format!("{HELLO}C QUIT\nE")]).await;
    let (relay, _) = secured();
    let stored = store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await;
    let opportunistic = hop(&[server.address], &TlsLevel::Opportunistic, false);
    let attempts = relay.send(&opportunistic, "gatepost.example", &stored, &[0]).await;
    assert_eq!(attempts, [relayed_by(NAME, "250 2.0.0 kept as 1")]);
    let encrypted = hop(&[server.address], &TlsLevel::Encrypted, false);
    // The server takes the second connection when the first one has ended.
    let sending = relay.send(&encrypted, "gatepost.example", &stored, &[0]);
    let later = clock::monotonic() + 2 * idle::IDLE_MAX;
    let (attempts, _) = tokio::join!(sending, async { relay.idle.expire(later) });
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.7.10"));
    drop(relay);
    assert!(!server.finish().await[1].contains("MAIL"));
}
