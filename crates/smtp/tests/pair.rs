//! The two ends of a session joined in memory: what the client sends is what the server receives, whatever the mail
//! data are, however they are cut, by DATA or by BDAT, pipelined or not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use smtp::client::meaning::Fate;
use smtp::client::{self, Tls, Transaction};
use smtp::envelope::{BodyType, Envelope, MailParameters, RcptParameters, Recipient};
use smtp::server::{self, CommitOutcome, Decision, Rights};
use smtp::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// How the octets travel.
#[derive(Debug, Clone, Copy)]
struct Travel {
    pipelining: bool,
    chunking: bool,
    /// Octets that arrive at a time.
    cut: usize,
    /// Octets of the body that the client is given at a time.
    supply: usize,
}

/// What the server was told to keep, and what the client was told of it.
#[derive(Debug, Default)]
struct Result {
    received: Vec<(Envelope, Vec<u8>)>,
    fates: Vec<Fate>,
}

/// Sends one message from a client to a server.
fn exchange(body: &[u8], recipients: &[&str], travel: Travel) -> Result {
    let mut settings = client::Settings::new("client.example".parse().unwrap());
    (settings.tls, settings.pipelining, settings.chunking) = (Tls::Off, travel.pipelining, travel.chunking);
    let mut sender = client::Session::new(Arc::new(settings), NOW);
    let mut receiver = server::Session::new(Arc::default(), Rights::default(), "192.0.2.1".into(), NOW);
    let mut result = Result::default();
    let mut message = Some(transaction(body, recipients));
    let (mut to_server, mut to_client) = (VecDeque::new(), VecDeque::new());
    let (mut supplied, mut wants_body) = (0, false);
    let mut content = Vec::new();
    let mut client_actions = Vec::new();
    let mut server_actions = Vec::new();
    sender.handle(NOW, client::Event::Connected, &mut client_actions);
    receiver.handle(NOW, server::Event::Connected, &mut server_actions);
    for _ in 0..100_000 {
        for action in std::mem::take(&mut client_actions) {
            match action {
                client::Action::Send { octets, .. } => to_server.extend(octets),
                client::Action::WantBody => wants_body = true,
                client::Action::Outcome(outcome) => {
                    wants_body = false;
                    result.fates.extend(outcome.recipients.iter().map(|recipient| recipient.fate));
                }
                client::Action::Ready => {
                    let event = message.take().map_or(client::Event::Finish, client::Event::Transact);
                    sender.handle(NOW, event, &mut client_actions);
                }
                client::Action::Close(_) => return result,
                other => panic!("{other:?}"),
            }
        }
        for action in std::mem::take(&mut server_actions) {
            match action {
                server::Action::Send(reply) => {
                    let mut wire = Vec::new();
                    reply.write(&mut wire);
                    to_client.extend(wire);
                }
                server::Action::Ask(_) => {
                    receiver.handle(NOW, server::Event::Decided(Decision::Accept), &mut server_actions);
                }
                server::Action::Open => content.clear(),
                server::Action::Write(octets) => content.extend(octets),
                server::Action::Commit(envelope) => {
                    result.received.push((*envelope, std::mem::take(&mut content)));
                    let stored = CommitOutcome::Stored("k7q2m3xf".into());
                    receiver.handle(NOW, server::Event::Committed(stored), &mut server_actions);
                }
                server::Action::Close => {}
                other => panic!("{other:?}"),
            }
        }
        if !client_actions.is_empty() || !server_actions.is_empty() {
            continue;
        }
        if !to_server.is_empty() {
            let piece: Vec<u8> = to_server.drain(..travel.cut.min(to_server.len())).collect();
            receiver.handle(NOW, server::Event::Received(&piece), &mut server_actions);
        } else if !to_client.is_empty() {
            let piece: Vec<u8> = to_client.drain(..travel.cut.min(to_client.len())).collect();
            sender.handle(NOW, client::Event::Received(&piece), &mut client_actions);
        } else if wants_body {
            let end = (supplied + travel.supply).min(body.len());
            let (octets, last) = (&body[supplied..end], end == body.len());
            (supplied, wants_body) = (end, false);
            sender.handle(NOW, client::Event::Supply { octets, last }, &mut client_actions);
        } else {
            panic!("both ends wait: {result:?}");
        }
    }
    panic!("it does not end: {result:?}");
}

fn transaction(body: &[u8], recipients: &[&str]) -> Box<Transaction> {
    let recipients = recipients.iter().map(|address| Recipient {
        forward_path: format!("<{address}>").parse().unwrap(),
        parameters: RcptParameters::default(),
    });
    let envelope = Envelope {
        reverse_path: "<bob@client.example>".parse().unwrap(),
        parameters: MailParameters::default(),
        recipients: recipients.collect(),
    };
    let form = if body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime };
    Box::new(Transaction { envelope, size_octets: body.len() as u64, body: form, smtputf8: false })
}

/// Lines of dots, text and octets beyond ASCII, each ended by CRLF.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let line =
        proptest::collection::vec(prop_oneof![3 => Just(b'.'), 3 => Just(b'a'), 1 => Just(0xe9_u8)], 0..6);
    proptest::collection::vec(line, 0..12)
        .prop_map(|lines| lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect())
}

proptest! {
    #[test]
    fn what_the_client_sends_the_server_receives(
        body in bodies(),
        (pipelining, chunking) in any::<(bool, bool)>(),
        cut in prop_oneof![1_usize..8, Just(100_000)],
        supply in prop_oneof![1_usize..8, Just(100_000)],
    ) {
        let travel = Travel { pipelining, chunking, cut, supply };
        let recipients = ["alice@example.org", "\"john doe\"@example.org"];
        let result = exchange(&body, &recipients, travel);
        prop_assert_eq!(&result.fates, &[Fate::Delivered, Fate::Delivered]);
        prop_assert_eq!(result.received.len(), 1);
        let (envelope, content) = &result.received[0];
        prop_assert_eq!(content, &body);
        prop_assert_eq!(envelope.reverse_path.to_string(), "<bob@client.example>");
        let received: Vec<String> =
            envelope.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect();
        prop_assert_eq!(received, ["<alice@example.org>", "<\"john doe\"@example.org>"]);
    }
}
