//! Where connections go and come from: Unix sockets, LMTP, source addresses.

use queue::schedule::Class;
use smtp::client::Protocol;
use smtp::envelope::BodyType;
use tokio::net::{TcpListener, UnixListener};

use super::scripted::{next_hop, serve_unix};
use super::tests::{BODY, for_bob, local_status, queued, relay, relayed_by, remote_failure, send, store};
use super::*;
use crate::deliver::next_hop::{Endpoint, NextHost, Sources, TlsLevel, TlsPlan};

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_over_a_unix_socket_answers_for_each_recipient() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let script = "S 220 store\nC LHLO gatepost.example\nS 250 store\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\n\
                  S 550 5.1.1 nobody\nC RCPT\nS 250 ok\nC DATA\nS 354 go on\nD\nS 250 2.0.0 saved\n\
                  S 452 4.2.2 full\nC QUIT\nE";
    let server = tokio::spawn(serve_unix(listener, script));
    let hop = NextHop {
        protocol: Protocol::Lmtp,
        hosts: vec![NextHost {
            name: path.display().to_string(),
            endpoint: Endpoint::Unix(path),
            tls: TlsPlan { level: TlsLevel::Off, implicit: false, reported: None },
        }],
        credentials: None,
        sources: Sources::default(),
    };
    let mailboxes = ["a@example.net", "b@example.net", "c@example.net"];
    let stored = store(queued(&mailboxes, BodyType::SevenBit), BODY).await;
    let attempts = send(&relay(), &hop, &stored).await;
    let said = |status: &str, diagnostic: &str| Failure {
        remote: Some(String::from("localhost")),
        ..remote_failure(status, diagnostic)
    };
    assert_eq!(attempts[0], relayed_by("localhost", "250 2.0.0 saved"));
    assert_eq!(attempts[1], Attempt::Failed(said("5.1.1", "550 5.1.1 nobody").class(Class::Recipient)));
    assert_eq!(attempts[2], Attempt::Deferred(said("4.2.2", "452 4.2.2 full").class(Class::MailboxFull)));
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_comes_from_the_address_that_the_next_hop_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hop = next_hop(&[listener.local_addr().unwrap()]);
    hop.sources.v4 = Some("127.0.0.2".parse().unwrap());
    let (stored, relay) = (for_bob().await, relay());
    let server = async {
        let (stream, from) = listener.accept().await.unwrap();
        drop(stream);
        from.ip()
    };
    let (_, from) = tokio::join!(send(&relay, &hop, &stored), server);
    assert_eq!(from, std::net::IpAddr::from([127, 0, 0, 2]));

    hop.sources.v4 = Some("192.0.2.1".parse().unwrap());
    let attempts = send(&relay, &hop, &stored).await;
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.4.1"));
}
