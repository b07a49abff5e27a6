//! What a filter said of a stage, as the policy's facts have it.

use std::sync::Arc;

use policy::source::Field;
use policy::value::{State, Value};

/// What a filter wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// One of [`policy::source::VERDICTS`].
    pub word: &'static str,
    /// The reply code that it wants.
    pub code: Option<u16>,
    /// The enhanced code that it wants.
    pub enhanced: Option<String>,
    /// The words that it wants; lines are separated by LF.
    pub text: String,
    /// Why it puts the message into the quarantine.
    pub quarantine: Option<String>,
}

/// Facts of one source.
pub type FieldStates = Vec<(Field, State)>;

impl Verdict {
    /// `word` and nothing else.
    #[must_use]
    pub const fn of(word: &'static str) -> Self {
        Self { word, code: None, enhanced: None, text: String::new(), quarantine: None }
    }

    /// Whether the filter is to be asked on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.word == "continue"
    }

    /// Whether it refuses.
    #[must_use]
    pub fn refuses(&self) -> bool {
        matches!(self.word, "reject" | "tempfail")
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> FieldStates {
        vec![
            (Field::Verdict, State::Known(Value::Choice(self.word))),
            (Field::Code, self.code.map_or(State::Missing, |code| State::number(u64::from(code)))),
            (Field::Enhanced, State::text_or_missing(self.enhanced.as_deref())),
            (Field::Reply, State::text(&self.text)),
            (Field::Quarantine, State::text_or_missing(self.quarantine.as_deref())),
        ]
    }
}

/// All `fields` are unsure.
#[must_use]
pub fn unsure(fields: &[Field], why: &str) -> FieldStates {
    let why: Arc<str> = Arc::from(why);
    fields.iter().map(|field| (*field, State::Unsure(Arc::clone(&why)))).collect()
}
