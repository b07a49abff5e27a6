//! Listings: which messages match, page by page, and what is in them.

use queue::body::StoredMessage;
use queue::delivery::RecipientState;
use queue::postmaster::Entry as SpoolEntry;
use queue::queue_id::QueueId;
use queue::spool::{LARGE_BODY_OCTETS, Spool, SpoolError};
use queue::wait::block_on;

use super::answer::{Answer, Done, Entry, OCTETS_MAX, Progress};
use super::envelope::Message;
use super::form::Time;
use super::request::{Filter, Selection};
use super::service::{Asker, Service, Stop};
use super::{Failure, Phase};
use crate::clock;
use crate::deliver::header_section;

/// Messages that are read before their answers go out (ours: bounds memory, and how long a gone asker is served).
pub(super) const PAGE: usize = 250;

/// The messages that match, page by page.
#[derive(Debug)]
pub(super) struct Pages<'a, S> {
    spool: &'a S,
    selection: &'a Selection,
    after: Option<QueueId>,
    /// What has this id or a later one came after the request.
    end: QueueId,
}

impl<'a, S: Spool> Pages<'a, S> {
    /// The messages that are there now. What is queued meanwhile, a DSN on one of them say, is not meant.
    pub(super) fn new(spool: &'a S, selection: &'a Selection) -> Self {
        Self { spool, selection, after: None, end: spool.allot(clock::wall()) }
    }

    /// The next messages, each with the recipients that match and whether others of it match only in part; `None`
    /// behind the last page.
    pub(super) fn next(&mut self) -> Result<Option<Vec<(SpoolEntry, bool)>>, SpoolError> {
        let mut page = block_on(self.spool.list(&self.selection.query, self.after, PAGE))?;
        page.retain(|entry| entry.id < self.end);
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id);
        let narrowed = page.into_iter().map(|mut entry| {
            let in_part = self.selection.narrow(&mut entry);
            (entry, in_part)
        });
        Ok(Some(narrowed.filter(|(entry, _)| !entry.recipients.is_empty()).collect()))
    }
}

/// Counts a message that matches.
pub(super) fn count(done: &mut Done, entry: &SpoolEntry) {
    done.messages += 1;
    done.recipients += entry.recipients.len() as u64;
    let active = |(_, state): &&(_, RecipientState)| Phase::from(state.phase) == Phase::Active;
    done.active += entry.recipients.iter().filter(active).count() as u64;
}

impl<S: Spool> Service<S> {
    pub(super) fn list(
        &self,
        filter: &Filter,
        text: Option<&str>,
        limit: Option<u64>,
        asker: &mut dyn Asker,
    ) -> Result<Done, Stop> {
        let selection = filter.selection().map_err(Failure::usage)?;
        let text = text.map(str::to_lowercase);
        let mut done = Done::default();
        let mut pages = Pages::new(&*self.spool, &selection);
        if limit == Some(0) {
            return Ok(done);
        }
        while let Some(page) = pages.next()? {
            let before = done.messages;
            for (entry, _) in page {
                if text.as_ref().is_some_and(|text| !self.holds(&entry, text)) {
                    continue;
                }
                count(&mut done, &entry);
                asker.tell(Answer::Entry(Entry::of(entry, |state| self.opens(state))))?;
                if Some(done.messages) == limit {
                    return Ok(done);
                }
            }
            if done.messages == before {
                // Whoever has gone is noticed where nothing matches, too.
                asker.tell(Answer::Progress(Progress { done: done.messages, total: 0 }))?;
            }
        }
        Ok(done)
    }

    /// When the destination of a recipient that waits is tried again, where that is later than the recipient's own time.
    fn opens(&self, state: &RecipientState) -> Option<Time> {
        if state.phase != queue::delivery::Phase::Waiting {
            return None;
        }
        let opens = self.spool.window(&state.destination).opens;
        (opens > state.due && opens > clock::wall()).then_some(Time(opens))
    }

    /// Whether the message has `text`, which is in lower case, in its envelope, its last replies or its header section.
    fn holds(&self, entry: &SpoolEntry, text: &str) -> bool {
        let has = |candidate: &str| candidate.to_lowercase().contains(text);
        let recipient = |(mailbox, state): &(smtp::address::Mailbox, RecipientState)| {
            has(&mailbox.to_string())
                || has(state.destination.as_str())
                || state.last_reply.as_deref().is_some_and(has)
        };
        if has(&entry.id.to_string())
            || has(&entry.reverse_path.to_string())
            || entry.recipients.iter().any(recipient)
        {
            return true;
        }
        let Ok(stored) = block_on(self.spool.open(entry.id)) else { return false };
        let message = &stored.message;
        has(&message.origin.client)
            || has(&message.origin.helo)
            || message.parameters.envid.as_deref().is_some_and(has)
            || message.recipients.iter().any(|recipient| has(&recipient.accepted_as.to_string()))
            || has(&String::from_utf8_lossy(&header_section(&stored)))
    }

    pub(super) fn show(&self, id: QueueId, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let stored = block_on(self.spool.open(id))?;
        let mut message = Message::of(&stored);
        for (recipient, state) in message.recipients.iter_mut().zip(&stored.recipients) {
            recipient.destination_opens = self.opens(state);
        }
        asker.tell(Answer::Message(Box::new(message)))?;
        Ok(Done { messages: 1, recipients: stored.recipients.len() as u64, ..Done::default() })
    }

    pub(super) fn cat(&self, id: QueueId, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let stored = block_on(self.spool.open(id))?;
        tell_body(&stored, asker)?;
        Ok(Done { messages: 1, recipients: stored.recipients.len() as u64, ..Done::default() })
    }

    pub(super) fn export(&self, filter: &Filter, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let selection = filter.selection().map_err(Failure::usage)?;
        let mut done = Done::default();
        let total = self.spool.messages();
        let mut pages = Pages::new(&*self.spool, &selection);
        while let Some(page) = pages.next()? {
            for (entry, _) in page {
                match block_on(self.spool.open(entry.id)).and_then(whole) {
                    Ok(stored) => {
                        asker.tell(Answer::Message(Box::new(Message::of(&stored))))?;
                        tell_body(&stored, asker)?;
                        count(&mut done, &entry);
                    }
                    // It was delivered meanwhile.
                    Err(SpoolError::Gone(_)) => done.missed += 1,
                    Err(SpoolError::Damaged(id)) => {
                        done.missed += 1;
                        done.problem(SpoolError::Damaged(id).to_string());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            asker.tell(Answer::Progress(Progress { done: done.messages + done.missed, total }))?;
        }
        Ok(done)
    }
}

/// The message, once a body that is read from a file of its own is known to be whole: nothing is handed out in part.
fn whole(stored: StoredMessage) -> Result<StoredMessage, SpoolError> {
    if stored.body.size_octets() > LARGE_BODY_OCTETS {
        let mut reader = stored.body.reader();
        while reader.next_chunk()?.is_some() {}
    }
    Ok(stored)
}

/// The mail data in answers of at most [`OCTETS_MAX`].
fn tell_body(stored: &StoredMessage, asker: &mut dyn Asker) -> Result<(), Stop> {
    let mut reader = stored.body.reader();
    while let Some(chunk) = reader.next_chunk()? {
        for octets in chunk.chunks(OCTETS_MAX) {
            asker.tell(Answer::Octets(octets.to_vec()))?;
        }
    }
    Ok(())
}
