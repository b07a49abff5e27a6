//! Messages that can be told apart and told intact: the number says all that stands in them.

use anyhow::{Context as _, Result, ensure};

use crate::random::Random;

/// The header field that carries a message's number; it is the first of the message as it was sent.
const FIELD: &str = "X-Torture: ";

/// Octets of an ordinary body, at most.
const BODY_OCTETS_MAX: u64 = 8 * 1_024;

/// Every so many messages one is large, so that the spool keeps it in a file of its own.
const LARGE_EVERY: u64 = 400;

/// Octets of a large body.
const LARGE_BODY_OCTETS: u64 = 1_200 * 1_024;

/// The message `number`, lines ended by CRLF, without the end of data and before any transparency.
pub(super) fn message(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let size_octets = if number % LARGE_EVERY == LARGE_EVERY - 1 {
        LARGE_BODY_OCTETS
    } else {
        random.between(0, BODY_OCTETS_MAX)
    };
    let mut octets = format!(
        "{FIELD}{number}\r\nFrom: <source@client.example>\r\nTo: <box@torture.example>\r\nSubject: {number}\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <{number}@client.example>\r\n\r\n"
    )
    .into_bytes();
    let whole = octets.len() as u64 + size_octets;
    while (octets.len() as u64) < whole {
        octets.extend(format!("{:016x}{:016x}\r\n", random.next(), random.next()).into_bytes());
    }
    octets
}

/// The number of a delivered file, once its octets are those of that message behind the trace fields.
///
/// # Errors
/// When the field is missing or an octet differs.
pub(super) fn read_delivered(file: &[u8]) -> Result<u64> {
    let start = file
        .windows(FIELD.len() + 1)
        .position(|window| window.strip_prefix(b"\n") == Some(FIELD.as_bytes()))
        .context("no number in its header")?
        + 1;
    let found = file.get(start..).unwrap_or_default();
    let digits = found.get(FIELD.len()..).unwrap_or_default();
    let digits: Vec<u8> = digits.iter().copied().take_while(u8::is_ascii_digit).collect();
    let number = String::from_utf8_lossy(&digits).parse::<u64>().context("its number isn't one")?;
    let sent = message(number);
    // A Maildir may hold lines ended by LF (the custom of its readers) or as they came.
    let intact = found == sent || found == without_cr(&sent);
    ensure!(intact, "message {number} isn't intact: {} octets sent, {} found", sent.len(), found.len());
    Ok(number)
}

fn without_cr(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|octet| *octet != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivered_message_is_known_again() {
        for number in [0, 1, LARGE_EVERY - 1, u64::from(u32::MAX)] {
            let sent = message(number);
            assert_eq!(sent, message(number));
            let trace = b"Return-Path: <source@client.example>\r\nReceived: from x\r\n\tby y; now\r\n";
            let delivered = [trace.as_slice(), &sent].concat();
            assert_eq!(read_delivered(&delivered).unwrap(), number);
            assert_eq!(read_delivered(&without_cr(&delivered)).unwrap(), number);
        }
        assert!(message(LARGE_EVERY - 1).len() as u64 >= LARGE_BODY_OCTETS);
    }

    #[test]
    fn damage_is_found() {
        let delivered = [b"Received: x\n".as_slice(), &message(5)].concat();
        for at in [12, 40, delivered.len() - 1] {
            let mut damaged = delivered.clone();
            damaged[at] ^= 1;
            assert!(read_delivered(&damaged).is_err(), "octet {at}");
        }
        assert!(read_delivered(&delivered[..delivered.len() - 1]).is_err());
        assert!(read_delivered(b"Received: x\n\nhello\n").is_err());
    }
}
