//! Delivery status notifications: who gets one and what it says (RFC 3461, RFC 3464, RFC 6522, RFC 6533).
//!
//! Invariants: a message with the null reverse-path is never reported on, so no DSN answers a DSN; what peers and
//! senders wrote can't add a field, a line or a part: controls become spaces, lines stay within 998 octets, and the
//! boundary occurs in no part; the mail data of a DSN is at most [`LARGE_BODY_OCTETS`].

mod delivery_status;
mod encoding;
mod expansion;
mod explanation;
mod guard;
mod readable;
mod returned;

#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;

pub use self::expansion::{Expansions, of_list};
pub use self::guard::{ADDRESS_AN_HOUR, DOMAIN_AN_HOUR, Guard, SUBMITTER_AN_HOUR};

use smtp::address::{DomainName, ForwardPath, Mailbox, ReversePath};
use smtp::envelope::{BodyType, MailParameters, Notify, RcptParameters, Ret};
use smtp::time::WallTime;

use crate::message::{Destination, Draft, Origin, QueuedMessage, QueuedRecipient};
use crate::queue_id::QueueId;
use crate::spool::LARGE_BODY_OCTETS;
use encoding::{Encoding, Part};

/// Most recipients that one DSN reports on; more take more DSNs (ours: bounds a DSN to [`LARGE_BODY_OCTETS`]).
pub const REPORTS_MAX: usize = 100;

/// Largest message that is returned whole, in octets (ours: what a sender's mailbox need not hold twice).
pub const RETURNED_OCTETS_MAX: u64 = 256 * 1024;

/// Most octets of a header section that are returned, cut at a line's end (ours).
pub const HEADER_SECTION_OCTETS_MAX: usize = 64 * 1024;

/// Most octets of the parts' contents together: a DSN's but for 8 KiB for its own and the parts' header sections.
const PARTS_OCTETS_MAX: usize = LARGE_BODY_OCTETS as usize - 8 * 1024;

/// What is reported of one message.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// This server.
    pub reporting_mta: &'a DomainName,
    /// The queue id of the message.
    pub queue_id: QueueId,
    /// The message.
    pub message: &'a QueuedMessage,
    /// What is there to return of it.
    pub original: Original<'a>,
    /// Where its recipients stand; those whose report is not [`wanted`] are left out.
    pub reports: &'a [Report<'a>],
    /// When the last attempt was made, and the DSN's date.
    pub now: WallTime,
    /// A random number, for the Message-ID and the boundary.
    pub random: u64,
}

/// What is at hand of the message that is reported on.
#[derive(Debug, Clone, Copy)]
pub enum Original<'a> {
    /// The octets of its header section, or the first [`HEADER_SECTION_OCTETS_MAX`] of its mail data.
    HeaderSection(&'a [u8]),
    /// All of its mail data; returned whole when that is asked for and can be done.
    Whole(&'a [u8]),
}

/// Where one recipient stands.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The recipient.
    pub recipient: &'a QueuedRecipient,
    /// What was done.
    pub action: Action,
    /// The enhanced status code with its class, such as `5.1.1`; a generic one stands in for what is none (RFC 3463)
    /// or contradicts the action.
    pub status: &'a str,
    /// The reply that decided, on one line: `550 5.1.1 no such user`.
    pub diagnostic: Option<&'a str>,
    /// The name of the server that gave it; `None` when it was this one.
    pub remote: Option<&'a str>,
}

/// What was done for a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It was refused for good.
    Failed,
    /// It was given up at the end of its lifetime: `failed`, too.
    Expired,
    /// It waits.
    Delayed {
        /// The end of its lifetime.
        until: WallTime,
    },
    /// It is in the mailbox.
    Delivered,
    /// It was passed on to the several addresses that an alias stands for.
    Expanded,
    /// A server that sends no DSNs has it.
    Relayed,
}

impl Action {
    /// Whether the recipient's mail will not arrive.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }
}

/// A DSN that is ready to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsn {
    /// Whom it goes to: the reverse-path of the message reported on.
    pub recipient: Mailbox,
    /// The parameters of its MAIL; `SMTPUTF8` only when an address of its own header section needs it.
    pub parameters: MailParameters,
    /// Its mail data, with CRLF at each line's end.
    pub mail_data: Vec<u8>,
}

impl Dsn {
    /// The DSN for the spool: from the null reverse-path, itself never to be reported on (RFC 3461 §6.1).
    #[must_use]
    pub fn into_draft(self, received: WallTime, destination: Destination) -> Draft {
        let recipient = QueuedRecipient {
            accepted_as: ForwardPath::Mailbox(self.recipient.clone()),
            mailbox: self.recipient,
            parameters: RcptParameters { notify: Some(Notify::NEVER), original: None },
            destination,
        };
        let message = QueuedMessage {
            reverse_path: ReversePath::Null,
            parameters: self.parameters,
            received,
            hold: None,
            origin: Origin { client: "dsn".to_owned(), helo: String::new(), submitted: true },
            recipients: vec![recipient],
        };
        Draft { message, body: self.mail_data }
    }
}

/// Whether the sender is to be told of `action` (RFC 3461 §4.1, §5.2): without NOTIFY of failures and delays.
#[must_use]
pub fn wanted(message: &QueuedMessage, recipient: &QueuedRecipient, action: Action) -> bool {
    let unasked = Notify { success: false, failure: true, delay: true };
    let notify = recipient.parameters.notify.unwrap_or(unasked);
    let asked = match action {
        Action::Failed | Action::Expired => notify.failure,
        Action::Delayed { .. } => notify.delay,
        Action::Delivered | Action::Expanded | Action::Relayed => notify.success,
    };
    asked && message.reverse_path != ReversePath::Null
}

/// Whether a report of a failure would return the message whole, so that its mail data is to be read: when RET says
/// so and it is small enough (RFC 3461 §4.3), and its content needs no protection on its way (RFC 8689 §5).
#[must_use]
pub fn returns_whole(message: &QueuedMessage, size_octets: u64) -> bool {
    let parameters = &message.parameters;
    parameters.ret == Some(Ret::Full) && !parameters.require_tls && size_octets <= RETURNED_OCTETS_MAX
}

/// The DSNs of a notice: one for each [`REPORTS_MAX`] reports that are wanted, so usually one, or none.
#[must_use]
pub fn compose(notice: &Notice<'_>) -> Vec<Dsn> {
    let Some(recipient) = notice.message.reverse_path.mailbox() else { return Vec::new() };
    let mut reports: Vec<Report<'_>> = notice
        .reports
        .iter()
        .filter(|report| wanted(notice.message, report.recipient, report.action))
        .copied()
        .collect();
    // The worst news first; the sort keeps the order among equals.
    reports.sort_by_key(|report| readable::section(report.action));
    (0..)
        .zip(reports.chunks(REPORTS_MAX))
        .map(|(number, reports)| one(notice, recipient, reports, number))
        .collect()
}

/// DSN `number` of the notice.
fn one(notice: &Notice<'_>, recipient: &Mailbox, reports: &[Report<'_>], number: u64) -> Dsn {
    // Other texts with characters past ASCII have a 7-bit form, which every return path takes (RFC 6533 §4.5).
    let smtputf8 = !(recipient.is_ascii() && notice.reporting_mta.as_str().is_ascii());
    let mut parts =
        vec![readable::part(notice, reports, smtputf8), delivery_status::part(notice, reports, smtputf8)];
    let room_octets =
        parts.iter().fold(PARTS_OCTETS_MAX, |room, part| room.saturating_sub(part.octets.len()));
    let failure = reports.iter().any(|report| report.action.is_failure());
    let whole = match notice.original {
        Original::Whole(mail_data) if failure && number == 0 => {
            Some(mail_data).filter(|mail_data| returns_whole(notice.message, mail_data.len() as u64))
        }
        _ => None,
    };
    let whole = whole
        .and_then(|mail_data| returned::whole(mail_data, smtputf8))
        .filter(|part| part.octets.len() <= room_octets);
    parts.push(whole.unwrap_or_else(|| returned::header_section(notice.original, smtputf8)));
    let body = if parts.iter().any(|part| part.encoding == Encoding::EightBit) {
        BodyType::EightBitMime
    } else {
        BodyType::SevenBit
    };
    let mail_data = assemble(notice, recipient, reports, number, &parts);
    let size_octets = Some(mail_data.len() as u64);
    // RFC 8689 §5: what is said of a message goes as the message had to.
    let require_tls = notice.message.parameters.require_tls;
    let parameters = MailParameters { size_octets, body, smtputf8, require_tls, ..MailParameters::default() };
    Dsn { recipient: recipient.clone(), parameters, mail_data }
}

/// The mail data: the header section and the parts between boundaries.
fn assemble(
    notice: &Notice<'_>,
    recipient: &Mailbox,
    reports: &[Report<'_>],
    number: u64,
    parts: &[Part],
) -> Vec<u8> {
    let Notice { reporting_mta, queue_id, now, random, .. } = *notice;
    let boundary = encoding::boundary(random, parts);
    let mut mail_data = format!(
        "From: Mail Delivery Subsystem <postmaster@{reporting_mta}>\r\n\
         To: <{recipient}>\r\n\
         Subject: {}\r\n\
         Date: {}\r\n\
         Message-ID: <dsn.{queue_id}.{random:016x}.{number}@{reporting_mta}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n",
        readable::subject(reports),
        now.to_date_time(),
    )
    .into_bytes();
    if parts.iter().any(|part| part.encoding == Encoding::EightBit) {
        mail_data.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
    }
    mail_data.extend_from_slice(b"\r\nThis is a report in MIME format (RFC 3464).\r\n");
    for part in parts {
        let Part { description, content_type, encoding, octets } = part;
        let head = format!(
            "\r\n--{boundary}\r\nContent-Description: {description}\r\nContent-Type: {content_type}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        mail_data.extend_from_slice(head.as_bytes());
        mail_data.extend_from_slice(octets);
    }
    mail_data.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    mail_data
}

/// The address as the server accepted it: what the sender knows, and no more than that (RFC 3464 §2.3.2).
fn accepted_as(notice: &Notice<'_>, recipient: &QueuedRecipient) -> String {
    match &recipient.accepted_as {
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
        ForwardPath::Postmaster => format!("postmaster@{}", notice.reporting_mta),
    }
}

/// The enhanced status code that is reported.
fn status(report: &Report<'_>) -> String {
    let generic = match report.action {
        Action::Failed => "5.0.0",
        Action::Expired => "4.4.7",
        Action::Delayed { .. } => "4.0.0",
        Action::Delivered | Action::Expanded | Action::Relayed => "2.0.0",
    };
    let Some((class, rest)) = enhanced(report.status) else { return generic.to_owned() };
    match report.action {
        Action::Failed | Action::Expired if matches!(class, '4' | '5') => format!("{class}.{rest}"),
        Action::Delayed { .. } if matches!(class, '4' | '5') => format!("4.{rest}"),
        Action::Delivered | Action::Expanded | Action::Relayed if class == '2' => format!("2.{rest}"),
        _ => generic.to_owned(),
    }
}

/// The class of an enhanced status code and what follows it (RFC 3463 §2).
fn enhanced(text: &str) -> Option<(char, &str)> {
    let number =
        |digits: &str| (1..=3).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let (class, rest) = text.split_once('.')?;
    let (subject, detail) = rest.split_once('.')?;
    let class = match class {
        "2" => '2',
        "4" => '4',
        "5" => '5',
        _ => return None,
    };
    (number(subject) && number(detail)).then_some((class, rest))
}
