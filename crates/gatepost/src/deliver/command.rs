//! Delivery by a command: one process for each recipient, with the message on its standard input.
//!
//! Invariants: no shell is involved; delivered is only what the command ended with 0 for, and what can't be told from its
//! end is deferred; a command whose time is up, or whose message could not be read to its end, is killed with all that it
//! started; nothing that it says can fill the memory.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use queue::body::StoredMessage;
use queue::message::QueuedRecipient;
use queue::pace::Met;
use queue::spool::SpoolError;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use smtp::address::{ForwardPath, ReversePath};
use smtp::envelope::BodyType;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::attempt::{Attempt, Failure};
use super::reading::{header_section, reading};
use super::{local, maildir};
use crate::config::{Agent, Placeholder};
use crate::mailboxes::local_part_key;
use crate::site::Site;

/// All of the environment: where the command finds others.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How much of what a command says is kept, in octets (ours: some lines of complaint).
const SAID_OCTETS_MAX: usize = 4 * 1024;

/// How much of it is told, in characters (ours: a DSN and the log are no place for more).
const TOLD_CHARACTERS_MAX: usize = 400;

/// How long the last words of a command are waited for once it has ended (ours: what it has left running may hold its
/// output open for ever).
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Delivers a message to the recipients `indexes` of its envelope: one attempt each, in order. Needs a runtime with several
/// threads, as a large body is read from the disk in this one.
pub(super) async fn deliver(
    site: &Site,
    agent: &Agent,
    stored: &StoredMessage,
    indexes: &[u32],
) -> Vec<Attempt> {
    let header = header_section(stored);
    let mut attempts = Vec::with_capacity(indexes.len());
    for index in indexes {
        let recipients = &stored.message.recipients;
        let recipient = usize::try_from(*index).ok().and_then(|index| recipients.get(index));
        attempts.push(match recipient {
            Some(recipient) if local::delivered_before(&header, recipient) => local::mail_loop(recipient),
            Some(recipient) => deliver_one(site, agent, stored, recipient).await,
            None => Attempt::Deferred(Failure::local("4.3.0", "the queue entry has no such recipient")),
        });
    }
    attempts
}

async fn deliver_one(
    site: &Site,
    agent: &Agent,
    stored: &StoredMessage,
    recipient: &QueuedRecipient,
) -> Attempt {
    let values = Values::of(site, stored, recipient);
    let arguments: Option<Vec<String>> =
        agent.arguments.iter().map(|argument| argument.fill(|placeholder| values.get(placeholder))).collect();
    let Some(arguments) = arguments else {
        let text = "an address that begins with `-` is not handed to a command";
        return Attempt::Failed(Failure::local("5.1.3", text));
    };
    let fields = maildir::trace_fields(&stored.message, recipient);
    match run(agent, &arguments, &fields, stored).await {
        Ok(Ended { outcome, said }) => attempt(outcome, &said),
        Err(error) => {
            // The path is for the log alone: a DSN may go anywhere.
            tracing::error!(queue_id = %stored.id, program = %agent.program.display(), %error, "a delivery command cannot be started");
            let text = format!("the delivery command cannot be started: {error}");
            Attempt::Deferred(Failure::local("4.3.5", text).met(Met::Absence))
        }
    }
}

/// What placeholders stand for.
struct Values {
    recipient: String,
    local_part: String,
    sub_address: String,
    domain: String,
    reverse_path: String,
    queue_id: String,
}

impl Values {
    fn of(site: &Site, stored: &StoredMessage, recipient: &QueuedRecipient) -> Self {
        let mailbox = &recipient.mailbox;
        Self {
            recipient: mailbox.to_string(),
            local_part: mailbox.local_part.as_str().to_owned(),
            sub_address: sub_address(site, recipient).unwrap_or_default(),
            domain: mailbox.domain.to_string(),
            reverse_path: match &stored.message.reverse_path {
                ReversePath::Mailbox(mailbox) => mailbox.to_string(),
                ReversePath::Null => String::new(),
            },
            queue_id: stored.id.to_string(),
        }
    }

    fn get(&self, placeholder: Placeholder) -> &str {
        match placeholder {
            Placeholder::Recipient => &self.recipient,
            Placeholder::LocalPart => &self.local_part,
            Placeholder::SubAddress => &self.sub_address,
            Placeholder::Domain => &self.domain,
            Placeholder::ReversePath => &self.reverse_path,
            Placeholder::QueueId => &self.queue_id,
        }
    }
}

/// The sub-address that the mail was sent to (RFC 5233 §1), when that was one of the mailbox itself.
fn sub_address(site: &Site, recipient: &QueuedRecipient) -> Option<String> {
    let ForwardPath::Mailbox(asked) = &recipient.accepted_as else { return None };
    let name = recipient.mailbox.domain.name()?;
    let domains = site.directory.domains();
    let delimiter = domains.iter().find(|domain| domain.name == *name)?.subaddress?;
    let (mailbox, sub_address) = asked.local_part.as_str().split_once(delimiter)?;
    let is_own = local_part_key(mailbox) == local_part_key(recipient.mailbox.local_part.as_str());
    is_own.then(|| sub_address.to_owned())
}

/// How a command ended.
enum Outcome {
    By(ExitStatus),
    TimedOut(Duration),
    /// Its message could not be read to the end.
    Cut(SpoolError),
    /// The system could not tell.
    Lost(std::io::Error),
}

struct Ended {
    outcome: Outcome,
    said: Vec<u8>,
}

/// Runs the command.
///
/// # Errors
/// It could not be started.
async fn run(
    agent: &Agent,
    arguments: &[String],
    fields: &str,
    stored: &StoredMessage,
) -> std::io::Result<Ended> {
    let mut command = Command::new(&agent.program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    if geteuid().is_root() {
        command.uid(agent.account.user).gid(agent.account.group);
    }
    let mut child = command.spawn()?;
    let mut group = Group::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let said = Mutex::new(Vec::new());
    let outcome = {
        let mut listening =
            std::pin::pin!(async { tokio::join!(listen(stdout, &said), listen(stderr, &said)) });
        let working = work(&mut child, &mut group, stdin, fields, stored);
        let mut working = std::pin::pin!(tokio::time::timeout(agent.timeout, working));
        let outcome = tokio::select! {
            outcome = &mut working => {
                // What comes later says nothing of the message.
                let _ = tokio::time::timeout(LAST_WORDS, &mut listening).await;
                outcome
            }
            _ = &mut listening => working.await,
        };
        outcome.unwrap_or(Outcome::TimedOut(agent.timeout))
    };
    if group.is_running() {
        group.kill();
        // Its end is of no interest any more, and comes at once.
        let _ = child.wait().await;
    }
    Ok(Ended { outcome, said: said.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// Hands the message over and waits for the end of the command, whichever comes first.
async fn work(
    child: &mut Child,
    group: &mut Group,
    stdin: Option<ChildStdin>,
    fields: &str,
    stored: &StoredMessage,
) -> Outcome {
    let mut feeding = std::pin::pin!(feed(stdin, fields, stored));
    let mut is_fed = false;
    loop {
        tokio::select! {
            ended = child.wait() => {
                group.has_ended();
                return ended.map_or_else(Outcome::Lost, Outcome::By);
            }
            fed = &mut feeding, if !is_fed => match fed {
                Ok(stdin) => {
                    // The end of the input is the end of the message.
                    drop(stdin);
                    is_fed = true;
                }
                Err((stdin, error)) => {
                    // Killed before its input ends, so that it never takes half a message for a whole one.
                    group.kill();
                    drop(stdin);
                    return Outcome::Cut(error);
                }
            },
        }
    }
}

type Fed = Result<Option<ChildStdin>, (Option<ChildStdin>, SpoolError)>;

/// Writes the message, its lines ended as the system ends them: by LF; only one that declares itself binary stays as it
/// is. A command that doesn't want to read on is free to end.
async fn feed(stdin: Option<ChildStdin>, fields: &str, stored: &StoredMessage) -> Fed {
    let Some(mut stdin) = stdin else { return Ok(None) };
    let is_text = stored.message.parameters.body != BodyType::BinaryMime;
    let mut lines = Lines { is_text, has_cr: false };
    let mut reader = stored.body.reader();
    let mut portion = Vec::new();
    lines.append(fields.as_bytes(), &mut portion);
    loop {
        if stdin.write_all(&portion).await.is_err() {
            return Ok(Some(stdin));
        }
        portion.clear();
        match reading(stored.body.size_octets(), || reader.next_chunk()) {
            Ok(Some(chunk)) => lines.append(chunk, &mut portion),
            Ok(None) => {
                lines.finish(&mut portion);
                // A command that is gone says by its end what became of the message.
                let _ = stdin.write_all(&portion).await;
                return Ok(Some(stdin));
            }
            Err(error) => return Err((Some(stdin), error)),
        }
    }
}

/// Makes LF of CRLF, wherever the octets are cut.
struct Lines {
    is_text: bool,
    /// Whether a CR waits for what follows it.
    has_cr: bool,
}

impl Lines {
    fn append(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        if !self.is_text {
            return output.extend_from_slice(octets);
        }
        for octet in octets {
            if std::mem::take(&mut self.has_cr) && *octet != b'\n' {
                output.push(b'\r');
            }
            if *octet == b'\r' {
                self.has_cr = true;
            } else {
                output.push(*octet);
            }
        }
    }

    fn finish(&mut self, output: &mut Vec<u8>) {
        if std::mem::take(&mut self.has_cr) {
            output.push(b'\r');
        }
    }
}

/// Reads to the end, and keeps what there is room for.
async fn listen(stream: Option<impl AsyncRead + Unpin>, said: &Mutex<Vec<u8>>) {
    let Some(mut stream) = stream else { return };
    let mut input = [0; 1024];
    while let Ok(octets @ 1..) = stream.read(&mut input).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAID_OCTETS_MAX.saturating_sub(said.len()).min(octets);
        said.extend_from_slice(input.get(..room).unwrap_or_default());
    }
}

/// The processes of a command; dropped while it runs, they are killed.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    const fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// From now on its number may be another's.
    const fn has_ended(&mut self) {
        self.0 = None;
    }

    fn kill(&self) {
        if let Some(leader) = self.0 {
            // Who is gone already needs no signal.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the end of a command means for the message. The codes are those of sysexits.h; the guide lists them.
fn attempt(outcome: Outcome, said: &[u8]) -> Attempt {
    let words = match told(said) {
        words if words.is_empty() => words,
        words => format!(": {words}"),
    };
    let status = match outcome {
        Outcome::By(status) => status,
        Outcome::TimedOut(after) => {
            let text = format!("the delivery command did not end within {} s{words}", after.as_secs());
            return Attempt::Deferred(Failure::local("4.3.0", text).met(Met::Reluctance));
        }
        Outcome::Cut(error) => return local::spool_failure(&error),
        Outcome::Lost(error) => {
            let text = format!("the end of the delivery command is unknown: {error}");
            return Attempt::Deferred(Failure::local("4.3.0", text));
        }
    };
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or_default();
        let text = format!("the delivery command was ended by signal {signal}{words}");
        return Attempt::Deferred(Failure::local("4.3.0", text));
    };
    let ended = |meaning: &str| format!("the delivery command ended with {code} ({meaning}){words}");
    let deferred = |status, meaning| Attempt::Deferred(Failure::local(status, ended(meaning)));
    let failed = |status, meaning| Attempt::Failed(Failure::local(status, ended(meaning)));
    match code {
        0 => Attempt::Delivered,
        65 => failed("5.6.0", "the message is not as it should be"),
        67 => failed("5.1.1", "no such user"),
        68 => failed("5.1.2", "no such host"),
        77 => failed("5.7.1", "not permitted"),
        64 => deferred("4.3.5", "wrong usage"),
        69 => deferred("4.3.0", "a service is unavailable"),
        70 | 71 => deferred("4.3.0", "a fault within"),
        72 | 78 => deferred("4.3.5", "wrongly set up"),
        73 | 74 => deferred("4.3.0", "it can't write"),
        75 => deferred("4.3.0", "not now"),
        _ => deferred("4.3.0", "a code without a meaning"),
    }
}

/// What a command said, in one line of printable characters.
fn told(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(TOLD_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(attempt: &Attempt) -> (&str, &str, &str) {
        match attempt {
            Attempt::Delivered => ("delivered", "", ""),
            Attempt::Deferred(failure) => ("deferred", &failure.status, &failure.diagnostic),
            Attempt::Failed(failure) => ("failed", &failure.status, &failure.diagnostic),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_mean_what_sysexits_says_and_the_rest_waits() {
        let of = |code: i32| attempt(Outcome::By(ExitStatus::from_raw(code << 8)), b"");
        for code in 0..=255 {
            let attempt = of(code);
            let (outcome, enhanced, _) = status(&attempt);
            let expected = match code {
                0 => ("delivered", ""),
                65 => ("failed", "5.6.0"),
                67 => ("failed", "5.1.1"),
                68 => ("failed", "5.1.2"),
                77 => ("failed", "5.7.1"),
                64 | 72 | 78 => ("deferred", "4.3.5"),
                _ => ("deferred", "4.3.0"),
            };
            assert_eq!((outcome, enhanced), expected, "{code}");
        }
        let killed = attempt(Outcome::By(ExitStatus::from_raw(9)), b"");
        assert_eq!(status(&killed), ("deferred", "4.3.0", "the delivery command was ended by signal 9"));
        let late = attempt(Outcome::TimedOut(Duration::from_secs(3)), b"");
        assert_eq!(status(&late).0, "deferred");
    }

    #[test]
    fn what_a_command_says_becomes_one_short_line() {
        let said = b"No such user\r\n\x1b[31m  in \xff the\0 table\n";
        let refused = attempt(Outcome::By(ExitStatus::from_raw(67 << 8)), said);
        let text =
            "the delivery command ended with 67 (no such user): No such user [31m in \u{fffd} the table";
        assert_eq!(status(&refused), ("failed", "5.1.1", text));
        assert_eq!(told(&[b'x'; 5_000]).len(), TOLD_CHARACTERS_MAX);
    }

    #[test]
    fn lines_end_with_lf_however_they_are_cut() {
        let text = b"a\r\nb\rc\r\r\n\nd\r";
        let whole = |is_text, size| {
            let (mut lines, mut output) = (Lines { is_text, has_cr: false }, Vec::new());
            text.chunks(size).for_each(|chunk| lines.append(chunk, &mut output));
            lines.finish(&mut output);
            output
        };
        for size in 1..=text.len() {
            assert_eq!(whole(true, size), b"a\nb\rc\r\n\nd\r");
            assert_eq!(whole(false, size), text);
        }
    }
}
