//! `mailq`: what waits, in the form that scripts and monitoring know from Postfix.

use std::io::{self, Write};

use smtp::time::WallTime;

use super::maildrop::Dropped;
use crate::control::{Entry, Phase};

/// Columns in which the reason stands at the right.
const REASON_COLUMNS: usize = 76;

/// Octets of a kilobyte, as it is counted here.
const KILOBYTE: u64 = 1024;

/// Prints a queue.
#[derive(Debug, Default)]
pub struct Listing {
    messages: u64,
    octets: u64,
}

impl Listing {
    /// Prints a message.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn message(&mut self, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
        let waits = || entry.recipients.iter().filter(|recipient| recipient.phase != Phase::Finished);
        if waits().next().is_none() {
            return Ok(());
        }
        let mark = if waits().any(|recipient| recipient.phase == Phase::Active) {
            '*'
        } else if waits().all(|recipient| recipient.phase == Phase::Held) {
            '!'
        } else {
            ' '
        };
        let sender = if matches!(entry.reverse_path.as_str(), "" | "<>") {
            "MAILER-DAEMON"
        } else {
            entry.reverse_path.as_str()
        };
        self.begin(entry.size_octets, out)?;
        let id = format!("{}{mark}", entry.id);
        writeln!(out, "{id:<11} {:>7} {:<20} {sender}", entry.size_octets, arrival(entry.received.0))?;
        let mut reason = None;
        for recipient in waits() {
            let why = recipient.last_reply.as_deref();
            if why != reason
                && let Some(why) = why
            {
                writeln!(out, "{:>REASON_COLUMNS$}", format!("({})", why.replace(['\r', '\n'], " ")))?;
            }
            reason = why;
            writeln!(out, "{:<10} {:>8} {:<20} {}", "", "", "", recipient.mailbox)?;
        }
        Ok(())
    }

    /// Prints a message that no server has taken yet.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn dropped(&mut self, dropped: &Dropped, out: &mut dyn Write) -> io::Result<()> {
        self.begin(dropped.size_octets, out)?;
        let Dropped { name, size_octets, received, uid } = dropped;
        let received = arrival(*received);
        writeln!(out, "{name:<11} {size_octets:>7} {received:<20} (maildrop queue, sender UID {uid})")
    }

    /// What stands in front of a message of this size.
    fn begin(&mut self, size_octets: u64, out: &mut dyn Write) -> io::Result<()> {
        self.octets += size_octets;
        self.messages += 1;
        if self.messages > 1 {
            return writeln!(out);
        }
        writeln!(out, "-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------")
    }

    /// Prints the last line.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.messages {
            0 => writeln!(out, "Mail queue is empty"),
            messages => writeln!(
                out,
                "\n-- {} Kbytes in {messages} Request{}.",
                self.octets.div_ceil(KILOBYTE),
                if messages == 1 { "" } else { "s" }
            ),
        }
    }
}

/// The time as asctime(3) begins: `Wed Nov 25 14:03:40`, in UTC.
fn arrival(received: WallTime) -> String {
    // `Wed, 25 Nov 2026 14:03:40 +0000`
    let text = received.to_date_time();
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [weekday, day, month, _, time, ..] => format!("{weekday} {month} {day:>2} {time}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Recipient, Time};

    fn entry(reverse_path: &str, recipients: &[(&str, Phase, Option<&str>)]) -> Entry {
        let time = Time(WallTime::from_unix_millis(1_795_615_420_007));
        let recipient = |(mailbox, phase, reply): &(&str, Phase, Option<&str>)| Recipient {
            mailbox: mailbox.parse().unwrap(),
            destination: "relay".into(),
            phase: *phase,
            attempts: 1,
            due: time,
            destination_opens: None,
            last_reply: reply.map(str::to_owned),
        };
        Entry {
            id: "1KWX3N5V1R0".parse().unwrap(),
            received: time,
            size_octets: 2_000,
            reverse_path: reverse_path.into(),
            hold: None,
            recipients: recipients.iter().map(recipient).collect(),
        }
    }

    #[test]
    fn a_queue_looks_as_scripts_know_it() {
        let mut listing = Listing::default();
        let mut out = Vec::new();
        let refused = Some("connect: refused");
        let first = [
            ("a@example.net", Phase::Waiting, refused),
            ("b@example.net", Phase::Waiting, refused),
            ("c@example.net", Phase::Finished, None),
        ];
        listing.message(&entry("alice@example.org", &first), &mut out).unwrap();
        listing.message(&entry("", &[("d@example.net", Phase::Held, None)]), &mut out).unwrap();
        listing
            .message(&entry("x@example.org", &[("e@example.net", Phase::Finished, None)]), &mut out)
            .unwrap();
        let received = WallTime::from_unix_millis(1_795_615_420_007);
        let dropped = Dropped { name: "new.5da8768343d7305e".into(), size_octets: 96, received, uid: 33 };
        listing.dropped(&dropped, &mut out).unwrap();
        listing.finish(&mut out).unwrap();
        let expected = "\
-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------
1KWX3N5V1R0     2000 Wed Nov 25 14:03:40  alice@example.org
                                                          (connect: refused)
                                         a@example.net
                                         b@example.net

1KWX3N5V1R0!    2000 Wed Nov 25 14:03:40  MAILER-DAEMON
                                         d@example.net

new.5da8768343d7305e      96 Wed Nov 25 14:03:40  (maildrop queue, sender UID 33)

-- 4 Kbytes in 3 Requests.
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_empty_queue_is_said_to_be_so() {
        let mut out = Vec::new();
        Listing::default().finish(&mut out).unwrap();
        assert_eq!(out, b"Mail queue is empty\n");
    }
}
