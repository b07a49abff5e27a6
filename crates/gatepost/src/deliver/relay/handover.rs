//! One message on its way: which recipients are still to be asked for, and what came of the others.
//!
//! Invariants: a recipient that is decided stays so; one that nobody decided is deferred; what only another host might
//! take has failed only when every host that was asked said so.

use std::sync::Arc;

use queue::body::StoredMessage;
use queue::dsn::Expansions;
use queue::message::QueuedRecipient;
use smtp::address::{ForwardPath, ReversePath};
use smtp::client::Transaction;
use smtp::client::meaning::{Host, Retry};
use smtp::envelope::{Envelope, MailParameters, OriginalRecipient, RcptParameters, Recipient};
use smtp::extension::Extensions;
use smtp::limits::RECIPIENTS_MIN;

use super::content::Content;
use super::convert::Obstacle;
use super::departure::{Departure, Outgoing};
use super::form::{Form, Forms};
use super::peer::Peer;
use super::verdict::Verdict;
use crate::deliver::attempt::{Attempt, Failure};
use crate::deliver::reading::{has_field, header_section};

/// A message that is handed over.
pub(super) struct Handover<'message> {
    stored: &'message StoredMessage,
    hostname: &'message str,
    departure: &'message dyn Departure,
    slots: Vec<Slot<'message>>,
    open: usize,
    forms: Forms,
}

#[derive(Debug)]
struct Slot<'message> {
    recipient: Option<&'message QueuedRecipient>,
    /// The reverse-path with which the message leaves for the recipient.
    reverse_path: ReversePath,
    state: State,
}

/// What is sent next.
pub(super) struct Next<'message> {
    /// The places of the recipients.
    pub(super) places: Vec<usize>,
    pub(super) transaction: Box<Transaction>,
    /// The header fields in front of the mail data.
    pub(super) fields: Arc<str>,
    /// The mail data.
    pub(super) content: Content<'message>,
    /// Why they could not be made what the server takes.
    pub(super) obstacle: Option<Obstacle>,
}

/// Where a recipient stands; an attempt is what it is should nobody change it.
#[derive(Debug)]
enum State {
    /// To be asked for at this host.
    Open(Option<Attempt>),
    /// This host's turn is over.
    Elsewhere(Attempt),
    Decided(Attempt),
}

impl<'message> Handover<'message> {
    /// All `indexes` are to be asked for; one that the envelope doesn't have is deferred.
    pub(super) fn new(
        stored: &'message StoredMessage,
        indexes: &[u32],
        (hostname, departure): (&'message str, &'message dyn Departure),
    ) -> Self {
        let recipients = &stored.message.recipients;
        let slot = |&index: &u32| {
            let recipient = usize::try_from(index).ok().and_then(|index| recipients.get(index));
            let state = match recipient {
                Some(_) => State::Open(None),
                None => State::Decided(Attempt::Deferred(not_attempted())),
            };
            let rewritten = |recipient| departure.reverse_path(&stored.message, recipient);
            let reverse_path = recipient.map_or(ReversePath::Null, rewritten);
            Slot { recipient, reverse_path, state }
        };
        let slots: Vec<Slot<'_>> = indexes.iter().map(slot).collect();
        let open = slots.iter().filter(|slot| slot.is_open()).count();
        Self { stored, hostname, departure, slots, open, forms: Forms::default() }
    }

    /// Recipients that are to be asked for at this host.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Whether no host needs to be asked any more.
    pub(super) fn is_over(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.state, State::Decided(_)))
    }

    /// Begins with another host, or with another connection to the same one: whoever is undecided is asked for again.
    pub(super) fn next_host(&mut self) {
        for slot in &mut self.slots {
            if let State::Elsewhere(attempt) = &slot.state {
                slot.state = State::Open(Some(attempt.clone()));
                self.open += 1;
            }
        }
    }

    /// Whether the message may go to verified servers under TLS only (RFC 8689).
    pub(super) const fn requires_tls(&self) -> bool {
        self.stored.message.parameters.require_tls
    }

    /// Whether the message's author would rather have it arrive than protected: what the recipients' domain says of TLS
    /// is not asked for then (RFC 8689 §4.3). Blocks on the disk for a large body.
    pub(super) fn waives_tls(&self) -> bool {
        // RFC 8689 §5.
        !self.requires_tls() && has_field(&header_section(self.stored), b"tls-required:", b"no")
    }

    /// The next transaction with this peer: for recipients for whom the message leaves with the same reverse-path.
    ///
    /// # Errors
    /// Why the message can't leave now, for any recipient.
    pub(super) fn transaction(
        &self,
        peer: &Peer,
        extensions: &Extensions,
    ) -> Result<Next<'message>, Failure> {
        let mut open = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_open()).peekable();
        let reverse_path = open.peek().map_or(&ReversePath::Null, |(_, slot)| &slot.reverse_path);
        let open = open.filter(|(_, slot)| slot.reverse_path == *reverse_path);
        let chosen = open.filter_map(|(place, slot)| Some((place, slot.recipient?))).take(RECIPIENTS_MIN);
        let expansions = Expansions::of(&self.stored.message);
        let named =
            |recipient| envelope_recipient(recipient, expansions.parameters(recipient), self.hostname);
        let (places, recipients) = chosen.map(|(place, recipient)| (place, named(recipient))).unzip();
        let Form { plan, kind, smtputf8, obstacle } = self.forms.for_server(self.stored, extensions)?;
        let content = Content::new(&self.stored.body, plan);
        let fields = self.fields(&content)?;
        let parameters = MailParameters {
            require_tls: self.requires_tls() && !peer.is_store(),
            ..self.stored.message.parameters.clone()
        };
        let transaction = Transaction {
            envelope: Envelope { reverse_path: reverse_path.clone(), parameters, recipients },
            size_octets: content.size_octets().saturating_add(fields.len() as u64),
            body: kind,
            smtputf8,
        };
        Ok(Next { places, transaction: Box::new(transaction), fields, content, obstacle })
    }

    /// The header fields in front of the mail data, the same for all recipients.
    fn fields(&self, content: &Content<'_>) -> Result<Arc<str>, Failure> {
        let mut feed = |read: &mut dyn FnMut(&[u8])| content.feed(read);
        let outgoing = Outgoing { stored: self.stored, form: content.form(), feed: &mut feed };
        self.departure.fields(outgoing, &mut self.slots.iter().filter_map(|slot| slot.recipient))
    }

    /// Records what came of a transaction, by the places of its recipients. When the host's turn is over, that goes for
    /// those that were not in the transaction too.
    pub(super) fn decide(&mut self, verdicts: Vec<(usize, Verdict)>) {
        let mut rest = None;
        for (place, Verdict { attempt, retry, host }) in verdicts {
            if host == Host::TurnOver {
                rest = Some(match &attempt {
                    Attempt::Deferred(failure) | Attempt::Failed(failure) => {
                        Verdict::deferred(failure.clone())
                    }
                    Attempt::Relayed { .. } | Attempt::Delivered | Attempt::Rerouted(_) => {
                        Verdict::deferred(not_attempted())
                    }
                });
            }
            self.decide_at(place, attempt, retry);
        }
        if let Some(rest) = rest {
            self.decide_open(&rest);
        }
    }

    /// Records the same for all that are open.
    pub(super) fn decide_open(&mut self, verdict: &Verdict) {
        for place in 0..self.slots.len() {
            self.decide_at(place, verdict.attempt.clone(), verdict.retry);
        }
    }

    fn decide_at(&mut self, place: usize, attempt: Attempt, retry: Retry) {
        let Some(Slot { state, .. }) = self.slots.get_mut(place) else { return };
        let State::Open(earlier) = state else { return };
        let is_final = matches!(retry, Retry::Never | Retry::Later);
        let attempt = match earlier.take() {
            // Another host was asked and may yet take it.
            Some(Attempt::Deferred(failure)) if !is_final && matches!(attempt, Attempt::Failed(_)) => {
                Attempt::Deferred(failure)
            }
            _ => attempt,
        };
        *state = match retry {
            Retry::Never | Retry::Later => State::Decided(attempt),
            Retry::NextHost => State::Elsewhere(attempt),
            Retry::Again => State::Open(Some(attempt)),
        };
        if retry != Retry::Again {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// The attempts, in the order of the indexes.
    pub(super) fn finish(self) -> Vec<Attempt> {
        let attempt = |slot: Slot<'_>| match slot.state {
            State::Decided(attempt) | State::Elsewhere(attempt) | State::Open(Some(attempt)) => attempt,
            State::Open(None) => Attempt::Deferred(not_attempted()),
        };
        self.slots.into_iter().map(attempt).collect()
    }
}

impl Slot<'_> {
    const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }
}

/// What nobody decided.
fn not_attempted() -> Failure {
    Failure::local("4.3.0", "the recipient was not attempted")
}

/// The recipient as RCPT names it. Where an alias led to it, ORCPT tells the sender's word for it (RFC 3461 §4.2).
fn envelope_recipient(recipient: &QueuedRecipient, parameters: RcptParameters, hostname: &str) -> Recipient {
    let QueuedRecipient { mailbox, accepted_as, .. } = recipient;
    let original = parameters.original.or_else(|| {
        let address = match accepted_as {
            ForwardPath::Mailbox(accepted) if accepted == mailbox => return None,
            ForwardPath::Mailbox(accepted) => accepted.to_string(),
            ForwardPath::Postmaster => format!("postmaster@{hostname}"),
        };
        let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
        Some(OriginalRecipient { kind: kind.to_owned(), address })
    });
    Recipient {
        forward_path: ForwardPath::Mailbox(mailbox.clone()),
        parameters: RcptParameters { notify: parameters.notify, original },
    }
}
