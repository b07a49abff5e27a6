//! In which form messages leave: converted, with fields in front, under another reverse-path, under REQUIRETLS.

use std::sync::Mutex;

use queue::message::{QueuedMessage, QueuedRecipient};
use smtp::address::ReversePath;
use smtp::envelope::BodyType;

use super::certificates::{Client, NAME};
use super::departure::Outgoing;
use super::scripted::Scripted;
use super::tests::{BODY, HELLO, MESSAGE, local_status, queued, relayed_by, store};
use super::*;
use crate::deliver::next_hop::{TlsLevel, TlsPlan};
use crate::net::tls_result::{PolicyKind, ReportedPolicy};

const ME: &str = "[127.0.0.1]";

/// A site that rewrites reverse-paths for mailboxes of `far.example`, and tells the length of what it signs.
#[derive(Default)]
struct Signing {
    signed: Mutex<Vec<(u8, Vec<u8>)>>,
    fails: bool,
}

impl Departure for Signing {
    fn reverse_path(&self, message: &QueuedMessage, recipient: &QueuedRecipient) -> ReversePath {
        if recipient.mailbox.to_string().ends_with("@far.example") {
            ReversePath::Mailbox("srs0@gatepost.example".parse().unwrap())
        } else {
            message.reverse_path.clone()
        }
    }

    fn fields(
        &self,
        outgoing: Outgoing<'_>,
        recipients: &mut dyn Iterator<Item = &QueuedRecipient>,
    ) -> Result<Arc<str>, Failure> {
        assert!(recipients.next().is_some());
        if self.fails {
            return Err(Failure::local("4.3.0", "no key"));
        }
        let mut octets = Vec::new();
        (outgoing.feed)(&mut |portion| octets.extend_from_slice(portion)).unwrap();
        let field = format!("X-Signed: {}\r\n", octets.len());
        self.signed.lock().unwrap().push((outgoing.form, octets));
        Ok(Arc::from(field))
    }
}

async fn send(site: &Signing, script: &str, stored: &StoredMessage) -> (Vec<Attempt>, String) {
    let server = Scripted::start(&[script]).await;
    let relay = Relay::new(Security::off());
    let indexes: Vec<u32> = (0..).take(stored.message.recipients.len()).collect();
    let attempts = relay.send_from(&server.next_hop(), ("gatepost.example", site), stored, &indexes).await;
    drop(relay);
    (attempts, server.finish().await.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_what_is_sent_converted_or_not() {
    let eight_bit = "Content-Type: text/plain; charset=utf-8\r\n\r\na few words about zoë\r\n".as_bytes();
    let stored = store(queued(&["bob@example.net"], BodyType::EightBitMime), eight_bit).await;
    let offer = "S 220 mx\nC EHLO\nS 250-mx\nS 250-SIZE\nS 250 8BITMIME\n";
    for (hello, form, text) in [(offer, 0, "zoë"), (&offer.replace("8BITMIME", "SIZE")[..], 1, "zo=C3=AB")] {
        let site = Signing::default();
        let (attempts, read) = send(&site, &format!("{hello}{MESSAGE}C QUIT\nE"), &stored).await;
        assert_eq!(attempts, [relayed_by(ME, "250 2.0.0 kept as 1")]);
        let (_, sent) = read.split_once("DATA\r\n").unwrap();
        let sent = sent.strip_suffix(".\r\nQUIT\r\n").unwrap();
        let (field, rest) = sent.split_once("\r\n").unwrap();
        let signed = site.signed.into_inner().unwrap();
        assert_eq!(signed, [(form, rest.as_bytes().to_vec())]);
        assert_eq!(field, format!("X-Signed: {}", rest.len()));
        assert!(rest.contains(text), "{rest}");
        assert!(read.contains(&format!(" SIZE={}", sent.len())), "{read}");
        assert_eq!(read.contains("BODY=8BITMIME"), form == 0, "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_signed_waits() {
    let site = Signing { fails: true, ..Signing::default() };
    let stored = store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await;
    let (attempts, _) = send(&site, &format!("{HELLO}C QUIT\nE"), &stored).await;
    assert_eq!(local_status(&attempts[0]), ("deferred", "4.3.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_different_reverse_paths_go_in_transactions_of_their_own() {
    let mailboxes = ["a@example.net", "b@far.example", "c@example.net"];
    let stored = store(queued(&mailboxes, BodyType::SevenBit), BODY).await;
    let end = "C DATA\nS 354 go on\nD\nS 250 kept\n";
    let script = format!(
        "{HELLO}C MAIL FROM:<alice@example.org>\nS 250 ok\nC RCPT TO:<a@\nS 250 ok\nC RCPT TO:<c@\nS 250 ok\n{end}\
         C MAIL FROM:<srs0@gatepost.example>\nS 250 ok\nC RCPT TO:<b@\nS 250 ok\n{end}C QUIT\nE"
    );
    let (attempts, _) = send(&Signing::default(), &script, &stored).await;
    assert_eq!(attempts, [(); 3].map(|()| relayed_by(ME, "250 kept")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_message_goes_as_8bit_or_7bit_where_binarymime_is_missing() {
    let body =
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\xff\r\n";
    let stored = store(queued(&["bob@example.net"], BodyType::BinaryMime), body).await;
    for (offered, kind) in [("8BITMIME", " BODY=8BITMIME"), ("SIZE", "")] {
        let hello = format!("S 220 mx\nC EHLO\nS 250-mx\nS 250 {offered}\n");
        let size = if offered == "SIZE" { " SIZE=" } else { "" };
        let message = MESSAGE.replace("<alice@example.org>", &format!("<alice@example.org>{size}{kind}"));
        let (attempts, read) =
            send(&Signing::default(), &format!("{hello}{message}C QUIT\nE"), &stored).await;
        assert_eq!(attempts, [relayed_by(ME, "250 2.0.0 kept as 1")]);
        assert!(read.contains("Content-Transfer-Encoding: base64\r\n\r\nAAr/DQo=\r\n.\r\n"), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn smtputf8_is_asked_for_only_by_addresses_and_header_sections() {
    let mut message = queued(&["bob@example.net"], BodyType::EightBitMime);
    message.parameters.smtputf8 = true;
    let stored = store(message.clone(), "Subject: x\r\n\r\na few words about zoë\r\n".as_bytes()).await;
    let offer = "S 220 mx\nC EHLO\nS 250-mx\nS 250 8BITMIME\n";
    let (attempts, read) = send(&Signing::default(), &format!("{offer}{MESSAGE}C QUIT\nE"), &stored).await;
    assert_eq!(attempts, [relayed_by(ME, "250 2.0.0 kept as 1")]);
    assert!(read.contains("zo\u{eb}") && read.contains("BODY=8BITMIME\r\n"), "{read}");

    let stored = store(message, "Subject: zoë\r\n\r\nx\r\n".as_bytes()).await;
    let (attempts, _) = send(&Signing::default(), &format!("{offer}C QUIT\nE"), &stored).await;
    assert_eq!(local_status(&attempts[0]), ("failed", "5.6.7"));
}

/// A next hop of one host under implicit TLS.
fn hop(server: &Scripted, level: TlsLevel, found: Option<PolicyKind>) -> NextHop {
    let mut hop = server.next_hop();
    let domain = String::from("example.org");
    let reported = |kind| {
        Arc::new(ReportedPolicy {
            told: domain.clone(),
            domain,
            kind,
            lines: Vec::new(),
            mx: Vec::new(),
            fault: None,
        })
    };
    for host in &mut hop.hosts {
        host.name = NAME.to_owned();
        host.tls = TlsPlan {
            level: level.clone(),
            implicit: found.is_none(),
            reported: found.map(reported.clone()),
        };
    }
    hop
}

async fn send_secured(
    hop: impl FnOnce(&Scripted) -> NextHop,
    script: &str,
    stored: &StoredMessage,
) -> (Attempt, String) {
    let server = Scripted::start(&[script]).await;
    let relay = Relay::new(Security { handshake: Arc::new(Client), results: Arc::new(|_| ()) });
    let mut attempts = relay.send(&hop(&server), "gatepost.example", stored, &[0]).await;
    drop(relay);
    // Where nothing connects, the server waits for ever.
    let read = if script.is_empty() { String::new() } else { server.finish().await.concat() };
    (attempts.remove(0), read)
}

#[tokio::test(flavor = "multi_thread")]
async fn requiretls_wants_a_server_that_is_verified_and_offers_it() {
    let mut message = queued(&["bob@example.net"], BodyType::SevenBit);
    message.parameters.require_tls = true;
    let stored = store(message, BODY).await;
    let verified = || TlsLevel::Verified(Arc::from([NAME.to_owned()]));

    let offers = "T\nS 220 mx\nC EHLO\nS 250-mx\nS 250 REQUIRETLS\n";
    let message = MESSAGE.replace("<alice@example.org>", "<alice@example.org> REQUIRETLS");
    let script = format!("{offers}{message}C QUIT\nE");
    let (attempt, _) = send_secured(|server| hop(server, verified(), None), &script, &stored).await;
    assert_eq!(attempt, relayed_by(NAME, "250 2.0.0 kept as 1"));

    let (attempt, _) =
        send_secured(|server| hop(server, verified(), None), &format!("T\n{HELLO}C QUIT\nE"), &stored).await;
    assert_eq!(local_status(&attempt), ("failed", "5.7.30"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requiretls_goes_to_nobody_whom_nothing_vouches_for() {
    let mut message = queued(&["bob@example.net"], BodyType::SevenBit);
    message.parameters.require_tls = true;
    let stored = store(message, BODY).await;
    let client_name = "gatepost.example".parse().unwrap();
    for level in [TlsLevel::Off, TlsLevel::Opportunistic, TlsLevel::Encrypted] {
        let server = Scripted::start(&["X"]).await;
        let mut far = hop(&server, level, None);
        let relay = Relay::new(Security::off());
        let attempts = relay.send(&far, "gatepost.example", &stored, &[0]).await;
        assert_eq!(local_status(&attempts[0]), ("failed", "5.7.30"));
        far.protocol = smtp::client::Protocol::Lmtp;
        assert!(Peer::new(&far, &far.hosts[0], &client_name).is_trusted(), "the store of this machine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waives_tls_gets_through_what_the_domain_asks_for_but_not_what_the_site_does() {
    let body = b"TLS-Required: no \r\nSubject: the certificate is out of date\r\n\r\nx\r\n";
    let waived = store(queued(&["bob@example.net"], BodyType::SevenBit), body).await;
    let usual = store(queued(&["bob@example.net"], BodyType::SevenBit), BODY).await;
    let clear = format!("{HELLO}{MESSAGE}C QUIT\nE");
    let refused = format!("{HELLO}C QUIT\nE");
    for (stored, kind, script, goes) in [
        (&waived, PolicyKind::Sts, &clear, true),
        (&waived, PolicyKind::Tlsa, &clear, true),
        (&waived, PolicyKind::NoPolicyFound, &refused, false),
        (&usual, PolicyKind::Sts, &refused, false),
    ] {
        let (attempt, _) =
            send_secured(|server| hop(server, TlsLevel::Encrypted, Some(kind)), script, stored).await;
        assert_eq!(matches!(attempt, Attempt::Relayed { .. }), goes, "{kind:?} {attempt:?}");
    }
}
