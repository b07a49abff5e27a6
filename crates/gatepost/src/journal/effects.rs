//! What a rule did beside answering, as the journal's octets.

use std::sync::Arc;
use std::time::Duration;

use policy::decision::Effect;

use super::codec::{Cursor, put_number, put_text};

const TAG: u8 = 0;
const ADD_HEADER: u8 = 1;
const QUARANTINE: u8 = 2;
const HOLD: u8 = 3;
const REDIRECT: u8 = 4;
const DISCARD: u8 = 5;
const TARPIT: u8 = 6;

pub(super) fn put_effect(out: &mut Vec<u8>, effect: &Effect) {
    match effect {
        Effect::Tag(word) => {
            out.push(TAG);
            put_text(out, word);
        }
        Effect::AddHeader { name, value } => {
            out.push(ADD_HEADER);
            put_text(out, name);
            put_text(out, value);
        }
        Effect::Quarantine => out.push(QUARANTINE),
        Effect::Hold => out.push(HOLD),
        Effect::Redirect(mailbox) => {
            out.push(REDIRECT);
            put_text(out, mailbox);
        }
        Effect::Discard => out.push(DISCARD),
        Effect::Tarpit(wait) => {
            out.push(TARPIT);
            put_number(out, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
    }
}

pub(super) fn read_effect(cursor: &mut Cursor<'_>) -> Option<Effect> {
    Some(match cursor.octet()? {
        TAG => Effect::Tag(Arc::from(cursor.text()?)),
        ADD_HEADER => Effect::AddHeader { name: Arc::from(cursor.text()?), value: Arc::from(cursor.text()?) },
        QUARANTINE => Effect::Quarantine,
        HOLD => Effect::Hold,
        REDIRECT => Effect::Redirect(Arc::from(cursor.text()?)),
        DISCARD => Effect::Discard,
        TARPIT => Effect::Tarpit(Duration::from_millis(cursor.number()?)),
        _ => return None,
    })
}

/// The effect in the words of a policy.
#[must_use]
pub fn in_words(effect: &Effect) -> String {
    match effect {
        Effect::Tag(word) => format!("tag \"{word}\""),
        Effect::AddHeader { name, value } => format!("add header \"{name}\" \"{value}\""),
        Effect::Quarantine => String::from("quarantine"),
        Effect::Hold => String::from("hold"),
        Effect::Redirect(mailbox) => format!("redirect to \"{mailbox}\""),
        Effect::Discard => String::from("discard"),
        Effect::Tarpit(wait) => format!("tarpit {}", policy::value::Value::Duration(*wait)),
    }
}
