//! What a filter answers: what it wants done with the stage, and at the end of a message what it changes.
//!
//! Invariant: whatever octets come, they are an answer or refused; no text holds NUL.

use std::fmt;

use super::frame::Frame;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Take the message, or the whole session before MAIL, and ask no more.
    Accept,
    /// Refuse for good.
    Reject,
    /// Refuse for now.
    Tempfail,
    /// Take the message and throw it away.
    Discard,
    /// Go on without the rest of the body.
    Skip,
    /// Refuse with this reply.
    Reply(OwnReply),
    /// Refuse with 421 and close.
    Shutdown,
    /// It is at work still.
    Progress,
    /// A change of the message.
    Change(Change),
}

/// A reply of the filter's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnReply {
    /// The code, 4yz or 5yz.
    pub code: u16,
    /// The enhanced code, as `5.7.1`.
    pub enhanced: Option<String>,
    /// The words, lines separated by LF.
    pub text: String,
}

/// A change of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add a header field behind the others.
    AddField {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Insert a header field; 0 is before all others.
    InsertField {
        /// Where.
        index: u32,
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Change the `index`th field of that name, from 1; an empty value removes it.
    ChangeField {
        /// Which one.
        index: u32,
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The next octets of another body.
    ReplaceBody(Vec<u8>),
    /// Add a recipient: its path, and parameters.
    AddRecipient(String, String),
    /// Remove a recipient.
    RemoveRecipient(String),
    /// Change the reverse-path.
    ChangeSender(String),
    /// Put it into the quarantine, for this reason.
    Quarantine(String),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerError(String);

impl fmt::Display for AnswerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Answer {
    /// The answer that the frame holds.
    ///
    /// # Errors
    /// It is none.
    pub fn of(frame: Frame) -> Result<Self, AnswerError> {
        let Frame { kind, content } = frame;
        let cut = || AnswerError(format!("its answer `{}` is cut off", char::from(kind).escape_default()));
        let change = match kind {
            b'c' => return Ok(Self::Continue),
            b'a' => return Ok(Self::Accept),
            b'r' => return Ok(Self::Reject),
            b't' => return Ok(Self::Tempfail),
            b'd' => return Ok(Self::Discard),
            b's' => return Ok(Self::Skip),
            b'p' => return Ok(Self::Progress),
            b'4' => return Ok(Self::Shutdown),
            // The filter could not be connected to: it says so itself when it stands for others.
            b'f' => return Ok(Self::Tempfail),
            b'y' => return OwnReply::parse(&content).map(Self::Reply),
            b'h' => {
                let [name, value] = strings(&content).ok_or_else(cut)?;
                Change::AddField { name: name.to_vec(), value: value.to_vec() }
            }
            b'i' | b'm' => {
                let (index, rest) = content.split_first_chunk::<4>().ok_or_else(cut)?;
                let index = u32::from_be_bytes(*index);
                let [name, value] = strings(rest).ok_or_else(cut)?;
                let (name, value) = (name.to_vec(), value.to_vec());
                if kind == b'i' {
                    Change::InsertField { index, name, value }
                } else {
                    Change::ChangeField { index, name, value }
                }
            }
            b'b' => Change::ReplaceBody(content),
            b'+' => Change::AddRecipient(text(strings::<1>(&content).ok_or_else(cut)?[0]), String::new()),
            b'2' => {
                let mut parts = content.split(|octet| *octet == 0);
                let path = parts.next().ok_or_else(cut)?;
                Change::AddRecipient(text(path), parts.next().map(text).unwrap_or_default())
            }
            b'-' => Change::RemoveRecipient(text(strings::<1>(&content).ok_or_else(cut)?[0])),
            b'e' => Change::ChangeSender(text(content.split(|octet| *octet == 0).next().ok_or_else(cut)?)),
            b'q' => Change::Quarantine(text(content.split(|octet| *octet == 0).next().ok_or_else(cut)?)),
            other => {
                let shown = char::from(other).escape_default();
                return Err(AnswerError(format!("it answers `{shown}`, which means nothing")));
            }
        };
        Ok(Self::Change(change))
    }
}

impl OwnReply {
    /// Reads `550 5.7.1 text`, of several lines where each has the code, as in a reply of SMTP.
    fn parse(content: &[u8]) -> Result<Self, AnswerError> {
        let content = content.strip_suffix(b"\0").unwrap_or(content);
        let whole = text(content);
        let mut own = Self { code: 0, enhanced: None, text: String::new() };
        for (number, line) in whole.split('\n').map(|line| line.trim_end_matches('\r')).enumerate() {
            let (code, rest) = line.split_at_checked(3).unwrap_or((line, ""));
            if number == 0 {
                own.code =
                    code.parse().ok().filter(|code| (400..=599).contains(code)).ok_or_else(|| {
                        AnswerError(format!("its reply has no code of 4yz or 5yz: {line:?}"))
                    })?;
            }
            let has_code =
                code.parse() == Ok(own.code) && matches!(rest.bytes().next(), None | Some(b' ' | b'-'));
            let rest = if has_code { rest.get(1..).unwrap_or_default() } else { line };
            let (enhanced, rest) = enhanced(rest);
            own.enhanced = own.enhanced.or(enhanced);
            if number > 0 {
                own.text.push('\n');
            }
            own.text.push_str(rest);
        }
        own.text.truncate(own.text.trim_end_matches('\n').len());
        Ok(own)
    }
}

/// An enhanced code at the beginning of a text, and what follows.
#[must_use]
pub fn enhanced(text: &str) -> (Option<String>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit());
    let parts: Vec<&str> = word.split('.').collect();
    match parts.as_slice() {
        [class @ ("2" | "4" | "5"), subject, detail] if is_number(subject) && is_number(detail) => {
            (Some(format!("{class}.{subject}.{detail}")), rest)
        }
        _ => (None, text),
    }
}

/// `N` texts that each end in NUL; more behind them doesn't count.
fn strings<const N: usize>(content: &[u8]) -> Option<[&[u8]; N]> {
    let mut found = [&[][..]; N];
    let mut rest = content;
    for place in &mut found {
        let end = memchr::memchr(0, rest)?;
        let (text, behind) = rest.split_at_checked(end)?;
        *place = text;
        rest = behind.get(1..)?;
    }
    Some(found)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(kind: u8, content: &[u8]) -> Result<Answer, AnswerError> {
        Answer::of(Frame { kind, content: content.to_vec() })
    }

    fn reply(content: &str) -> OwnReply {
        let Ok(Answer::Reply(reply)) = of(b'y', content.as_bytes()) else { panic!("{content}") };
        reply
    }

    #[test]
    fn answers_read() {
        assert_eq!(of(b'c', b""), Ok(Answer::Continue));
        assert_eq!(of(b's', b""), Ok(Answer::Skip));
        let added = Change::AddField { name: b"X-A".to_vec(), value: b"b".to_vec() };
        assert_eq!(of(b'h', b"X-A\0b\0"), Ok(Answer::Change(added)));
        let inserted = Change::InsertField { index: 1, name: b"X".to_vec(), value: Vec::new() };
        assert_eq!(of(b'i', b"\0\0\0\x01X\0\0"), Ok(Answer::Change(inserted)));
        assert_eq!(of(b'q', b"why\0"), Ok(Answer::Change(Change::Quarantine("why".into()))));
        assert_eq!(
            of(b'2', b"<a@b.example>\0NOTIFY=NEVER\0"),
            Ok(Answer::Change(Change::AddRecipient("<a@b.example>".into(), "NOTIFY=NEVER".into())))
        );
        for broken in [&b"X-A\0b"[..], b"X-A", b""] {
            assert!(of(b'h', broken).is_err(), "{broken:?}");
        }
        assert!(of(b'm', b"\0\0\x01").is_err());
        assert!(of(b'?', b"").is_err());
    }

    #[test]
    fn a_filters_own_reply_loses_its_codes_and_keeps_its_lines() {
        let one = reply("550 5.7.1 virus found\0");
        assert_eq!(
            (one.code, one.enhanced.as_deref(), one.text.as_str()),
            (550, Some("5.7.1"), "virus found")
        );
        let two = reply("451-4.7.1 one\r\n451 4.7.1 two\0");
        assert_eq!((two.code, two.text.as_str()), (451, "one\ntwo"));
        let plain = reply("554 5 items\0");
        assert_eq!((plain.enhanced, plain.text.as_str()), (None, "5 items"));
        assert_eq!(reply("421\0").text, "");
        for none in ["250 ok\0", "hello\0", "", "55"] {
            assert!(of(b'y', none.as_bytes()).is_err(), "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn any_frame_is_an_answer_or_refused(kind: u8, content in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(Answer::Reply(reply)) = of(kind, &content) {
                prop_assert!((400..=599).contains(&reply.code) && !reply.text.contains('\0'));
            }
        }

        #[test]
        fn any_reply_reads(text in "\\PC{0,60}") {
            let _ = of(b'y', text.as_bytes());
        }
    }
}
