//! What holds for a client session whatever the server says: nothing after the close, one outcome a transaction, no
//! delivery without a positive reply to the end of data, no failure without a permanent one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smtp::client::meaning::{Fate, Stage};
use smtp::client::{Action, Cause, Content, Event, Outcome, Protocol, Session, Settings, Transaction};
use smtp::envelope::{BodyType, Envelope, MailParameters, RcptParameters, Recipient};
use smtp::time::Timestamp;

/// What a server, or the world, may do next.
#[derive(Debug, Clone)]
enum Move {
    /// What moves the session on.
    Agrees,
    Says(&'static [u8]),
    Supply(bool),
    SupplyFails,
    Transact,
    Waits(u64),
    Tls(bool),
    Finish,
    Closes,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let says: &'static [&'static [u8]] = &[
        b"250 ok\r\n",
        b"250 ok\r\n",
        b"250 ok\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        b"220 go\r\n",
        b"354 go\r\n",
        b"354 go\r\n",
        b"550 no\r\n",
        b"452 later\r\n",
        b"500 what\r\n",
        b"421 bye\r\n",
        b"25",
        b"0 x\r\n",
        b"\n",
    ];
    let one = prop_oneof![
        60 => Just(Move::Agrees),
        20 => proptest::sample::select(says).prop_map(Move::Says),
        8 => any::<bool>().prop_map(Move::Supply),
        1 => Just(Move::SupplyFails),
        8 => Just(Move::Transact),
        2 => (0_u64..700).prop_map(Move::Waits),
        3 => any::<bool>().prop_map(Move::Tls),
        1 => Just(Move::Finish),
        1 => Just(Move::Closes),
    ];
    proptest::collection::vec(one, 0..60)
}

fn transaction() -> Box<Transaction> {
    let recipients = ["<a@example.org>", "<b@example.org>", "<c@example.org>"]
        .map(|path| Recipient { forward_path: path.parse().unwrap(), parameters: RcptParameters::default() });
    let reverse_path = "<sender@client.example>".parse().unwrap();
    let envelope =
        Envelope { reverse_path, parameters: MailParameters::default(), recipients: recipients.to_vec() };
    Box::new(Transaction { envelope, size_octets: 7, body: BodyType::SevenBit, smtputf8: false })
}

/// What was seen of a session.
#[derive(Debug, Default)]
struct Seen {
    begun: usize,
    outcomes: Vec<Outcome>,
    closed: bool,
    ends_of_data: usize,
}

impl Seen {
    fn watch(&mut self, actions: Vec<Action>, transacting: bool) {
        if transacting && !actions.iter().any(|action| matches!(action, Action::Returned(_))) && !self.closed
        {
            self.begun += 1;
        }
        for action in actions {
            assert!(!self.closed || matches!(action, Action::Returned(_)), "after the close: {action:?}");
            match action {
                Action::Close(_) => self.closed = true,
                Action::Outcome(outcome) => self.outcomes.push(outcome),
                Action::Send { octets, content: Content::MailData } => {
                    let last = octets.ends_with(b"\r\n.\r\n") || octets.starts_with(b"BDAT 7 LAST");
                    self.ends_of_data += usize::from(last);
                }
                Action::Send { octets, content } => {
                    assert_eq!(content, Content::Commands);
                    assert!(octets.ends_with(b"\r\n"));
                }
                Action::StartTls | Action::Ready | Action::Returned(_) | Action::WantBody => {}
            }
        }
    }

    fn check(&self) {
        assert!(self.outcomes.len() <= self.begun, "an outcome too many");
        assert!(self.outcomes.len() + 1 >= self.begun, "an outcome is missing");
        assert!(!self.closed || self.outcomes.len() == self.begun, "closed without an outcome");
        let taken = |outcome: &&Outcome| outcome.recipients.iter().any(|one| one.fate == Fate::Delivered);
        assert!(self.outcomes.iter().filter(taken).count() <= self.ends_of_data);
        for recipient in self.outcomes.iter().flat_map(|outcome| &outcome.recipients) {
            assert_ne!(recipient.fate, Fate::Accepted);
            let severity = recipient.cause.reply().map(|reply| reply.code.value() / 100);
            match recipient.fate {
                Fate::Failed => assert_eq!(severity, Some(5), "{recipient:?}"),
                Fate::Delivered => {
                    assert_eq!(severity, Some(2), "{recipient:?}");
                    assert!(matches!(recipient.cause, Cause::Reply { stage: Stage::EndOfData, .. }));
                }
                _ => {}
            }
        }
    }
}

/// The event that a session at `stage` hopes for.
fn agreeing(stage: Option<Stage>) -> Event<'static> {
    match stage {
        Some(Stage::Idle) => Event::Transact(transaction()),
        Some(Stage::Handshake) => Event::TlsStarted,
        Some(Stage::MailData) => Event::Supply { octets: b"hello\r\n", last: true },
        Some(Stage::Greeting | Stage::StartTls) => Event::Received(b"220 go\r\n"),
        Some(Stage::Data) => Event::Received(b"354 go\r\n"),
        _ => Event::Received(b"250 ok\r\n"),
    }
}

fn play(moves: &[Move], protocol: Protocol) {
    let mut settings = Settings::new("client.example".parse().unwrap());
    settings.protocol = protocol;
    let mut now = Timestamp::from_millis(0);
    let mut session = Session::new(Arc::new(settings), now);
    let mut seen = Seen::default();
    let mut actions = Vec::new();
    session.handle(now, Event::Connected, &mut actions);
    for next in moves {
        let event = match next {
            Move::Agrees => agreeing(session.stage()),
            Move::Says(octets) => Event::Received(octets),
            Move::Supply(last) => Event::Supply { octets: b"hello\r\n", last: *last },
            Move::SupplyFails => Event::SupplyFailed,
            Move::Transact => Event::Transact(transaction()),
            Move::Waits(seconds) => {
                now = now + Duration::from_secs(*seconds);
                Event::TimedOut
            }
            Move::Tls(true) => Event::TlsStarted,
            Move::Tls(false) => Event::TlsFailed,
            Move::Finish => Event::Finish,
            Move::Closes => Event::Closed,
        };
        let transacts = matches!(event, Event::Transact(_));
        session.handle(now, event, &mut actions);
        seen.watch(std::mem::take(&mut actions), transacts);
        assert_eq!(session.stage().is_none(), seen.closed);
        assert!(seen.closed || session.deadline() > now, "a deadline in the past");
    }
    seen.check();
    session.handle(now, Event::Closed, &mut actions);
    seen.watch(actions, false);
    assert!(seen.closed);
    seen.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_server_says_smtp(moves in moves()) {
        play(&moves, Protocol::Smtp);
    }

    #[test]
    fn whatever_the_server_says_lmtp(moves in moves()) {
        play(&moves, Protocol::Lmtp);
    }
}
