//! The envelope: what MAIL and RCPT said, parameters included (RFC 5321 §2.3.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::address::{ForwardPath, ReversePath};

/// The envelope of a transaction. At the end of its data it has at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The argument of MAIL.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub parameters: MailParameters,
    /// The accepted arguments of RCPT, in order.
    pub recipients: Vec<Recipient>,
}

/// One accepted RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The argument of RCPT, its source route dropped (RFC 5321 §4.1.1.3).
    pub forward_path: ForwardPath,
    /// The parameters of RCPT.
    pub parameters: RcptParameters,
}

/// Parameters of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// `SIZE=`, in octets (RFC 1870 §6.1).
    pub size_octets: Option<u64>,
    /// `BODY=` (RFC 6152, RFC 3030).
    pub body: BodyType,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded from xtext (RFC 3461 §4.4), at most 100 characters.
    pub envid: Option<String>,
    /// `AUTH=` (RFC 4954 §5): decoded from xtext; `<>` is the empty text.
    pub auth: Option<String>,
    /// `REQUIRETLS` (RFC 8689 §2): wherever the message is handed on, TLS with a verified server that offers the same is
    /// demanded.
    pub require_tls: bool,
}

/// Parameters of RCPT (RFC 3461).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParameters {
    /// `NOTIFY=`; `None` when it was not given, which a DSN-unaware peer means as failure and delay.
    pub notify: Option<Notify>,
    /// `ORCPT=` (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
}

/// Form of the mail data (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// `7BIT`, also when nothing was said.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
    /// `BINARYMIME`: only over BDAT.
    BinaryMime,
}

/// How much of the message a failure DSN returns (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// `FULL`: the whole message.
    Full,
    /// `HDRS`: its header section.
    Headers,
}

/// When the sender wants a DSN (RFC 3461 §4.1). All three false is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
}

/// The recipient as the sender first wrote it (RFC 3461 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// Address type, such as `rfc822` or `utf-8` (RFC 6533 §3).
    pub kind: String,
    /// The address, decoded from xtext; at most 500 octets.
    pub address: String,
}
