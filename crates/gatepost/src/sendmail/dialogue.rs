//! Hands a message to the server, as a client of its session over a socket of this machine.
//!
//! Invariants: each recipient is taken, refused for good or deferred, and none is two of these; a message goes to all
//! recipients of a transaction that are not refused, or to none.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use smtp::address::Mailbox;
use smtp::client::data::{DataWriter, Framing};
use smtp::client::reply_parser::ReplyParser;
use smtp::client::{RemoteCode, RemoteReply, parse_offer};
use smtp::reply::Severity;
use smtp::xtext::Xtext;

use super::exit::Stop;
use super::letter::Order;
use super::message::{Message, Ready};

/// Longest wait for a reply (RFC 5321 §4.5.3.2.6: the end of the data may take ten minutes; a place may, too).
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);

/// Longest wait for octets to be taken (RFC 5321 §4.5.3.2.5).
const WRITE_TIMEOUT: Duration = Duration::from_secs(180);

/// Octets of mail data that are sent at a time (ours).
const CHUNK_OCTETS: usize = 64 * 1024;

/// Recipients of a transaction, where the server doesn't say (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_USUAL: u32 = 100;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The reply to the data, where a server took it for somebody.
    pub taken: Option<RemoteReply>,
    /// Those who don't get it, and why.
    pub refused: Vec<(Mailbox, RemoteReply)>,
    /// Those who don't get it yet, and why.
    pub deferred: Option<(Vec<Mailbox>, RemoteReply)>,
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Broken {
    /// The server has gone, or doesn't answer as one; nothing is known of what was sent last.
    Lost(io::Error),
    /// The message can't be sent.
    Stopped(Stop),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Hands `message` over. What is said is also written to `log`.
///
/// # Errors
/// See [`Broken`].
pub fn hand_over(
    stream: &UnixStream,
    message: &Message<'_>,
    order: &Order,
    log: &mut dyn Write,
) -> Result<Outcome, Broken> {
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut talk = Talk { stream, parser: ReplyParser::new(), unread: Vec::new(), log };
    let greeting = talk.reply()?;
    let domain = greeting.text.split(' ').next().unwrap_or_default().to_owned();
    let ready = message.ready(&domain).map_err(Broken::Stopped)?;
    let all: Vec<&Mailbox> = ready.recipients.iter().collect();
    let mut outcome = Outcome::default();
    if greeting.code.severity() != Severity::Completed {
        outcome.add_all(&all, &greeting);
        return Ok(outcome);
    }
    let offer = talk.ask(&format!("EHLO {domain}"))?;
    if offer.code.severity() != Severity::Completed {
        outcome.add_all(&all, &offer);
        return Ok(outcome);
    }
    let most = parse_offer(&offer).limits.rcpt_max.unwrap_or(RECIPIENTS_USUAL).max(1) as usize;
    let size_octets = io::copy(&mut ready.mail_data(), &mut io::sink())?;
    let mail = mail_command(&ready, order, size_octets);
    for (place, group) in all.chunks(most).enumerate() {
        let refused = outcome.refused.len();
        let sent = transact(&mut talk, &ready, &mail, (group, order), &mut outcome);
        match sent {
            Ok(()) => {}
            // What was taken must not be sent again with the rest.
            Err(error) if place > 0 => {
                // Whatever was said of the group before that: it is tried again as a whole.
                outcome.refused.truncate(refused);
                outcome.deferred = None;
                outcome.defer(group, &lost(&error)?);
            }
            Err(error) => return Err(Broken::Lost(error)),
        }
        if outcome.deferred.is_some() {
            let rest = all.get((place + 1) * most..).unwrap_or_default();
            if let Some((deferred, _)) = &mut outcome.deferred {
                deferred.extend(rest.iter().map(|mailbox| (*mailbox).clone()));
            }
            break;
        }
    }
    // Whether it hears that changes nothing.
    let _ = talk.say("QUIT");
    Ok(outcome)
}

/// The reply that stands for a connection that was lost.
fn lost(error: &io::Error) -> io::Result<RemoteReply> {
    let code = RemoteCode::new(421).ok_or(io::ErrorKind::InvalidData)?;
    Ok(RemoteReply { code, enhanced: None, text: Arc::from(format!("the server has gone: {error}")) })
}

fn mail_command(ready: &Ready<'_>, order: &Order, size_octets: u64) -> String {
    let needs_utf8 = |mailbox: &Mailbox| !mailbox.to_string().is_ascii();
    let utf8 = ready.reverse_path.mailbox().into_iter().chain(&ready.recipients).any(needs_utf8);
    let mut command = format!("MAIL FROM:{} SIZE={size_octets} BODY=8BITMIME", ready.reverse_path);
    if utf8 {
        command.push_str(" SMTPUTF8");
    }
    if let Some(ret) = &order.ret {
        command.push_str(&format!(" RET={ret}"));
    }
    if let Some(envid) = &order.envid {
        command.push_str(&format!(" ENVID={}", Xtext(envid)));
    }
    command
}

/// Sends the message to a group of its recipients.
fn transact(
    talk: &mut Talk<'_>,
    ready: &Ready<'_>,
    mail: &str,
    (group, order): (&[&Mailbox], &Order),
    outcome: &mut Outcome,
) -> io::Result<()> {
    let reply = talk.ask(mail)?;
    if reply.code.severity() != Severity::Completed {
        outcome.add_all(group, &reply);
        return Ok(());
    }
    let mut left = Vec::with_capacity(group.len());
    let notify = order.notify.as_ref().map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
    for (place, mailbox) in group.iter().enumerate() {
        let reply = talk.ask(&format!("RCPT TO:<{mailbox}>{notify}"))?;
        match reply.code.severity() {
            Severity::Completed => left.push(*mailbox),
            Severity::Permanent => outcome.refused.push(((*mailbox).clone(), reply)),
            Severity::Intermediate | Severity::Transient => {
                // Nobody gets it yet, so that nobody gets it twice.
                left.extend(group.get(place..).unwrap_or_default());
                outcome.defer(&left, &reply);
                talk.ask("RSET")?;
                return Ok(());
            }
        }
    }
    if left.is_empty() {
        talk.ask("RSET")?;
        return Ok(());
    }
    let reply = talk.ask("DATA")?;
    if reply.code.severity() != Severity::Intermediate {
        outcome.add_all(&left, &reply);
        talk.ask("RSET")?;
        return Ok(());
    }
    talk.send(&mut ready.mail_data())?;
    let reply = talk.reply()?;
    if reply.code.severity() == Severity::Completed {
        outcome.taken = Some(reply);
    } else {
        outcome.add_all(&left, &reply);
    }
    Ok(())
}

impl Outcome {
    /// The same reply is about all of them.
    fn add_all(&mut self, recipients: &[&Mailbox], reply: &RemoteReply) {
        if reply.code.severity() == Severity::Permanent {
            self.refused.extend(recipients.iter().map(|mailbox| ((*mailbox).clone(), reply.clone())));
        } else {
            self.defer(recipients, reply);
        }
    }

    fn defer(&mut self, recipients: &[&Mailbox], reply: &RemoteReply) {
        let recipients = recipients.iter().map(|mailbox| (*mailbox).clone());
        match &mut self.deferred {
            Some((deferred, _)) => deferred.extend(recipients),
            None => self.deferred = Some((recipients.collect(), reply.clone())),
        }
    }
}

/// Who talks with the server.
struct Talk<'a> {
    stream: &'a UnixStream,
    parser: ReplyParser,
    unread: Vec<u8>,
    log: &'a mut dyn Write,
}

impl Talk<'_> {
    fn ask(&mut self, command: &str) -> io::Result<RemoteReply> {
        self.say(command)?;
        self.reply()
    }

    fn say(&mut self, command: &str) -> io::Result<()> {
        // Nobody need be there to read it.
        let _ = writeln!(self.log, ">>> {command}");
        (&mut &*self.stream).write_all(format!("{command}\r\n").as_bytes())
    }

    fn reply(&mut self) -> io::Result<RemoteReply> {
        loop {
            let mut input = self.unread.as_slice();
            let parsed = self.parser.parse(&mut input);
            self.unread = input.to_vec();
            match parsed {
                Ok(Some(reply)) => {
                    let _ = writeln!(self.log, "{reply}");
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(broken) => return Err(io::Error::new(io::ErrorKind::InvalidData, broken.to_string())),
            }
            self.unread.resize(CHUNK_OCTETS, 0);
            let read = (&mut &*self.stream).read(&mut self.unread);
            self.unread.truncate(*read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends mail data with their end.
    fn send(&mut self, mail_data: &mut dyn Read) -> io::Result<()> {
        let mut writer = DataWriter::new(Framing::Dots);
        let mut chunk = vec![0; CHUNK_OCTETS];
        let mut wire = Vec::with_capacity(CHUNK_OCTETS + CHUNK_OCTETS / 8);
        let bare = |_| io::Error::new(io::ErrorKind::InvalidData, "a bare line end in mail data");
        loop {
            wire.clear();
            let read = mail_data.read(&mut chunk)?;
            if read == 0 {
                writer.finish(&mut wire).map_err(bare)?;
                return (&mut &*self.stream).write_all(&wire);
            }
            writer.write(chunk.get(..read).unwrap_or_default(), &mut wire).map_err(bare)?;
            (&mut &*self.stream).write_all(&wire)?;
        }
    }
}
