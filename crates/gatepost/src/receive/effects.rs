//! What a policy does with a message besides answering: gathered over the stages, carried out when the message is stored.
//!
//! Invariants: what a rule says at connect or EHLO holds for every message of the session, at EHLO until the next one; at
//! RCPT for that recipient, and otherwise for the message. Where the stage is refused nothing of it holds but the wait.

use std::time::Duration;

use policy::decision::{Effect, RuleId};
use policy::stage::Stage;
use queue::message::Hold;

use super::header_field;

/// Longest wait before a reply (ours: a client gives up after minutes, RFC 5321 §4.5.3.2).
const TARPIT_MAX: Duration = Duration::from_secs(60);

/// What was decided to be done.
#[derive(Debug, Default)]
pub(super) struct Effects {
    session: Vec<(Stage, Effect)>,
    message: Vec<Effect>,
    /// What becomes of recipients otherwise than they asked, by their place among the accepted ones.
    recipients: Vec<(usize, Fate)>,
}

/// What becomes of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The mail goes to this address instead.
    Redirected(String),
    /// The mail is thrown away.
    Discarded,
}

impl Effects {
    /// Adds what was decided at `stage`, with `accepted` recipients before, unless that is refused; gives how long the
    /// reply is to wait.
    pub(super) fn add(
        &mut self,
        (stage, is_refused): (Stage, bool),
        accepted: usize,
        effects: &[(RuleId, Effect)],
    ) -> Duration {
        let mut wait = Duration::ZERO;
        if !is_refused {
            self.session.retain(|(of, _)| *of != stage);
        }
        for (_, effect) in effects {
            match (stage, effect) {
                (_, Effect::Tarpit(duration)) => wait = wait.max(*duration),
                _ if is_refused => {}
                (Stage::Recipient, Effect::Redirect(address)) => {
                    self.destine(accepted, Fate::Redirected(address.to_string()));
                }
                (Stage::Recipient, Effect::Discard) => self.destine(accepted, Fate::Discarded),
                (Stage::Connect | Stage::Helo | Stage::Auth, effect) => {
                    self.session.push((stage, effect.clone()));
                }
                (_, effect) => self.message.push(effect.clone()),
            }
        }
        wait.min(TARPIT_MAX)
    }

    /// The first fate of a recipient is its fate.
    fn destine(&mut self, place: usize, fate: Fate) {
        if self.fate(place).is_none() {
            self.recipients.push((place, fate));
        }
    }

    /// Forgets what the transaction brought.
    pub(super) fn clear(&mut self) {
        self.message.clear();
        self.recipients.clear();
    }

    /// What becomes of the recipient at this place among the accepted ones.
    pub(super) fn fate(&self, place: usize) -> Option<&Fate> {
        self.recipients.iter().find(|(known, _)| *known == place).map(|(_, fate)| fate)
    }

    /// How many recipients get nothing.
    pub(super) fn discarded(&self) -> usize {
        self.recipients.iter().filter(|(_, fate)| *fate == Fate::Discarded).count()
    }

    /// What becomes of the whole message.
    pub(super) fn of_message(&self) -> Option<Fate> {
        self.all().find_map(|effect| match effect {
            Effect::Redirect(address) => Some(Fate::Redirected(address.to_string())),
            Effect::Discard => Some(Fate::Discarded),
            _ => None,
        })
    }

    /// Whether the message waits for the postmaster; a quarantine says more than a hold.
    pub(super) fn hold(&self) -> Option<Hold> {
        let is = |wanted: &Effect| self.all().any(|effect| effect == wanted);
        if is(&Effect::Quarantine) {
            Some(Hold::Quarantined)
        } else {
            is(&Effect::Hold).then_some(Hold::Held)
        }
    }

    /// The header fields to add, each ended by CRLF.
    pub(super) fn fields(&self) -> String {
        let mut fields = String::new();
        for effect in self.all() {
            if let Effect::AddHeader { name, value } = effect {
                fields.push_str(&header_field::field(name, value));
            }
        }
        fields
    }

    /// The words that were remembered, for the log.
    pub(super) fn tags(&self) -> Option<String> {
        let tags: Vec<&str> = self
            .all()
            .filter_map(|effect| match effect {
                Effect::Tag(tag) => Some(&**tag),
                _ => None,
            })
            .collect();
        (!tags.is_empty()).then(|| tags.join(","))
    }

    fn all(&self) -> impl Iterator<Item = &Effect> {
        self.session.iter().map(|(_, effect)| effect).chain(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(effects: &mut Effects, stage: Stage, accepted: usize, effect: Effect) -> Duration {
        effects.add((stage, false), accepted, &[(RuleId(0), effect)])
    }

    #[test]
    fn what_holds_for_the_session_stays_and_the_rest_goes_with_its_transaction() {
        let mut effects = Effects::default();
        add(&mut effects, Stage::Connect, 0, Effect::Tag("dialup".into()));
        add(&mut effects, Stage::Message, 2, Effect::Tag("spam".into()));
        add(&mut effects, Stage::Recipient, 1, Effect::Discard);
        add(&mut effects, Stage::Mail, 0, Effect::Hold);
        assert_eq!(effects.tags().as_deref(), Some("dialup,spam"));
        assert_eq!((effects.fate(0), effects.fate(1)), (None, Some(&Fate::Discarded)));
        assert_eq!((effects.hold(), effects.of_message()), (Some(Hold::Held), None));
        effects.clear();
        assert_eq!((effects.tags().as_deref(), effects.hold()), (Some("dialup"), None));
    }

    #[test]
    fn what_is_refused_leaves_nothing_behind_and_a_new_ehlo_nothing_of_the_one_before() {
        let mut effects = Effects::default();
        let refused = [(RuleId(0), Effect::Discard), (RuleId(1), Effect::Tarpit(Duration::from_secs(2)))];
        let wait = effects.add((Stage::Recipient, true), 0, &refused);
        assert_eq!((wait, effects.fate(0), effects.discarded()), (Duration::from_secs(2), None, 0));
        add(&mut effects, Stage::Recipient, 0, Effect::Redirect("a@b.example".into()));
        add(&mut effects, Stage::Recipient, 0, Effect::Discard);
        assert_eq!(effects.discarded(), 0, "the first rule decides");
        add(&mut effects, Stage::Connect, 0, Effect::Tag("first".into()));
        add(&mut effects, Stage::Helo, 0, Effect::Tag("odd".into()));
        effects.add((Stage::Helo, true), 0, &[(RuleId(0), Effect::Tag("bad".into()))]);
        assert_eq!(
            effects.tags().as_deref(),
            Some("first,odd"),
            "the old name stays when the new one is refused"
        );
        effects.add((Stage::Helo, false), 0, &[]);
        assert_eq!(effects.tags().as_deref(), Some("first"));
    }

    #[test]
    fn a_field_stays_one_line_and_a_wait_is_bounded() {
        let mut effects = Effects::default();
        let header = Effect::AddHeader { name: "X-Note".into(), value: "a\r\nBcc: b".into() };
        add(&mut effects, Stage::Message, 0, header);
        assert_eq!(effects.fields(), "X-Note: a  Bcc: b\r\n");
        let long = Effect::Tarpit(Duration::from_secs(3_600));
        assert_eq!(add(&mut effects, Stage::Recipient, 0, long), TARPIT_MAX);
    }
}
