//! What a milter changes at the end of a message: gathered while it answers, carried out once it has come to an end.
//!
//! Invariants: nothing is changed that was not agreed on; what is gathered is bounded.

use std::sync::Arc;

use super::answer::Change;
use super::options::{Agreed, action, step};
use crate::filters::draft::{Draft, DraftBody, EnvelopeChange, REPLACED_BODY_OCTETS_MAX};
use crate::filters::fields::{self, ADDED_OCTETS_MAX};

/// Most changes of the envelope (ours: as many recipients as a transaction takes at least, RFC 5321 §4.5.3.1.8, tenfold).
const ENVELOPE_CHANGES_MAX: usize = 1_000;

/// Changes that wait for the end.
#[derive(Debug, Default)]
pub(super) struct Changes {
    fields: Vec<Change>,
    envelope: Vec<EnvelopeChange>,
    body: Option<Vec<u8>>,
    pub(super) quarantine: Option<String>,
    octets: usize,
}

impl Changes {
    /// Takes one in.
    ///
    /// # Errors
    /// It is too much, or was not agreed on.
    pub(super) fn take(&mut self, change: Change, agreed: &Agreed) -> Result<(), String> {
        let needed = match &change {
            Change::AddField { .. } | Change::InsertField { .. } => action::ADD_FIELDS,
            Change::ChangeField { .. } => action::CHANGE_FIELDS,
            Change::ReplaceBody(_) => action::REPLACE_BODY,
            Change::AddRecipient(_, parameters) if parameters.is_empty() => {
                action::ADD_RECIPIENTS | action::ADD_WITH_PARAMETERS
            }
            Change::AddRecipient(..) => action::ADD_WITH_PARAMETERS,
            Change::RemoveRecipient(_) => action::REMOVE_RECIPIENTS,
            Change::ChangeSender(_) => action::CHANGE_SENDER,
            Change::Quarantine(_) => action::QUARANTINE,
        };
        if !agreed.may(needed) {
            return Err("it changes what it said that it would not".to_owned());
        }
        match change {
            Change::AddField { ref name, ref value }
            | Change::InsertField { ref name, ref value, .. }
            | Change::ChangeField { ref name, ref value, .. } => {
                self.octets = self.octets.saturating_add(name.len() + value.len() + 4);
                if self.octets > ADDED_OCTETS_MAX {
                    return Err("it adds too much to the header section".to_owned());
                }
                self.fields.push(change);
            }
            Change::ReplaceBody(octets) => {
                let body = self.body.get_or_insert_default();
                if body.len().saturating_add(octets.len()) > REPLACED_BODY_OCTETS_MAX {
                    return Err("its new body is too large".to_owned());
                }
                body.extend_from_slice(&octets);
            }
            Change::AddRecipient(path, _) => self.envelope.push(EnvelopeChange::Add(path)),
            Change::RemoveRecipient(path) => self.envelope.push(EnvelopeChange::Remove(path)),
            Change::ChangeSender(path) => self.envelope.push(EnvelopeChange::Sender(path)),
            Change::Quarantine(reason) => self.quarantine = Some(reason),
        }
        if self.envelope.len() > ENVELOPE_CHANGES_MAX {
            return Err("it changes too much of the envelope".to_owned());
        }
        Ok(())
    }

    /// Carries them out.
    pub(super) fn carry_out(self, draft: &mut Draft, agreed: &Agreed) {
        let blanks = agreed.has(step::LEADING_BLANKS);
        for change in self.fields {
            draft.has_new_fields |= !matches!(change, Change::InsertField { index: 0, .. });
            match change {
                Change::AddField { name, value } => {
                    if let Some(field) = fields::made(&name, &value, blanks) {
                        draft.fields.add(field);
                    }
                }
                // 0 is before all fields, 1 behind the Received field that is written here: before the message's own.
                Change::InsertField { index: 0, name, value } => {
                    if let Some(mut field) = fields::made(&name, &value, blanks) {
                        field.append(&mut draft.front);
                        draft.front = field;
                    }
                }
                Change::InsertField { index, name, value } => {
                    if let Some(field) = fields::made(&name, &value, blanks) {
                        let place = usize::try_from(index).unwrap_or(usize::MAX).saturating_sub(1);
                        draft.fields.insert(place, field);
                    }
                }
                Change::ChangeField { index, name, value } => {
                    let number = usize::try_from(index).unwrap_or(usize::MAX).max(1);
                    let field = (!value.is_empty()).then(|| fields::made(&name, &value, blanks));
                    match field {
                        Some(None) => {}
                        Some(Some(field)) => draft.fields.change(number, &name, Some(field)),
                        None => draft.fields.change(number, &name, None),
                    }
                }
                _ => {}
            }
        }
        if let Some(body) = self.body {
            draft.body = DraftBody::Replaced(Arc::new(body));
        }
        draft.envelope.extend(self.envelope);
    }
}
