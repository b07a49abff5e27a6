//! A message without its mail data, as it is shown, exported and imported.
//!
//! Invariants: what is exported reads back to the same envelope; a field that is unknown is refused, so that nothing
//! gets lost between versions unnoticed.

use queue::body::StoredMessage;
use queue::delivery::RecipientState;
use queue::message::{Hold, QueuedMessage, QueuedRecipient};
use queue::queue_id::QueueId;
use serde::{Deserialize, Serialize};
use smtp::address::Mailbox;
use smtp::envelope::{BodyType, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};

use super::form::{self, Time};
use super::request::Phase;

/// The version of the form: it grows when a field changes its meaning.
pub(super) const SCHEMA: u32 = 1;

/// A message without its mail data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The version of this form.
    pub schema: u32,
    /// Its queue id.
    #[serde(with = "form::text")]
    pub id: QueueId,
    /// When it was received.
    pub received: Time,
    /// Octets of its mail data.
    pub size_octets: u64,
    /// The argument of MAIL, `<>` for the null one.
    pub reverse_path: String,
    /// The parameters of MAIL.
    #[serde(default)]
    pub parameters: Parameters,
    /// Who handed it in.
    #[serde(default)]
    pub origin: Origin,
    /// Why it waited for the postmaster from its first moment on: `held` or `quarantined`.
    #[serde(default)]
    pub hold: Option<String>,
    /// Its recipients, those that are finished included.
    pub recipients: Vec<MessageRecipient>,
}

/// The parameters of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// `SIZE=`, in octets.
    pub size: Option<u64>,
    /// `BODY=`: `7BIT`, `8BITMIME` or `BINARYMIME`.
    pub body: Option<String>,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `RET=`: `FULL` or `HDRS`.
    pub ret: Option<String>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
    /// `AUTH=`, decoded; the empty text is `<>`.
    pub auth: Option<String>,
    /// `REQUIRETLS`.
    pub require_tls: bool,
}

/// The client that a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// Its address, or what generated the message.
    pub client: String,
    /// The argument of its EHLO or HELO.
    pub helo: String,
    /// Whether it is the site's own mail.
    pub submitted: bool,
}

/// A recipient of a message and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRecipient {
    /// Where the mail goes, aliases resolved.
    #[serde(with = "form::text")]
    pub mailbox: Mailbox,
    /// What RCPT said.
    pub accepted_as: String,
    /// `NOTIFY=`, if it was given: `NEVER`, or some of `SUCCESS`, `FAILURE` and `DELAY` with commas between.
    #[serde(default)]
    pub notify: Option<String>,
    /// `ORCPT=`, if it was given: address type, `;` and the decoded address.
    #[serde(default)]
    pub orcpt: Option<String>,
    /// Where it was to go when it was received.
    pub destination: String,
    /// Where it goes now.
    pub goes_to: String,
    /// Where it stands.
    pub phase: Phase,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried (next), unless it is finished.
    #[serde(default)]
    pub due: Option<Time>,
    /// When its destination is tried again, where that is let alone beyond the recipient's own time. It stands where a
    /// message is shown; an import does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_opens: Option<Time>,
    /// What the last attempt met.
    #[serde(default)]
    pub last_reply: Option<String>,
}

impl Message {
    /// The message as it is shown.
    pub(super) fn of(stored: &StoredMessage) -> Self {
        let QueuedMessage { reverse_path, parameters, received, origin, hold, recipients } = &stored.message;
        let states = recipients.iter().zip(&stored.recipients);
        Self {
            schema: SCHEMA,
            id: stored.id,
            received: Time(*received),
            size_octets: stored.body.size_octets(),
            reverse_path: form::bare(reverse_path),
            parameters: Parameters::of(parameters),
            origin: Origin {
                client: origin.client.clone(),
                helo: origin.helo.clone(),
                submitted: origin.submitted,
            },
            hold: hold.map(|hold| hold_word(hold).to_owned()),
            recipients: states.map(|(recipient, state)| MessageRecipient::of(recipient, state)).collect(),
        }
    }

    /// The message as it is queued, with those of its recipients that are not finished.
    ///
    /// # Errors
    /// A sentence on what can't be read.
    pub(super) fn queued(&self) -> Result<QueuedMessage, String> {
        if self.schema != SCHEMA {
            return Err(format!("the envelope has schema {}, this program reads {SCHEMA}", self.schema));
        }
        let pending = self.recipients.iter().filter(|recipient| recipient.phase != Phase::Finished);
        let queued = QueuedMessage {
            reverse_path: form::reverse_path(&self.reverse_path)?,
            parameters: self.parameters.queued()?,
            received: self.received.0,
            origin: queue::message::Origin {
                client: self.origin.client.clone(),
                helo: self.origin.helo.clone(),
                submitted: self.origin.submitted,
            },
            hold: self.hold.as_deref().map(hold_of).transpose()?,
            recipients: pending.map(MessageRecipient::queued).collect::<Result<_, _>>()?,
        };
        if queued.recipients.is_empty() {
            return Err(String::from("no recipient is left that is not finished"));
        }
        Ok(queued)
    }
}

/// The word for a hold.
pub(super) const fn hold_word(hold: Hold) -> &'static str {
    match hold {
        Hold::Held => "held",
        Hold::Quarantined => "quarantined",
    }
}

fn hold_of(word: &str) -> Result<Hold, String> {
    match word {
        "held" => Ok(Hold::Held),
        "quarantined" => Ok(Hold::Quarantined),
        _ => Err(format!("hold `{word}` is neither held nor quarantined")),
    }
}

impl Parameters {
    fn of(parameters: &MailParameters) -> Self {
        let MailParameters { size_octets, body, smtputf8, ret, envid, auth, require_tls } = parameters;
        let body = match body {
            BodyType::SevenBit => None,
            BodyType::EightBitMime => Some("8BITMIME"),
            BodyType::BinaryMime => Some("BINARYMIME"),
        };
        let ret = ret.map(|ret| match ret {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        });
        Self {
            size: *size_octets,
            body: body.map(str::to_owned),
            smtputf8: *smtputf8,
            ret: ret.map(str::to_owned),
            envid: envid.clone(),
            auth: auth.clone(),
            require_tls: *require_tls,
        }
    }

    fn queued(&self) -> Result<MailParameters, String> {
        let Self { size, body, smtputf8, ret, envid, auth, require_tls } = self;
        let body = match body.as_deref() {
            None | Some("7BIT") => BodyType::SevenBit,
            Some("8BITMIME") => BodyType::EightBitMime,
            Some("BINARYMIME") => BodyType::BinaryMime,
            Some(other) => return Err(format!("body `{other}` is unknown: 7BIT, 8BITMIME, BINARYMIME")),
        };
        let ret = match ret.as_deref() {
            None => None,
            Some("FULL") => Some(Ret::Full),
            Some("HDRS") => Some(Ret::Headers),
            Some(other) => return Err(format!("ret `{other}` is unknown: FULL, HDRS")),
        };
        let (envid, auth) = (envid.clone(), auth.clone());
        let (size_octets, smtputf8, require_tls) = (*size, *smtputf8, *require_tls);
        Ok(MailParameters { size_octets, body, smtputf8, ret, envid, auth, require_tls })
    }
}

impl MessageRecipient {
    fn of(recipient: &QueuedRecipient, state: &RecipientState) -> Self {
        let QueuedRecipient { mailbox, accepted_as, parameters, destination } = recipient;
        let RcptParameters { notify, original } = parameters;
        let phase = Phase::from(state.phase);
        Self {
            mailbox: mailbox.clone(),
            accepted_as: form::bare_forward(accepted_as),
            notify: notify.map(notify_words),
            orcpt: original.as_ref().map(|original| format!("{};{}", original.kind, original.address)),
            destination: destination.to_string(),
            goes_to: state.destination.to_string(),
            phase,
            attempts: state.attempts,
            due: (phase != Phase::Finished).then_some(Time(state.due)),
            destination_opens: None,
            last_reply: state.last_reply.clone(),
        }
    }

    fn queued(&self) -> Result<QueuedRecipient, String> {
        form::destination(&self.goes_to)?;
        let original = self.orcpt.as_ref().map(|orcpt| {
            let (kind, address) = orcpt
                .split_once(';')
                .ok_or_else(|| format!("orcpt `{orcpt}` has no `;` behind its address type"))?;
            Ok::<_, String>(OriginalRecipient { kind: kind.to_owned(), address: address.to_owned() })
        });
        Ok(QueuedRecipient {
            mailbox: self.mailbox.clone(),
            accepted_as: form::forward_path(&self.accepted_as)?,
            parameters: RcptParameters {
                notify: self.notify.as_deref().map(notify_of).transpose()?,
                original: original.transpose()?,
            },
            destination: form::destination(&self.destination)?,
        })
    }
}

fn notify_words(notify: Notify) -> String {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let given: Vec<&str> = words.iter().filter(|(given, _)| *given).map(|(_, word)| *word).collect();
    if given.is_empty() { String::from("NEVER") } else { given.join(",") }
}

fn notify_of(words: &str) -> Result<Notify, String> {
    let mut notify = Notify::NEVER;
    if words == "NEVER" {
        return Ok(notify);
    }
    for word in words.split(',') {
        match word {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return Err(format!("notify `{word}` is unknown: NEVER, SUCCESS, FAILURE, DELAY")),
        }
    }
    Ok(notify)
}
