//! Payloads of records: a message with its envelope and body, and the state of a delivery.

use std::str::FromStr;

use smtp::envelope::{BodyType, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};
use smtp::time::WallTime;

use super::codec::{Cursor, put_number, put_optional_text, put_text};
use super::entry::{Destinations, Pending, StateSummary};
use crate::delivery::DeliveryState;
use crate::message::{Destination, Hold, Origin, QueuedMessage, QueuedRecipient, group_by_destination};

/// Where the body of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// The rest of the payload.
    Inline,
    /// A file of its own with this many octets of mail data; the rest of the payload stands in front of them.
    Large(u64),
}

/// Flags of the octet for BODY, SMTPUTF8, RET, REQUIRETLS and what the policy wanted.
const BODY_EIGHT_BIT: u8 = 1;
const BODY_BINARY: u8 = 2;
const SMTPUTF8: u8 = 4;
const RET_FULL: u8 = 8;
const RET_HEADERS: u8 = 16;
const HELD: u8 = 32;
const QUARANTINED: u8 = 64;
const REQUIRE_TLS: u8 = 128;

/// Flags of the octet for the body's form and the message's origin.
const LARGE: u8 = 1;
const SUBMITTED: u8 = 2;

/// Flags of the octet for NOTIFY.
const NOTIFY_GIVEN: u8 = 1;
const NOTIFY_SUCCESS: u8 = 2;
const NOTIFY_FAILURE: u8 = 4;
const NOTIFY_DELAY: u8 = 8;

/// Everything of a message's payload but an inline body.
pub(super) fn put_message(out: &mut Vec<u8>, message: &QueuedMessage, form: BodyForm) {
    put_number(out, message.received.as_unix_millis());
    put_display(out, &message.reverse_path);
    let parameters = &message.parameters;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        flag(parameters.body == BodyType::EightBitMime, BODY_EIGHT_BIT)
            | flag(parameters.body == BodyType::BinaryMime, BODY_BINARY)
            | flag(parameters.smtputf8, SMTPUTF8)
            | flag(parameters.ret == Some(Ret::Full), RET_FULL)
            | flag(parameters.ret == Some(Ret::Headers), RET_HEADERS)
            | flag(message.hold == Some(Hold::Held), HELD)
            | flag(message.hold == Some(Hold::Quarantined), QUARANTINED)
            | flag(parameters.require_tls, REQUIRE_TLS),
    );
    // One more than the size, so that 0 says that none was given.
    put_number(out, parameters.size_octets.map_or(0, |size| size.saturating_add(1)));
    put_optional_text(out, parameters.envid.as_deref());
    put_optional_text(out, parameters.auth.as_deref());
    put_text(out, &message.origin.client);
    put_text(out, &message.origin.helo);
    put_number(out, message.recipients.len() as u64);
    for recipient in &message.recipients {
        put_recipient(out, recipient);
    }
    let submitted = flag(message.origin.submitted, SUBMITTED);
    match form {
        BodyForm::Inline => out.push(submitted),
        BodyForm::Large(size_octets) => {
            out.push(LARGE | submitted);
            put_number(out, size_octets);
        }
    }
}

fn put_recipient(out: &mut Vec<u8>, recipient: &QueuedRecipient) {
    put_display(out, &recipient.mailbox);
    put_display(out, &recipient.accepted_as);
    out.push(recipient.parameters.notify.map_or(0, |notify| {
        NOTIFY_GIVEN
            | if notify.success { NOTIFY_SUCCESS } else { 0 }
            | if notify.failure { NOTIFY_FAILURE } else { 0 }
            | if notify.delay { NOTIFY_DELAY } else { 0 }
    }));
    let original = recipient.parameters.original.as_ref();
    put_optional_text(out, original.map(|original| original.kind.as_str()));
    if let Some(original) = original {
        put_text(out, &original.address);
    }
    put_text(out, recipient.destination.as_str());
}

/// The text of `value`, its length in front, without a string in between: room for a short length is left and filled.
fn put_display(out: &mut Vec<u8>, value: &impl std::fmt::Display) {
    use std::io::Write as _;
    let start = out.len();
    out.push(0);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
    let length = out.len() - start - 1;
    if length < 0x80 {
        if let Some(first) = out.get_mut(start) {
            *first = length as u8;
        }
        return;
    }
    let text = out.split_off(start + 1);
    out.truncate(start);
    put_number(out, length as u64);
    out.extend_from_slice(&text);
}

/// A message's payload, its texts not yet parsed.
pub(super) struct RawMessage<'a> {
    pub(super) received: WallTime,
    pub(super) reverse_path: &'a str,
    flags: u8,
    size: u64,
    envid: Option<&'a str>,
    auth: Option<&'a str>,
    client: &'a str,
    helo: &'a str,
    recipients: Vec<RawRecipient<'a>>,
    submitted: bool,
    pub(super) form: BodyForm,
    /// The inline body; of a large one what stands in front of its file.
    pub(super) body: &'a [u8],
}

struct RawRecipient<'a> {
    mailbox: &'a str,
    accepted_as: &'a str,
    notify: u8,
    original: Option<(&'a str, &'a str)>,
    destination: &'a str,
}

impl<'a> RawMessage<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let received = WallTime::from_unix_millis(cursor.number()?);
        let reverse_path = cursor.text()?;
        let flags = cursor.octet()?;
        let size = cursor.number()?;
        let (envid, auth) = (cursor.optional_text()?, cursor.optional_text()?);
        let (client, helo) = (cursor.text()?, cursor.text()?);
        let count = cursor.number()?;
        let mut recipients = Vec::new();
        for _ in 0..count {
            let (mailbox, accepted_as) = (cursor.text()?, cursor.text()?);
            let notify = cursor.octet()?;
            let original = match cursor.optional_text()? {
                Some(kind) => Some((kind, cursor.text()?)),
                None => None,
            };
            let destination = cursor.text()?;
            recipients.push(RawRecipient { mailbox, accepted_as, notify, original, destination });
        }
        let kept = cursor.octet()?;
        let form = match kept & !SUBMITTED {
            0 => BodyForm::Inline,
            LARGE => BodyForm::Large(cursor.number()?),
            _ => return None,
        };
        let submitted = kept & SUBMITTED != 0;
        let body = cursor.rest();
        Some(Self {
            received,
            reverse_path,
            flags,
            size,
            envid,
            auth,
            client,
            helo,
            recipients,
            submitted,
            form,
            body,
        })
    }

    pub(super) fn size_octets(&self) -> u64 {
        self.large_octets().saturating_add(self.body.len() as u64)
    }

    /// Octets of mail data in the file of its own.
    pub(super) const fn large_octets(&self) -> u64 {
        match self.form {
            BodyForm::Inline => 0,
            BodyForm::Large(size_octets) => size_octets,
        }
    }

    /// Whether it waits for the postmaster from its first moment on, and why.
    pub(super) const fn hold(&self) -> Option<Hold> {
        match (self.flags & HELD, self.flags & QUARANTINED) {
            (0, 0) => None,
            (_, 0) => Some(Hold::Held),
            _ => Some(Hold::Quarantined),
        }
    }

    /// The recipients by destination.
    pub(super) fn groups(&self, names: &mut Destinations) -> Vec<(Destination, Vec<u32>)> {
        group_by_destination(self.recipients.iter().map(|recipient| recipient.destination), |key| {
            names.named(key)
        })
    }

    pub(super) fn parse(&self) -> Option<QueuedMessage> {
        let has = |flag: u8| self.flags & flag != 0;
        let body = match (has(BODY_EIGHT_BIT), has(BODY_BINARY)) {
            (_, true) => BodyType::BinaryMime,
            (true, false) => BodyType::EightBitMime,
            (false, false) => BodyType::SevenBit,
        };
        let ret = match (has(RET_FULL), has(RET_HEADERS)) {
            (true, _) => Some(Ret::Full),
            (false, true) => Some(Ret::Headers),
            (false, false) => None,
        };
        let parameters = MailParameters {
            size_octets: self.size.checked_sub(1),
            body,
            smtputf8: has(SMTPUTF8),
            ret,
            envid: self.envid.map(str::to_owned),
            auth: self.auth.map(str::to_owned),
            require_tls: has(REQUIRE_TLS),
        };
        Some(QueuedMessage {
            reverse_path: parse(self.reverse_path)?,
            parameters,
            received: self.received,
            hold: self.hold(),
            origin: Origin {
                client: self.client.to_owned(),
                helo: self.helo.to_owned(),
                submitted: self.submitted,
            },
            recipients: self.recipients.iter().map(RawRecipient::parse).collect::<Option<_>>()?,
        })
    }
}

impl RawRecipient<'_> {
    fn parse(&self) -> Option<QueuedRecipient> {
        let has = |flag: u8| self.notify & flag != 0;
        let notify = has(NOTIFY_GIVEN).then(|| Notify {
            success: has(NOTIFY_SUCCESS),
            failure: has(NOTIFY_FAILURE),
            delay: has(NOTIFY_DELAY),
        });
        let original = self
            .original
            .map(|(kind, address)| OriginalRecipient { kind: kind.to_owned(), address: address.to_owned() });
        Some(QueuedRecipient {
            mailbox: parse(self.mailbox)?,
            accepted_as: parse(self.accepted_as)?,
            parameters: RcptParameters { notify, original },
            destination: Destination::new(self.destination),
        })
    }
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// The payload of a State record: the delivery's number in its message, and the delivery.
pub(super) fn put_state(out: &mut Vec<u8>, number: u32, state: &DeliveryState) {
    put_number(out, u64::from(number));
    out.push(u8::from(state.held));
    put_number(out, state.due.as_unix_millis());
    put_number(out, u64::from(state.attempts));
    put_text(out, state.destination.as_str());
    put_number(out, state.pending.len() as u64);
    for (recipient, reply) in &state.pending {
        put_number(out, u64::from(*recipient));
        put_optional_text(out, reply.as_deref());
    }
}

pub(super) fn read_state(cursor: &mut Cursor<'_>) -> Option<(u32, DeliveryState)> {
    let number = cursor.small()?;
    let held = cursor.octet()? != 0;
    let due = WallTime::from_unix_millis(cursor.number()?);
    let attempts = cursor.small()?;
    let destination = Destination::new(cursor.text()?);
    let count = cursor.number()?;
    let mut pending = Vec::new();
    for _ in 0..count {
        let recipient = cursor.small()?;
        pending.push((recipient, cursor.optional_text()?.map(str::to_owned)));
    }
    Some((number, DeliveryState { destination, held, due, attempts, pending }))
}

/// As [`put_state`], without replies.
pub(super) fn put_state_summary(out: &mut Vec<u8>, number: u32, state: &StateSummary) {
    put_number(out, u64::from(number));
    out.push(u8::from(state.held));
    put_number(out, state.due.as_unix_millis());
    put_number(out, u64::from(state.attempts));
    put_text(out, state.destination.as_str());
    put_number(out, state.pending.as_slice().len() as u64);
    for &recipient in state.pending.as_slice() {
        put_number(out, u64::from(recipient));
        put_optional_text(out, None);
    }
}

/// As [`read_state`], without replies.
pub(super) fn read_state_summary(
    cursor: &mut Cursor<'_>,
    names: &mut Destinations,
) -> Option<(u32, StateSummary)> {
    let number = cursor.small()?;
    let held = cursor.octet()? != 0;
    let due = WallTime::from_unix_millis(cursor.number()?);
    let attempts = cursor.small()?;
    let destination = names.named(cursor.text()?);
    let count = cursor.number()?;
    let mut recipient = || {
        let recipient = cursor.small()?;
        cursor.optional_text()?;
        Some(recipient)
    };
    let pending = match count {
        0 => Pending::None,
        1 => Pending::One(recipient()?),
        count => Pending::new(&(0..count).map(|_| recipient()).collect::<Option<Vec<u32>>>()?),
    };
    Some((number, StateSummary { destination, held, due, attempts, pending }))
}

/// The payload of a Mark: no id up to `ids_until` is given again; the segment before was synced up to `sealed_octets`,
/// 0 when that is not known.
pub(super) fn put_mark(out: &mut Vec<u8>, ids_until: u64, sealed_octets: u32) {
    put_number(out, ids_until);
    put_number(out, u64::from(sealed_octets));
}

pub(super) fn read_mark(payload: &[u8]) -> Option<(u64, u32)> {
    let mut cursor = Cursor::new(payload);
    Some((cursor.number()?, cursor.small()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> QueuedMessage {
        let original = OriginalRecipient { kind: "rfc822".into(), address: "x".repeat(300) };
        let recipient = |mailbox: &str, destination: &str, notify, original| QueuedRecipient {
            mailbox: mailbox.parse().unwrap(),
            accepted_as: "<alias@example.org>".parse().unwrap(),
            parameters: RcptParameters { notify, original },
            destination: Destination::new(destination),
        };
        QueuedMessage {
            reverse_path: format!("<{}@example.org>", "a".repeat(60)).parse().unwrap(),
            parameters: MailParameters {
                size_octets: Some(0),
                body: BodyType::BinaryMime,
                smtputf8: true,
                ret: Some(Ret::Headers),
                envid: Some("QQ".into()),
                auth: Some(String::new()),
                require_tls: true,
            },
            received: WallTime::from_unix_millis(1_794_000_000_123),
            hold: Some(Hold::Quarantined),
            origin: Origin { client: "192.0.2.1".into(), helo: "client.example".into(), submitted: true },
            recipients: vec![
                recipient("a@example.org", "local", Some(Notify::NEVER), Some(original)),
                recipient("\"b b\"@[192.0.2.7]", "smtp:x", None, None),
                recipient("c@example.org", "local", None, None),
            ],
        }
    }

    #[test]
    fn a_message_reads_back() {
        for (form, body) in
            [(BodyForm::Inline, &b"Subject: x\r\n\r\n"[..]), (BodyForm::Large(5_000_000), b"A: b\r\n")]
        {
            let mut payload = Vec::new();
            put_message(&mut payload, &message(), form);
            payload.extend_from_slice(body);
            let raw = RawMessage::read(&payload).unwrap();
            assert_eq!(raw.parse(), Some(message()));
            assert_eq!((raw.form, raw.body), (form, body));
            assert_eq!(raw.size_octets(), raw.large_octets() + body.len() as u64);
            let expected = message().groups();
            assert_eq!(raw.groups(&mut Destinations::default()), expected);
            assert_eq!(expected.len(), 2);
        }
    }

    #[test]
    fn a_cut_message_never_panics() {
        let mut payload = Vec::new();
        put_message(&mut payload, &message(), BodyForm::Inline);
        for length in 0..payload.len() {
            assert!(RawMessage::read(&payload[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_state_reads_back() {
        let state = DeliveryState {
            destination: Destination::new("smtp:x"),
            held: true,
            due: WallTime::from_unix_millis(77),
            attempts: 3,
            pending: vec![(0, None), (70_000, Some("451 4.3.0 later".into()))],
        };
        let mut payload = Vec::new();
        put_state(&mut payload, 4, &state);
        assert_eq!(read_state(&mut Cursor::new(&payload)), Some((4, state.clone())));
        let summary = StateSummary::of(&state);
        let read =
            |payload: &[u8]| read_state_summary(&mut Cursor::new(payload), &mut Destinations::default());
        assert_eq!(read(&payload), Some((4, summary.clone())));
        let mut short = Vec::new();
        put_state_summary(&mut short, 4, &summary);
        assert_eq!(read(&short), Some((4, summary)));
    }
}
