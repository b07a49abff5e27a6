//! Plays the golden dialogues of `transcripts/server`, whole and cut every 1, 2, 3 and 7 octets, and holds them against
//! the catalogue. `UPDATE_TRANSCRIPTS=1` rewrites what the server said; the diff is to be reviewed.
//!
//! A line of a transcript is `C:` a line of the client, `C+` the same but sent together with what follows, `C~` octets
//! without CRLF (escapes `\r \n \0 \\ \xNN` and `{text*count}` everywhere), `!` a directive, `S:` a line of the server,
//! `A:` an action, `#` a comment.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod transcript;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use smtp::catalogue;
use smtp::reply::{Refusal, Reply};
use smtp::server::{
    Action, AuthOffer, AuthOutcome, CommitOutcome, Decision, EarlyTalkers, Event, Rights, Session, Settings,
    StartTlsOffer, Verification,
};
use smtp::time::Timestamp;

/// One session being played.
struct Player {
    settings: Settings,
    rights: Rights,
    over_tls: bool,
    session: Option<Session>,
    now: Timestamp,
    cut: usize,
    /// Octets held back by `C+`.
    held: Vec<u8>,
    decisions: Vec<Decision>,
    commits: Vec<CommitOutcome>,
    logins: Vec<AuthOutcome>,
    content: Vec<u8>,
    output: String,
    names: BTreeSet<String>,
}

impl Player {
    fn new(cut: usize) -> Self {
        Self {
            settings: Settings { hostname: "mx.example.org".into(), ..Settings::default() },
            rights: Rights::default(),
            over_tls: false,
            session: None,
            now: Timestamp::from_millis(1_000),
            cut,
            held: Vec::new(),
            decisions: Vec::new(),
            commits: Vec::new(),
            logins: Vec::new(),
            content: Vec::new(),
            output: String::new(),
            names: BTreeSet::new(),
        }
    }

    /// Plays a transcript, and gives it back with what the server said now.
    fn play(mut self, transcript: &str) -> (String, BTreeSet<String>) {
        for line in transcript.lines() {
            if line.starts_with("S:") || line.starts_with("A:") {
                continue;
            }
            self.output.push_str(line);
            self.output.push('\n');
            if let Some(text) = line.strip_prefix("C: ").or_else(|| line.strip_prefix("C:")) {
                self.feed(text, true);
            } else if let Some(text) = line.strip_prefix("C+ ").or_else(|| line.strip_prefix("C+")) {
                self.held.extend(transcript::unescape(text));
                self.held.extend(b"\r\n");
            } else if let Some(text) = line.strip_prefix("C~ ") {
                self.feed(text, false);
            } else if let Some(directive) = line.strip_prefix("! ") {
                self.direct(directive);
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "what is this line? {line}");
            }
        }
        assert!(self.decisions.is_empty(), "decisions left over: {:?}", self.decisions);
        (self.output, self.names)
    }

    fn session(&mut self) -> &mut Session {
        let (settings, rights, now) = (&self.settings, self.rights, self.now);
        let over_tls = self.over_tls;
        self.session.get_or_insert_with(|| {
            let session = Session::new(Arc::new(settings.clone()), rights, "192.0.2.1".into(), now);
            if over_tls { session.over_tls() } else { session }
        })
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
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(reply) => {
                self.names.insert(reply.name().to_owned());
                let mut wire = Vec::new();
                reply.write(&mut wire);
                let wire = String::from_utf8(wire).unwrap();
                assert!(wire.ends_with("\r\n"));
                for line in wire.trim_end_matches("\r\n").split("\r\n") {
                    writeln!(self.output, "S: {line}").unwrap();
                }
            }
            Action::Ask(question) => {
                let decision =
                    if self.decisions.is_empty() { Decision::Accept } else { self.decisions.remove(0) };
                if decision != Decision::Accept {
                    writeln!(self.output, "A: ask {question:?}").unwrap();
                }
                self.event(Event::Decided(decision));
            }
            Action::Authenticate(step) => {
                writeln!(self.output, "A: authenticate {} {:?}", step.mechanism, step.response).unwrap();
                let outcome = self.logins.remove(0);
                self.event(Event::Authenticated(outcome));
            }
            Action::Open => self.content.clear(),
            Action::Write(octets) => self.content.extend(octets),
            Action::Commit(envelope) => {
                let recipients: Vec<_> =
                    envelope.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect();
                let content = String::from_utf8_lossy(&self.content).escape_debug().to_string();
                let content =
                    if content.len() > 300 { format!("{} octets", self.content.len()) } else { content };
                writeln!(self.output, "A: commit {} -> {}", envelope.reverse_path, recipients.join(" "))
                    .unwrap();
                writeln!(self.output, "A: content {content}").unwrap();
                let outcome = if self.commits.is_empty() {
                    CommitOutcome::Stored("k7q2m3xf".into())
                } else {
                    self.commits.remove(0)
                };
                self.event(Event::Committed(outcome));
            }
            Action::StartTls => writeln!(self.output, "A: start TLS").unwrap(),
            Action::Discard => writeln!(self.output, "A: discard").unwrap(),
            Action::Notice(notice) => writeln!(self.output, "A: notice {notice:?}").unwrap(),
            Action::Close => writeln!(self.output, "A: close").unwrap(),
        }
    }

    fn direct(&mut self, directive: &str) {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "uncut" => {}
            "set" => rest.split(' ').for_each(|setting| self.set(setting)),
            "connect" => self.event(Event::Connected),
            "accept" => self.decisions.push(Decision::Accept),
            "answer" => self.decisions.push(Decision::AcceptWith(reply(rest))),
            "refuse" => self.decisions.push(Decision::Refuse(refusal(rest))),
            "disconnect" => self.decisions.push(Decision::Disconnect(refusal(rest))),
            "fail-commit" => self.commits.push(CommitOutcome::Refused(refusal(rest))),
            "login" => self.login(rest),
            "tls" => self.event(Event::TlsStarted),
            "also" => self.session().offer_also(rest.split(',').map(String::from).collect()),
            "shutdown" => self.event(Event::ShuttingDown),
            "wait" => {
                let seconds = rest.strip_suffix('s').unwrap().parse().unwrap();
                self.now = self.now + Duration::from_secs(seconds);
                self.event(Event::TimedOut);
            }
            _ => panic!("unknown directive: {directive}"),
        }
    }

    fn login(&mut self, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        self.logins.push(match word {
            "challenge" => AuthOutcome::Challenge(rest.into()),
            "accepted" => AuthOutcome::Accepted(rest.into()),
            "rejected" => AuthOutcome::Rejected,
            "too-weak" => AuthOutcome::TooWeak,
            "malformed" => AuthOutcome::Malformed,
            "unavailable" => AuthOutcome::Unavailable,
            "needs-transition" => AuthOutcome::NeedsTransition,
            "throttled" => AuthOutcome::Throttled { minutes: rest.parse().unwrap() },
            _ => panic!("unknown login: {text}"),
        });
    }

    fn set(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let settings = &mut self.settings;
        match name {
            "message" => settings.message_octets_max = value.parse().unwrap(),
            "recipients" => settings.recipients_max = value.parse().unwrap(),
            "errors" => settings.errors_max = value.parse().unwrap(),
            "messages" => settings.messages_max = value.parse().unwrap(),
            "session" => settings.session_timeout = Duration::from_secs(value.parse().unwrap()),
            "refuse-early" => settings.early_talkers = EarlyTalkers::Refuse,
            "starttls" => settings.start_tls = StartTlsOffer::On,
            "starttls-broken" => settings.start_tls = StartTlsOffer::Unavailable,
            "auth" => {
                let mechanisms = value.split(',').map(String::from).collect();
                settings.auth = Some(AuthOffer { mechanisms, needs_tls: false });
            }
            "auth-needs-tls" => settings.auth.as_mut().unwrap().needs_tls = true,
            "auth-required" => settings.auth_required = true,
            "over-tls" => self.over_tls = true,
            "tls-required" => settings.tls_required = true,
            "vrfy" => {
                self.rights.verification = match value {
                    "tell" => Verification::Tell,
                    "off" => Verification::Off,
                    _ => Verification::Conceal,
                }
            }
            "expn" => self.rights.expand = true,
            _ => panic!("unknown setting: {setting}"),
        }
    }
}

/// `NAME key=value key=value`; `_` in a value is a space.
fn reply(text: &str) -> Reply {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let entry = catalogue::named(name).unwrap_or_else(|| panic!("no entry {name}"));
    let values: Vec<(String, String)> = words
        .map(|word| word.split_once('=').unwrap())
        .map(|(key, value)| (key.into(), value.replace('_', " ").replace("\\n", "\n")))
        .collect();
    let values: Vec<(&str, &str)> =
        values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let filled = entry.fill(&values);
    // A list stands one a line, which a filled value can't do.
    match values.iter().find(|(key, _)| *key == "lines") {
        Some((_, lines)) => entry.with_text((*lines).to_string()),
        None => filled,
    }
}

fn refusal(text: &str) -> Refusal {
    Refusal::new(reply(text)).expect("a refusal")
}

#[test]
fn transcripts_are_as_written_at_every_cut() {
    transcript::hold("server", |transcript, cut| Player::new(cut).play(transcript).0);
}

#[test]
fn every_catalogue_entry_stands_in_a_transcript() {
    let mut seen = BTreeSet::new();
    for (_, transcript) in transcript::all("server") {
        seen.extend(Player::new(usize::MAX).play(&transcript).1);
    }
    let missing: Vec<_> =
        catalogue::ALL.iter().map(|entry| entry.name).filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "no transcript shows {missing:?}");
}
