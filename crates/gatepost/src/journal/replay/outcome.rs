//! What came of a stage, as far as mail is concerned: two outcomes are the same when a client and the mail fare alike.

use std::fmt;

use policy::decision::{Decision, Effect, RuleId, Verdict};
use smtp::reply::{Enhanced, Reply};

use super::super::record::{Answer, Entry, Words};

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// `None` when it was passed.
    refusal: Option<(u16, Option<Enhanced>, bool)>,
    /// What happens to the mail beside: a bit each for quarantine, hold, redirect, discard.
    fate: u8,
}

impl Outcome {
    /// Passed, and nothing else.
    pub const PASSED: Self = Self { refusal: None, fate: 0 };

    /// What was recorded.
    #[must_use]
    pub fn recorded(entry: &Entry<'_>) -> Self {
        let refusal = |words: &Words<'_>, closes| Some((words.code, words.enhanced, closes));
        let refusal = match &entry.answer {
            Answer::Accept { .. } => None,
            Answer::Refuse(words) => refusal(words, false),
            Answer::Disconnect(words) => refusal(words, true),
        };
        Self { refusal, fate: fate(&entry.effects) }
    }

    /// What a policy decides.
    #[must_use]
    pub fn decided(decision: &Decision) -> Self {
        let refusal = |reply: &Reply, closes| Some((reply.code().value(), reply.enhanced(), closes));
        let refusal = match &decision.verdict {
            Verdict::Accept { .. } => None,
            Verdict::Refuse(words) => refusal(words.reply(), false),
            Verdict::Disconnect(words) => refusal(words.reply(), true),
        };
        Self { refusal, fate: fate(&decision.effects) }
    }

    /// Whether it refuses.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        self.refusal.is_some()
    }

    /// Whether the connection is closed.
    #[must_use]
    pub const fn closes(&self) -> bool {
        matches!(self.refusal, Some((.., true)))
    }
}

const QUARANTINE: u8 = 1;
const HOLD: u8 = 2;
const REDIRECT: u8 = 4;
const DISCARD: u8 = 8;

fn fate(effects: &[(RuleId, Effect)]) -> u8 {
    effects.iter().fold(0, |fate, (_, effect)| {
        fate | match effect {
            Effect::Quarantine => QUARANTINE,
            Effect::Hold => HOLD,
            Effect::Redirect(_) => REDIRECT,
            Effect::Discard => DISCARD,
            Effect::Tag(_) | Effect::AddHeader { .. } | Effect::Tarpit(_) => 0,
        }
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refusal {
            None => formatter.write_str("accept")?,
            Some((code, enhanced, closes)) => {
                let word = match (closes, code / 100) {
                    (true, _) => "disconnect",
                    (false, 4) => "defer",
                    _ => "reject",
                };
                write!(formatter, "{word} {code}")?;
                if let Some(Enhanced { subject, detail }) = enhanced {
                    write!(formatter, " {}.{subject}.{detail}", code / 100)?;
                }
            }
        }
        for (bit, word) in
            [(QUARANTINE, "quarantine"), (HOLD, "hold"), (REDIRECT, "redirect"), (DISCARD, "discard")]
        {
            if self.fate & bit != 0 {
                write!(formatter, ", {word}")?;
            }
        }
        Ok(())
    }
}
