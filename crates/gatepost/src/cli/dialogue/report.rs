//! What came of a dialogue, as JSON has it; the page is made of the same. While `schema` stays 1, fields are only added.

use std::net::SocketAddr;

use policy::decision::Effect;
use policy::stage::Stage;
use serde::Serialize;
use smtp::reply::{Reply, Severity};

use super::Args;
use super::expect::{Expected, enhanced_of};
use crate::journal::effects::in_words;
use crate::journal::tried::{RulePlace, Tried};
use crate::receive::rehearsal::{Kept, Moment, Ruled};
use crate::site::Site;

/// The version of the JSON; it grows when a field changes its meaning or goes.
const SCHEMA: u8 = 1;

/// What came of a dialogue.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u8,
    kind: &'static str,
    #[serde(flatten)]
    pub(super) about: About,
    /// What happened, in order.
    pub(super) dialogue: Vec<Step>,
    /// The last answer, QUIT's aside.
    pub(super) last: Option<Said>,
    /// How many replies were 4yz or 5yz.
    pub(super) refusals: usize,
    /// What the last answer was expected to be.
    pub(super) expected: Option<String>,
    /// Whether nothing was refused, or what was expected came.
    pub(super) passed: bool,
    /// Facts that rules saw and nobody gave: they counted as unsure.
    pub(super) not_given: Vec<String>,
    /// What keeps the dialogue from being that of a server.
    pub(super) notes: Vec<String>,
}

/// Under what it was played.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) policy: PolicyNamed,
    pub(super) hostname: String,
    pub(super) client: String,
    pub(super) asks_dns: bool,
    #[serde(skip)]
    auth_rules: bool,
}

/// The policy that decided.
#[derive(Debug, Serialize)]
pub(super) struct PolicyNamed {
    fingerprint: String,
    /// Its files, the built-in one first.
    pub(super) files: Vec<String>,
}

impl About {
    pub(super) fn of(site: &Site, client: SocketAddr, logs_in: bool, args: &Args) -> Self {
        let policy = &site.policy.policy;
        let own =
            policy.rules_at(Stage::Auth).iter().any(|id| policy.rule(*id).is_some_and(|rule| !rule.fixed));
        Self {
            policy: PolicyNamed {
                fingerprint: format!("{:016x}", policy.fingerprint()),
                files: policy.files().iter().map(|file| file.name.to_string()).collect(),
            },
            hostname: site.settings.hostname.clone(),
            client: client.to_string(),
            asks_dns: args.dns,
            auth_rules: own && logs_in,
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Step {
    /// The client said a command.
    Client { line: String },
    /// The client sent mail data.
    Data { octets: u64 },
    /// The server replied.
    Server(Said),
    /// The policy decided.
    Decision(Box<Decision>),
    /// Encrypted from here on.
    Tls,
    /// The message would have been kept.
    Kept(Message),
    /// The server closed the connection.
    Closed,
}

/// A reply.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Said {
    pub(super) code: u16,
    pub(super) enhanced: Option<String>,
    /// The text without the codes.
    pub(super) text: String,
    /// The catalogue's entry or the rule.
    pub(super) name: String,
    /// As it goes over the wire.
    pub(super) lines: Vec<String>,
}

impl Said {
    fn of(reply: &Reply) -> Self {
        let mut wire = Vec::new();
        reply.write(&mut wire);
        Self {
            code: reply.code().value(),
            enhanced: enhanced_of(reply),
            text: reply.text().to_owned(),
            name: reply.name().to_owned(),
            lines: String::from_utf8_lossy(&wire).lines().map(str::to_owned).collect(),
        }
    }
}

/// A decision of the policy.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    pub(super) stage: &'static str,
    /// The reply that it wants, `accept` or `accept relay`.
    pub(super) answer: String,
    pub(super) disconnects: bool,
    pub(super) rule: Option<RulePlace>,
    pub(super) by_unsure_arm: bool,
    pub(super) effects: Vec<Done>,
    /// Rules that only watch and would have answered.
    pub(super) observed: Vec<RulePlace>,
    /// Rules that could not be told.
    pub(super) unsure: Vec<RulePlace>,
    pub(super) tried: Vec<Tried>,
    /// What would have happened without the rule that answered.
    pub(super) then: Option<String>,
}

/// What a rule does beside.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) effect: String,
    pub(super) rule: RulePlace,
}

impl Decision {
    fn of(ruled: Ruled) -> Self {
        let done = |(rule, effect): (RulePlace, Effect)| Done { effect: in_words(&effect), rule };
        Self {
            stage: ruled.stage.name(),
            answer: ruled.answer,
            disconnects: ruled.disconnects,
            rule: ruled.rule,
            by_unsure_arm: ruled.by_unsure_arm,
            effects: ruled.effects.into_iter().map(done).collect(),
            observed: ruled.observed,
            unsure: ruled.passed_over,
            tried: ruled.tried,
            then: ruled.then,
        }
    }
}

/// What would have become of the message.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    pub(super) recipients: Vec<Recipient>,
    pub(super) discarded: bool,
    pub(super) held: Option<&'static str>,
    pub(super) fields: Vec<String>,
    pub(super) tags: Option<String>,
}

/// A recipient, and where its mail would go.
#[derive(Debug, Serialize)]
pub(super) struct Recipient {
    pub(super) recipient: String,
    pub(super) goes_to: Vec<String>,
}

impl Message {
    fn of(kept: Kept) -> Self {
        let Kept { recipients, discarded, held, fields, tags } = kept;
        let recipient = |(recipient, goes_to)| Recipient { recipient, goes_to };
        Self { recipients: recipients.into_iter().map(recipient).collect(), discarded, held, fields, tags }
    }
}

impl Report {
    pub(super) fn of(
        about: About,
        moments: Vec<Moment>,
        is_stand_in: bool,
        unplayed: usize,
        expected: Option<&Expected>,
    ) -> Self {
        let mut notes = Vec::new();
        if is_stand_in {
            notes.push(String::from(
                "a stand-in was sent for the message: what is read from it and was not given is unsure",
            ));
        }
        if unplayed > 0 {
            let lines = if unplayed == 1 { "line was" } else { "lines were" };
            notes.push(format!("the server closed, and {unplayed} {lines} not played"));
        }
        if about.auth_rules {
            notes.push(String::from("rules at auth were not tried: the server decides nothing there"));
        }
        let mut begun_empty: Vec<String> = Vec::new();
        let (mut last, mut refusals, mut is_met) = (None, 0, None);
        let (mut dialogue, mut not_given): (Vec<Step>, Vec<String>) = (Vec::new(), Vec::new());
        for moment in moments {
            dialogue.push(match moment {
                Moment::Client(line) => Step::Client { line },
                Moment::Data(octets) => Step::Data { octets },
                Moment::Server(reply) => {
                    let said = Said::of(&reply);
                    refusals += usize::from(matches!(
                        reply.code().severity(),
                        Severity::Transient | Severity::Permanent
                    ));
                    if reply.code().value() != 221 {
                        last = Some(said.clone());
                        is_met = expected.map(|expected| expected.is_met(&reply));
                    }
                    Step::Server(said)
                }
                Moment::Ruled(ruled) => {
                    add_new(&mut not_given, &ruled.not_given);
                    add_new(&mut begun_empty, &ruled.begun_empty);
                    Step::Decision(Box::new(Decision::of(*ruled)))
                }
                Moment::Tls => Step::Tls,
                Moment::Kept(kept) => Step::Kept(Message::of(kept)),
                Moment::Closed => Step::Closed,
            });
        }
        if !begun_empty.is_empty() {
            notes.push(format!(
                "{}: greylist and rates begin empty, as for a client that was never seen",
                begun_empty.join(", ")
            ));
        }
        Self {
            schema: SCHEMA,
            kind: "dialogue",
            about,
            dialogue,
            last,
            refusals,
            expected: expected.map(ToString::to_string),
            passed: is_met.unwrap_or(refusals == 0),
            not_given,
            notes,
        }
    }
}

/// Adds the names that are not there yet.
fn add_new(names: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}
