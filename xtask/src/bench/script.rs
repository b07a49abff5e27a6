//! What a session of the load says, and which replies it waits for.

/// The recipient that every server under test accepts and discards.
pub(super) const SINK: &str = "sink@bench.example";

/// The recipient for whom mail is relayed.
const FAR: &str = "far@elsewhere.example";

/// Recipients that no server knows, in one transaction of the storm.
const UNKNOWN_RECIPIENTS: u64 = 10;

/// Octets sent at once, and the first digit of each reply that is waited for.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) send: Vec<u8>,
    pub(super) due: Vec<u8>,
}

/// A session's script: the opening once, the cycle over and over, the closing once.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) opening: Vec<Step>,
    pub(super) cycle: Vec<Step>,
    pub(super) closing: Vec<Step>,
    /// What one cycle counts.
    pub(super) units_in_cycle: u64,
    /// What the closing counts.
    pub(super) units_at_closing: u64,
    /// Whether each cycle has a connection of its own.
    pub(super) reconnects: bool,
}

fn step(send: impl Into<Vec<u8>>, due: &str) -> Step {
    Step { send: send.into(), due: due.as_bytes().to_vec() }
}

fn opening() -> Vec<Step> {
    vec![step("", "2"), step("EHLO client.bench.example\r\n", "2")]
}

const MAIL: &str = "MAIL FROM:<source@client.example>\r\n";

/// A message of `size_octets` in lines of 76 characters, with the end of data behind it.
fn message(size_octets: usize) -> Vec<u8> {
    let header = "From: <source@client.example>\r\nTo: <sink@bench.example>\r\nSubject: measured\r\n\
                  Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@client.example>\r\n\r\n";
    let mut octets = header.as_bytes().to_vec();
    let line = [b'x'; 76];
    while octets.len() + line.len() + 2 <= size_octets {
        octets.extend(line);
        octets.extend(b"\r\n");
    }
    octets.extend(b".\r\n");
    octets
}

/// As [`pipelined_messages`], for a recipient elsewhere.
pub(super) fn relayed_messages(size_octets: usize) -> Script {
    pipelined(size_octets, FAR)
}

/// Messages of `size_octets`, each group of commands in one write as RFC 2920 §3.1 allows: the end of one message and
/// the commands of the next travel together.
pub(super) fn pipelined_messages(size_octets: usize) -> Script {
    pipelined(size_octets, SINK)
}

fn pipelined(size_octets: usize, recipient: &str) -> Script {
    let open = format!("{MAIL}RCPT TO:<{recipient}>\r\nDATA\r\n");
    let message = message(size_octets);
    let mut opening = opening();
    opening.push(step(open.as_str(), "223"));
    Script {
        opening,
        cycle: vec![step([message.as_slice(), open.as_bytes()].concat(), "2223")],
        closing: vec![step([message.as_slice(), b"QUIT\r\n"].concat(), "22")],
        units_in_cycle: 1,
        units_at_closing: 1,
        reconnects: false,
    }
}

/// Messages of `size_octets`, every command waiting for the reply to the one before it.
pub(super) fn stepwise_messages(size_octets: usize) -> Script {
    let recipient = format!("RCPT TO:<{SINK}>\r\n");
    Script {
        opening: opening(),
        cycle: vec![
            step(MAIL, "2"),
            step(recipient, "2"),
            step("DATA\r\n", "3"),
            step(message(size_octets), "2"),
        ],
        closing: vec![step("QUIT\r\n", "2")],
        units_in_cycle: 1,
        units_at_closing: 0,
        reconnects: false,
    }
}

/// Connections that each ask for unknown recipients and leave, as a dictionary attack does.
pub(super) fn refused_recipients() -> Script {
    let mut group = MAIL.to_owned();
    let mut due = "2".to_owned();
    for number in 0..UNKNOWN_RECIPIENTS {
        group.push_str(&format!("RCPT TO:<nobody{number}@bench.example>\r\n"));
        due.push('5');
    }
    group.push_str("QUIT\r\n");
    due.push('2');
    Script {
        opening: opening(),
        cycle: vec![step(group, &due)],
        closing: Vec::new(),
        units_in_cycle: UNKNOWN_RECIPIENTS,
        units_at_closing: 0,
        reconnects: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_size_and_its_end() {
        for size_octets in [4_096, 102_400] {
            let octets = message(size_octets);
            assert!(octets.len() <= size_octets + 3 && octets.len() + 78 > size_octets, "{}", octets.len());
            assert!(
                octets.ends_with(b"\r\n.\r\n")
                    && octets.windows(5).filter(|w| w == b"\r\n.\r\n").count() == 1
            );
        }
    }

    #[test]
    fn a_reply_is_due_for_each_command() {
        for script in [pipelined_messages(4_096), stepwise_messages(4_096), refused_recipients()] {
            for step in script.opening.iter().skip(1).chain(&script.cycle).chain(&script.closing) {
                let commands = ["EHLO", "MAIL", "RCPT", "DATA\r", "QUIT", "\r\n.\r"];
                let text = String::from_utf8(step.send.clone()).unwrap();
                let sent: usize = commands.iter().map(|command| text.matches(command).count()).sum();
                assert_eq!(sent, step.due.len(), "{text}");
            }
        }
    }
}
