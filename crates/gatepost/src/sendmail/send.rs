//! Hands a message to the server that runs, or puts it into the maildrop where none does.

use std::io::{self, Read as _, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use smtp::address::LocalPart;
use smtp::client::RemoteReply;

use super::arguments::Arguments;
use super::content::Content;
use super::dialogue::{self, Broken, Outcome};
use super::exit::{Exit, Stop, of_reply};
use super::letter::Order;
use super::message::Message;
use super::{maildrop, socket_path};

/// The ends of a command that sends.
#[derive(Debug)]
pub struct Hand<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// Where a long message is kept meanwhile.
    pub scratch: &'a Path,
}

impl Hand<'_> {
    /// A connection to the server; `None` when none runs.
    fn connect(&self) -> Result<Option<UnixStream>, Stop> {
        let path = socket_path(self.state);
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                // No server can listen at a path that is too long.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput => {
                    Ok(None)
                }
                io::ErrorKind::PermissionDenied => Err(Stop::new(
                    Exit::Config,
                    format!(
                        "{} is closed to this user: its directories must let everybody through",
                        path.display()
                    ),
                )),
                _ => Err(Stop::new(Exit::Config, format!("cannot connect to {}: {error}", path.display()))),
            },
        }
    }

    /// Puts the message for these recipients into the maildrop.
    fn drop(&self, order: &Order, content: &Content) -> Result<(), Stop> {
        let folder = maildrop::folder(self.state);
        maildrop::put(&folder, order, content).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::Config,
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                io::ErrorKind::FileTooLarge => Exit::Data,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::TemporaryFailure,
                _ => Exit::Io,
            };
            let advice = if exit == Exit::Config { "; has the server ever run there?" } else { "" };
            let folder = folder.display();
            Stop::new(exit, format!("{folder} can't take the message for the server: {error}{advice}"))
        })
    }
}

/// Sends the message that is on `input`. What a caller should know is written to `complaints`.
///
/// # Errors
/// Nothing was sent.
pub fn send(
    hand: &Hand<'_>,
    arguments: &Arguments,
    input: impl io::BufRead,
    complaints: &mut dyn Write,
) -> Result<(), Stop> {
    let content = Content::read(input, arguments.dot_ends, hand.scratch).map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::FileTooLarge { Exit::Data } else { Exit::Io };
        Stop::new(exit, format!("the message can't be read: {error}"))
    })?;
    let order = &arguments.order;
    let message = Message::new(order, &content)?;
    let Some(stream) = hand.connect()? else { return hand.drop(order, &content) };
    let mut nothing = io::sink();
    let log: &mut dyn Write = if arguments.verbose { complaints } else { &mut nothing };
    match dialogue::hand_over(&stream, &message, order, log) {
        Ok(outcome) => conclude(hand, (order, &content), outcome, complaints),
        // Rather twice than not at all: it may have been taken before the connection was lost.
        Err(Broken::Lost(_)) => hand.drop(order, &content),
        Err(Broken::Stopped(stop)) => Err(stop),
    }
}

/// What the caller is told. Once somebody gets the message the others are the server's to report on.
fn conclude(
    hand: &Hand<'_>,
    (order, content): (&Order, &Content),
    outcome: Outcome,
    complaints: &mut dyn Write,
) -> Result<(), Stop> {
    for (recipient, reply) in &outcome.refused {
        // Whoever has closed standard error doesn't want to hear it.
        let _ = writeln!(complaints, "sendmail: <{recipient}>: {reply}");
    }
    if outcome.taken.is_none() {
        if outcome.refused.is_empty() && outcome.deferred.as_ref().is_some_and(|(_, reply)| is_busy(reply)) {
            return hand.drop(order, content);
        }
        return Err(match (&outcome.deferred, outcome.refused.first()) {
            (Some((_, reply)), _) => Stop::new(of_reply(reply), format!("not sent: {reply}")),
            (None, Some((_, reply))) => Stop::new(of_reply(reply), "not sent: refused for every recipient"),
            (None, None) => Stop::new(Exit::Protocol, "not sent: the server said nothing of any recipient"),
        });
    }
    let refused = outcome.refused.iter().map(|(recipient, _)| recipient);
    let left = outcome.deferred.iter().flat_map(|(deferred, _)| deferred).chain(refused);
    let recipients: Vec<String> = left.map(ToString::to_string).collect();
    if recipients.is_empty() {
        return Ok(());
    }
    let left = Order { recipients, from_header: false, ..order.clone() };
    hand.drop(&left, content).map_err(|stop| {
        let why = format!("some have it; of {} nobody will hear more: {stop}", left.recipients.join(", "));
        Stop::new(stop.exit, why)
    })
}

/// Whether the server has no time for anybody just now, so that nothing is said of the message.
fn is_busy(reply: &RemoteReply) -> bool {
    reply.code.value() == 421
}

/// Joins standard input and output with the server's session.
///
/// # Errors
/// When none runs, or an end fails.
pub fn speak(hand: &Hand<'_>) -> Result<(), Stop> {
    let stream = hand.connect()?.ok_or_else(|| Stop::new(Exit::TemporaryFailure, "no server runs"))?;
    let failed = |error: io::Error| Stop::new(Exit::Io, format!("the session is lost: {error}"));
    let inward = stream.try_clone().map_err(failed)?;
    // It ends with the process: standard input may never end.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut &inward);
        let _ = inward.shutdown(Shutdown::Write);
    });
    let mut out = io::stdout();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = (&mut &stream).read(&mut chunk).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        let written = out.write_all(chunk.get(..read).unwrap_or_default()).and_then(|()| out.flush());
        written.map_err(failed)?;
    }
}

/// Who calls, as a local part.
pub(crate) fn user(uid: u32, named: Option<String>) -> String {
    named.filter(|name| LocalPart::new(name).is_ok()).unwrap_or_else(|| format!("uid{uid}"))
}
