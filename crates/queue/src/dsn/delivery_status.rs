//! The second part of a DSN: fields for programs (RFC 3464 §2, RFC 6533 §4.1).

use smtp::address::Mailbox;
use smtp::xtext::Unitext;

use super::encoding::{self, Part, ascii, clean, clipped, push_field};
use super::{Action, Notice, Report, accepted_as, status};

/// Most octets of a reply that are quoted: those of a reply's line (RFC 5321 §4.5.3.1.5).
pub(super) const DIAGNOSTIC_OCTETS_MAX: usize = 512;

/// Most octets of a server's name that are quoted: those of a domain (RFC 5321 §4.5.3.1.2).
pub(super) const REMOTE_OCTETS_MAX: usize = 255;

/// Longest address that is written, in octets; one that takes more in its encoded form is left out (ours: keeps the
/// field on one line, where no space can get into it).
const ADDRESS_OCTETS_MAX: usize = 900;

/// The part: `message/delivery-status`, or `message/global-delivery-status` in a message that is SMTPUTF8.
pub(super) fn part(notice: &Notice<'_>, reports: &[Report<'_>], smtputf8: bool) -> Part {
    let fields = Fields { text: String::new(), smtputf8 };
    let text = fields.write(notice, reports);
    let (encoding, octets) = encoding::encode(text.into_bytes(), smtputf8);
    let content_type = if smtputf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    Part { description: "Delivery report", content_type, encoding, octets }
}

/// The fields so far.
struct Fields {
    text: String,
    smtputf8: bool,
}

impl Fields {
    fn write(mut self, notice: &Notice<'_>, reports: &[Report<'_>]) -> String {
        let message = notice.message;
        if let Some(envid) = &message.parameters.envid {
            self.push("Original-Envelope-Id", envid);
        }
        self.push("Reporting-MTA", &format!("dns; {}", notice.reporting_mta));
        self.push("Arrival-Date", &message.received.to_date_time());
        self.push("X-Gatepost-Queue-Id", &notice.queue_id.to_string());
        for report in reports {
            self.text.push_str("\r\n");
            self.write_recipient(notice, report);
        }
        self.text
    }

    fn write_recipient(&mut self, notice: &Notice<'_>, report: &Report<'_>) {
        if let Some(original) = &report.recipient.parameters.original {
            self.push_address("Original-Recipient", &original.kind, &original.address);
        }
        let address = accepted_as(notice, report.recipient);
        let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
        self.push_address("Final-Recipient", kind, &address);
        self.push("Action", action_value(report.action));
        self.push("Status", &status(report));
        if let Some(remote) = report.remote {
            // Without a word behind it, "dns;" would be no name.
            match clipped(remote, REMOTE_OCTETS_MAX).as_str() {
                "" => {}
                remote => self.push("Remote-MTA", &format!("dns; {remote}")),
            }
        }
        if let Some(diagnostic) = report.diagnostic {
            let kind = if is_reply(diagnostic) { "smtp" } else { "x-gatepost" };
            self.push("Diagnostic-Code", &format!("{kind}; {}", clipped(diagnostic, DIAGNOSTIC_OCTETS_MAX)));
        }
        self.push("Last-Attempt-Date", &notice.now.to_date_time());
        if let Action::Delayed { until } = report.action {
            self.push("Will-Retry-Until", &until.to_date_time());
        }
    }

    /// Appends a field of text that may be folded.
    fn push(&mut self, name: &str, value: &str) {
        let value = clean(value);
        let value = if self.smtputf8 { value } else { ascii(&value) };
        push_field(&mut self.text, name, &value);
    }

    /// Appends a field with an address, letter for letter.
    fn push_address(&mut self, name: &str, kind: &str, address: &str) {
        let is_atom = |text: &str| {
            !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        let mut address = clean(address);
        let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
        // In a 7-bit part the utf-8-addr-xtext form is to be used (RFC 6533 §3), but a text that is no mailbox must
        // be kept as it is.
        if is_utf8 && !self.smtputf8 && (!address.is_ascii() || address.parse::<Mailbox>().is_ok()) {
            address = Unitext(&address).to_string();
        } else if !self.smtputf8 {
            address = ascii(&address);
        }
        if is_atom(kind)
            && !address.is_empty()
            && name.len() + kind.len() + address.len() <= ADDRESS_OCTETS_MAX
        {
            self.text.push_str(&format!("{name}: {kind}; {address}\r\n"));
        }
    }
}

/// Action as it is written (RFC 3464 §2.3.3).
fn action_value(action: Action) -> &'static str {
    match action {
        Action::Failed | Action::Expired => "failed",
        Action::Delayed { .. } => "delayed",
        Action::Delivered => "delivered",
        Action::Expanded => "expanded",
        Action::Relayed => "relayed",
    }
}

/// Whether the text starts with a reply code, as a diagnostic of the type `smtp` must.
fn is_reply(text: &str) -> bool {
    let Some((code, rest)) = text.split_at_checked(3) else { return false };
    smtp::reply::ReplyCode::new(code.parse().unwrap_or(0)).is_some()
        && matches!(rest.bytes().next(), None | Some(b' ' | b'-'))
}
