//! The mail that brings a report: two parts, a text for people and the report itself.
//!
//! Invariants: every line has at most 998 octets, most of them 76; the boundary occurs in no part; nothing but ASCII stands
//! in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smtp::address::Mailbox;
use smtp::time::WallTime;

/// Octets of a line of base64 (RFC 2045 §6.8).
const BASE64_LINE: usize = 76;

/// Octets of a text that one encoded word holds: 75 in base64 with what stands around it (RFC 2047 §2), and whole characters.
const WORD_OCTETS: usize = 42;

/// What the mail is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mail<'m> {
    /// Who reports, for people.
    pub(super) organisation: &'m str,
    /// Where it comes from.
    pub(super) address: &'m Mailbox,
    /// Where it goes.
    pub(super) recipients: &'m [Mailbox],
    /// Whose report it is.
    pub(super) domain: &'m str,
    /// This server's name.
    pub(super) submitter: &'m str,
    /// The report's name.
    pub(super) report_id: &'m str,
    /// The value of Content-Type up to its boundary.
    pub(super) content_type: &'m str,
    /// More header fields, each ended by CRLF.
    pub(super) fields: &'m str,
    /// What the report is, in a sentence for people.
    pub(super) sentence: &'m str,
    /// The media type of the report.
    pub(super) media_type: &'m str,
    /// Its file's name.
    pub(super) file_name: &'m str,
    /// The report.
    pub(super) report: &'m [u8],
    /// When it is sent.
    pub(super) now: WallTime,
}

impl Mail<'_> {
    /// The mail data.
    pub(super) fn compose(&self) -> Vec<u8> {
        let Self { domain, submitter, report_id, .. } = self;
        let to: Vec<String> = self.recipients.iter().map(ToString::to_string).collect();
        // Neither base64 nor a report's name has such a start.
        let boundary = format!("=_{}", report_id.replace('@', "="));
        let mail = format!(
            "From: {} <{}>\r\n\
             To: {}\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{report_id}>\r\n\
             Date: {}\r\n\
             Message-ID: <{report_id}>\r\n\
             Auto-Submitted: auto-generated\r\n\
             {}\
             MIME-Version: 1.0\r\n\
             Content-Type: {};\r\n boundary=\"{boundary}\"\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n\
             {}\r\n\
             \r\n\
             Report Domain: {domain}\r\n\
             Submitter: {submitter}\r\n\
             Report-ID: {report_id}\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: {}\r\n\
             Content-Disposition: attachment;\r\n filename=\"{}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\
             \r\n\
             {}\
             --{boundary}--\r\n",
            display_name(self.organisation),
            self.address,
            to.join(",\r\n "),
            self.now.to_date_time(),
            self.fields,
            self.content_type,
            self.sentence,
            self.media_type,
            self.file_name,
            base64_lines(self.report),
        );
        mail.into_bytes()
    }
}

/// Octets of a report in the mail.
pub(super) fn encoded_octets(report_octets: usize) -> usize {
    let characters = report_octets.div_ceil(3) * 4;
    characters + characters.div_ceil(BASE64_LINE) * 2
}

fn base64_lines(octets: &[u8]) -> String {
    let whole = STANDARD.encode(octets);
    let mut lines = String::with_capacity(encoded_octets(octets.len()));
    let mut rest = whole.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(BASE64_LINE).unwrap_or((rest, ""));
        lines.push_str(line);
        lines.push_str("\r\n");
        rest = behind;
    }
    lines
}

/// The text as it may stand before an address: quoted, or in encoded words (RFC 5322 §3.4, RFC 2047 §5).
fn display_name(text: &str) -> String {
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(WORD_OCTETS));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = behind;
    }
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;

    #[test]
    fn a_mail_reads_back_as_what_went_in() {
        let report: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let recipients = ["a@example.org".parse().unwrap(), "b@example.net".parse().unwrap()];
        let address = "reports@here.example".parse().unwrap();
        let organisation = "Über \"uns\" & die anderen, eine Gesellschaft mit beschränkter Haftung";
        let mail = Mail {
            organisation,
            address: &address,
            recipients: &recipients,
            domain: "example.org",
            submitter: "mx.here.example",
            report_id: "2026-11-24.1@mx.here.example",
            content_type: "multipart/mixed",
            fields: "X-More: yes\r\n",
            sentence: "This is a report.",
            media_type: "application/gzip",
            file_name: "mx.here.example!example.org!1!2!3.xml.gz",
            report: &report,
            now: WallTime::from_unix_millis(1_795_600_000_000),
        };
        let octets = mail.compose();
        assert!(octets.split(|octet| *octet == b'\n').all(|line| line.len() <= 80 && line.is_ascii()));
        let message = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(
            message.subject(),
            Some(
                "Report Domain: example.org Submitter: mx.here.example Report-ID: <2026-11-24.1@mx.here.example>"
            )
        );
        let from = message.from().unwrap().first().unwrap();
        assert_eq!((from.name(), from.address()), (Some(organisation), Some("reports@here.example")));
        assert_eq!(message.to().unwrap().as_list().unwrap().len(), 2);
        assert_eq!(message.message_id(), Some("2026-11-24.1@mx.here.example"));
        let attachment = message.attachment(0).unwrap();
        assert_eq!(attachment.attachment_name(), Some(mail.file_name));
        assert_eq!(attachment.contents(), report);
        assert_eq!(base64_lines(&report).len(), encoded_octets(report.len()));
    }

    #[test]
    fn a_name_is_quoted_or_encoded() {
        assert_eq!(display_name("Example \"Ltd\""), "\"Example \\\"Ltd\\\"\"");
        assert_eq!(display_name("Ü"), "=?utf-8?B?w5w=?=");
    }
}
