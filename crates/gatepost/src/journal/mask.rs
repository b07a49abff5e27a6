//! Makes personal data illegible before they are written.
//!
//! Invariants: the same text is masked alike within a day, so that a day's decisions can still be counted by whom they
//! concern; the key is forgotten with the day, and with it every way back; a fact that was masked is never taken for its
//! value.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use policy::decision::Effect;
use policy::value::{State, Value};
use siphasher::sip::SipHasher13;

use super::codec::put_number;
use super::record::{Answer, Chunk, Entry, Words, Written, put_entry, put_head, set_continues};
use super::settings::Mask;
use super::states::{Recorded, put_recorded};
use super::texts::PolicyText;
use crate::config::Network;

/// Prefixes to which client addresses are cut, in bits.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 48;

/// Facts that are names of one person or mailbox, though no address is to be seen in them.
const NAMES_OF_PERSONS: [&str; 6] = [
    "sender.local",
    "recipient.local",
    "auth.user",
    "inquiry.text",
    "tls.client_certificate",
    "tls.client_fingerprint",
];

/// Facts that are host names of the client's, which often have its address in them.
const NAMES_OF_CLIENTS: [&str; 2] = ["client.ptr", "client.name"];

/// A day's way of masking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masker {
    mask: Mask,
    key: [u64; 2],
}

impl Masker {
    pub(super) const fn new(mask: Mask, key: [u64; 2]) -> Self {
        Self { mask, key }
    }

    /// The chunk, masked; `None` when it can't be read.
    pub(super) fn chunk(&self, octets: &[u8], policy: Option<&PolicyText>) -> Option<Vec<u8>> {
        let chunk = Chunk::read(octets)?;
        let mut head = chunk.head.clone();
        head.masked = true;
        head.client.set_ip(cut(head.client.ip()));
        head.client.set_port(0);
        let mut out = Vec::with_capacity(octets.len());
        put_head(&mut out, &head);
        if head.continues {
            set_continues(&mut out);
        }
        let mut written = Written { time: head.started, ..Written::default() };
        for entry in chunk.entries() {
            self.entry(&mut out, &mut written, &entry?, policy);
        }
        Some(out)
    }

    fn entry(
        &self,
        out: &mut Vec<u8>,
        written: &mut Written,
        entry: &Entry<'_>,
        policy: Option<&PolicyText>,
    ) {
        let [helo, reverse_path, recipient] = [entry.helo, entry.reverse_path, entry.recipient]
            .map(|text| text.map(|text| if self.is_all() { self.whole(text) } else { self.text(text) }));
        let answered = entry.answer.words().map(|words| match self.mask {
            Mask::All => String::new(),
            _ => self.text(words.text),
        });
        let answer = match (&entry.answer, &answered) {
            (Answer::Refuse(words), Some(text)) => Answer::Refuse(Words { text, ..words.clone() }),
            (Answer::Disconnect(words), Some(text)) => Answer::Disconnect(Words { text, ..words.clone() }),
            (answer, _) => answer.clone(),
        };
        let dialogue = entry.dialogue.filter(|_| !self.is_all()).map(|octets| self.dialogue(octets));
        let effects: Vec<_> =
            entry.effects.iter().map(|(rule, effect)| (*rule, self.effect(effect))).collect();
        let masked = Entry {
            helo: helo.as_deref(),
            reverse_path: reverse_path.as_deref(),
            recipient: recipient.as_deref(),
            answer,
            dialogue: dialogue.as_deref().map(str::as_bytes),
            effects: effects.into(),
            ..entry.clone()
        };
        put_entry(out, written, &masked, |out| {
            for (slot, recorded) in entry.facts.iter().flatten() {
                let name =
                    policy.and_then(|policy| policy.facts.get(slot.index())).map_or("", |name| &**name);
                put_number(out, u64::from(slot.0));
                put_recorded(out, &self.fact(name, recorded));
            }
        });
    }

    const fn is_all(&self) -> bool {
        matches!(self.mask, Mask::All)
    }

    fn fact(&self, name: &str, recorded: Recorded) -> Recorded {
        let Recorded::State(state) = recorded else { return recorded };
        let masked = match &state {
            State::Known(Value::Address(address)) => Some(network(*address)),
            State::Known(Value::Addresses(addresses)) if !addresses.iter().all(IpAddr::is_loopback) => {
                Some(addresses.iter().map(|address| network(*address)).collect::<Vec<_>>().join(", "))
            }
            State::Known(Value::Text(text)) => self.fact_text(name, text),
            State::Known(Value::Texts(texts)) => {
                let masked: Vec<Option<String>> =
                    texts.iter().map(|text| self.fact_text(name, text)).collect();
                let texts = masked.iter().zip(texts.iter());
                let any = masked.iter().any(Option::is_some);
                any.then(|| {
                    texts
                        .map(|(masked, text)| masked.as_deref().unwrap_or(text))
                        .collect::<Vec<_>>()
                        .join(", ")
                })
            }
            State::Known(Value::Number(_)) if name == "client.port" => Some(String::from("a port")),
            State::Unsure(why) => {
                let why = self.text(why);
                return Recorded::State(State::unsure(&why));
            }
            _ => None,
        };
        masked.map_or(Recorded::State(state), |text| Recorded::Masked(Arc::from(text)))
    }

    /// The masked text of a fact; `None` when there is nothing to mask in it.
    fn fact_text(&self, name: &str, text: &str) -> Option<String> {
        let masked = if text.is_empty() {
            String::new()
        } else if self.is_all() || NAMES_OF_PERSONS.contains(&name) {
            self.whole(text)
        } else if NAMES_OF_CLIENTS.contains(&name) {
            let labels: Vec<&str> = text.rsplitn(3, '.').take(2).collect();
            format!("*.{}", labels.into_iter().rev().collect::<Vec<_>>().join("."))
        } else {
            self.text(text)
        };
        (masked != text).then_some(masked)
    }

    fn effect(&self, effect: &Effect) -> Effect {
        match effect {
            Effect::AddHeader { name, .. } if self.is_all() => {
                Effect::AddHeader { name: Arc::clone(name), value: Arc::from("") }
            }
            Effect::AddHeader { name, value } => {
                Effect::AddHeader { name: Arc::clone(name), value: Arc::from(self.text(value)) }
            }
            Effect::Redirect(mailbox) => Effect::Redirect(Arc::from(self.text(mailbox))),
            other => other.clone(),
        }
    }

    /// A whole text as a hash.
    fn whole(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write(text.to_lowercase().as_bytes());
        format!("~{:010x}", hasher.finish() >> 24)
    }

    /// The text with each local part hashed and each address cut to its network.
    pub(super) fn text(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            let (before, after) = rest.split_at(at);
            let start = local_part_start(before);
            let (prefix, local_part) = before.split_at(start);
            cut_addresses(prefix, &mut masked);
            masked.push_str(&self.whole(local_part));
            masked.push('@');
            rest = after.get(1..).unwrap_or_default();
        }
        cut_addresses(rest, &mut masked);
        masked
    }

    fn dialogue(&self, octets: &[u8]) -> String {
        let text = String::from_utf8_lossy(octets);
        let mut masked = String::with_capacity(text.len());
        for line in text.lines() {
            let inquiry = line.get(..8).filter(|start| {
                start.eq_ignore_ascii_case("C: VRFY ") || start.eq_ignore_ascii_case("C: EXPN ")
            });
            match inquiry {
                Some(start) => {
                    masked.push_str(start);
                    masked.push_str(&self.whole(line.get(8..).unwrap_or_default()));
                }
                None => masked.push_str(&self.text(line)),
            }
            masked.push('\n');
        }
        masked
    }
}

/// Where the local part begins that ends with `before`.
fn local_part_start(before: &str) -> usize {
    if let Some(quoted) = before.strip_suffix('"') {
        return quoted.rfind('"').unwrap_or(0);
    }
    let is_edge = |character: char| character.is_whitespace() || "<>\",;:()[]".contains(character);
    before
        .char_indices()
        .rev()
        .find(|(_, character)| is_edge(*character))
        .map_or(0, |(at, edge)| at + edge.len_utf8())
}

/// Appends `text` with each address in it cut to its network.
fn cut_addresses(text: &str, out: &mut String) {
    let is_part = |character: char| character.is_ascii_hexdigit() || matches!(character, '.' | ':');
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, run) = rest.split_at(start);
        out.push_str(before);
        let end = run.find(|character| !is_part(character)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        let plain = run.trim_end_matches(['.', ':']);
        match plain.parse::<IpAddr>() {
            Ok(address) if !address.is_loopback() => {
                out.push_str(&network(address));
                out.push_str(run.get(plain.len()..).unwrap_or_default());
            }
            _ => out.push_str(run),
        }
        rest = after;
    }
    out.push_str(rest);
}

fn prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { IPV4_PREFIX } else { IPV6_PREFIX }
}

fn network(address: IpAddr) -> String {
    let address = address.to_canonical();
    format!("{}/{}", cut(address), prefix(address))
}

/// The first address of its network.
fn cut(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    Network::of(address, prefix(address)).address()
}
