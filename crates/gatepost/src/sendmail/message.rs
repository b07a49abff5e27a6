//! A message as it is sent: who it goes to, and its mail data made whole (RFC 6409 §8).
//!
//! Lines end with CRLF however they came; Bcc fields go; From is added where it is missing, Date and Message-ID by the
//! server.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use smtp::address::{Mailbox, ReversePath};

use super::content::{Content, Reader};
use super::exit::{Exit, Stop};
use super::letter::Order;

/// Octets of a header section that is looked through (ours).
const HEADER_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// A message with its addresses, which may lack a domain.
#[derive(Debug)]
pub struct Message<'a> {
    order: &'a Order,
    content: &'a Content,
    recipients: Vec<String>,
    /// The fields that stay, each ended by CRLF.
    header: Vec<u8>,
    has_author: bool,
    /// Octets of the content in front of the body.
    body_starts: u64,
}

/// A message that is ready to go: every address has a domain.
#[derive(Debug)]
pub struct Ready<'a> {
    /// Who it is from.
    pub reverse_path: ReversePath,
    /// Who it goes to, each once: as it was written, and as it is sent.
    pub recipients: Vec<Mailbox>,
    /// The header section, with the empty line behind it.
    pub header: Vec<u8>,
    content: &'a Content,
    body_starts: u64,
}

impl<'a> Message<'a> {
    /// Reads the header section and finds the recipients.
    ///
    /// # Errors
    /// What can't be sent.
    pub fn new(order: &'a Order, content: &'a Content) -> Result<Self, Stop> {
        let parts = Parts::read(content.reader())?;
        let mut recipients: Vec<String> = Vec::new();
        for written in &order.recipients {
            if qualify(written, "localhost").is_some() {
                recipients.push(written.clone());
                continue;
            }
            add_all(&mut recipients, written.as_bytes())
                .ok_or_else(|| Stop::new(Exit::Data, format!("`{written}` is no address")))?;
        }
        if order.from_header {
            recipients.extend(parts.recipients()?);
        }
        if recipients.is_empty() {
            let why = if order.from_header {
                "no recipients: there is none in To, Cc or Bcc, and none was given"
            } else {
                "no recipients: name them behind the options, or let -t take them from the header section"
            };
            return Err(Stop::new(Exit::Usage, why));
        }
        let is_dropped =
            |field: &&Field| !matches!(field.name.as_str(), "bcc" | "resent-bcc" | "return-path");
        let header = parts.fields.iter().filter(is_dropped).flat_map(|field| field.octets.clone()).collect();
        let has_author = parts.fields.iter().any(|field| field.name == "from");
        let message = Self { order, content, recipients, header, has_author, body_starts: parts.body_starts };
        // What can't be sent under some domain can't be sent under any.
        message.ready("localhost")?;
        Ok(message)
    }

    /// The same with this domain behind every address that has none.
    ///
    /// # Errors
    /// The address that is none.
    pub fn ready(&self, domain: &str) -> Result<Ready<'a>, Stop> {
        let qualified = |text: &str| {
            qualify(text, domain).ok_or_else(|| Stop::new(Exit::Data, format!("`{text}` is no address")))
        };
        let mut known = HashSet::with_capacity(self.recipients.len());
        let mut recipients = Vec::with_capacity(self.recipients.len());
        for text in &self.recipients {
            let mailbox = qualified(text)?;
            if known.insert(mailbox.clone()) {
                recipients.push(mailbox);
            }
        }
        let own = || qualified(&self.order.user);
        let reverse_path = match self.order.reverse_path.as_deref().map(bare) {
            None => ReversePath::Mailbox(own()?),
            Some("") => ReversePath::Null,
            Some(text) => ReversePath::Mailbox(qualified(text)?),
        };
        let mut header = Vec::with_capacity(self.header.len() + 128);
        if !self.has_author {
            let author = match &reverse_path {
                ReversePath::Mailbox(mailbox) => mailbox.clone(),
                ReversePath::Null => own()?,
            };
            header.extend_from_slice(author_field(self.order.full_name.as_deref(), &author).as_bytes());
        }
        header.extend_from_slice(&self.header);
        header.extend_from_slice(b"\r\n");
        Ok(Ready { reverse_path, recipients, header, content: self.content, body_starts: self.body_starts })
    }
}

impl Ready<'_> {
    /// The mail data.
    pub fn mail_data(&self) -> impl Read + '_ {
        let mut body = self.content.reader();
        match &mut body {
            Reader::Memory(octets) => {
                let start = usize::try_from(self.body_starts).unwrap_or(usize::MAX);
                *octets = octets.get(start..).unwrap_or_default();
            }
            Reader::File { at, .. } => *at += self.body_starts,
        }
        self.header.as_slice().chain(Lines::new(body))
    }
}

/// A field of the header section.
#[derive(Debug)]
struct Field {
    /// In lower case.
    name: String,
    /// Ended by CRLF, as every line of it.
    octets: Vec<u8>,
}

impl Field {
    fn value(&self) -> &[u8] {
        let colon = memchr::memchr(b':', &self.octets);
        colon.and_then(|colon| self.octets.get(colon + 1..)).unwrap_or_default()
    }
}

/// A header section, and where what is behind it starts.
#[derive(Debug)]
struct Parts {
    fields: Vec<Field>,
    body_starts: u64,
}

impl Parts {
    fn read(reader: Reader<'_>) -> Result<Self, Stop> {
        let mut input = BufReader::new(reader);
        let mut parts = Self { fields: Vec::new(), body_starts: 0 };
        let mut octets = 0;
        let mut raw = Vec::new();
        loop {
            raw.clear();
            let room = (HEADER_OCTETS_MAX - octets + 1) as u64;
            let read = input.by_ref().take(room).read_until(b'\n', &mut raw).map_err(unreadable)?;
            octets += read;
            if octets > HEADER_OCTETS_MAX {
                let why = format!("the header section is longer than {HEADER_OCTETS_MAX} octets");
                return Err(Stop::new(Exit::Data, why));
            }
            let line = raw.strip_suffix(b"\n").unwrap_or(&raw).trim_suffix_of(b'\r');
            let is_first = parts.body_starts == 0;
            if read == 0 || !parts.take(line, is_first) {
                // The empty line is written anew; a line that can't be one of the header section is the body's.
                if line.is_empty() {
                    parts.body_starts += read as u64;
                }
                return Ok(parts);
            }
            parts.body_starts += read as u64;
        }
    }

    /// Takes a line of the header section; `false` when it is none.
    fn take(&mut self, line: &[u8], is_first: bool) -> bool {
        // The line in front of each message of an mbox file.
        if is_first && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
            return true;
        }
        let clean = line.iter().filter(|octet| **octet != 0).map(|octet| match octet {
            // It would end the line elsewhere, and begin a field that nobody wrote.
            b'\r' => b' ',
            octet => *octet,
        });
        match (line.first(), self.fields.last_mut()) {
            (Some(b' ' | b'\t'), Some(field)) => {
                field.octets.extend(clean);
                field.octets.extend_from_slice(b"\r\n");
                true
            }
            _ => {
                let Some(name) = field_name(line) else { return false };
                let mut octets: Vec<u8> = clean.collect();
                octets.extend_from_slice(b"\r\n");
                self.fields.push(Field { name, octets });
                true
            }
        }
    }

    /// The recipients that the fields name: those of Resent fields where there are any (RFC 5322 §3.6.6).
    fn recipients(&self) -> Result<Vec<String>, Stop> {
        let resent = ["resent-to", "resent-cc", "resent-bcc"];
        let is_resent = self.fields.iter().any(|field| resent.contains(&field.name.as_str()));
        let names = if is_resent { resent } else { ["to", "cc", "bcc"] };
        let mut recipients = Vec::new();
        for field in self.fields.iter().filter(|field| names.contains(&field.name.as_str())) {
            add_all(&mut recipients, field.value()).ok_or_else(|| {
                let value = String::from_utf8_lossy(field.value()).trim().to_owned();
                Stop::new(
                    Exit::Data,
                    format!("the field {} has something that is no address: {value}", field.name),
                )
            })?;
        }
        Ok(recipients)
    }
}

/// The octets without those at the end that are `octet`.
trait TrimSuffix {
    fn trim_suffix_of(&self, octet: u8) -> &Self;
}

impl TrimSuffix for [u8] {
    fn trim_suffix_of(&self, octet: u8) -> &Self {
        let end = self.iter().rposition(|other| *other != octet).map_or(0, |last| last + 1);
        self.get(..end).unwrap_or_default()
    }
}

fn unreadable(error: io::Error) -> Stop {
    Stop::new(Exit::Io, format!("the message can't be read: {error}"))
}

/// The name of the field that a line begins, in lower case (RFC 5322 §2.2, with the blanks of §4.5 in front of the colon).
fn field_name(line: &[u8]) -> Option<String> {
    let name = line.get(..memchr::memchr(b':', line)?)?.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Adds the addresses in `list`, groups, comments and names of persons understood; `None` when something is none.
fn add_all(recipients: &mut Vec<String>, list: &[u8]) -> Option<()> {
    let trimmed = list.trim_ascii();
    if trimmed.is_empty() {
        return Some(());
    }
    let mut closed = trimmed.to_vec();
    closed.push(b'\n');
    let HeaderValue::Address(parsed) = MessageStream::new(&closed).parse_address() else { return None };
    for address in parsed.iter() {
        let text = match (address.address(), address.name()) {
            (Some(text), _) => text,
            // A local part alone may be taken for a name.
            (None, Some(name)) => name,
            (None, None) => return None,
        };
        recipients.push(text.trim().to_owned());
    }
    Some(())
}

/// An address without the name and the angle brackets around it.
fn bare(text: &str) -> &str {
    let text = text.trim();
    match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(open), Some(inner)) => inner.get(open + 1..).unwrap_or_default(),
        _ => text,
    }
}

/// The address, with `domain` behind it if it has none.
fn qualify(text: &str, domain: &str) -> Option<Mailbox> {
    text.parse().or_else(|_| format!("{text}@{domain}").parse()).ok()
}

/// The From field for a message without one.
fn author_field(full_name: Option<&str>, author: &Mailbox) -> String {
    let name: String = full_name.unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(letter);
    match name.trim() {
        "" => format!("From: {author}\r\n"),
        name if name.chars().all(is_plain) => format!("From: {name} <{author}>\r\n"),
        name if name.is_ascii() => {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("From: \"{quoted}\" <{author}>\r\n")
        }
        name => format!("From: {} <{author}>\r\n", encoded_words(name)),
    }
}

/// The text as encoded words of at most 75 characters, each on a line of its own (RFC 2047 §2).
fn encoded_words(text: &str) -> String {
    // 45 octets become 60 characters.
    const OCTETS_MAX: usize = 45;
    let mut pieces: Vec<String> = vec![String::new()];
    for letter in text.chars() {
        if let Some(piece) = pieces.last_mut().filter(|piece| piece.len() + letter.len_utf8() <= OCTETS_MAX) {
            piece.push(letter);
        } else {
            pieces.push(letter.to_string());
        }
    }
    let words: Vec<String> =
        pieces.iter().map(|piece| format!("=?utf-8?B?{}?=", STANDARD.encode(piece))).collect();
    words.join("\r\n ")
}

/// Ends lines with CRLF, however they end in what it reads; NULs are dropped, as no mail data may have any
/// (RFC 5321 §4.5.2, RFC 5322 §4).
#[derive(Debug)]
struct Lines<R> {
    input: R,
    raw: Vec<u8>,
    clean: Vec<u8>,
    given: usize,
    after_cr: bool,
    in_line: bool,
    ended: bool,
}

/// Octets that are read at once (ours).
const CHUNK_OCTETS: usize = 64 * 1024;

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            raw: vec![0; CHUNK_OCTETS],
            clean: Vec::new(),
            given: 0,
            after_cr: false,
            in_line: false,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.clean.clear();
        self.given = 0;
        let read = self.input.read(&mut self.raw)?;
        for octet in self.raw.get(..read).unwrap_or_default() {
            match octet {
                b'\n' => {
                    self.clean.extend_from_slice(b"\r\n");
                    (self.after_cr, self.in_line) = (false, false);
                }
                b'\r' => self.after_cr = true,
                0 => {}
                octet => {
                    if std::mem::take(&mut self.after_cr) {
                        self.clean.extend_from_slice(b"\r\n");
                    }
                    self.clean.push(*octet);
                    self.in_line = true;
                }
            }
        }
        if read == 0 {
            self.ended = true;
            if self.in_line || self.after_cr {
                self.clean.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.clean.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let mut left = self.clean.get(self.given..).unwrap_or_default();
        let read = left.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
