//! Plays the golden dialogues of `transcripts/client`, whole and cut every 1, 2, 3 and 7 octets, and holds them against
//! the table of meanings. `UPDATE_TRANSCRIPTS=1` rewrites what the client said; the diff is to be reviewed.
//!
//! A line of a transcript is `S:` a line of the server, `S+` the same but sent together with what follows, `S~` octets
//! without CRLF (escapes `\r \n \0 \\ \xNN` and `{text*count}` everywhere), `!` a directive, `C:` a line of the client,
//! `C~` octets of the client without CRLF, `A:` an action, `#` a comment.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod transcript;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use smtp::client::{
    Action, Cause, Content, Credentials, End, Event, Protocol, RecipientOutcome, Session, Settings, Tls,
    Transaction,
};
use smtp::envelope::{
    BodyType, Envelope, MailParameters, Notify, OriginalRecipient, RcptParameters, Recipient, Ret,
};
use smtp::time::Timestamp;

/// One session being played.
struct Player {
    settings: Settings,
    session: Option<Session>,
    now: Timestamp,
    cut: usize,
    /// Octets held back by `S+`.
    held: Vec<u8>,
    /// Octets that the client sent and that aren't shown yet.
    sent: Vec<u8>,
    /// Portions of mail data, and whether each is the last; `None` is a read that fails.
    body: VecDeque<Option<(Vec<u8>, bool)>>,
    wants_body: bool,
    recipients: Vec<String>,
    output: String,
}

impl Player {
    fn new(cut: usize) -> Self {
        Self {
            settings: Settings::new("client.example".parse().unwrap()),
            session: None,
            now: Timestamp::from_millis(1_000),
            cut,
            held: Vec::new(),
            sent: Vec::new(),
            body: VecDeque::new(),
            wants_body: false,
            recipients: Vec::new(),
            output: String::new(),
        }
    }

    /// Plays a transcript, and gives it back with what the client said now.
    fn play(mut self, transcript: &str) -> String {
        for line in transcript.lines() {
            if ["C:", "C~", "A:"].iter().any(|start| line.starts_with(start)) {
                continue;
            }
            self.output.push_str(line);
            self.output.push('\n');
            if let Some(text) = line.strip_prefix("S: ").or_else(|| line.strip_prefix("S:")) {
                self.feed(text, true);
            } else if let Some(text) = line.strip_prefix("S+ ") {
                self.held.extend(transcript::unescape(text));
                self.held.extend(b"\r\n");
            } else if let Some(text) = line.strip_prefix("S~ ") {
                self.feed(text, false);
            } else if let Some(directive) = line.strip_prefix("! ") {
                self.direct(directive);
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "what is this line? {line}");
            }
            self.show_sent();
        }
        self.output
    }

    fn session(&mut self) -> &mut Session {
        let (settings, now) = (&self.settings, self.now);
        self.session.get_or_insert_with(|| Session::new(Arc::new(settings.clone()), now))
    }

    fn feed(&mut self, text: &str, line: bool) {
        let mut octets = std::mem::take(&mut self.held);
        octets.extend(transcript::unescape(text));
        if line {
            octets.extend(b"\r\n");
        }
        for piece in octets.chunks(self.cut) {
            self.event(Event::Received(piece));
        }
    }

    fn event(&mut self, event: Event<'_>) {
        let now = self.now;
        let mut actions = Vec::new();
        self.session().handle(now, event, &mut actions);
        let closes = actions.iter().position(|action| matches!(action, Action::Close(_)));
        assert!(
            closes.is_none_or(|index| index == actions.len() - 1),
            "something follows the close: {actions:?}"
        );
        for action in actions {
            self.act(action);
        }
        self.supply();
    }

    fn supply(&mut self) {
        if !self.wants_body {
            return;
        }
        if let Some(portion) = self.body.pop_front() {
            self.wants_body = false;
            match portion {
                Some((octets, last)) => self.event(Event::Supply { octets: &octets, last }),
                None => self.event(Event::SupplyFailed),
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { octets, content } => {
                if content == Content::Secret {
                    self.tell("secret");
                }
                self.sent.extend(octets);
            }
            Action::StartTls => self.tell("start TLS"),
            Action::Ready => self.tell("ready"),
            Action::Returned(_) => self.tell("transaction returned"),
            Action::WantBody => self.wants_body = true,
            Action::Outcome(outcome) => {
                self.wants_body = false;
                self.body.clear();
                assert_eq!(outcome.recipients.len(), self.recipients.len());
                for (recipient, outcome) in self.recipients.clone().iter().zip(&outcome.recipients) {
                    let RecipientOutcome { fate, retry, cause } = outcome;
                    let address = cause
                        .reply()
                        .and_then(|reply| reply.suggested_address())
                        .map(|address| format!(" [{address}]"));
                    let address = address.unwrap_or_default();
                    self.tell(&format!("{recipient} {fate:?}, retry {retry:?}: {cause}{address}"));
                }
            }
            Action::Close(End::Finished) => self.tell("close"),
            Action::Close(End::Failed(cause)) => self.tell(&format!("close: {}", told(&cause))),
        }
    }

    fn tell(&mut self, text: &str) {
        self.show_sent();
        writeln!(self.output, "A: {text}").unwrap();
    }

    /// Shows what the client sent, as lines.
    fn show_sent(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for line in sent.split_inclusive(|&octet| octet == b'\n') {
            let (mark, text) = match line.strip_suffix(b"\r\n") {
                Some(text) => ("C:", text),
                None => ("C~", line),
            };
            let text = match std::str::from_utf8(text) {
                Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
                _ => text.escape_ascii().to_string(),
            };
            writeln!(self.output, "{}", format!("{mark} {text}").trim_end()).unwrap();
        }
    }

    fn direct(&mut self, directive: &str) {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "set" => rest.split(' ').for_each(|setting| self.set(setting)),
            "uncut" => self.cut = usize::MAX,
            "connect" => self.event(Event::Connected),
            "message" => self.message(rest),
            "portion" => self.body.push_back(Some((transcript::unescape(rest), false))),
            "last" => self.body.push_back(Some((transcript::unescape(rest), true))),
            "unreadable" => self.body.push_back(None),
            "tls" => self.event(Event::TlsStarted),
            "tls-failed" => self.event(Event::TlsFailed),
            "finish" => self.event(Event::Finish),
            "lost" => self.event(Event::Closed),
            "wait" => {
                self.now = self.now + Duration::from_secs(rest.strip_suffix('s').unwrap().parse().unwrap());
                self.event(Event::TimedOut);
            }
            "deadline" => {
                let (now, deadline) = (self.now, self.session().deadline());
                let left = deadline.since(now).as_secs();
                self.tell(&if deadline == Timestamp::NEVER {
                    "no deadline".into()
                } else {
                    format!("{left}s left")
                });
            }
            _ => panic!("unknown directive: {directive}"),
        }
        self.supply();
    }

    /// `REVERSE-PATH -> FORWARD-PATH[;parameter=value]... parameter=value...`; the mail data follow as `portion` and
    /// `last`, or were given before.
    fn message(&mut self, text: &str) {
        let mut words = text.split(' ');
        let reverse_path = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next(), Some("->"));
        let mut transaction = Transaction {
            envelope: Envelope {
                reverse_path,
                parameters: MailParameters::default(),
                recipients: Vec::new(),
            },
            size_octets: 100,
            body: BodyType::SevenBit,
            smtputf8: false,
        };
        for word in words {
            if word.starts_with('<') {
                transaction.envelope.recipients.push(recipient(word));
                continue;
            }
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let parameters = &mut transaction.envelope.parameters;
            match name {
                "size" => transaction.size_octets = value.parse().unwrap(),
                "8bit" => transaction.body = BodyType::EightBitMime,
                "binary" => transaction.body = BodyType::BinaryMime,
                "utf8" => transaction.smtputf8 = true,
                "requiretls" => parameters.require_tls = true,
                "ret" => parameters.ret = Some(Ret::Headers),
                "envid" => parameters.envid = Some(value.into()),
                "auth" => parameters.auth = Some(value.into()),
                "many" => {
                    let count = value.parse().unwrap();
                    let many = (0..count).map(|number| recipient(&format!("<r{number}@example.org>")));
                    transaction.envelope.recipients.extend(many);
                }
                _ => panic!("unknown parameter: {word}"),
            }
        }
        self.recipients = transaction
            .envelope
            .recipients
            .iter()
            .map(|recipient| recipient.forward_path.to_string())
            .collect();
        self.event(Event::Transact(Box::new(transaction)));
    }

    fn set(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let settings = &mut self.settings;
        match name {
            "tls" => {
                settings.tls = match value {
                    "off" => Tls::Off,
                    "required" => Tls::Required,
                    "implicit" => Tls::Implicit,
                    _ => panic!("unknown setting: {setting}"),
                }
            }
            "lmtp" => settings.protocol = Protocol::Lmtp,
            "login" => {
                let (user, password) = value.split_once(':').unwrap();
                settings.credentials = Credentials::new(user, password);
            }
            "auth-in-clear" => settings.auth_in_clear = true,
            "no-pipelining" => settings.pipelining = false,
            "no-chunking" => settings.chunking = false,
            "recipients" => settings.recipients_max = value.parse().unwrap(),
            _ => panic!("unknown setting: {setting}"),
        }
    }
}

/// The cause with what it means.
fn told(cause: &Cause) -> String {
    let meaning = cause.meaning();
    format!("{cause} [{:?}, {:?}, retry {:?}]", meaning.host, meaning.fate, meaning.retry)
}

/// `<path>;notify=success,delay;orcpt=rfc822,address`.
fn recipient(text: &str) -> Recipient {
    let mut words = text.split(';');
    let forward_path = words.next().unwrap().parse().unwrap();
    let mut parameters = RcptParameters::default();
    for word in words {
        match word.split_once('=').unwrap() {
            ("notify", occasions) => {
                let has = |occasion| occasions.split(',').any(|other| other == occasion);
                let (success, failure, delay) = (has("success"), has("failure"), has("delay"));
                parameters.notify = Some(Notify { success, failure, delay });
            }
            ("orcpt", original) => {
                let (kind, address) = original.split_once(',').unwrap();
                parameters.original = Some(OriginalRecipient { kind: kind.into(), address: address.into() });
            }
            _ => panic!("unknown parameter: {word}"),
        }
    }
    Recipient { forward_path, parameters }
}

#[test]
fn transcripts_are_as_written_at_every_cut() {
    transcript::hold("client", |transcript, cut| Player::new(cut).play(transcript));
}
