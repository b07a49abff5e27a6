//! Golden DSNs, the rules of who gets one, and properties of hostile content. `UPDATE_EXPECTED=1` rewrites the golden
//! files, whose lines end with LF; the diff is to be reviewed.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use smtp::envelope::OriginalRecipient;

use super::strict::{self, ReadDsn};
use super::*;

const HEADER_SECTION: &[u8] =
    b"Received: from laptop\r\n\tby mx.example.org; Mon, 23 Nov 2026 09:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\n\
      Subject: Lunch\r\nMessage-ID: <1@example.org>\r\n";
const MAIL_DATA: &[u8] =
    b"From: Alice <alice@example.org>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n.\r\n--\r\nAlice\r\n";

fn recipient(address: &str) -> QueuedRecipient {
    QueuedRecipient {
        mailbox: "elsewhere@example.com".parse().unwrap(),
        accepted_as: format!("<{address}>").parse().unwrap(),
        parameters: RcptParameters::default(),
        destination: Destination::new("smtp:mx.example.net"),
    }
}

fn message(reverse_path: &str, recipients: Vec<QueuedRecipient>) -> QueuedMessage {
    QueuedMessage {
        reverse_path: reverse_path.parse().unwrap(),
        parameters: MailParameters::default(),
        received: WallTime::from_unix_millis(1_795_424_400_000),
        hold: None,
        origin: Origin::default(),
        recipients,
    }
}

fn notify(success: bool, failure: bool, delay: bool) -> Option<Notify> {
    Some(Notify { success, failure, delay })
}

/// The DSNs, for reports that are made of the action, status, diagnostic and remote of each recipient.
fn compose_all(
    message: &QueuedMessage,
    original: Original<'_>,
    told: &[(Action, &str, &str, &str)],
) -> Vec<Dsn> {
    fn text(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    let reports: Vec<Report<'_>> = message
        .recipients
        .iter()
        .zip(told)
        .map(|(recipient, &(action, status, diagnostic, remote))| Report {
            recipient,
            action,
            status,
            diagnostic: text(diagnostic),
            remote: text(remote),
        })
        .collect();
    compose(&Notice {
        reporting_mta: &"mx.example.org".parse().unwrap(),
        queue_id: QueueId::from_number(0x12_3456_789A_BCDE).unwrap(),
        message,
        original,
        reports: &reports,
        now: message.received + Duration::from_secs(3 * 86_400),
        random: 0xF00D,
    })
}

fn read_one(dsns: &[Dsn]) -> ReadDsn {
    assert_eq!(dsns.len(), 1);
    let dsn = strict::read(&dsns[0].mail_data);
    let eight_bit = dsn.parts.iter().any(|part| part.encoding == "8bit");
    assert_eq!(dsns[0].parameters.body == BodyType::EightBitMime, eight_bit);
    assert_eq!(dsns[0].parameters.size_octets, Some(dsns[0].mail_data.len() as u64));
    dsn
}

fn check_golden(name: &str, dsns: &[Dsn]) -> ReadDsn {
    let dsn = read_one(dsns);
    let written = String::from_utf8(dsns[0].mail_data.clone()).unwrap().replace("\r\n", "\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dsn/golden").join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, expected, "{name}");
    dsn
}

#[test]
fn a_failure_returns_the_header_section() {
    let mut message = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    message.parameters.envid = Some("QQ314159".to_owned());
    message.recipients[0].parameters.original =
        Some(OriginalRecipient { kind: "rfc822".to_owned(), address: "Bob+x@example.net".to_owned() });
    let told = [(Action::Failed, "5.1.1", "550 5.1.1 no such user", "mx.example.net")];
    let dsns = compose_all(&message, Original::HeaderSection(HEADER_SECTION), &told);
    let dsn = check_golden("failed.txt", &dsns);
    assert_eq!(dsn.field(1, "Original-Recipient"), Some("rfc822; Bob+x@example.net"));
    assert_eq!(dsn.field(1, "Final-Recipient"), Some("rfc822; bob@example.net"));
    assert_eq!(dsns[0].recipient.to_string(), "alice@example.org");
    let draft = dsns[0].clone().into_draft(message.received, Destination::new("local"));
    assert_eq!(draft.message.reverse_path, ReversePath::Null);
    for action in [Action::Failed, Action::Delivered, Action::Delayed { until: message.received }] {
        assert!(!wanted(&draft.message, &draft.message.recipients[0], action));
    }
    assert_eq!(draft.message.recipients[0].parameters.notify, Some(Notify::NEVER));
}

#[test]
fn a_message_is_returned_whole_when_it_is_asked_for() {
    let mut message = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    message.parameters.ret = Some(Ret::Full);
    let told = [(Action::Failed, "5.2.2", "552 5.2.2 mailbox full", "")];
    let dsn = check_golden("failed_whole.txt", &compose_all(&message, Original::Whole(MAIL_DATA), &told));
    assert_eq!(dsn.parts[2].content_type, "message/rfc822");
    assert_eq!(dsn.parts[2].content, MAIL_DATA);

    let eight_bit = "Subject: Lunch\r\n\r\nCafé\r\n".as_bytes();
    let dsn = read_one(&compose_all(&message, Original::Whole(eight_bit), &told));
    assert_eq!((dsn.parts[2].encoding.as_str(), dsn.parts[2].content.as_slice()), ("8bit", eight_bit));
    // Neither can stand in another message as it is.
    for broken in [&b"Subject: x\r\n\r\na\nb\r\n"[..], b"Subject: x\r\n\r\n\0\r\n"] {
        let dsn = read_one(&compose_all(&message, Original::Whole(broken), &told));
        assert_eq!(dsn.parts[2].content_type, "text/rfc822-headers");
        assert_eq!(dsn.parts[2].content, b"Subject: x\r\n");
    }
    // Without a failure, RET says nothing (RFC 3461 §4.3).
    message.recipients[0].parameters.notify = notify(true, false, false);
    let told = [(Action::Delivered, "2.1.5", "", "")];
    let dsn = read_one(&compose_all(&message, Original::Whole(MAIL_DATA), &told));
    assert_eq!(dsn.parts[2].content_type, "text/rfc822-headers");
}

#[test]
fn a_delay_says_how_long_it_is_tried() {
    let message = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    let until = message.received + Duration::from_secs(5 * 86_400);
    let told = [(Action::Delayed { until }, "4.4.1", "connection timed out", "")];
    let dsn =
        check_golden("delayed.txt", &compose_all(&message, Original::HeaderSection(HEADER_SECTION), &told));
    assert_eq!(dsn.field(1, "Will-Retry-Until"), Some(until.to_date_time().as_str()));
    assert_eq!(dsn.field(1, "Diagnostic-Code"), Some("x-gatepost; connection timed out"));
}

#[test]
fn several_recipients_stand_worst_news_first() {
    let addresses =
        ["dave@example.net", "erin@example.org", "team@example.org", "bob@example.net", "carol@example.net"];
    let mut message = message("<alice@example.org>", addresses.map(recipient).to_vec());
    for recipient in &mut message.recipients {
        recipient.parameters.notify = notify(true, true, false);
    }
    let told = [
        (Action::Relayed, "2.0.0", "250 2.0.0 queued as 17", "mx.example.net"),
        (Action::Delivered, "2.1.5", "", ""),
        (Action::Expanded, "2.1.5", "", ""),
        (Action::Expired, "4.2.1", "450 4.2.1 try later, please", "mx.example.net"),
        (Action::Failed, "5.7.1", "554 5.7.1 not from you", "mx.example.net"),
    ];
    let dsn =
        check_golden("mixed.txt", &compose_all(&message, Original::HeaderSection(HEADER_SECTION), &told));
    let actions: Vec<_> = (1..=5).map(|block| dsn.field(block, "Action").unwrap()).collect();
    assert_eq!(actions, ["failed", "failed", "delivered", "expanded", "relayed"]);
}

const INTERNATIONAL: &[u8] = "From: <дима@пример.example>\r\nSubject: Обед\r\n\r\nВ полдень\r\n".as_bytes();

#[test]
fn an_international_return_path_gets_the_international_types() {
    let mut message = message("<дима@пример.example>", vec![recipient("δοκιμή@example.net")]);
    message.parameters.ret = Some(Ret::Full);
    message.recipients[0].parameters.original =
        Some(OriginalRecipient { kind: "utf-8".to_owned(), address: "δοκιμή@example.net".to_owned() });
    let told = [(Action::Failed, "5.1.1", "550 5.1.1 <δοκιμή@example.net> unknown", "mx.example.net")];
    let dsns = compose_all(&message, Original::Whole(INTERNATIONAL), &told);
    assert!(dsns[0].parameters.smtputf8);
    let dsn = check_golden("international.txt", &dsns);
    assert_eq!(dsn.field(1, "Original-Recipient"), Some("utf-8; δοκιμή@example.net"));
    let types: Vec<_> =
        dsn.parts.iter().map(|part| (part.content_type.as_str(), part.encoding.as_str())).collect();
    assert_eq!(
        types,
        [
            ("text/plain; charset=utf-8", "8bit"),
            ("message/global-delivery-status", "8bit"),
            ("message/global", "8bit")
        ]
    );
    let dsn = read_one(&compose_all(&message, Original::HeaderSection(INTERNATIONAL), &told));
    assert_eq!(dsn.parts[2].content_type, "message/global-headers");
}

#[test]
fn an_ascii_return_path_gets_seven_bits() {
    let mut message = message("<alice@example.org>", vec![recipient("δοκιμή@example.net")]);
    message.parameters.ret = Some(Ret::Full);
    let told = [(Action::Failed, "5.1.1", "550 5.1.1 <δοκιμή@example.net> unknown", "mx.example.net")];
    let dsns = compose_all(&message, Original::Whole(INTERNATIONAL), &told);
    assert!(!dsns[0].parameters.smtputf8 && dsns[0].mail_data.is_ascii());
    let dsn = check_golden("seven_bit.txt", &dsns);
    let encoded = "utf-8; \\x{3B4}\\x{3BF}\\x{3BA}\\x{3B9}\\x{3BC}\\x{3AE}@example.net";
    assert_eq!(dsn.field(1, "Final-Recipient"), Some(encoded));
    assert_eq!(dsn.parts[1].content_type, "message/delivery-status");
    assert_eq!(dsn.parts[2].content_type, "message/global");
    assert_eq!(dsn.parts[2].content, INTERNATIONAL);
    assert!(dsn.text().contains("<δοκιμή@example.net>"));
}

#[test]
fn notify_decides_and_the_null_path_never_gets_a_dsn() {
    let null = message("<>", vec![recipient("bob@example.net")]);
    let mut told = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    let delayed = Action::Delayed { until: told.received };
    let actions =
        [Action::Failed, Action::Expired, delayed, Action::Delivered, Action::Expanded, Action::Relayed];
    for (given, expected) in [
        (None, [true, true, true, false, false, false]),
        (Some(Notify::NEVER), [false; 6]),
        (notify(true, false, false), [false, false, false, true, true, true]),
        (notify(false, true, false), [true, true, false, false, false, false]),
        (notify(false, false, true), [false, false, true, false, false, false]),
    ] {
        told.recipients[0].parameters.notify = given;
        assert_eq!(actions.map(|action| wanted(&told, &told.recipients[0], action)), expected, "{given:?}");
        assert_eq!(actions.map(|action| wanted(&null, &told.recipients[0], action)), [false; 6]);
        for (action, expected) in actions.into_iter().zip(expected) {
            let dsns = compose_all(&told, Original::HeaderSection(b""), &[(action, "", "", "")]);
            assert_eq!(dsns.len(), usize::from(expected));
        }
    }
    assert!(
        compose_all(&null, Original::HeaderSection(b""), &[(Action::Failed, "5.0.0", "", "")]).is_empty()
    );
}

#[test]
fn the_status_agrees_with_the_action() {
    let recipient = recipient("bob@example.net");
    let of = |action, status| {
        super::status(&Report { recipient: &recipient, action, status, diagnostic: None, remote: None })
    };
    let delayed = Action::Delayed { until: WallTime::default() };
    for (action, given, expected) in [
        (Action::Failed, "5.1.10", "5.1.10"),
        (Action::Failed, "4.2.2", "4.2.2"),
        (Action::Failed, "2.0.0", "5.0.0"),
        (Action::Failed, "5.1", "5.0.0"),
        (Action::Failed, "5.1.1\r\nX: y", "5.0.0"),
        (Action::Failed, "5.1.1234", "5.0.0"),
        (Action::Expired, "", "4.4.7"),
        (delayed, "5.7.1", "4.7.1"),
        (delayed, "2.7.1", "4.0.0"),
        (Action::Delivered, "5.1.1", "2.0.0"),
        (Action::Relayed, "2.6.0", "2.6.0"),
    ] {
        assert_eq!(of(action, given), expected, "{action:?} {given}");
    }
}

#[test]
fn the_worst_case_fits_and_many_recipients_take_several_dsns() {
    let long = format!("{}@{}.example", "é".repeat(32), "é".repeat(80));
    let mut message = message("<alice@example.org>", vec![recipient(&long); 2 * REPORTS_MAX + 1]);
    message.parameters.ret = Some(Ret::Full);
    for recipient in &mut message.recipients {
        recipient.parameters.original =
            Some(OriginalRecipient { kind: "utf-8".to_owned(), address: "é".repeat(125) });
    }
    let (diagnostic, remote) = (format!("550 {}", "é".repeat(9_000)), "é".repeat(900));
    let told =
        vec![(Action::Expired, "4.4.7", diagnostic.as_str(), remote.as_str()); message.recipients.len()];
    let original = "X: éééééééé\r\n".repeat(12_000);
    assert!(returns_whole(&message, original.len() as u64));
    let dsns = compose_all(&message, Original::Whole(original.as_bytes()), &told);
    let counts: Vec<usize> = dsns.iter().map(|dsn| strict::read(&dsn.mail_data).blocks.len() - 1).collect();
    assert_eq!(counts, [REPORTS_MAX, REPORTS_MAX, 1]);
    for dsn in &dsns {
        assert!(dsn.mail_data.len() as u64 <= LARGE_BODY_OCTETS, "{}", dsn.mail_data.len());
    }
    let first = strict::read(&dsns[0].mail_data);
    assert_eq!(first.parts[2].content_type, "message/global-headers", "in seven bits the whole is too much");
    assert_ne!(
        strict::find(&first.header, "Message-ID"),
        strict::find(&strict::read(&dsns[1].mail_data).header, "Message-ID"),
    );
}

#[test]
fn the_boundary_occurs_in_no_part() {
    let mut message = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    message.parameters.ret = Some(Ret::Full);
    let mail_data = "X: y\r\n\r\n--=_000000000000f00d_0=\r\n--=_000000000000f00d_1=--\r\n";
    let told = [(Action::Failed, "5.1.1", "550 =_000000000000f00d_2=", "")];
    let dsn = read_one(&compose_all(&message, Original::Whole(mail_data.as_bytes()), &told));
    assert!(strict::find(&dsn.header, "Content-Type").unwrap().ends_with("\"=_000000000000f00d_3=\""));
    assert_eq!(dsn.parts[2].content, mail_data.as_bytes());
}

#[test]
fn a_postmaster_without_a_domain_is_ours() {
    let mut message = message("<alice@example.org>", vec![recipient("bob@example.net")]);
    message.recipients[0].accepted_as = ForwardPath::Postmaster;
    let dsn =
        read_one(&compose_all(&message, Original::HeaderSection(b""), &[(Action::Failed, "5.2.2", "", "")]));
    assert_eq!(dsn.field(1, "Final-Recipient"), Some("rfc822; postmaster@mx.example.org"));
    assert_eq!(dsn.parts[2].content, b"");
}

/// Text as a peer with ill will would choose it.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "([ \\t\\r\\n\0\u{85}\u{2028}é=:;<>\"a-]|Action: delivered|--=_000000000000f00d_0=|\\r\\n\\r\\n|550 ){0,60}",
        "[ab é]{0,3000}",
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let until = any::<u64>().prop_map(|millis| Action::Delayed { until: WallTime::from_unix_millis(millis) });
    prop_oneof![
        Just(Action::Failed),
        Just(Action::Expired),
        until,
        Just(Action::Delivered),
        Just(Action::Expanded),
        Just(Action::Relayed)
    ]
}

proptest! {
    #[test]
    fn hostile_text_never_breaks_the_structure(
        diagnostic in hostile(), status in hostile(), remote in hostile(), envid in proptest::option::of(hostile()),
        kind in prop_oneof![Just("rfc822".to_owned()), Just("utf-8".to_owned()), hostile()], address in hostile(),
        local_part in "[^\\p{Cc}]{1,16}", action in action(), international in any::<bool>(),
        original in prop_oneof![
            hostile().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..3000),
            Just(MAIL_DATA.to_vec()), Just(INTERNATIONAL.to_vec()),
        ],
    ) {
        let domain = if international { "пример.example" } else { "example.org" };
        let mut recipient = recipient("bob@example.net");
        let local_part = smtp::address::LocalPart::new(local_part.as_str());
        prop_assume!(local_part.is_ok());
        let mailbox = Mailbox { local_part: local_part.unwrap(), domain: domain.parse().unwrap() };
        recipient.accepted_as = ForwardPath::Mailbox(mailbox.clone());
        recipient.parameters.notify = notify(true, true, true);
        recipient.parameters.original = Some(OriginalRecipient { kind, address });
        let mut message = message("<>", vec![recipient.clone(), recipient]);
        message.reverse_path = ReversePath::Mailbox(mailbox.clone());
        message.parameters.ret = Some(Ret::Full);
        message.parameters.envid = envid;
        let told = [(action, status.as_str(), diagnostic.as_str(), remote.as_str()); 2];
        let dsns = compose_all(&message, Original::Whole(&original), &told);
        let dsn = read_one(&dsns);
        prop_assert_eq!(dsn.blocks.len(), 3);
        let to = format!("<{mailbox}>");
        prop_assert_eq!(strict::find(&dsn.header, "To"), Some(to.as_str()));
        prop_assert_eq!(dsn.field(2, "Action"), Some(match action {
            Action::Failed | Action::Expired => "failed",
            Action::Delayed { .. } => "delayed",
            Action::Delivered => "delivered",
            Action::Expanded => "expanded",
            Action::Relayed => "relayed",
        }));
        prop_assert_eq!(dsns[0].parameters.smtputf8, !mailbox.is_ascii());
        if dsn.parts[2].content_type.ends_with("rfc822") || dsn.parts[2].content_type.ends_with("global") {
            prop_assert_eq!(&dsn.parts[2].content, &original);
        } else {
            prop_assert!(original.starts_with(&dsn.parts[2].content));
        }
    }
}
