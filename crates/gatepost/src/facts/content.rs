//! The content of a message as facts: header fields, MIME parts, attachments, the domains of URLs.
//!
//! Invariants: the content is read once, while it passes, in any cuts, and never held whole; memory and work are bounded
//! by the limits below, whatever the content is. What is beyond a limit isn't looked at, and `message.is_damaged` is yes
//! then. Nothing that isn't asked for is kept.

mod attachment;
mod describe;
mod header;
pub(crate) mod line;
mod link;
mod part;
#[cfg(test)]
mod tests;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use policy::facts::Group;
use policy::slot::{Origin, SlotInfo};
use policy::value::{State, Value};

use super::Findings;
use header::{Addresses, Field};
use walk::Walk;

/// Multiparts and messages inside each other that are looked into (ours; real mail stays below 10).
pub const DEPTH_MAX: usize = 20;

/// Messages in base64 or quoted-printable inside each other that are looked into (ours; RFC 2045 §6.4 forbids the first).
pub const ENCODED_DEPTH_MAX: usize = 3;

/// MIME parts that are looked at (ours; a digest of a busy list has some hundreds).
pub const PARTS_MAX: u64 = 1_000;

/// Header fields of a message and all its parts that are looked at (ours).
pub const FIELDS_MAX: usize = 10_000;

/// Octets of all header sections of a message that are looked at (ours).
pub const HEADER_OCTETS_MAX: usize = 1024 * 1024;

/// Octets of one header field that are looked at (ours; a thousand recipients fit).
pub const FIELD_OCTETS_MAX: usize = 64 * 1024;

/// Octets of a field that describes a part (`Content-Type` and its like) that are looked at (ours).
pub const PART_FIELD_OCTETS_MAX: usize = 8 * 1024;

/// Octets of one text or encoded message that are held to look into it (ours).
pub const TEXT_OCTETS_MAX: usize = 2 * 1024 * 1024;

/// Domains of URLs that are noted (ours).
pub const URL_DOMAINS_MAX: usize = 1_000;

/// Characters of an attachment's name that are noted (ours; file systems stop at 255).
pub const NAME_CHARACTERS_MAX: usize = 1_024;

/// Which facts are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    facts: BTreeSet<&'static str>,
    /// Names of header fields, in lower case.
    headers: BTreeSet<Arc<str>>,
}

impl Asked {
    /// Those of `facts` that are found here, and the header fields `headers`.
    #[must_use]
    pub fn new(
        facts: impl IntoIterator<Item = &'static str>,
        headers: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let found_here = |name: &&'static str| {
            policy::facts::named(name).is_some_and(|fact| fact.group == Group::Content && !fact.argument)
        };
        Self {
            facts: facts.into_iter().filter(found_here).collect(),
            headers: headers.into_iter().map(|name| Arc::from(name.to_ascii_lowercase())).collect(),
        }
    }

    /// Those of a policy's facts that are found here.
    #[must_use]
    pub fn of<'s>(slots: impl IntoIterator<Item = &'s SlotInfo>) -> Self {
        let (mut facts, mut headers) = (Vec::new(), Vec::new());
        for slot in slots {
            match &slot.origin {
                Origin::Builtin(fact) => facts.push(fact.name),
                Origin::Argument(fact, header) if fact.group == Group::Content => {
                    headers.push(Arc::clone(header));
                }
                Origin::Argument(..) | Origin::Source(..) => {}
            }
        }
        Self::new(facts, headers)
    }

    /// Whether nothing is asked for: the content need not be read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.facts.is_empty() && self.headers.is_empty()
    }

    /// Whether the header section is enough.
    fn is_of_the_header_section(&self) -> bool {
        const FIELDS: [&str; 6] = [
            "message.subject",
            "message.from_address",
            "message.from_domain",
            "message.from_count",
            "message.has_date",
            "message.id",
        ];
        self.facts.iter().all(|name| FIELDS.contains(name))
    }

    fn has(&self, name: &str) -> bool {
        self.facts.contains(name)
    }

    /// Whether the values of the header field `name`, in lower case, are wanted.
    fn wants_field(&self, name: &str) -> bool {
        self.headers.contains(name)
            || match name {
                "subject" => self.has("message.subject"),
                "date" => self.has("message.has_date"),
                "message-id" => self.has("message.id"),
                "from" => self.facts.iter().any(|fact| fact.starts_with("message.from_")),
                _ => false,
            }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The facts, by name.
    pub facts: Findings,
    /// `message.header`, by its argument in lower case.
    pub headers: Vec<(Arc<str>, State)>,
}

impl Found {
    /// The facts under the names that a policy has for them.
    pub fn by_name(self) -> impl Iterator<Item = (Cow<'static, str>, State)> {
        let header =
            |(name, state): (Arc<str>, State)| (Cow::Owned(format!("message.header(\"{name}\")")), state);
        let facts = self.facts.into_iter().map(|(name, state)| (Cow::Borrowed(name), state));
        facts.chain(self.headers.into_iter().map(header))
    }
}

/// A message's content while it passes.
#[derive(Debug)]
pub struct Reading {
    asked: Asked,
    walk: Walk,
}

impl Reading {
    /// Begins the content of a message.
    #[must_use]
    pub fn new(asked: Asked) -> Self {
        let walk = Walk::new(asked.clone());
        Self { asked, walk }
    }

    /// The next octets of the content.
    pub fn read(&mut self, octets: &[u8]) {
        self.walk.read(octets);
    }

    /// The facts, once the content has ended.
    #[must_use]
    pub fn finish(mut self) -> Found {
        self.walk.finish();
        let seen = self.walk.into_seen();
        let facts = self.asked.facts.iter().map(|name| (*name, fact(name, &seen))).collect();
        let header = |name: &Arc<str>| {
            let values = fields(&seen.fields, name).map(|field| Arc::from(field.text())).collect();
            (Arc::clone(name), State::Known(Value::Texts(values)))
        };
        Found { facts, headers: self.asked.headers.iter().map(header).collect() }
    }
}

/// The facts of a content that is there whole.
#[must_use]
pub fn find(content: &[u8], asked: Asked) -> Found {
    let mut reading = Reading::new(asked);
    reading.read(content);
    reading.finish()
}

/// Everything that was seen on the way through a content.
#[derive(Debug, Default)]
struct Seen {
    /// The wanted fields of the message's own header section.
    fields: Vec<Field>,
    parts: u64,
    is_damaged: bool,
    attachments: Vec<attachment::Attachment>,
    url_domains: link::Domains,
}

fn fields<'f>(fields: &'f [Field], name: &str) -> impl Iterator<Item = &'f Field> {
    fields.iter().filter(move |field| &*field.name == name)
}

fn fact(name: &'static str, seen: &Seen) -> State {
    let first = |name| fields(&seen.fields, name).next();
    let senders = || {
        let mut senders = Addresses::default();
        fields(&seen.fields, "from").for_each(|field| senders.read(field));
        senders
    };
    let attachments = || seen.attachments.iter();
    match name {
        "message.subject" => first("subject").map_or(State::Missing, |field| State::text(&field.text())),
        "message.from_address" => State::text_or_missing(senders().first.as_deref()),
        "message.from_domain" => State::text_or_missing(senders().first_domain()),
        "message.from_count" => State::number(senders().count),
        "message.has_date" => State::yes_or_no(first("date").is_some()),
        "message.id" => State::text_or_missing(first("message-id").and_then(Field::id).as_deref()),
        "message.parts" => State::number(seen.parts),
        "message.is_damaged" => State::yes_or_no(seen.is_damaged),
        "attachment.name" => texts(attachments().flat_map(|part| &part.names)),
        "attachment.type" => texts(attachments().flat_map(|part| &part.endings)),
        "attachment.media_type" => texts(attachments().map(|part| &part.media_type)),
        "attachment.size" => State::number(attachments().map(|part| part.size_octets).max().unwrap_or(0)),
        "attachment.count" => State::number(attachments().count().try_into().unwrap_or(u64::MAX)),
        "url.domain" => texts(seen.url_domains.iter()),
        _ => State::unsure("not a fact of the content"),
    }
}

/// Texts without repetitions, in order.
fn texts<'t>(values: impl Iterator<Item = &'t Arc<str>>) -> State {
    let mut known = BTreeSet::new();
    let values = values.filter(|value| known.insert(Arc::clone(value))).cloned().collect();
    State::Known(Value::Texts(values))
}
