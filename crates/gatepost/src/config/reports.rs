//! `[reports]`: who tells other domains what came of their mail and of TLS with them, and when.
//!
//! Invariant: whoever reports has an address that reports come from.

use std::time::Duration;

use smtp::address::{DomainName, Mailbox};
use toml::Spanned;
use toml::de::DeValue;

use super::form::{Fault, Form, Whole, text_of};
use super::key::Table;
use super::keys;
use super::problem::Problem;

/// Longest text about the organisation, in octets (ours: it stands in a header field).
const TEXT_OCTETS_MAX: usize = 200;

/// Which reports are sent, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// Whether DMARC aggregate reports are sent.
    pub dmarc: bool,
    /// Whether TLS reports are sent.
    pub tls: bool,
    /// Who reports, for people.
    pub organisation: String,
    /// Whom to ask about a report: an address or a URL.
    pub contact: String,
    /// Where reports come from; there is one when anything is reported.
    pub address: Option<Mailbox>,
    /// When a day is reported on, after its end; in UTC.
    pub at: Duration,
}

/// A text on one line.
pub(crate) struct LineForm(pub(crate) &'static str);

impl Form for LineForm {
    type Value = String;

    fn describe(&self) -> String {
        self.0.into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<String> {
        let text = text_of(value, self.0, faults)?;
        let why = match text {
            _ if text.trim().is_empty() => "it is empty".to_owned(),
            _ if text.len() > TEXT_OCTETS_MAX => format!("it is longer than {TEXT_OCTETS_MAX} octets"),
            _ if text.chars().any(char::is_control) => "it holds a control character".to_owned(),
            _ => return Some(text.to_owned()),
        };
        faults.push(Fault::new(value.span(), format!("not {}", self.0), why));
        None
    }
}

/// A time of day, in UTC.
pub(crate) struct TimeOfDayForm;

impl Form for TimeOfDayForm {
    type Value = Duration;

    fn describe(&self) -> String {
        "a time of day, as \"03:30\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Duration> {
        let text = text_of(value, "a time of day", faults)?;
        let number = |part: &str, limit: u64| {
            let plain = part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit());
            plain.then(|| part.parse::<u64>().ok())?.filter(|number| *number < limit)
        };
        let time = text.split_once(':').and_then(|(hours, minutes)| {
            Some(Duration::from_secs(number(hours, 24)? * 3_600 + number(minutes, 60)? * 60))
        });
        if time.is_none() {
            let fault =
                Fault::new(value.span(), format!("`{text}` is no time of day"), "expected hours and minutes");
            faults.push(fault.help(Some("write it as \"03:30\", in UTC".into())));
        }
        time
    }
}

impl Whole for TimeOfDayForm {
    fn fallback(&self) -> Duration {
        Duration::ZERO
    }
}

pub(super) fn read_reports(
    top: &Table<'_>,
    hostname: &DomainName,
    home: Option<&DomainName>,
    problems: &mut Vec<Problem>,
) -> ReportSettings {
    let table = top.section("reports", &keys::REPORTS, problems);
    let before = problems.len();
    let address = table.read(&keys::REPORTS_ADDRESS, problems);
    let address = address.map(|address| address.into_inner().at(home.unwrap_or(hostname)));
    let is_misread = problems.len() > before;
    if let Some(address) = address.as_ref().filter(|address| !address.is_ascii()) {
        let place = table.place("address").unwrap_or_else(|| top.frame.place(0..0));
        let title = format!("reports can't come from `{address}`");
        problems.push(Problem::error(
            title,
            place,
            "expected an address in ASCII: many servers take no other",
        ));
    }
    let (dmarc, tls) = (table.read(&keys::REPORTS_DMARC, problems), table.read(&keys::REPORTS_TLS, problems));
    if (dmarc || tls) && address.is_none() && !is_misread {
        let name = if dmarc { "dmarc" } else { "tls" };
        let place = table.place(name).unwrap_or_else(|| top.frame.place(0..0));
        let advice = "write `address = \"reports@example.org\"`, an address whose domain signs with DKIM or has an SPF record";
        problems.push(
            Problem::error(
                "reports without an address that they come from",
                place,
                "expected `address` beside it",
            )
            .help(advice.to_owned()),
        );
    }
    let contact = table.read(&keys::REPORTS_CONTACT, problems);
    ReportSettings {
        dmarc,
        tls,
        organisation: table
            .read(&keys::REPORTS_ORGANISATION, problems)
            .unwrap_or_else(|| hostname.to_string()),
        contact: contact.or_else(|| address.as_ref().map(ToString::to_string)).unwrap_or_default(),
        address,
        at: table.read(&keys::REPORTS_AT, problems),
    }
}

impl ReportSettings {
    /// Whether anything is reported.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.dmarc || self.tls
    }
}
