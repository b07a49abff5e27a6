//! A message that is lent to filters and taken back: what they have changed becomes what is stored.
//!
//! Invariants: nothing is changed of what is refused; a change that can't be made is a fault, and the message is not taken.

use std::sync::Arc;

use queue::body::LargeBody;
use queue::message::QueuedRecipient;
use queue::spool::{LARGE_BODY_OCTETS, Spool, SpoolError};
use smtp::address::{ForwardPath, ReversePath};
use smtp::envelope::{Envelope, RcptParameters, Recipient};
use smtp::server::Session;

use super::incoming::{Incoming, add};
use crate::filters::draft::{Draft, DraftBody, EnvelopeChange};
use crate::filters::fields::{self, Fields};
use crate::mailboxes::Known;
use crate::site::Site;

/// What ends a header section.
const EMPTY_LINE: &[u8] = b"\r\n";

impl Incoming {
    /// The queue id.
    pub(super) const fn id(&self) -> queue::queue_id::QueueId {
        self.id
    }

    /// Keeps the header section in memory, as the rest goes into a file; one that is too long for that goes with it.
    pub(super) fn keep_section(&mut self) {
        let content = self.buffer.get(self.trace_octets..).unwrap_or_default();
        if let Some((_, body)) = fields::ends(content) {
            let rest = self.buffer.split_off(self.trace_octets + body);
            self.section = std::mem::replace(&mut self.buffer, rest);
        }
    }

    /// The message for filters; `None` when nobody reads it, or it can't be read. All of its data are there.
    pub(super) fn lend(&mut self) -> Option<Draft> {
        if !self.inspection.for_filters || self.fault.is_some() {
            return None;
        }
        if self.written_octets > 0 {
            return match tokio::task::block_in_place(|| self.lend_large()) {
                Ok(draft) => draft,
                Err(error) => {
                    self.fault = Some(error);
                    None
                }
            };
        }
        let content = self.buffer.get(self.trace_octets..).unwrap_or_default();
        let (end, body) = fields::ends(content).unwrap_or((content.len(), content.len()));
        let fields = Fields::read(content.get(..end).unwrap_or_default());
        let size_octets = content.len() as u64;
        let start = self.trace_octets + body;
        // Should a filter put another body in its place, nothing else has the trace field.
        self.section = self.buffer.get(..self.trace_octets).unwrap_or_default().to_vec();
        let octets = Arc::new(std::mem::take(&mut self.buffer));
        Some(draft(fields, DraftBody::Memory { octets, start }, size_octets))
    }

    fn lend_large(&mut self) -> Result<Option<Draft>, SpoolError> {
        if self.section.is_empty() {
            tracing::warn!(queue_id = %self.id, "no filter reads a message whose header section is that long");
            return Ok(None);
        }
        for part in &mut self.parts {
            if let Some(large) = &mut part.large {
                large.append(&self.buffer)?;
            }
        }
        self.written_octets += self.buffer.len() as u64;
        self.buffer.clear();
        let stored = self.parts.first_mut().and_then(|part| part.large.as_mut()).map(LargeBody::complete);
        let section = self.section.get(self.trace_octets..).unwrap_or_default();
        let fields = Fields::read(section.strip_suffix(EMPTY_LINE).unwrap_or(section));
        let size_octets = section.len() as u64 + self.written_octets;
        let body = match stored {
            Some(stored) => DraftBody::Stored(stored?),
            // Of what is thrown away for every recipient nothing was kept.
            None => DraftBody::Memory { octets: Arc::default(), start: 0 },
        };
        Ok(Some(draft(fields, body, size_octets)))
    }

    /// Takes the message back, with what filters have changed in it if it is `accepted`.
    pub(super) async fn take_back<S: Spool>(
        &mut self,
        draft: Draft,
        (site, spool): (&Site, &S),
        (session, accepted): (&Session, bool),
    ) {
        let Draft { fields, body, has_new_fields, front, envelope, .. } = draft;
        if !accepted {
            return;
        }
        self.head.splice(..0, front);
        self.change_envelope(site, session, envelope).await;
        if let DraftBody::Memory { octets, start } = body {
            // A copy is only made while a filter that was given up holds it still.
            let mut octets = Arc::unwrap_or_clone(octets);
            if has_new_fields {
                let content = octets.split_off(start);
                octets.truncate(self.trace_octets);
                octets.append(&mut fields.written());
                octets.extend_from_slice(EMPTY_LINE);
                octets.extend_from_slice(&content);
            }
            self.buffer = octets;
            self.section.clear();
            return;
        }
        if has_new_fields || matches!(body, DraftBody::Replaced(_)) {
            self.renew_section(&fields);
        }
        if let DraftBody::Replaced(octets) = body
            && let Err(error) = self.replace_body(Arc::unwrap_or_clone(octets), spool)
        {
            self.fault = Some(error);
        }
    }

    fn renew_section(&mut self, fields: &Fields) {
        let mut section = std::mem::take(&mut self.section);
        section.truncate(self.trace_octets);
        section.append(&mut fields.written());
        section.extend_from_slice(EMPTY_LINE);
        self.section = section;
    }

    /// Puts another body behind the header section.
    fn replace_body<S: Spool>(&mut self, body: Vec<u8>, spool: &S) -> Result<(), SpoolError> {
        for part in &mut self.parts {
            part.large = None;
        }
        self.written_octets = 0;
        self.buffer = body;
        let copies = self.parts.len().max(1) as u64;
        let octets = (self.section.len() + self.buffer.len()) as u64;
        if octets.saturating_mul(copies) > LARGE_BODY_OCTETS {
            tokio::task::block_in_place(|| self.flush_large(spool))?;
        }
        Ok(())
    }

    async fn change_envelope(&mut self, site: &Site, session: &Session, changes: Vec<EnvelopeChange>) {
        let Some(envelope) = session.envelope().filter(|_| !changes.is_empty()) else { return };
        let mut own = envelope.reverse_path.clone();
        for change in changes {
            match change {
                EnvelopeChange::Sender(path) => match path_of(&path).parse::<ReversePath>() {
                    Ok(path) => {
                        self.change_sender(&own, &path);
                        own = path;
                    }
                    Err(_) => tracing::warn!(queue_id = %self.id, path, "a filter's reverse-path is none"),
                },
                EnvelopeChange::Remove(path) => match path_of(&path).parse::<ForwardPath>() {
                    Ok(path) => self.remove_recipient(&path),
                    Err(_) => tracing::warn!(queue_id = %self.id, path, "a filter's forward-path is none"),
                },
                EnvelopeChange::Add(path) => match path_of(&path).parse::<ForwardPath>() {
                    Ok(path) => self.add_recipient(site, envelope, path).await,
                    Err(_) => tracing::warn!(queue_id = %self.id, path, "a filter's forward-path is none"),
                },
            }
        }
        // Only now: who is added in the place of the last one gets the body that is there.
        self.parts.retain(|part| !part.recipients.is_empty());
    }

    fn change_sender(&mut self, old: &ReversePath, new: &ReversePath) {
        for part in self.parts.iter_mut().filter(|part| part.reverse_path == *old) {
            part.reverse_path = new.clone();
        }
    }

    fn remove_recipient(&mut self, path: &ForwardPath) {
        for part in &mut self.parts {
            part.recipients.retain(|recipient| recipient.accepted_as != *path);
        }
    }

    /// One more recipient, of the first entry: its body is there already.
    async fn add_recipient(&mut self, site: &Site, envelope: &Envelope, path: ForwardPath) {
        let resolve = |known: Known<'_>| drop(site.resolve(known, &envelope.reverse_path, &path));
        let looked_up = site.look_up(resolve).await;
        let recipient = Recipient { forward_path: path.clone(), parameters: RcptParameters::default() };
        let known = site.directory.with(&looked_up);
        let mut parts = Vec::new();
        add(&mut parts, (site, known), (envelope, &recipient), &path, || self.id);
        let found: Vec<QueuedRecipient> = parts.into_iter().flat_map(|part| part.recipients).collect();
        if found.is_empty() {
            tracing::warn!(queue_id = %self.id, path = %path, "a filter's recipient leads nowhere");
        }
        let Some(first) = self.parts.first_mut() else { return };
        for recipient in found {
            if !first.recipients.iter().any(|known| known.mailbox == recipient.mailbox) {
                first.recipients.push(recipient);
            }
        }
    }
}

const fn draft(fields: Fields, body: DraftBody, size_octets: u64) -> Draft {
    Draft { fields, body, size_octets, has_new_fields: false, front: Vec::new(), envelope: Vec::new() }
}

/// A path in brackets, as filters may leave them out.
fn path_of(path: &str) -> String {
    let path = path.trim();
    if path.starts_with('<') { path.to_owned() } else { format!("<{path}>") }
}
