//! DMARC aggregate reports, as files and mails (RFC 9990 §3.5).
//!
//! Invariant: a report that would be larger than its receivers take is made as several.

use flate2::Compression;
use flate2::GzBuilder;
use smtp::address::Mailbox;
use smtp::time::WallTime;

use super::mail::{Mail, encoded_octets};
use super::store::{Due, StoredRow};
use super::who::Who;
use crate::net::mail_auth::aggregate::{Frame, PublishedPolicy, Row, to_xml};

/// A report that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Composed {
    /// Its name.
    pub(super) report_id: String,
    /// What it tells.
    pub(super) rows: Vec<StoredRow>,
    /// The text.
    pub(super) text: String,
    /// The text as a compressed file.
    pub(super) file: Vec<u8>,
}

/// What is made of rows.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The reports.
    pub(super) reports: Vec<Composed>,
    /// Rows that make too large a report alone, or can't be read.
    pub(super) unfit: Vec<StoredRow>,
}

/// Makes reports, each at most `octets_max` large in the mail, of rows of one domain and day. `name` gives names.
pub(super) fn make(
    who: &Who<'_>,
    due: &Due,
    rows: Vec<StoredRow>,
    octets_max: u64,
    name: &dyn Fn() -> String,
) -> Made {
    let mut made = Made::default();
    // What the domain had published is one for a report.
    for rows in rows.chunk_by(|one, other| one.head == other.head) {
        split(who, due, rows, octets_max, name, &mut made);
    }
    made
}

/// Makes one report of the rows, or more of parts of them.
fn split(
    who: &Who<'_>,
    due: &Due,
    rows: &[StoredRow],
    octets_max: u64,
    name: &dyn Fn() -> String,
    made: &mut Made,
) {
    let published = rows.first().and_then(|row| serde_json::from_str::<PublishedPolicy>(&row.head).ok());
    let read: Vec<(Row, u64)> =
        rows.iter().filter_map(|row| Some((serde_json::from_str(&row.body).ok()?, row.count))).collect();
    let Some(published) = published.filter(|_| read.len() == rows.len()) else {
        made.unfit.extend_from_slice(rows);
        return;
    };
    let report_id = name();
    let (begin, end) = super::who::seconds(due.day);
    let frame = Frame {
        organisation: who.organisation,
        address: &who.address.to_string(),
        contact: who.contact,
        report_id: &report_id,
        seconds: (begin, end),
        domain: &due.domain,
        published: &published,
    };
    let text = to_xml(&frame, read.iter().map(|(row, count)| (row, *count)));
    let file = compressed(text.as_bytes());
    if encoded_octets(file.len()) as u64 <= octets_max {
        made.reports.push(Composed { report_id, rows: rows.to_vec(), text, file });
    } else if let Some((first, second)) =
        rows.split_at_checked(rows.len() / 2).filter(|(first, _)| !first.is_empty())
    {
        split(who, due, first, octets_max, name, made);
        split(who, due, second, octets_max, name, made);
    } else {
        made.unfit.extend_from_slice(rows);
    }
}

/// The mail that brings a report.
pub(super) fn mail(
    who: &Who<'_>,
    due: &Due,
    report: &Composed,
    recipients: &[Mailbox],
    now: WallTime,
) -> Vec<u8> {
    let (begin, end) = super::who::seconds(due.day);
    let unique = super::who::unique(&report.report_id);
    let file_name = format!("{}!{}!{begin}!{end}!{unique}.xml.gz", who.submitter, due.domain);
    let sentence = format!("This is a DMARC aggregate report (RFC 9990) of {}.", who.submitter);
    Mail {
        organisation: who.organisation,
        address: who.address,
        recipients,
        domain: &due.domain,
        submitter: who.submitter,
        report_id: &report.report_id,
        content_type: "multipart/mixed",
        fields: "",
        sentence: &sentence,
        media_type: "application/gzip",
        file_name: &file_name,
        report: &report.file,
        now,
    }
    .compose()
}

/// The octets as a file of gzip (RFC 1952) that tells no time.
pub(super) fn compressed(octets: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
    // A vector takes whatever is written.
    let _ = encoder.write_all(octets);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use mail_auth::report::Report;

    use super::*;
    use crate::journal::day::Day;
    use crate::net::mail_auth::aggregate::Fate;
    use crate::net::mail_auth::aggregate::tests::{row, verdict};
    use crate::reports::store::Kind;

    const MAIL_OCTETS_MAX: usize = 1_000_000;

    fn rows(count: u32) -> Vec<StoredRow> {
        let verdict = verdict("example.org", "reject", false);
        let head = serde_json::to_string(&PublishedPolicy::of(&verdict)).unwrap();
        let stored = |number: u32| StoredRow {
            id: i64::from(number),
            head: head.clone(),
            body: serde_json::to_string(&row(&format!("d{number}.example.org"), &verdict, Fate::Rejected))
                .unwrap(),
            count: u64::from(number) + 1,
        };
        (0..count).map(stored).collect()
    }

    fn due() -> Due {
        Due { kind: Kind::Dmarc, day: Day::numbered(20_781), domain: "example.org".into() }
    }

    #[test]
    fn a_mail_brings_what_was_collected() {
        let address = "reports@here.example".parse().unwrap();
        let who = Who::example(&address);
        let made = make(&who, &due(), rows(3), u64::MAX, &|| "2026-11-24.1@mx.here.example".into());
        let [report] = made.reports.as_slice() else { panic!("one report: {made:?}") };
        let recipients = ["a@example.org".parse().unwrap()];
        let mail = mail(&who, &due(), report, &recipients, WallTime::from_unix_millis(1_795_600_000_000));
        let name = "mx.here.example!example.org!1795478400!1795564799!202611241mxhereexample.xml.gz";
        assert!(String::from_utf8_lossy(&mail).contains(name), "{}", String::from_utf8_lossy(&mail));
        let read = Report::parse_rfc5322(&mail, MAIL_OCTETS_MAX).unwrap();
        assert_eq!(read.report_id(), "2026-11-24.1@mx.here.example");
        let told: Vec<(String, u32)> =
            read.record.iter().map(|one| (one.identifiers.header_from.clone(), one.row.count)).collect();
        assert_eq!(
            told,
            [("d0.example.org".into(), 1), ("d1.example.org".into(), 2), ("d2.example.org".into(), 3)]
        );
    }

    #[test]
    fn what_is_too_large_is_told_in_parts_and_policies_are_told_apart() {
        let address = "reports@here.example".parse().unwrap();
        let who = Who::example(&address);
        let number = Cell::new(0);
        let name = || {
            number.set(number.get() + 1);
            format!("{}@mx.here.example", number.get())
        };
        let made = make(&who, &due(), rows(100), 1_300, &name);
        assert!(made.reports.len() > 1 && made.unfit.is_empty(), "{} reports", made.reports.len());
        assert_eq!(made.reports.iter().map(|report| report.rows.len()).sum::<usize>(), 100);
        assert!(made.reports.iter().all(|report| encoded_octets(report.file.len()) <= 1_300));
        let made = make(&who, &due(), rows(3), 100, &name);
        assert_eq!((made.reports.len(), made.unfit.len()), (0, 3), "nothing fits into 100 octets");
        let mut two = rows(2);
        two[1].head = two[1].head.replace("reject", "none");
        assert_eq!(make(&who, &due(), two, u64::MAX, &name).reports.len(), 2);
        let mut broken = rows(1);
        broken[0].body = "{".into();
        assert_eq!(make(&who, &due(), broken, u64::MAX, &name).unfit.len(), 1);
    }
}
