//! Writes chunks: head first, then decision by decision, each with what has changed.

use smtp::reply::Enhanced;
use smtp::time::WallTime;

use super::super::codec::{put_address, put_number, put_octets, put_signed, put_text};
use super::super::effects::put_effect;
use super::{Answer, CONTINUES, Entry, Head, LENGTH_OCTETS, MASKED, VERSION, has};

/// Where a chunk's flags stand: they are set when it is done.
const FLAGS_PLACE: usize = 1;

/// What was written last of each, so that a decision carries only what has changed.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Written {
    pub(in super::super) time: WallTime,
    pub(in super::super) helo: Place,
    pub(in super::super) reverse_path: Place,
    pub(in super::super) recipient: Place,
}

/// Where a text stands in the chunk that is being written; `None` when there was none.
pub(in super::super) type Place = Option<(usize, usize)>;

pub(in super::super) fn put_head(out: &mut Vec<u8>, head: &Head) {
    let flags = if head.continues { CONTINUES } else { 0 } | if head.masked { MASKED } else { 0 };
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&head.policy.to_le_bytes());
    put_number(out, head.session);
    put_number(out, u64::from(head.part));
    for address in [head.client, head.listener] {
        put_address(out, address.ip());
        put_number(out, u64::from(address.port()));
    }
    put_number(out, head.started.as_unix_millis());
}

/// Says in a chunk that is written that a transaction is open at its end.
pub(in super::super) fn set_continues(chunk: &mut [u8]) {
    if let Some(flags) = chunk.get_mut(FLAGS_PLACE) {
        *flags |= CONTINUES;
    }
}

/// Appends an entry; `facts` appends the facts that have changed, and what `entry.facts` holds is not looked at.
pub(in super::super) fn put_entry(
    out: &mut Vec<u8>,
    written: &mut Written,
    entry: &Entry<'_>,
    facts: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, entry.point.number()]);
    let elapsed = entry.time.as_unix_millis().wrapping_sub(written.time.as_unix_millis());
    put_signed(out, elapsed as i64);
    written.time = entry.time;
    let mut flags = 0;
    for (text, place, flag) in [
        (entry.helo, &mut written.helo, has::HELO),
        (entry.reverse_path, &mut written.reverse_path, has::REVERSE_PATH),
        (entry.recipient, &mut written.recipient, has::RECIPIENT),
    ] {
        flags |= put_change(out, text, place, flag);
    }
    if let Some(rule) = entry.rule {
        flags |= has::RULE;
        put_number(out, u64::from(rule.0));
    }
    flags |= put_answer(out, &entry.answer);
    flags |= if entry.by_unsure_arm { has::UNSURE_ARM } else { 0 };
    if !(entry.observed.is_empty() && entry.passed_over.is_empty() && entry.effects.is_empty()) {
        flags |= has::BESIDE;
        put_beside(out, entry);
    }
    if let Some(id) = entry.id {
        flags |= has::ID;
        put_number(out, id.number());
    }
    if let Some(id) = entry.queue_id {
        flags |= has::QUEUE_ID;
        put_number(out, id.number());
    }
    if let Some(dialogue) = entry.dialogue {
        flags |= has::DIALOGUE;
        put_octets(out, dialogue);
    }
    flags |= put_facts(out, facts);
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&u16::to_le_bytes(flags));
    }
}

/// Appends the text when it is another than the last one; 0 is none.
fn put_change(out: &mut Vec<u8>, text: Option<&str>, place: &mut Place, flag: u16) -> u16 {
    let last = place.and_then(|(start, end)| out.get(start..end));
    if last == text.map(str::as_bytes) {
        return 0;
    }
    match text {
        None => {
            out.push(0);
            *place = None;
        }
        Some(text) => {
            put_number(out, text.len() as u64 + 1);
            let start = out.len();
            out.extend_from_slice(text.as_bytes());
            *place = Some((start, out.len()));
        }
    }
    flag
}

fn put_answer(out: &mut Vec<u8>, answer: &Answer<'_>) -> u16 {
    let (words, flags) = match answer {
        Answer::Accept { relay } => return if *relay { has::RELAY } else { 0 },
        Answer::Refuse(words) => (words, has::REFUSE),
        Answer::Disconnect(words) => (words, has::DISCONNECT),
    };
    put_number(out, u64::from(words.code));
    match words.enhanced {
        None => out.push(0),
        Some(Enhanced { subject, detail }) => {
            put_number(out, u64::from(subject) + 1);
            put_number(out, u64::from(detail));
        }
    }
    put_text(out, words.text);
    put_text(out, words.name);
    flags
}

fn put_beside(out: &mut Vec<u8>, entry: &Entry<'_>) {
    for rules in [&entry.observed, &entry.passed_over] {
        put_number(out, rules.len() as u64);
        rules.iter().for_each(|rule| put_number(out, u64::from(rule.0)));
    }
    put_number(out, entry.effects.len() as u64);
    for (rule, effect) in entry.effects.iter() {
        put_number(out, u64::from(rule.0));
        put_effect(out, effect);
    }
}

fn put_facts(out: &mut Vec<u8>, facts: impl FnOnce(&mut Vec<u8>)) -> u16 {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_OCTETS]);
    facts(out);
    let length = out.len() - start - LENGTH_OCTETS;
    // Facts that are longer than their length can say are left out: no message makes 16 MiB of them.
    if length == 0 || length >> (8 * LENGTH_OCTETS) != 0 {
        out.truncate(start);
        return 0;
    }
    if let Some(place) = out.get_mut(start..start + LENGTH_OCTETS) {
        let [low, middle, high, ..] = u32::to_le_bytes(length as u32);
        place.copy_from_slice(&[low, middle, high]);
    }
    has::FACTS
}
