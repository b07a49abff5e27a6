//! A message while it arrives: its trace field, its body in memory or on disk, and the queue entries it becomes.
//!
//! Invariants: no more than [`LARGE_BODY_OCTETS`] of a body, the copies for several entries counted, are in memory; what
//! is dropped uncommitted leaves nothing behind; the entries become durable together.

use std::sync::Arc;

use queue::body::{Body, LargeBody};
use queue::dsn;
use queue::message::{Origin, QueuedMessage, QueuedRecipient};
use queue::queue_id::QueueId;
use queue::spool::{Arrival, LARGE_BODY_OCTETS, Spool, SpoolError};
use smtp::address::{ForwardPath, Mailbox, ReversePath};
use smtp::envelope::{Envelope, RcptParameters, Recipient};
use smtp::server::Session;
use smtp::time::WallTime;

use super::decide::Client;
use super::effects::{Effects, Fate};
use super::inspection::{Inspected, Inspection};
use super::submitted::Submitted;
use crate::deliver;
use crate::mailboxes::{Known, LookedUp};
use crate::sign::is_forwarded;
use crate::site::Site;

/// Octets gathered before they are written into a large body (ours: few system calls, little memory).
const LARGE_WRITE_OCTETS: usize = 256 * 1024;

/// A message that is arriving.
///
/// What filters may change is kept apart once the rest goes into a file: `section` holds the header section then.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The id that the reply and the Received field name: the first part's.
    pub(super) id: QueueId,
    received: WallTime,
    /// One for each reverse-path: mail for a list carries its owner's (RFC 5321 §3.9.2). Empty when the policy throws the
    /// message away for every recipient.
    pub(super) parts: Vec<Part>,
    pub(super) buffer: Vec<u8>,
    /// Octets of the trace field that was written here.
    pub(super) trace_octets: usize,
    /// The header section of a large message that filters read, with the trace field and the empty line.
    pub(super) section: Vec<u8>,
    pub(super) written_octets: u64,
    /// Header fields that go in front of all others, found out when the rest was written.
    pub(super) head: Vec<u8>,
    fields: FieldCounter,
    pub(super) inspection: Inspection,
    /// What is done with the header section of what a user submits.
    header: Option<Box<Submitted>>,
    /// Whether it is the site's own mail: the client may relay, or has authenticated.
    submitted: bool,
    /// The first fault; what comes behind it is thrown away, and the commit is refused.
    pub(super) fault: Option<SpoolError>,
}

/// What becomes one entry of the queue.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: QueueId,
    pub(super) reverse_path: ReversePath,
    pub(super) recipients: Vec<QueuedRecipient>,
    pub(super) large: Option<LargeBody>,
}

impl Incoming {
    /// Begins the message of `envelope`: resolves its recipients and writes the trace field (RFC 5321 §4.4).
    pub(super) fn begin<S: Spool>(
        spool: &S,
        (site, looked_up): (&Arc<Site>, &LookedUp),
        client: &Client,
        session: &Session,
        (envelope, effects): (&Envelope, &Effects),
        (inspection, received): (Inspection, WallTime),
    ) -> Self {
        let known = site.directory.with(looked_up);
        let mut parts: Vec<Part> = Vec::with_capacity(1);
        for (place, recipient) in envelope.recipients.iter().enumerate() {
            match effects.fate(place) {
                Some(Fate::Discarded) => {}
                Some(Fate::Redirected(address)) => {
                    let path = redirected(address, &recipient.forward_path);
                    add(&mut parts, (site, known), (envelope, recipient), &path, || spool.allot(received));
                }
                None => {
                    add(&mut parts, (site, known), (envelope, recipient), &recipient.forward_path, || {
                        spool.allot(received)
                    })
                }
            }
        }
        let is_discarded = parts.is_empty() && envelope.recipients.len() == effects.discarded();
        let fault = (parts.is_empty() && !is_discarded)
            .then(|| SpoolError::Unavailable(String::from("no recipient resolves")));
        let id = parts.first().map_or_else(|| spool.allot(received), |part| part.id);
        let mut incoming = Self {
            id,
            received,
            parts,
            buffer: Vec::with_capacity(8 * 1024),
            trace_octets: 0,
            section: Vec::new(),
            written_octets: 0,
            head: Vec::new(),
            fields: FieldCounter::default(),
            inspection,
            header: (session.user().is_some() || client.local_uid.is_some()).then(|| {
                let date = received.to_date_time();
                let unique = format!("{id}.{}", received.as_unix_millis());
                Box::new(Submitted::new(&date, &unique, &site.settings.hostname))
            }),
            submitted: session.user().is_some()
                || client.local_uid.is_some()
                || client.may_relay(&site.config),
            fault,
        };
        incoming.write_received(site, client, session, envelope);
        incoming.trace_octets = incoming.buffer.len();
        incoming
    }

    /// Received fields in the header section so far, ours not counted.
    pub(super) fn received_fields(&self) -> u32 {
        self.fields.count
    }

    /// The data are all there: what was found in them.
    pub(super) fn inspected(&mut self) -> Inspected {
        let mut passed = Vec::new();
        if let Some(header) = &mut self.header {
            header.finish(&mut passed);
        }
        self.take(&passed);
        self.inspection.finish(&mut self.buffer)
    }

    /// The addresses of the From fields of what a user submits; `None` when they can't be told.
    pub(super) fn authors(&self) -> Option<Vec<Mailbox>> {
        self.header.as_ref()?.authors()
    }

    /// Whether it is the site's own mail.
    pub(super) const fn is_submitted(&self) -> bool {
        self.submitted
    }

    /// Whether it is sealed when it leaves: it came from outside and goes on to another address elsewhere.
    pub(super) fn is_sealed(&self, site: &Site) -> bool {
        let goes_on = |recipient: &QueuedRecipient| {
            is_forwarded(recipient) && !site.directory.is_local(&recipient.mailbox.domain)
        };
        site.leaving.signing.seals()
            && !self.submitted
            && self.parts.iter().flat_map(|part| &part.recipients).any(goes_on)
    }

    /// How many fields were taken out that others forged in this server's name.
    pub(super) const fn forged(&self) -> usize {
        self.inspection.forged()
    }

    /// Puts header fields, each ended by CRLF, in front of all others.
    pub(super) fn prepend(&mut self, fields: &str) {
        self.head.extend_from_slice(fields.as_bytes());
    }

    /// Adds mail data. May block on the disk for a large body.
    pub(super) fn write<S: Spool>(&mut self, spool: &S, content: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        match &mut self.header {
            None => self.take(content),
            Some(header) => {
                let mut passed = Vec::with_capacity(content.len());
                header.pass(content, &mut passed);
                self.take(&passed);
            }
        }
        let is_large = self.parts.first().is_some_and(|part| part.large.is_some());
        let copies = self.parts.len().max(1) as u64;
        let threshold = if is_large { LARGE_WRITE_OCTETS as u64 } else { LARGE_BODY_OCTETS / copies };
        if self.buffer.len() as u64 > threshold
            && let Err(error) = tokio::task::block_in_place(|| self.flush_large(spool))
        {
            self.fault = Some(error);
            self.buffer = Vec::new();
        }
    }

    /// Takes what stays of the mail data.
    fn take(&mut self, content: &[u8]) {
        self.fields.read(content);
        self.inspection.pass(content, &mut self.buffer);
    }

    pub(super) fn flush_large<S: Spool>(&mut self, spool: &S) -> Result<(), SpoolError> {
        if self.inspection.for_filters && self.written_octets == 0 && self.section.is_empty() {
            self.keep_section();
        }
        for part in &mut self.parts {
            let large = match &mut part.large {
                Some(large) => large,
                None => part.large.insert(spool.large_body(part.id)?),
            };
            large.append(&self.buffer)?;
        }
        self.written_octets += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the message durable. `Ok`: the queue id, and how many octets were stored.
    ///
    /// # Errors
    /// What failed; nothing was taken.
    pub(super) async fn commit<S: Spool>(
        mut self,
        spool: &S,
        (client, helo): (&Client, &str),
        site: &Site,
        (envelope, effects): (&Envelope, &Effects),
    ) -> Result<(QueueId, u64), SpoolError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match effects.of_message() {
            Some(Fate::Redirected(address)) => self.redirect(site, envelope, &address).await,
            Some(Fate::Discarded) => self.parts.clear(),
            None => {}
        }
        if self.parts.is_empty() {
            tracing::warn!(queue_id = %self.id, client = client.name, "thrown away, as the policy wants");
        } else if self.written_octets > 0 {
            tokio::task::block_in_place(|| self.flush_large(spool))?;
        }
        self.head.append(&mut self.section);
        let size_octets = self.written_octets + (self.head.len() + self.buffer.len()) as u64;
        if self.written_octets == 0 && !self.head.is_empty() {
            self.head.append(&mut self.buffer);
            std::mem::swap(&mut self.head, &mut self.buffer);
        }
        let last = self.parts.len().saturating_sub(1);
        let mut arrivals = Vec::with_capacity(self.parts.len());
        for (index, part) in self.parts.into_iter().enumerate() {
            let body = match part.large {
                Some(large) => {
                    Body::Large(tokio::task::block_in_place(|| large.seal())?.with_head(self.head.clone()))
                }
                None if index == last => Body::Memory(std::mem::take(&mut self.buffer)),
                None => Body::Memory(self.buffer.clone()),
            };
            let is_own = part.reverse_path == envelope.reverse_path;
            let message = QueuedMessage {
                reverse_path: part.reverse_path,
                parameters: if is_own {
                    envelope.parameters.clone()
                } else {
                    dsn::of_list(&envelope.parameters)
                },
                received: self.received,
                hold: effects.hold(),
                origin: Origin {
                    client: client.name.clone(),
                    helo: helo.to_owned(),
                    submitted: self.submitted,
                },
                recipients: part.recipients,
            };
            arrivals.push(Arrival { id: part.id, message, body });
        }
        spool.enqueue_all(arrivals).await?;
        Ok((self.id, size_octets))
    }

    /// Sends all of the message to `address` instead. One entry remains, with what was written for it.
    async fn redirect(&mut self, site: &Site, envelope: &Envelope, address: &str) {
        let Some(recipient) = envelope.recipients.first() else { return };
        let path = redirected(address, &recipient.forward_path);
        let looked_up = site.look_up(|known| drop(site.resolve(known, &envelope.reverse_path, &path))).await;
        let mut parts = Vec::new();
        add(&mut parts, (site, site.directory.with(&looked_up)), (envelope, recipient), &path, || self.id);
        self.parts.truncate(1);
        let redirected: Vec<QueuedRecipient> = parts.into_iter().flat_map(|part| part.recipients).collect();
        if let Some(part) = self.parts.first_mut() {
            part.recipients = redirected;
            part.reverse_path = envelope.reverse_path.clone();
        }
    }

    /// The Received field (RFC 5321 §4.4): who came, by which name, to whom, how, as what, when.
    fn write_received(&mut self, site: &Site, client: &Client, session: &Session, envelope: &Envelope) {
        let literal = if client.address.is_ipv6() { "IPv6:" } else { "" };
        let id = self.id.to_string();
        // Only a single recipient is named, so that no blind copy is disclosed.
        let only = match envelope.recipients.as_slice() {
            [recipient] => format!("\r\n\tfor {}", recipient.forward_path),
            _ => String::new(),
        };
        // RFC 8314 §4.3 has a clause for the cipher suite, and none for the version.
        let (version, cipher) = match &client.tls {
            Some(secured) => (format!(" ({})", secured.version), format!("\r\n\ttls {}", secured.cipher)),
            None => (String::new(), String::new()),
        };
        let received_from = match client.local_uid {
            None => format!(
                "from {} ([{literal}{}])\r\n\tby {} (Gatepost) with {}{version}",
                session.hello_name().unwrap_or("unknown"),
                client.name,
                site.settings.hostname,
                session.protocol(),
            ),
            Some(uid) => format!("by {} (Gatepost, from userid {uid})\r\n\t", site.settings.hostname),
        };
        for piece in [
            "Received: ",
            &received_from,
            if client.local_uid.is_some() { "id " } else { " id " },
            &id,
            &only,
            &cipher,
            ";\r\n\t",
            &self.received.to_date_time(),
            "\r\n",
        ] {
            self.buffer.extend_from_slice(piece.as_bytes());
        }
    }
}

/// What tables say of the addresses that the message of `envelope` goes to.
pub(super) async fn look_up(site: &Site, (envelope, effects): (&Envelope, &Effects)) -> LookedUp {
    let resolve = |known: Known<'_>| {
        for (place, recipient) in envelope.recipients.iter().enumerate() {
            let path = &recipient.forward_path;
            match effects.fate(place) {
                Some(Fate::Discarded) => {}
                Some(Fate::Redirected(address)) => {
                    drop(site.resolve(known, &envelope.reverse_path, &redirected(address, path)))
                }
                None => drop(site.resolve(known, &envelope.reverse_path, path)),
            }
        }
    };
    site.look_up(resolve).await
}

/// The path of a redirection; the checker has seen that it is an address.
fn redirected(address: &str, otherwise: &ForwardPath) -> ForwardPath {
    address.parse().map_or_else(|_| otherwise.clone(), ForwardPath::Mailbox)
}

/// Adds to `parts` where the mail for `path` goes, each mailbox once; `allot` gives the id of a new part.
pub(super) fn add(
    parts: &mut Vec<Part>,
    (site, known): (&Site, Known<'_>),
    (envelope, recipient): (&Envelope, &Recipient),
    path: &ForwardPath,
    allot: impl Fn() -> QueueId,
) {
    for resolved in site.resolve(known, &envelope.reverse_path, path) {
        let reverse_path = resolved.reverse_path(&envelope.reverse_path);
        // The owner of a list is told of failures, whatever the sender wants to hear.
        let is_own = reverse_path == envelope.reverse_path;
        let parameters = if is_own { recipient.parameters.clone() } else { RcptParameters::default() };
        let queued = QueuedRecipient {
            destination: deliver::destination(&site.config, &resolved, &parameters),
            mailbox: resolved.mailbox,
            accepted_as: recipient.forward_path.clone(),
            parameters,
        };
        match parts.iter_mut().find(|part| part.reverse_path == reverse_path) {
            Some(part) if part.recipients.iter().any(|known| known.mailbox == queued.mailbox) => {}
            Some(part) => part.recipients.push(queued),
            None => parts.push(Part { id: allot(), reverse_path, recipients: vec![queued], large: None }),
        }
    }
}

/// Counts the Received fields of the header section while it passes.
#[derive(Debug, Default)]
struct FieldCounter {
    count: u32,
    /// The start of the line that is being read, at most as long as the name.
    line: [u8; 9],
    length: usize,
    /// Set once the empty line behind the header section has passed.
    done: bool,
}

impl FieldCounter {
    const NAME: &'static [u8; 9] = b"received:";

    fn read(&mut self, mut content: &[u8]) {
        while !self.done && !content.is_empty() {
            let end = memchr::memchr(b'\n', content);
            let (line, rest) = content.split_at(end.map_or(content.len(), |end| end + 1));
            for (slot, octet) in self.line.iter_mut().skip(self.length).zip(line) {
                *slot = octet.to_ascii_lowercase();
            }
            self.length = (self.length + line.len()).min(self.line.len());
            if end.is_some() {
                if &self.line == Self::NAME {
                    self.count += 1;
                }
                self.done = self.line.starts_with(b"\r\n") && self.length == 2;
                self.line = [0; 9];
                self.length = 0;
            }
            content = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_fields_are_counted_in_the_header_section_at_any_cut() {
        let message = b"Received: a\r\nreceived:b\r\n folded\r\nX-Received: no\r\nRECEIVED: c\r\nRe\r\n\r\nReceived: body\r\n";
        for cut in [1, 2, 3, 5, 7, 1000] {
            let mut counter = FieldCounter::default();
            message.chunks(cut).for_each(|chunk| counter.read(chunk));
            assert_eq!(counter.count, 3, "cut every {cut} octets");
        }
    }
}
