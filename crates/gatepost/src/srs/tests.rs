//! Reverse-paths rewritten and led back, among them those of another program.

use proptest::prelude::*;
use queue::message::Destination;
use smtp::envelope::RcptParameters;

use super::*;

/// 2020-01-01, 00:01.
const NOW: WallTime = WallTime::from_unix_millis(1_577_836_860_000);

fn later(days: u64) -> WallTime {
    WallTime::from_unix_millis(NOW.as_unix_millis() + days * 86_400_000)
}

fn srs(secrets: &[&str]) -> Srs {
    Srs::new("example.com".parse().unwrap(), secrets)
}

fn rewritten(srs: &Srs, mailbox: &str) -> String {
    srs.rewrite(&mailbox.parse().unwrap(), NOW).unwrap().to_string()
}

fn bounce(srs: &Srs, address: &str, now: WallTime) -> Option<String> {
    let path = ForwardPath::Mailbox(address.parse().unwrap());
    srs.bounce(&path, now, 0).map(|bounce| match bounce {
        Bounce::To(mailbox) => mailbox.to_string(),
        Bounce::Nobody => "nobody".to_owned(),
    })
}

#[test]
fn addresses_are_those_of_libsrs2() {
    let srs = srs(&["tops3cr3t"]);
    let address = rewritten(&srs, "test@otherdomain.com");
    assert_eq!(address, "SRS0=vmyz=2W=otherdomain.com=test@example.com");
    assert_eq!(bounce(&srs, &address, NOW).as_deref(), Some("test@otherdomain.com"));
}

#[test]
fn an_address_survives_the_case_that_hosts_make_of_it() {
    let srs = srs(&["secret"]);
    let address = rewritten(&srs, "Alice@Example.NET");
    assert_eq!(bounce(&srs, &address, NOW).as_deref(), Some("Alice@Example.NET"));
    let (local, _) = address.split_once('@').unwrap();
    for cased in [local.to_lowercase(), local.to_uppercase()] {
        let led_back = bounce(&srs, &format!("{cased}@EXAMPLE.com"), NOW).unwrap();
        assert!(led_back.eq_ignore_ascii_case("alice@example.net"), "{led_back}");
    }
}

#[test]
fn who_forwards_what_was_forwarded_leads_back_to_the_first() {
    let (ours, theirs) = (srs(&["ours"]), Srs::new("first.example".parse().unwrap(), &["theirs"]));
    let first = rewritten(&theirs, "alice@a.example");
    let second = rewritten(&ours, &first);
    let (_, inner) = first.split_at(4);
    let inner = inner.split_once('@').unwrap().0;
    assert!(
        second.starts_with("SRS1=") && second.ends_with(&format!("=first.example={inner}@example.com")),
        "{second}"
    );
    assert_eq!(bounce(&ours, &second, NOW), Some(first.clone()));
    let third = Srs::new("third.example".parse().unwrap(), &["third"]);
    let again = rewritten(&third, &second);
    assert!(again.contains("=first.example==") && !again.contains("example.com"), "{again}");
    assert_eq!(bounce(&third, &again, NOW), Some(first));
}

#[test]
fn nothing_that_was_forged_is_led_back() {
    let srs = srs(&["secret"]);
    let address = rewritten(&srs, "alice@a.example");
    for forged in [
        address.replace("alice", "mallory"),
        address.replace("a.example", "b.example"),
        "SRS0=AAAA=2W=a.example=alice@example.com".to_owned(),
        "SRS0=AAA=2W=a.example=alice@example.com".to_owned(),
        "SRS0==2W=a.example=alice@example.com".to_owned(),
        "SRS0=x@example.com".to_owned(),
        "SRS0=AAAA=7777777777777777=a.example=alice@example.com".to_owned(),
        "SRS1=AAAA=first.example==x=2W=a.example=alice@example.com".to_owned(),
        "SRS1=AAAA@example.com".to_owned(),
    ] {
        assert_eq!(bounce(&srs, &forged, NOW).as_deref(), Some("nobody"), "{forged}");
    }
    for other in ["alice@example.com", "srs0@example.com", "srs0x=1@example.com", "SRS0=a=b=c=d@example.org"]
    {
        assert_eq!(bounce(&srs, other, NOW), None, "{other}");
    }
}

#[test]
fn an_address_leads_back_for_three_weeks_also_round_the_end_of_the_count() {
    let srs = srs(&["secret"]);
    for start in 0..1_100 {
        let made = srs.rewrite(&"alice@a.example".parse().unwrap(), later(start)).unwrap();
        let path = ForwardPath::Mailbox(made);
        for (days, is_good) in [(0, true), (21, true), (22, false), (500, false)] {
            let good = matches!(srs.bounce(&path, later(start + days), 0), Some(Bounce::To(_)));
            assert_eq!(good, is_good, "made on day {start}, used {days} later");
        }
        assert_eq!(srs.bounce(&path, later(start + 22), 1), srs.bounce(&path, later(start), 0));
    }
}

#[test]
fn a_new_secret_signs_while_the_old_one_is_still_known() {
    let (old, both, new) = (srs(&["old"]), srs(&["new", "old"]), srs(&["new"]));
    let address = rewritten(&old, "alice@a.example");
    assert_eq!(bounce(&both, &address, NOW).as_deref(), Some("alice@a.example"));
    assert_eq!(bounce(&new, &address, NOW).as_deref(), Some("nobody"));
    assert_eq!(rewritten(&both, "alice@a.example"), rewritten(&new, "alice@a.example"));
}

#[test]
fn only_what_is_forwarded_for_somebody_elsewhere_is_rewritten() {
    let srs = srs(&["secret"]);
    let path = |own: &str, accepted_as: &str| {
        let recipient = QueuedRecipient {
            mailbox: "bob@b.example".parse().unwrap(),
            accepted_as: accepted_as.parse().unwrap(),
            parameters: RcptParameters::default(),
            destination: Destination::new("relay"),
        };
        let is_local = |domain: &Domain| domain.to_string() == "here.example";
        reverse_path(Some(&srs), &own.parse().unwrap(), &recipient, is_local, NOW).to_string()
    };
    assert!(path("<alice@a.example>", "<fwd@here.example>").starts_with("<SRS0="));
    assert_eq!(path("<alice@a.example>", "<bob@b.example>"), "<alice@a.example>");
    assert_eq!(path("<alice@here.example>", "<fwd@here.example>"), "<alice@here.example>");
    assert_eq!(path("<>", "<fwd@here.example>"), "<>");
    let long = format!("<{}@a.example>", "x".repeat(60));
    assert_eq!(path(&long, "<fwd@here.example>"), long, "RFC 5321 has 64 octets for a local part");
}

proptest! {
    #[test]
    fn whatever_is_rewritten_leads_back(local in "[ -~]{1,40}|[a-z=+-]{1,20}|\\PC{1,8}", domain in "[a-z]{1,9}\\.[a-z]{2,5}") {
        let srs = srs(&["secret"]);
        let local_part = LocalPart::new(local);
        prop_assume!(local_part.is_ok());
        let mailbox = Mailbox { local_part: local_part.unwrap(), domain: domain.parse().unwrap() };
        // Rewritten by somebody before, it would lead back to him.
        prop_assume!(tagged(mailbox.local_part.as_str(), "SRS0").is_none() && parts(mailbox.local_part.as_str()).is_none());
        if let Some(address) = srs.rewrite(&mailbox, NOW) {
            let read: Mailbox = address.to_string().parse().unwrap();
            prop_assert_eq!(srs.bounce(&ForwardPath::Mailbox(read), NOW, 0), Some(Bounce::To(mailbox)));
        }
    }

    #[test]
    fn whatever_is_said_is_answered(local in "(?i:SRS[01])[=+-]?\\PC{0,40}") {
        let srs = srs(&["secret"]);
        let Ok(local_part) = LocalPart::new(local) else { return Ok(()) };
        let mailbox = Mailbox { local_part, domain: "example.com".parse().unwrap() };
        let answer = srs.bounce(&ForwardPath::Mailbox(mailbox), NOW, 0);
        prop_assert!(!matches!(answer, Some(Bounce::To(_))), "{answer:?}");
    }
}
