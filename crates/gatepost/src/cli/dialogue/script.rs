//! What the client says in a dialogue: what the options ask for, as a client would send it, or a file's lines.

use smtp::reply::Severity;

use crate::receive::rehearsal::Rehearsal;

/// What the client says.
#[derive(Debug)]
pub(super) enum Script {
    /// A session as a client would have it: it goes on as long as it is not refused.
    Session(Box<Session>),
    /// These lines, each without its end.
    Raw(Vec<Vec<u8>>),
}

/// A session as a client would have it.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) helo: String,
    pub(super) start_tls: bool,
    pub(super) auth: bool,
    /// VRFY and EXPN with what they ask for.
    pub(super) inquiries: Vec<String>,
    /// The reverse-path without its brackets.
    pub(super) reverse_path: Option<String>,
    pub(super) size_octets: Option<u64>,
    /// The forward-paths without their brackets.
    pub(super) recipients: Vec<String>,
    /// The mail data, as [`mail_data`] makes them.
    pub(super) message: Option<Vec<u8>>,
}

impl Script {
    /// Plays it; gives how many lines were left when the server closed.
    pub(super) async fn play(&self, rehearsal: &mut Rehearsal) -> usize {
        match self {
            Self::Session(session) => {
                session.play(rehearsal).await;
                if !rehearsal.is_closed() {
                    rehearsal.say(b"QUIT\r\n").await;
                }
                0
            }
            Self::Raw(lines) => {
                for (number, line) in lines.iter().enumerate() {
                    if rehearsal.is_closed() {
                        return lines.len() - number;
                    }
                    rehearsal.say(&[line, &b"\r\n"[..]].concat()).await;
                }
                0
            }
        }
    }
}

impl Session {
    /// Says everything up to QUIT, or to the refusal that ends it.
    async fn play(&self, rehearsal: &mut Rehearsal) {
        if is_refused(rehearsal) || !self.hello(rehearsal).await {
            return;
        }
        for inquiry in &self.inquiries {
            // What is not told stops nobody.
            said(rehearsal, inquiry).await;
        }
        let Some(reverse_path) = self.reverse_path.as_ref().filter(|_| !rehearsal.is_closed()) else {
            return;
        };
        let mut mail = format!("MAIL FROM:<{reverse_path}>");
        if let Some(size_octets) = self.size_octets {
            mail.push_str(&format!(" SIZE={size_octets}"));
        }
        if !self.recipients.iter().chain([reverse_path]).all(|path| path.is_ascii()) {
            mail.push_str(" SMTPUTF8");
        }
        if !said(rehearsal, &mail).await {
            return;
        }
        for recipient in &self.recipients {
            said(rehearsal, &format!("RCPT TO:<{recipient}>")).await;
            if rehearsal.is_closed() {
                return;
            }
        }
        let Some(message) = self.message.as_ref().filter(|_| rehearsal.recipients() > 0) else { return };
        if said(rehearsal, "DATA").await {
            rehearsal.say(message).await;
        }
    }

    /// Greets, encrypts and logs in; `false` when one of them is refused.
    async fn hello(&self, rehearsal: &mut Rehearsal) -> bool {
        let hello = format!("EHLO {}", self.helo);
        if !said(rehearsal, &hello).await {
            return false;
        }
        if self.start_tls && !(said(rehearsal, "STARTTLS").await && said(rehearsal, &hello).await) {
            return false;
        }
        // Which credentials does not matter; RFC 4954 §4 writes none as `=`.
        !self.auth || said(rehearsal, "AUTH PLAIN =").await
    }
}

/// Says a line; whether the answer lets a client go on.
async fn said(rehearsal: &mut Rehearsal, line: &str) -> bool {
    rehearsal.say(format!("{line}\r\n").as_bytes()).await;
    !is_refused(rehearsal)
}

fn is_refused(rehearsal: &Rehearsal) -> bool {
    let severity = rehearsal.last_reply().map(|reply| reply.code().severity());
    rehearsal.is_closed() || !matches!(severity, Some(Severity::Completed | Severity::Intermediate))
}

/// The lines of a text, each without its LF or CRLF.
pub(super) fn lines(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
}

/// A message as DATA sends it: lines ended by CRLF, dots doubled, the end of the data behind it (RFC 5321 §4.5.2).
pub(super) fn mail_data(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + message.len() / 32 + 5);
    for line in lines(message) {
        if line.first() == Some(&b'.') {
            data.push(b'.');
        }
        data.extend_from_slice(&line);
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_data_have_their_dots_and_ends() {
        assert_eq!(mail_data(b"a\n.b\r\n\nc"), b"a\r\n..b\r\n\r\nc\r\n.\r\n");
        assert_eq!(mail_data(b""), b".\r\n");
        assert_eq!(lines(b"a\r\n\nb\n"), [b"a".to_vec(), Vec::new(), b"b".to_vec()]);
    }
}
