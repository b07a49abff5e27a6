//! What was known of a fact, as the journal's octets.
//!
//! Invariants: every state reads back as it was, except a value that was masked: of that only the masked text is left,
//! and it is never taken for the value.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::facts::FACTS;
use policy::value::{State, Type, Value};

use super::codec::{Cursor, put_address, put_number, put_octets, put_signed, put_text};

/// What a journal keeps of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// All that was known.
    State(State),
    /// It was known; for the sake of privacy only this text was kept.
    Masked(Arc<str>),
}

impl Recorded {
    /// The state, unless it was masked.
    #[must_use]
    pub const fn state(&self) -> Option<&State> {
        match self {
            Self::State(state) => Some(state),
            Self::Masked(_) => None,
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => state.fmt(formatter),
            Self::Masked(text) => write!(formatter, "{text} (masked)"),
        }
    }
}

const NOT_ASKED: u8 = 0;
const MISSING: u8 = 1;
const UNSURE: u8 = 2;
const NO: u8 = 3;
const YES: u8 = 4;
const NUMBER: u8 = 5;
const DURATION: u8 = 6;
const TEXT: u8 = 7;
const ADDRESS: u8 = 8;
const CHOICE: u8 = 9;
const TEXTS: u8 = 10;
const ADDRESSES: u8 = 11;
const MASKED: u8 = 12;

pub(super) fn put_state(out: &mut Vec<u8>, state: &State) {
    match state {
        State::NotAsked => out.push(NOT_ASKED),
        State::Missing => out.push(MISSING),
        State::Unsure(why) => {
            out.push(UNSURE);
            put_text(out, why);
        }
        State::Known(value) => put_value(out, value),
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Boolean(false) => out.push(NO),
        Value::Boolean(true) => out.push(YES),
        Value::Number(number) => {
            out.push(NUMBER);
            put_signed(out, *number);
        }
        Value::Duration(duration) => {
            out.push(DURATION);
            put_number(out, duration.as_secs());
            put_number(out, u64::from(duration.subsec_nanos()));
        }
        Value::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
        Value::Address(address) => {
            out.push(ADDRESS);
            put_address(out, *address);
        }
        Value::Choice(word) => {
            out.push(CHOICE);
            put_text(out, word);
        }
        Value::Texts(texts) => {
            out.push(TEXTS);
            put_number(out, texts.len() as u64);
            texts.iter().for_each(|text| put_text(out, text));
        }
        Value::Addresses(addresses) => {
            out.push(ADDRESSES);
            put_number(out, addresses.len() as u64);
            addresses.iter().for_each(|address| put_address(out, *address));
        }
    }
}

pub(super) fn put_recorded(out: &mut Vec<u8>, recorded: &Recorded) {
    match recorded {
        Recorded::State(state) => put_state(out, state),
        Recorded::Masked(text) => {
            out.push(MASKED);
            put_octets(out, text.as_bytes());
        }
    }
}

pub(super) fn read_recorded(cursor: &mut Cursor<'_>) -> Option<Recorded> {
    let state = match cursor.octet()? {
        NOT_ASKED => State::NotAsked,
        MISSING => State::Missing,
        UNSURE => State::unsure(cursor.text()?),
        MASKED => return Some(Recorded::Masked(Arc::from(cursor.text()?))),
        kind => State::Known(read_value(kind, cursor)?),
    };
    Some(Recorded::State(state))
}

fn read_value(kind: u8, cursor: &mut Cursor<'_>) -> Option<Value> {
    Some(match kind {
        NO => Value::Boolean(false),
        YES => Value::Boolean(true),
        NUMBER => Value::Number(cursor.signed()?),
        DURATION => {
            let seconds = cursor.number()?;
            let nanoseconds: u32 = cursor.small()?;
            Value::Duration((nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))?)
        }
        TEXT => Value::text(cursor.text()?),
        ADDRESS => Value::Address(cursor.address()?),
        CHOICE => Value::Choice(choice_word(cursor.text()?)?),
        TEXTS => {
            let texts: Vec<Arc<str>> = cursor.list(|cursor| cursor.text().map(Arc::from))?;
            Value::Texts(texts.into())
        }
        ADDRESSES => {
            let addresses: Vec<IpAddr> = cursor.list(Cursor::address)?;
            Value::Addresses(addresses.into())
        }
        _ => return None,
    })
}

/// The word that the table of facts has for `text`: choices are compared as its words.
fn choice_word(text: &str) -> Option<&'static str> {
    let words = FACTS.iter().filter_map(|fact| match fact.value_type {
        Type::Choice(words) => Some(words),
        _ => None,
    });
    words.flatten().copied().find(|word| *word == text)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any state that a fact can have.
    pub(in super::super) fn states() -> impl Strategy<Value = State> {
        let text = || "[a-z.@ é]{0,12}".prop_map(|text| Arc::<str>::from(text.as_str()));
        let value = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Number),
            (any::<u64>(), 0..1_000_000_000u32)
                .prop_map(|(seconds, nanos)| Value::Duration(Duration::new(seconds, nanos))),
            text().prop_map(Value::Text),
            any::<IpAddr>().prop_map(Value::Address),
            prop_oneof![Just("pass"), Just("softfail"), Just("quarantine"), Just("vrfy")]
                .prop_map(Value::Choice),
            prop::collection::vec(text(), 0..4).prop_map(|texts| Value::Texts(texts.into())),
            prop::collection::vec(any::<IpAddr>(), 0..4)
                .prop_map(|addresses| Value::Addresses(addresses.into())),
        ];
        prop_oneof![
            Just(State::NotAsked),
            Just(State::Missing),
            text().prop_map(State::Unsure),
            value.prop_map(State::Known),
        ]
    }

    proptest! {
        #[test]
        fn a_state_reads_back_as_it_was(state in states(), masked in any::<bool>()) {
            let recorded =
                if masked { Recorded::Masked(Arc::from(state.to_string())) } else { Recorded::State(state) };
            let mut out = Vec::new();
            put_recorded(&mut out, &recorded);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(read_recorded(&mut cursor), Some(recorded));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn any_octets_are_read_without_a_fault(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_recorded(&mut Cursor::new(&octets));
        }
    }
}
