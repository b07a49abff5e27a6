//! What we sign and seal, verified by dkimpy and by ourselves.

use std::convert::Infallible;
use std::env;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::facts::arc::Arc as Chain;
use gatepost::facts::dkim::Dkim;
use gatepost::net::dns::Dns;
use gatepost::net::mail_auth::message::SignedMessage;
use gatepost::sign::{
    DEFAULT_HEADERS, DEFAULT_OVERSIGNED, DkimDomain, DkimKey, Sealer, Signing, SigningKey, Wanted,
};
use queue::queue_id::QueueId;
use smtp::time::WallTime;

use crate::harness::{DnsServer, finish, program, script};

pub(crate) const RSA: &str = include_str!("../../src/sign/testdata/rsa-pkcs8.pem");
pub(crate) const ED25519: &str = include_str!("../../src/sign/testdata/rfc8463-ed25519.pem");
const HOSTNAME: &str = "mx.example.org";

pub(crate) fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

/// The records of the keys that sign here.
fn records() -> Vec<(&'static str, String)> {
    vec![
        ("r._domainkey.example.org", key(RSA).record().unwrap()),
        ("e._domainkey.example.org", key(ED25519).record().unwrap()),
        ("arc._domainkey.example.org", key(RSA).record().unwrap()),
    ]
}

fn signing(expires_seconds: Option<u64>) -> Signing {
    let domain = DkimDomain {
        domain: "example.org".parse().unwrap(),
        keys: vec![
            DkimKey { selector: "r".parse().unwrap(), key: key(RSA) },
            DkimKey { selector: "e".parse().unwrap(), key: key(ED25519) },
        ],
        headers: DEFAULT_HEADERS.map(String::from).to_vec(),
        oversigned: DEFAULT_OVERSIGNED.map(String::from).to_vec(),
        expires_seconds,
    };
    let sealer =
        Sealer { domain: "example.org".parse().unwrap(), selector: "arc".parse().unwrap(), key: key(RSA) };
    let own_names = Arc::from([String::from(HOSTNAME)]);
    Signing::new((HOSTNAME, own_names), vec![domain], Some(sealer))
}

/// The message with what is put in front of it now.
fn made(wanted: Wanted, message: &[u8]) -> Vec<u8> {
    made_at(gatepost::clock::wall(), wanted, message)
}

fn made_at(now: WallTime, wanted: Wanted, message: &[u8]) -> Vec<u8> {
    let id = QueueId::from_number(1).unwrap();
    let feed = |read: &mut dyn FnMut(&[u8])| {
        message.chunks(1_000).for_each(read);
        Ok::<(), Infallible>(())
    };
    let fields = signing(Some(86_400)).fields((id, 0), wanted, now, feed).unwrap();
    [fields.as_bytes(), message].concat()
}

/// What dkimpy says of each message.
pub(crate) fn dkimpy(messages: &[Vec<u8>], others: &[(String, String)]) -> Vec<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    let modules = env::var_os("PYTHONPATH").map_or(own, Into::into);
    assert!(
        env::split_paths(&modules).any(|folder| folder.join("dkim").is_dir()),
        "dkimpy is missing: `cargo xtask test` installs it"
    );
    let records = records().into_iter().map(|(name, text)| (name.to_owned(), text));
    let records: serde_json::Map<String, serde_json::Value> =
        records.chain(others.iter().cloned()).map(|(name, text)| (name, text.into())).collect();
    let messages: Vec<String> = messages.iter().map(|message| STANDARD.encode(message)).collect();
    let input = serde_json::json!({ "records": records, "messages": messages });
    let mut command = program("python3");
    command.arg(script("signature_reader.py")).env("PYTHONPATH", modules);
    finish(&mut command, input.to_string().as_bytes()).lines().map(str::to_owned).collect()
}

fn dns(others: &[(String, String)]) -> (DnsServer, Dns) {
    let server = DnsServer::start();
    for (name, text) in records() {
        server.add_one(name, "TXT", &text);
    }
    for (name, text) in others {
        server.add_one(name, "TXT", text);
    }
    let dns = Dns::new(&server.settings()).unwrap();
    (server, dns)
}

/// Messages that are easily got wrong.
fn messages() -> Vec<Vec<u8>> {
    let from = "From: Alice <alice@example.org>\r\n";
    let head = format!("{from}To: b@other.example\r\nSubject: x\r\n");
    let texts = [
        format!("{head}\r\nhello\r\n"),
        format!("{head}\r\n"),
        head.clone(),
        format!("{head}\r\n\r\n\r\n"),
        format!("{head}\r\n \t\r\n \r\n"),
        format!("{head}\r\nhello  \t there \r\n\r\n \r\n\r\n"),
        format!("{head}\r\nno end of the line"),
        format!("{head}\r\n{}\r\n", "x".repeat(998)),
        format!("{from}Subject: folded\r\n\tand  more\r\n   of it \r\nTo:\r\n b@other.example\r\n\r\nhi\r\n"),
        format!("To: one@x.example\r\nTo: two@x.example\r\n{from}Cc: c@x.example\r\nCc:\r\n\r\nhi\r\n"),
        format!(
            "Received: by a\r\n{from}Reply-To: r@x.example\r\nX-Other: y\r\nList-Id: <l.example>\r\n\r\nhi\r\n"
        ),
        format!("{from}Subject: gr\u{fc}\u{df}e\r\n\r\ngr\u{fc}\u{df}e \u{1f600}\r\n"),
        format!("{head}{}\r\nhi\r\n", "References: <a@b>\r\n".repeat(30)),
        format!("{from}\r\n{}", "A line of some text.\r\n".repeat(100_000)),
    ];
    let mut messages: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    messages.push([from.as_bytes(), b"\r\n\xe4\xf6\xfc\r\n"].concat());
    messages
}

#[tokio::test]
async fn what_we_sign_verifies() {
    let signed: Vec<Vec<u8>> = messages().iter().map(|message| made(Wanted::Signature, message)).collect();
    let (_server, dns) = dns(&[]);
    for message in &signed {
        let found = Dkim::verify(&dns, &SignedMessage::of(message)).await;
        let words: Vec<_> =
            found.signatures.iter().map(|one| (one.verification.word(), &*one.selector)).collect();
        let shown = String::from_utf8_lossy(&message[..message.len().min(2_000)]);
        assert_eq!(words, [("pass", "r"), ("pass", "e")], "{found:?} {shown}");
    }
    let said = dkimpy(&signed, &[]);
    assert_eq!(said.len(), signed.len());
    for (message, said) in signed.iter().zip(said) {
        let shown = String::from_utf8_lossy(&message[..message.len().min(2_000)]);
        assert_eq!(said, "dkim=pass,pass arc=none", "{shown}");
    }
}

#[tokio::test]
async fn what_was_added_or_changed_afterwards_does_not_verify() {
    let message = b"From: alice@example.org\r\nSubject: x\r\nDate: y\r\n\r\nhello\r\n";
    let signed = String::from_utf8(made(Wanted::Signature, message)).unwrap();
    let changed: Vec<Vec<u8>> = [
        ("From:", "From: mallory@example.org\r\nFrom:"),
        ("Subject:", "Subject: other\r\nSubject:"),
        ("Subject:", "To: victim@x.example\r\nSubject:"),
        ("Subject:", "Reply-To: mallory@x.example\r\nSubject:"),
        ("Date: y", "Date: y\r\nDate: z"),
        ("hello", "hello!"),
        ("hello\r\n", "hello\r\nmore\r\n"),
    ]
    .iter()
    .map(|(what, with)| signed.replacen(&format!("\r\n{what}"), &format!("\r\n{with}"), 1).into_bytes())
    .collect();
    let (_server, dns) = dns(&[]);
    for message in &changed {
        assert_ne!(message, signed.as_bytes());
        let found = Dkim::verify(&dns, &SignedMessage::of(message)).await;
        let words: Vec<_> = found.signatures.iter().map(|one| one.verification.word()).collect();
        assert_eq!(words, ["fail", "fail"], "{}", String::from_utf8_lossy(message));
    }
    for said in dkimpy(&changed, &[]) {
        assert!(!said.contains("pass"), "{said}");
    }
}

/// A message with a chain of others, and the records of its keys.
fn sealed_by_others() -> (Vec<u8>, Vec<(String, String)>) {
    let material: serde_json::Value = serde_json::from_str(include_str!("../dns/data/signed.json")).unwrap();
    let records = material["records"].as_object().unwrap();
    let records = records.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()));
    let message = material["sealed"][0]["message"].as_str().unwrap();
    (message.as_bytes().to_vec(), records.collect())
}

#[tokio::test]
async fn what_we_seal_verifies_and_chains_go_on() {
    let (by_others, records) = sealed_by_others();
    let own = |word: &str| {
        format!("Authentication-Results: {HOSTNAME};\r\n\tspf=none smtp.helo=a;\r\n\tarc={word}\r\n")
    };
    let on_top = |word: &str, message: &[u8]| [own(word).as_bytes(), message].concat();
    let mut sealed: Vec<Vec<u8>> = messages()
        .iter()
        // Some verifiers parse such fields by a line that must end.
        .map(|message| made(Wanted::Seal, &on_top("none", message)))
        .collect();
    let second = made(Wanted::Seal, &on_top("pass", &by_others));
    // The next server takes out what claims to be its own.
    let text = String::from_utf8(second.clone()).unwrap();
    let third = made(Wanted::Seal, &on_top("pass", text.replacen(&own("pass"), "", 1).as_bytes()));
    let signed_too = made(Wanted::Seal, &on_top("none", &made(Wanted::Signature, &messages()[0])));
    sealed.extend([second, third, signed_too]);

    let (_server, dns) = dns(&records);
    for message in &sealed {
        let found = Chain::verify(&dns, &SignedMessage::of(message)).await;
        let shown = String::from_utf8_lossy(&message[..message.len().min(4_000)]);
        assert_eq!(found.word(), "pass", "{found:?} {shown}");
        assert_eq!(found.chain.domain.as_deref(), Some("example.org"));
    }
    let said = dkimpy(&sealed, &records);
    for (message, said) in sealed.iter().zip(said) {
        let shown = String::from_utf8_lossy(&message[..message.len().min(4_000)]);
        assert!(said.ends_with("arc=pass"), "{said} {shown}");
    }
}

#[tokio::test]
async fn a_chain_that_has_failed_is_sealed_as_failed() {
    let (by_others, records) = sealed_by_others();
    let results = format!("Authentication-Results: {HOSTNAME};\r\n\tarc=fail header.d=example.org\r\n");
    let broken = String::from_utf8(by_others).unwrap().replacen("Subject: ", "Subject: [list] ", 1);
    let sealed = made(Wanted::Seal, &[results.as_bytes(), broken.as_bytes()].concat());
    let text = String::from_utf8(sealed.clone()).unwrap();
    assert!(text.starts_with("ARC-Seal: i=2;") && text.contains("cv=fail;"), "{text}");
    let (_server, dns) = dns(&records);
    assert_eq!(Chain::verify(&dns, &SignedMessage::of(&sealed)).await.word(), "fail");
    assert!(dkimpy(std::slice::from_ref(&sealed), &records)[0].contains("arc=ended"));
    assert_eq!(
        made(Wanted::Seal, &[results.as_bytes(), &sealed].concat()).len(),
        results.len() + sealed.len()
    );
}

#[tokio::test]
async fn a_signature_ends_when_it_was_to() {
    let message = b"From: alice@example.org\r\n\r\nhello\r\n";
    let (_server, dns) = dns(&[]);
    for (hours_ago, word) in [(1, "pass"), (25, "fail")] {
        let now = gatepost::clock::wall();
        let then = WallTime::from_unix_millis(now.as_unix_millis() - hours_ago * 3_600_000);
        let signed = made_at(then, Wanted::Signature, message);
        let found = Dkim::verify(&dns, &SignedMessage::of(&signed)).await;
        assert_eq!(found.signatures[0].verification.word(), word, "{found:?}");
    }
}
